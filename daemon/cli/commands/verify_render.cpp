// SPDX-License-Identifier: GPL-3.0-or-later
// What verifying found, as text. Documents: daemon/API.md "Verify", "Status".
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "daemon/cli/commands/render.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "fs/store/pack/pack_check.h"

namespace cairn::cli {
namespace {

using nlohmann::json;

constexpr std::size_t kRangesShown = 8;
constexpr std::size_t kPointsShown = 5;

// "bytes 1114112-1179647, 2097152-2162687 and 3 more"
std::string ranges_text(const json& ranges) {
  std::string text;
  std::size_t shown = 0;
  for (const auto& range : ranges) {
    const std::string bytes = bytes_of(range);
    if (bytes.empty()) continue;
    if (shown++ == kRangesShown) break;
    text += (text.empty() ? "" : ", ") + bytes;
  }
  if (ranges.size() > kRangesShown) text += fmt::format(" and {} more", ranges.size() - kRangesShown);
  return "bytes " + text;
}

std::string damage_text(const json& damage) {
  std::string text;
  for (const auto& document : member(damage, "documents"))
    if (document.is_string()) text += "DAMAGED  " + document.get<std::string>() + "\n";
  for (const auto& pack : member(damage, "packs"))
    text += fmt::format("{:<9}pack {}: {}\n",
                        parse_pack_state(text_of(pack, "state")) == PackState::missing ? "MISSING" : "DAMAGED",
                        text_of(pack, "name"), text_of(pack, "because"));
  for (const auto& point : member(damage, "points")) {
    if (const std::string why = text_of(point, "because"); !why.empty())
      text += fmt::format("DAMAGED  {}: {}\n", text_of(point, "point"), why);
    for (const auto& disk : member(point, "disks"))
      text +=
          fmt::format("DAMAGED  {}/{}: {} of {} cannot be read: {}\n", text_of(point, "point"), text_of(disk, "disk"),
                      size_of(disk, "bytes"), size_of(disk, "size"), ranges_text(member(disk, "ranges")));
  }
  for (const auto& gap : member(damage, "gaps"))
    text += fmt::format("MISSING  {}: {} names it as {}, and {}\n", text_of(gap, "missing"), text_of(gap, "after"),
                        text_of(gap, "after").starts_with("newest/") ? "the newest point" : "its predecessor",
                        text_of(gap, "because"));
  return text;
}

std::string repair_text(const json& repair) {
  if (!repair.is_object()) return {};
  std::string text;
  const auto line = [&](bool is, const std::string& what) {
    if (is) text += "REPAIRED " + what + "\n";
  };
  line(flag_of(repair, "index_rebuilt"), "the index, from the packs");
  line(flag_of(repair, "document_repaired"), "store.json and its copy");
  for (const auto& pack : member(repair, "packs_copied"))
    if (pack.is_string()) line(true, "pack " + pack.get<std::string>() + ", from the copy");
  for (const auto& pack : member(repair, "packs_cleared"))
    if (pack.is_string())
      line(true, "pack " + pack.get<std::string>() +
                     ": what is good in it is in a new one, the file is in quarantine, aside/");
  for (const auto& point : member(repair, "points_copied"))
    if (point.is_string()) line(true, "point " + point.get<std::string>() + ", from the copy");
  for (const auto& machine : member(repair, "newest_repaired"))
    if (machine.is_string()) line(true, "the record of the newest points of " + machine.get<std::string>());
  line(number_of(repair, "saved_records") != 0,
       count_of(number_of(repair, "saved_records"), "record") + " saved out of damaged packs");
  line(number_of(repair, "found_records") != 0,
       count_of(number_of(repair, "found_records"), "record") + " found elsewhere");
  return text;
}

std::string read_text(const json& report) {
  return fmt::format("{} read{}, {}/s, {}", size_of(report, "bytes_read"),
                     number_of(report, "pack_bytes") != 0 ? " of " + size_of(report, "pack_bytes") : std::string(),
                     format_size(number_of(report, "bytes_per_second")),
                     format_took(std::chrono::milliseconds(number_of(report, "duration_ms"))));
}

}  // namespace

std::string render_verify(const json& report) {
  std::string text = repair_text(member(report, "repair"));
  text += damage_text(member(report, "damage"));
  if (const std::string index = text_of(report, "index"); !index.empty()) text += "INDEX    " + index + "\n";
  if (const auto wrong = number_of(report, "wrong_entries"); wrong != 0)
    text += fmt::format("DAMAGED  the index says wrong places for {}\n", count_of(wrong, "record"));
  for (const auto& problem : member(report, "unreadable"))
    if (problem.is_string()) text += "UNREAD   " + problem.get<std::string>() + "\n";
  // The repair's own look comes after; what was read was read before it.
  const json& first = member(report, "before").is_object() ? member(report, "before") : report;
  text += fmt::format("{}: {}, {}, {}; {}\n", flag_of(report, "clean") ? "all is there" : "checked",
                      count_of(number_of(report, "points"), "point"), count_of(number_of(report, "disks"), "disk"),
                      count_of(number_of(report, "packs"), "pack"), read_text(first));
  if (number_of(first, "bytes_read") == 0) text += "  The bytes in packs were not read; with --data they are.\n";
  return printable(text, Lines::keep);
}

std::vector<std::string> keyless_warnings(const json& report) {
  std::vector<std::string> warnings;
  if (member(report, "expected_packs").is_number()) return warnings;
  std::string text = "which packs there must be is not known without a key: " + text_of(report, "not_expected");
  if (number_of(report, "packs_read") == 0 && number_of(report, "points") != 0)
    text += fmt::format("; there are {} and not one pack", count_of(number_of(report, "points"), "recovery point"));
  warnings.push_back(text + "; \"cairn verify\" with the store's key compares packs and points");
  return warnings;
}

std::string render_keyless(const json& report) {
  std::string text;
  for (const auto& pack : member(report, "damaged"))
    text += fmt::format("DAMAGED  pack {}: {}\n", text_of(pack, "name"), text_of(pack, "because"));
  for (const auto& pack : member(report, "missing"))
    if (pack.is_string()) text += "MISSING  pack " + pack.get<std::string>() + ": the index lists it\n";
  for (const auto& problem : member(report, "unreadable"))
    if (problem.is_string()) text += "UNREAD   " + problem.get<std::string>() + "\n";
  for (const auto& unexpected : member(report, "unexpected_files"))
    if (unexpected.is_string()) text += "note: " + unexpected.get<std::string>() + " is no pack\n";
  for (const std::string& warning : keyless_warnings(report)) text += "warning: " + warning + "\n";
  text += fmt::format("{}: {}, {}\n",
                      flag_of(report, "clean") ? "every pack that the index lists is what its name says" : "checked",
                      count_of(number_of(report, "packs_read"), "pack"), read_text(report));
  return printable(text, Lines::keep);
}

std::string render_verify_status(const json& verify, UtcTime now) {
  if (!verify.is_object() || member(verify, "error").is_object()) return {};
  if (number_of(verify, "packs") == 0) return {};
  std::string text;
  if (const auto oldest = since(verify, "oldest", now))
    text = "the oldest check is " + format_age(*oldest) + " old";
  else
    text = "never";
  if (number_of(verify, "never_bytes") != 0 && !text_of(verify, "oldest").empty())
    text += ", " + size_of(verify, "never_bytes") + " never checked";
  const json& damage = member(verify, "damage");
  if (!text_of(damage, "found").empty())
    text += "; damage known: " + count_of(member(damage, "points").size(), "point") + ", " +
            count_of(number_of(damage, "packs"), "pack");
  return text;
}

void add_verify_warnings(const json& verify, UtcTime now, std::vector<std::string>& warnings) {
  if (!verify.is_object()) return;
  const json& damage = member(verify, "damage");
  if (const json& error = member(damage, "error"); error.is_object())
    warnings.push_back("what damage is known cannot be read: " + text_of(error, "message") + " [" +
                       text_of(error, "name") + "]");
  if (!text_of(damage, "found").empty()) {
    std::string text = "the store has damage since " + time_of(damage, "found") + ":";
    const json& points = member(damage, "points");
    std::size_t shown = 0;
    for (const auto& point : points) {
      if (shown++ == kPointsShown) break;
      text += " " + text_of(point, "point");
    }
    if (points.size() > kPointsShown) text += fmt::format(" and {} more", points.size() - kPointsShown);
    if (points.empty()) text += " no point is known to be hit";
    warnings.push_back(text + "; \"cairn verify --repair\" repairs what can be repaired [damage-known]");
  }
  if (flag_of(verify, "late")) {
    const auto age = since(verify, "since", now);
    warnings.push_back("parts of the store have not been verified " +
                       (age ? "for " + format_age(*age) : std::string("for long")) +
                       (text_of(verify, "oldest").empty() ? ", or ever" : "") + " [verify-late]");
  }
}

}  // namespace cairn::cli
