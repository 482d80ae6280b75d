// SPDX-License-Identifier: GPL-3.0-or-later
// The grammar of the commands about how long points are kept.
#include "daemon/cli/grammar/grammar.h"

namespace cairn::cli {
namespace {

using Kind = Completion::Kind;

// "2027-01-31" is the beginning of that day.
Result<UtcTime> parse_until(const std::string& text) {
  const auto time = parse_iso_time(text.size() == 10 ? text + "T00:00:00Z" : text);
  if (time) return *time;
  return misuse("protect recovery point", "--until \"" + text + "\" is no date",
                "write it like 2027-01-31 or 2027-01-31T12:00:00Z");
}

Result<Command> finish_prune(const Grammar& grammar) {
  PruneCommand command = grammar.prune;
  CAIRN_TRY(command.rate, parse_rate(grammar.prune_rate, "prune"));
  return command;
}

Result<Command> finish_protect(const Grammar& grammar) {
  ProtectCommand command = grammar.protect;
  if (command.point.empty()) return missing("protect", "MACHINE@POINT");
  if (command.off && !grammar.protect_until.empty())
    return misuse("protect recovery point", "both --off and --until are given", "give one of them");
  if (!grammar.protect_until.empty()) {
    CAIRN_TRY(command.until, parse_until(grammar.protect_until));
  }
  return command;
}

}  // namespace

void Grammar::add_retention() {
  CLI::App* prune_app =
      add(app, "prune", "Apply the policies: expire recovery points, and give space back",
          "Examples:\n"
          "  cairn prune --dry-run\n"
          "  cairn prune web-01\n"
          "  cairn prune --rate 50MiB\n"
          "\n"
          "Points that the policy's retention rule does not keep are hidden, and removed for good when its\n"
          "soft_delete has passed; then their space is given back. --dry-run says for every point what would\n"
          "become of it, and why. A prune of the machine follows each of its backups by itself.\n"
          "When the clock went back or far ahead nothing is removed; set it right, or say --accept-clock.",
          [this] { return finish_prune(*this); });
  completes[prune_app->add_option("machine", prune.machine, "Only this machine's points (default: all)")
                ->type_name("MACHINE")] = Kind::machines;
  prune_app->add_flag("--dry-run", prune.dry_run, "Say what would be done, and do nothing");
  prune_app->add_flag("--accept-clock", prune.accept_clock, "The clock is right, whatever the store says of it");
  prune_app->add_flag("--accept-damage", prune.accept_damage, "Give up what only damaged points or maps could need");
  prune_app->add_option("--rate", prune_rate, "Read and write at most so much a second (default: no limit)")
      ->type_name("SIZE");

  CLI::App* delete_app =
      add(app, "delete", "Delete recovery points; they can be brought back for a while",
          "Examples:\n"
          "  cairn delete web-01@20261121T020000Z\n"
          "  cairn delete web-01@20261121T02 web-01@20261120T02 --yes\n"
          "\n"
          "A deleted point is hidden. \"cairn undelete\" brings it back until the policy's soft_delete has passed;\n"
          "then a prune removes it for good. With soft_delete: off it is removed at once.\n"
          "Points that are immutable or protected are not deleted.",
          [this]() -> Result<Command> {
            if (delete_points.points.empty()) return missing("delete", "MACHINE@POINT");
            return delete_points;
          });
  completes[delete_app->add_option("points", delete_points.points, "Recovery points")->type_name("MACHINE@POINT")] =
      Kind::points;
  delete_app->add_flag("--yes", delete_points.yes, "Do not ask");

  CLI::App* undelete_app =
      add(app, "undelete", "Bring deleted recovery points back",
          "Examples:\n  cairn points --deleted\n  cairn undelete web-01@20261121T020000Z", [this]() -> Result<Command> {
            if (undelete.points.empty()) return missing("undelete", "MACHINE@POINT");
            return undelete;
          });
  completes[undelete_app->add_option("points", undelete.points, "Deleted recovery points")
                ->type_name("MACHINE@POINT")] = Kind::deleted_points;

  CLI::App* protect_app = add(app, "protect", "Keep a recovery point, whatever the policy says",
                              "Examples:\n"
                              "  cairn protect web-01@20261121T020000Z\n"
                              "  cairn protect web-01@latest --until 2027-12-31\n"
                              "  cairn protect web-01@20261121T020000Z --off\n"
                              "\n"
                              "A protected point is neither expired nor deleted, until the date or until --off.",
                              [this] { return finish_protect(*this); });
  completes[protect_app->add_option("point", protect.point, "The recovery point")->type_name("MACHINE@POINT")] =
      Kind::points;
  protect_app->add_option("--until", protect_until, "To the beginning of this day, or this time (UTC)")
      ->type_name("DATE");
  protect_app->add_flag("--off", protect.off, "End the protection");
}

}  // namespace cairn::cli
