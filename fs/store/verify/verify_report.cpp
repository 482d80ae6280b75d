// SPDX-License-Identifier: GPL-3.0-or-later
// What a verify found, for people and programs, and how old that is.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "fs/store/store.h"
#include "fs/store/verify/verify.h"

namespace cairn {

Result<void> verdict_of(const VerifyReport& report, const std::string& store) {
  if (!report.damage.none() || report.wrong_entries != 0) {
    std::vector<std::string> found;
    const auto tell = [&](std::size_t count, const char* what) {
      if (count != 0) found.push_back(std::to_string(count) + " " + what + (count == 1 ? "" : "s"));
    };
    if (report.wrong_entries != 0) found.emplace_back("the index has wrong entries");
    tell(report.damage.packs.size(), "damaged pack");
    tell(report.damage.points.size(), "damaged point");
    tell(report.damage.gaps.size(), "missing point");
    tell(report.damage.documents.size(), "damaged document");
    if (found.empty()) found.emplace_back("chunks are missing");
    std::string because;
    for (const std::string& text : found) because += (because.empty() ? "" : ", ") + text;
    return fail(ErrorCode::damage_found, "verify", store, because);
  }
  if (!report.unreadable.empty())
    return fail(
        ErrorCode::io_error, "verify", store,
        std::to_string(report.unreadable.size()) + " files could not be read, the first: " + report.unreadable.front());
  return {};
}

Result<VerifyAge> verify_age(Store& store) {
  CAIRN_TRY(const auto index, store.index().newest());
  CAIRN_TRY(const auto rows, index->packs());
  std::vector<PackNumber> numbers;
  for (const PackRow& row : rows) numbers.push_back(row.number);
  CAIRN_TRY(const auto times, index->verified(numbers));
  VerifyAge age;
  std::optional<UtcTime> later;  // the last check of any pack with a higher number: this one was there by then
  for (std::size_t i = rows.size(); i-- > 0;) {
    if (rows[i].retired == Retired::gone || rows[i].retired == Retired::unneeded) continue;
    ++age.packs;
    age.bytes += rows[i].size;
    if (times[i]) {
      later = std::max(later.value_or(*times[i]), *times[i]);
      age.oldest = std::min(age.oldest.value_or(*times[i]), *times[i]);
      age.since = std::min(age.since.value_or(*times[i]), *times[i]);
      continue;
    }
    ++age.never_packs;
    age.never_bytes += rows[i].size;
    if (later) age.since = std::min(age.since.value_or(*later), *later);
  }
  if (age.packs != 0 && !age.oldest) age.since = store.info().created;
  return age;
}

nlohmann::json to_json(const VerifyReport& report) {
  const double seconds = static_cast<double>(std::max<std::int64_t>(1, report.took.count())) / 1000;
  return {{"clean", report.clean()},
          {"points", report.points},
          {"disks", report.disks},
          {"nodes", report.nodes},
          {"chunks", report.chunks},
          {"packs", report.packs},
          {"pack_bytes", report.pack_bytes},
          {"packs_read", report.packs_read},
          {"bytes_read", report.bytes_read},
          {"bytes_per_second", static_cast<std::uint64_t>(static_cast<double>(report.bytes_read) / seconds)},
          {"new_packs", report.new_packs},
          {"wrong_entries", report.wrong_entries},
          {"index", report.index ? nlohmann::json(report.index->message()) : nlohmann::json(nullptr)},
          {"damage", to_report(report.damage)},
          {"unreadable", report.unreadable},
          {"complete", report.complete},
          {"recorded", report.recorded},
          {"not_recorded", report.not_recorded},
          {"duration_ms", report.took.count()}};
}

}  // namespace cairn
