// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/point_marks.h"

#include <algorithm>

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

bool NewestPoints::take_over(const Tombstone& tombstone) {
  const std::string name = tombstone.point.text();
  if (std::erase_if(points, [&](const Entry& entry) { return entry.point == name; }) == 0) return false;
  const auto known = std::ranges::find(points, tombstone.previous_name, &Entry::point);
  if (!tombstone.previous_name.empty() && known == points.end())
    points.push_back({tombstone.previous_name, tombstone.previous});
  return true;
}

}  // namespace cairn
