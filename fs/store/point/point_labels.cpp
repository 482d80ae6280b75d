// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/point_labels.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "config/base/enum_words.h"
#include "config/base/json.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr EnumWords<Consistency, 5> kConsistencies{{{Consistency::crash, "crash"},
                                                    {Consistency::filesystem, "filesystem"},
                                                    {Consistency::application, "application"},
                                                    {Consistency::torn, "torn"},
                                                    {Consistency::unknown, "unknown"}}};

int badness(Consistency consistency) {
  switch (consistency) {
    case Consistency::torn:
      return 2;
    case Consistency::unknown:
      return 1;
    case Consistency::crash:
    case Consistency::filesystem:
    case Consistency::application:
      break;
  }
  return 0;
}

}  // namespace

std::string_view to_string(Consistency consistency) {
  return word_of(kConsistencies, consistency);
}
std::optional<Consistency> parse_consistency(std::string_view text) {
  return value_of_word(kConsistencies, text);
}

Consistency worst_of(std::span<const DiskReading> disks) {
  if (disks.empty()) return Consistency::unknown;
  const auto worst =
      std::ranges::max_element(disks, {}, [](const DiskReading& disk) { return badness(disk.consistency); });
  return worst->consistency;
}

std::uint64_t apart_ms(std::span<const StateTime> disks) {
  using Kind = StateTime::Kind;
  // What all the steady ones cover, and what the others span.
  std::optional<double> covered_from;
  std::optional<double> covered_until;
  std::optional<double> first;
  std::optional<double> last;
  std::size_t others = 0;
  bool spread = false;
  for (const StateTime& disk : disks) {
    if (disk.kind == Kind::throughout) {
      covered_from = std::max(covered_from.value_or(disk.from_ms), disk.from_ms);
      covered_until = std::min(covered_until.value_or(disk.until_ms), disk.until_ms);
      continue;
    }
    ++others;
    spread = spread || disk.kind == Kind::spread;
    first = std::min(first.value_or(disk.from_ms), disk.from_ms);
    last = std::max(last.value_or(disk.until_ms), disk.until_ms);
  }
  const bool steady_meet = !covered_from || *covered_from <= *covered_until;
  if (others == 0 && steady_meet) return 0;
  // One instant somewhere between, and the steady ones were as they are all that time.
  const bool inside = !covered_from || (*covered_from <= first.value_or(0) && last.value_or(0) <= *covered_until);
  if (others == 1 && !spread && steady_meet && inside) return 0;
  double from = first ? *first : *covered_until;
  double until = last ? *last : *covered_from;
  if (covered_from) {
    from = std::min(from, *covered_until);
    until = std::max(until, *covered_from);
  }
  return static_cast<std::uint64_t>(std::max(1.0, std::ceil(until - from)));
}

void put_reading(json& disk, const DiskReading& reading) {
  disk["consistency"] = to_string(reading.consistency);
  disk["consistency_reason"] = reading.reason;
  disk["how"] = reading.how;
}

DiskReading reading_from(const json& disk) {
  DiskReading reading;
  if (!disk.contains("consistency")) {
    reading.reason = "the version of Cairn that took this point did not record it";
    return reading;
  }
  // A later version may know more words: what they mean is not known here.
  reading.consistency = parse_consistency(disk.at("consistency").get<std::string>()).value_or(Consistency::unknown);
  reading.reason = disk.value("consistency_reason", std::string());
  reading.how = disk.value("how", std::string());
  return reading;
}

void put_suspicion(json& disk, const std::optional<Suspicion>& suspicion) {
  if (!suspicion) return;
  disk["suspect"] = {{"because", suspicion->because},
                     {"point", suspicion->point},
                     {"size", suspicion->size},
                     {"data_bytes", suspicion->data_bytes}};
}

std::optional<Suspicion> suspicion_from(const json& disk) {
  const auto found = disk.find("suspect");
  if (found == disk.end() || found->is_null()) return std::nullopt;
  return Suspicion{found->at("because").get<std::string>(), found->at("point").get<std::string>(),
                   whole_number<std::uint64_t>(found->at("size")),
                   whole_number<std::uint64_t>(found->at("data_bytes"))};
}

json to_json(const std::vector<LeftOutDisk>& disks) {
  json rows = json::array();
  for (const LeftOutDisk& disk : disks) rows.push_back({{"disk", disk.disk}, {"point", disk.point}});
  return rows;
}

std::vector<LeftOutDisk> left_out_from(const json& point) {
  std::vector<LeftOutDisk> disks;
  if (const auto rows = point.find("left_out"); rows != point.end())
    for (const json& row : *rows)
      disks.push_back({row.at("disk").get<std::string>(), row.at("point").get<std::string>()});
  return disks;
}

}  // namespace cairn
