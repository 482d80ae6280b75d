// SPDX-License-Identifier: GPL-3.0-or-later
// cairn points: the recovery points, or all about one. Documents: daemon/API.md "Point row", fs/store/FORMAT.md.
#include <fmt/format.h>

#include <algorithm>

#include "crypto/volume/volume_facts.h"
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/grammar/option_values.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/encryption_text.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/service/service.h"

namespace cairn::cli {
namespace {

struct PointsCommand {
  std::string what;  // empty, a machine, or MACHINE@POINT
  bool deleted = false;
  std::optional<UtcTime> since;
  std::optional<std::size_t> limit;
};

constexpr const char* kListing = "list recovery points";
constexpr std::size_t kMostListed = 100'000;

std::uint64_t size_of_disks(const nlohmann::json& row) {
  std::uint64_t size = 0;
  for (const auto& disk : member(row, "disks")) size += number_of(disk, "size");
  return size;
}

std::string volume_name_of(const nlohmann::json& volume) {
  return volume_name(static_cast<unsigned>(number_of(volume, "partition")), text_of(volume, "within"));
}

// How the volume was unlocked, or why not.
std::string proof_line(const nlohmann::json& proof) {
  const std::string name = volume_name_of(proof);
  const std::string where = text_of(proof, "disk") + (name.empty() ? name : ", " + name);
  if (!flag_of(proof, "proved")) return printable(where + ": not unlocked: " + text_of(proof, "reason"));
  std::string line = where + ": unlocked with " + text_of(proof, "secret") + " version " +
                     text_of(proof, "secret_version") + ", wrapped by " + text_of(proof, "kek") + " version " +
                     text_of(proof, "kek_version");
  const nlohmann::json& slot = member(proof, "slot");
  if (slot.is_number_integer() && slot.get<int>() >= 0) line += ", key slot " + std::to_string(slot.get<int>());
  return printable(line);
}

// What keeps it besides the retention rule: "protected", "immutable until 2026-12-21".
std::string kept_text(const nlohmann::json& row) {
  std::string text;
  if (const nlohmann::json& protection = member(row, "protected"); protection.is_object()) {
    text = "protected";
    if (const std::string until = time_of(protection, "until"); !until.empty()) text += " until " + until.substr(0, 10);
  }
  if (const std::string until = time_of(row, "immutable_until"); !until.empty())
    text += (text.empty() ? "immutable until " : ", immutable until ") + until.substr(0, 10);
  return text;
}

// "one instant", "12 ms apart"; empty: not known.
std::string apart_text(const nlohmann::json& document) {
  const nlohmann::json& apart = member(document, "apart_ms");
  if (!apart.is_number()) return {};
  const std::uint64_t ms = number_of(document, "apart_ms");
  return ms == 0 ? "one instant" : std::to_string(ms) + " ms apart";
}

// "frozen for 431 ms (2 file systems)", "paused for 9 ms: the guest agent does not answer", "off"; empty: not recorded.
std::string guest_text(const nlohmann::json& document) {
  const nlohmann::json& guest = member(document, "guest");
  if (!guest.is_object()) return {};
  std::string text = text_of(guest, "state");
  const std::string held = text_of(guest, "held");
  if (held == "freeze")
    text = fmt::format("frozen for {} ms ({})", number_of(guest, "held_ms"),
                       count_of(number_of(guest, "file_systems"), "file system"));
  else if (held == "pause")
    text = fmt::format("paused for {} ms", number_of(guest, "held_ms"));
  const std::string because = text_of(guest, "because");
  return because.empty() ? text : text + ": " + because;
}

// What is to be looked at before the point is used: "suspect", "in the future".
std::string marks_text(const nlohmann::json& row) {
  std::string text = flag_of(row, "suspect") ? "suspect" : "";
  if (flag_of(row, "in_future")) text += text.empty() ? "in the future" : ", in the future";
  return text;
}

// Of one disk: "  torn: it was written to while it was read". Empty: nothing to say.
std::string disk_labels(const nlohmann::json& disk) {
  std::string text;
  const std::string consistency = text_of(disk, "consistency");
  const std::string reason = text_of(disk, "consistency_reason");
  if (!consistency.empty()) text += "  " + consistency + (reason.empty() ? "" : ": " + reason) + "\n";
  if (const std::string because = text_of(member(disk, "suspect"), "because"); !because.empty())
    text += "  suspect: " + because + "\n";
  return text;
}

std::string volume_line(const nlohmann::json& volume) {
  std::string line = text_of(volume, "type");
  const std::string name = volume_name_of(volume);
  line += " on " + (name.empty() ? "the whole disk" : name);
  if (const std::string file = text_of(volume, "detached"); !file.empty()) line += ", its header in the file " + file;
  if (const std::string cipher = text_of(volume, "cipher"); !cipher.empty()) line += ", " + cipher;
  if (const std::string uuid = text_of(volume, "uuid"); !uuid.empty()) line += ", UUID " + uuid;
  if (const std::string damage = text_of(volume, "damage"); !damage.empty()) line += ", header damaged: " + damage;
  if (const std::string cut = text_of(volume, "cut_off"); !cut.empty()) line += ", cut off: " + cut;
  return printable(line);
}

Result<void> check(PointsCommand& command, const GlobalOptions&) {
  if (command.deleted && command.what.find('@') != std::string::npos)
    return misuse("list deleted recovery points", "a single point is named", "name its machine, or none");
  if ((command.since || command.limit) && command.what.find('@') != std::string::npos)
    return misuse(kListing, "a single point is named, and --since or --limit given", "name its machine, or none");
  return {};
}

// Those since --since, and of these the newest --limit; oldest first still.
void narrow(nlohmann::json& rows, const PointsCommand& command) {
  nlohmann::json kept = nlohmann::json::array();
  for (auto& row : rows) {
    const auto time = parse_iso_time(text_of(row, "time"));
    if (!command.since || !time || *time >= *command.since) kept.push_back(std::move(row));
  }
  // Rows that are no point's, such as that of a machine of which the store is older than it was, stay.
  const auto is_point = [](const nlohmann::json& row) { return member(row, "point").is_string(); };
  auto points = static_cast<std::size_t>(std::ranges::count_if(kept, is_point));
  for (auto at = kept.begin(); command.limit && at != kept.end() && points > *command.limit;) {
    if (!is_point(*at)) {
      ++at;
      continue;
    }
    at = kept.erase(at);
    --points;
  }
  rows = std::move(kept);
}

Result<ExitCode> run(Context& context, const PointsCommand& command) {
  CAIRN_TRY(Service* const service, context.service());
  if (command.what.find('@') != std::string::npos) {
    CAIRN_TRY(const nlohmann::json document, service->point(command.what));
    CAIRN_CHECK(context.output().answer(document, render_point(document)));
    return ExitCode::done;
  }
  std::optional<std::string> machine;
  if (!command.what.empty()) machine = command.what;
  CAIRN_TRY(nlohmann::json rows,
            service->points(machine, command.deleted ? PointsListed::deleted : PointsListed::present));
  const bool any = !rows.empty();
  narrow(rows, command);
  std::string none = command.deleted ? "no recovery points are deleted\n"
                                     : "no recovery points yet; \"cairn backup MACHINE\" makes one\n";
  if (any) none = "no recovery points since " + iso_time(command.since.value_or(UtcTime())) + "\n";
  CAIRN_CHECK(context.output().answer(rows, rows.empty() ? none : render_points(rows, system_clock().now())));
  bool damaged = false;
  for (const auto& row : rows)
    damaged = damaged || member(row, "error").is_object() || number_of(row, "damaged_bytes") != 0;
  return damaged ? ExitCode::warnings : ExitCode::done;
}

}  // namespace

std::string render_points(const nlohmann::json& rows, UtcTime now) {
  if (rows.empty()) return "no recovery points yet; \"cairn backup MACHINE\" makes one\n";
  // Columns that say something of a few points only are there when they do.
  const bool any_kept = std::ranges::any_of(rows, [&](const auto& row) { return !kept_text(row).empty(); });
  const bool deleted = std::ranges::any_of(rows, [](const auto& row) { return member(row, "deleted").is_object(); });
  // When it was made stands in its name.
  std::vector<Table::Column> columns{{"POINT"},
                                     {"AGE", Align::right},
                                     {"SIZE", Align::right, Fit::drop},
                                     {"NEW", Align::right, Fit::drop},
                                     {"CONSISTENCY"},
                                     {"PROOF"}};
  const bool any_marked = std::ranges::any_of(rows, [](const auto& row) { return !marks_text(row).empty(); });
  if (any_marked) columns.push_back({"LOOK AT"});
  if (any_kept) columns.push_back({"KEPT", Align::left, Fit::shorten});
  if (deleted) {
    columns.push_back({"DELETED", Align::left, Fit::drop});
    columns.push_back({"UNTIL"});
    columns.push_back({"BECAUSE", Align::left, Fit::drop});
  }
  Table table(std::move(columns));
  std::string remarks;
  for (const auto& row : rows) {
    const auto age = since(row, "time", now);
    const std::string name = text_of(row, "name");
    const nlohmann::json& error = member(row, "error");
    const bool known_damage = number_of(row, "damaged_bytes") != 0;
    std::string proof = error.is_object() ? "[" + text_of(error, "name") + "]" : text_of(row, "proof");
    if (known_damage) proof += ", DAMAGED";
    std::vector<std::string> cells{name.empty() ? text_of(row, "machine") + "@" + text_of(row, "point") : name,
                                   age ? format_age(*age) : "",
                                   error.is_object() ? "" : format_size(size_of_disks(row)),
                                   size_of(row, "new_bytes"),
                                   text_of(row, "consistency"),
                                   proof};
    if (any_marked) cells.push_back(marks_text(row));
    if (any_kept) cells.push_back(kept_text(row));
    if (deleted) {
      const nlohmann::json& deletion = member(row, "deleted");
      cells.push_back(time_of(deletion, "time"));
      cells.push_back(time_of(deletion, "purge_after"));
      cells.push_back(text_of(deletion, "because"));
    }
    table.add(std::move(cells));
    if (error.is_object()) remarks += "warning: " + printable(text_of(error, "message")) + "\n";
    if (known_damage)
      remarks += "warning: " + printable(name) + " is damaged: " + size_of(row, "damaged_bytes") +
                 " of it cannot be read (\"cairn verify --repair\"; \"cairn restore --salvage\" gives the rest)\n";
  }
  return table.text() + remarks;
}

std::string render_point(const nlohmann::json& document) {
  const nlohmann::json& proof = member(document, "proof");
  std::string proof_text = proof.is_object() ? text_of(proof, "state") : text_of(document, "proof");
  if (const std::string reason = text_of(proof, "reason"); !reason.empty()) proof_text += " (" + reason + ")";
  std::string name = text_of(document, "name");
  if (name.empty()) name = text_of(document, "machine") + "@" + text_of(document, "point");
  const std::string took = member(document, "duration_ms").is_number()
                               ? format_took(std::chrono::milliseconds(number_of(document, "duration_ms")))
                               : std::string();
  std::string text = fact_lines({{"point", name},
                                 {"time", time_of(document, "time")},
                                 {"consistency", text_of(document, "consistency")},
                                 {"disks", apart_text(document)},
                                 {"guest", guest_text(document)},
                                 {"proof", proof_text},
                                 {"immutable until", time_of(document, "immutable_until")},
                                 {"previous", text_of(document, "previous_name")},
                                 {"read", size_of(document, "read_bytes")},
                                 {"new", size_of(document, "new_bytes")},
                                 {"stored", size_of(document, "stored_bytes")},
                                 {"took", took},
                                 {"made by", text_of(document, "made_by")},
                                 {"host", text_of(document, "host")}});
  for (const auto& disk : member(document, "disks")) {
    const nlohmann::json& map = member(disk, "map");
    const nlohmann::json& sizes = map.is_object() ? map : disk;
    text += "disk " + printable(text_of(disk, "name")) + ": " + format_size(number_of(sizes, "size"));
    if (member(sizes, "data_bytes").is_number()) text += ", " + size_of(sizes, "data_bytes") + " of it data";
    text += "\n" + printable(disk_labels(disk), Lines::keep);
    const nlohmann::json& facts = member(disk, "facts");
    const nlohmann::json& from = facts.is_object() ? facts : disk;
    if (const std::string words = encryption_text(from); !words.empty()) text += "  encryption: " + words + "\n";
    const std::string image_format = text_of(disk, "format");
    if (!image_format.empty() && (image_format != "raw" || text_of(disk, "format_from") == "found"))
      text += "  format of the image: " + printable(image_format) +
              (text_of(disk, "format_from") == "found" ? " (found; nobody says it)" : "") + "\n";
    if (const std::string format = text_of(disk, "stored_as"); !format.empty())
      text += "  stored as it is: a file of the format " + printable(format) + "\n";
    for (const auto& volume : member(from, "volumes")) text += "  " + volume_line(volume) + "\n";
    for (const auto& header : member(disk, "headers")) text += "  header " + printable(text_of(header, "name")) + "\n";
    for (const auto& remark : member(from, "remarks"))
      if (remark.is_string()) text += "  remark: " + printable(remark.get<std::string>()) + "\n";
  }
  for (const auto& disk : member(document, "left_out"))
    text += "not in it: disk " + printable(text_of(disk, "disk")) + ", which " + printable(text_of(disk, "point")) +
            " has\n";
  for (const auto& volume : member(proof, "volumes")) text += "proof " + proof_line(volume) + "\n";
  for (const auto& warning : member(document, "warnings"))
    if (warning.is_string()) text += "warning: " + printable(warning.get<std::string>()) + "\n";
  return text;
}

CommandSpec points_command() {
  CommandSpec spec;
  spec.words = "points";
  spec.summary = "List recovery points, or show one";
  spec.examples = {"cairn points",
                   "cairn points web-01",
                   "cairn points web-01@latest",
                   "cairn points --deleted",
                   "cairn points web-01 --since 2026-11-01 --limit 10",
                   "cairn points web-01 --json | jq -r '.[].point'"};
  spec.notes =
      "CONSISTENCY is crash (what a power cut would have left), torn (a disk was written to while it was read) or\n"
      "unknown (not recorded, or it cannot be seen). A point is suspect when a disk is smaller than before, or empty.";
  spec.options = {
      flag("--deleted", "Those that are deleted and can be brought back", &PointsCommand::deleted),
      value("machine", "MACHINE", "A machine, or MACHINE@POINT for all about one point", &PointsCommand::what,
            Completes::machines_or_points),
      parsed_value("--since", "TIME", "Only those made since then: 2027-01-31 or 2027-01-31T12:00:00Z, UTC",
                   &PointsCommand::since,
                   [](const std::string& text) { return parse_time(text, "--since", kListing); }),
      parsed_value("--limit", "N", "Only the newest N of these", &PointsCommand::limit,
                   [](const std::string& text) { return parse_limit(text, kMostListed, kListing); }),
  };
  set_action<PointsCommand>(spec, run, check);
  return spec;
}

}  // namespace cairn::cli
