// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/point_marks.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <utility>

#include "config/base/bytes.h"

namespace cairn {

void NewestPoints::add(Entry added, const std::string& previous) {
  std::erase_if(points, [&](const Entry& entry) { return entry.point == previous || entry.point == added.point; });
  points.push_back(std::move(added));
}

void NewestPoints::remember(const Tombstone& tombstone) {
  std::erase(gone, tombstone.point.time);
  gone.push_back(tombstone.point.time);
  if (gone.size() > kMostGone) gone.erase(gone.begin(), gone.end() - kMostGone);
}

NewestPoints NewestPoints::anew(std::string machine, UtcTime now) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  NewestPoints newest{std::move(machine), {}};
  newest.changes = static_cast<std::uint64_t>(std::max<std::int64_t>(seconds, 0));
  return newest;
}

void NewestPoints::count_change(std::string id) {
  ++changes;
  change_ids.push_back(std::move(id));
  if (change_ids.size() > kChangeIds) change_ids.erase(change_ids.begin(), change_ids.end() - kChangeIds);
}

std::string change_id() {
  std::array<std::uint8_t, 8> bytes{};
  randombytes_buf(bytes.data(), bytes.size());
  return to_hex(bytes);
}

bool NewestPoints::take_over(const Tombstone& tombstone) {
  const std::string name = tombstone.point.text();
  if (std::erase_if(points, [&](const Entry& entry) { return entry.point == name; }) == 0) return false;
  const auto known = std::ranges::find(points, tombstone.previous_name, &Entry::point);
  if (!tombstone.previous_name.empty() && known == points.end())
    points.push_back({tombstone.previous_name, tombstone.previous});
  return true;
}

}  // namespace cairn
