// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/written_order.h"

#include <algorithm>
#include <utility>

namespace cairn {

void WrittenOrder::note(UtcTime written, std::span<const UtcTime> stored) {
  std::erase_if(overtaken_, [&](const Overtaken& entry) {
    return entry.point == written || std::ranges::find(stored, entry.point) == stored.end();
  });
  // All that is stored was written before it: it overtakes what has a later date, and what that had overtaken.
  std::vector<UtcTime> late;
  for (const Overtaken& entry : overtaken_) late.push_back(entry.point);
  for (const UtcTime time : stored)
    if (time > written && std::ranges::find(late, time) == late.end()) late.push_back(time);
  std::ranges::sort(late, [&](UtcTime a, UtcTime b) { return before(a, b); });
  if (late.size() > kMostOvertaken) late.erase(late.begin(), late.end() - kMostOvertaken);
  std::vector<Overtaken> overtaken;
  for (const UtcTime time : late) overtaken.push_back({time, std::min(written_by(time), written)});
  overtaken_ = std::move(overtaken);
}

UtcTime WrittenOrder::written_by(UtcTime point) const {
  const auto found = std::ranges::find(overtaken_, point, &Overtaken::point);
  return found == overtaken_.end() ? point : found->by;
}

bool WrittenOrder::before(UtcTime a, UtcTime b) const {
  const auto place = [&](UtcTime point) {
    const auto found = std::ranges::find(overtaken_, point, &Overtaken::point);
    // Who was overtaken by a point comes before it, in the order of the list.
    return found == overtaken_.end() ? std::pair(point, overtaken_.size())
                                     : std::pair(found->by, static_cast<std::size_t>(found - overtaken_.begin()));
  };
  return place(a) < place(b);
}

}  // namespace cairn
