// SPDX-License-Identifier: GPL-3.0-or-later
// cairn key drill, cairn verify --proof: unlock recovery points with what is in them, in memory only. Document:
// {"with":"recovery key"|"store key","points":[VERDICT (daemon/keys/point_unlock.h)],"proved":N,"unproved":N,
// "not_encrypted":N}.
#include "daemon/cli/commands/key_drill.h"

#include <fmt/core.h>

#include <map>
#include <set>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/keys/point_unlock.h"
#include "daemon/queue/job_record.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

using nlohmann::json;

struct KeyDrillCommand {
  std::string point;  // empty: the newest of every machine
};

enum class Which { newest, all };

// MACHINE@POINT: that one; a machine, or nothing: its points, or everybody's. Errors: as PointCatalog::find,
// no_such_machine.
Result<std::vector<PointName>> choose_points(Store& store, const std::string& what, Which which) {
  if (what.find('@') != std::string::npos) {
    CAIRN_TRY(PointName point, store.points().find(what));
    return std::vector{std::move(point)};
  }
  if (!what.empty()) CAIRN_CHECK(store.points().find(what + "@latest"));
  CAIRN_TRY(const std::vector<PointName> points, store.points().list());
  std::vector<PointName> chosen;
  for (const PointName& point : points)
    if (what.empty() || point.machine == what) chosen.push_back(point);
  if (which == Which::all) return chosen;
  std::map<std::string, PointName> newest;
  for (const PointName& point : chosen) {
    const auto [known, is_new] = newest.try_emplace(point.machine, point);
    if (!is_new && known->second.time < point.time) known->second = point;
  }
  chosen.clear();
  for (const auto& entry : newest) chosen.push_back(entry.second);
  return chosen;
}

json unreadable(const PointName& name, const Error& error) {
  return {{"point", name.text()},
          {"state", to_string(ProofState::unproved)},
          {"recorded", nullptr},
          {"volumes", json::array()},
          {"error", cairn::to_json(error)}};
}

Result<ExitCode> unlock_all(Context& context, const std::string& what, Which which) {
  CAIRN_TRY(const UnlockKey key, context.unlock_key());
  CAIRN_TRY(const auto store, context.open_store_with(key));
  // The printed key is an owner of its own: it opens what is in escrow without the master key's help.
  const bool on_paper = key.type == KeySlotType::recovery;
  const EscrowKeys paper = on_paper ? escrow_keys_of(key.secret) : EscrowKeys{};
  CAIRN_TRY(const std::vector<PointName> names, choose_points(*store, what, which));
  json rows = json::array();
  std::map<ProofState, std::size_t> count;
  for (const PointName& name : names) {
    const auto point = store->points().load(name);
    if (!point) {
      if (point.error().code == ErrorCode::point_missing) continue;  // removed meanwhile
      rows.push_back(unreadable(name, point.error()));
      ++count[ProofState::unproved];
    } else {
      PointVerdict verdict = unlock_point(*store, *point, on_paper ? paper : store->keys().escrow_keys());
      // A recovery key that was added after the point was taken opens the store, and with it what is in escrow.
      if (on_paper && verdict.state() == ProofState::unproved)
        verdict = unlock_point(*store, *point, store->keys().escrow_keys());
      rows.push_back(cairn::to_json(verdict));
      ++count[verdict.state()];
    }
  }
  const json document{{"with", on_paper ? "recovery key" : "store key"},
                      {"points", std::move(rows)},
                      {"proved", count[ProofState::proved]},
                      {"unproved", count[ProofState::unproved]},
                      {"not_encrypted", count[ProofState::not_encrypted]},
                      {"unknown", count[ProofState::unknown]}};
  CAIRN_CHECK(context.output().answer(document, render_drill(document)));
  return count[ProofState::unproved] == 0 ? ExitCode::done : ExitCode::failed;
}

std::string drilled_volume(const json& point, const json& volume) {
  const std::string name =
      volume_name(static_cast<unsigned>(number_of(volume, "partition")), text_of(volume, "within"));
  return text_of(point, "point") + "/" + text_of(volume, "disk") + (name.empty() ? name : ", " + name);
}

Result<ExitCode> run(Context& context, const KeyDrillCommand& command) {
  return unlock_all(context, command.point, Which::newest);
}

}  // namespace

std::string render_drill(const json& document) {
  std::string text;
  for (const auto& point : member(document, "points")) {
    if (const json& error = member(point, "error"); error.is_object())
      text += fmt::format("FAILED    {}: {} [{}]\n", text_of(point, "point"), text_of(error, "message"),
                          text_of(error, "name"));
    for (const auto& volume : member(point, "volumes")) {
      const json& error = member(volume, "error");
      if (error.is_object()) {
        text += fmt::format("FAILED    {}: {} [{}]\n", drilled_volume(point, volume), text_of(error, "message"),
                            text_of(error, "name"));
        continue;
      }
      const json& slot = member(volume, "slot");
      text += fmt::format(
          "unlocked  {}: {} {} with {} version {}{}\n", drilled_volume(point, volume), text_of(volume, "type"),
          text_of(volume, "uuid"), text_of(volume, "secret"), text_of(volume, "secret_version"),
          slot.is_number_integer() && slot.get<int>() >= 0 ? fmt::format(", key slot {}", slot.get<int>())
                                                           : std::string());
    }
  }
  text +=
      fmt::format("{} with the {}: {} proved, {} not, {} without encrypted disks\n",
                  count_of(member(document, "points").size(), "point"), text_of(document, "with"),
                  number_of(document, "proved"), number_of(document, "unproved"), number_of(document, "not_encrypted"));
  if (text_of(document, "with") != "recovery key")
    text += "  The printed recovery key was not tried; with --recovery-key FILE it is.\n";
  return printable(text, Lines::keep);
}

Result<ExitCode> verify_proofs(Context& context, const std::string& what) {
  return unlock_all(context, what, Which::all);
}

CommandSpec key_drill_command() {
  CommandSpec spec;
  spec.words = "key drill";
  spec.summary = "Rehearse a disaster: unlock disks with nothing but the store";
  spec.examples = {"cairn --recovery-key recovery-key.txt key drill", "cairn key drill web-01@latest"};
  spec.notes =
      "Opens the keys in the recovery point (default: the newest of every machine) and tries them on the\n"
      "headers in it, in memory only; nothing is left behind. With --recovery-key it is the printed key\n"
      "that is tried, as on a host without vault and settings (--store DIR).";
  spec.options = {value("point", "MACHINE@POINT", "The recovery point", &KeyDrillCommand::point, Completes::points)};
  set_action<KeyDrillCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
