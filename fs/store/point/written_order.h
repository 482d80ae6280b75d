// SPDX-License-Identifier: GPL-3.0-or-later
// WrittenOrder: in which order a machine's points were written, whatever its clock said. Points are named by the clock,
// so names are in that order but for those that a clock which ran ahead dated too late: each of these is kept with the
// date of the first point that was written after it. Kept in newest/MACHINE: fs/store/FORMAT.md "Point state". Pure.
#pragma once

#include <span>
#include <vector>

#include "config/base/clock.h"

namespace cairn {

class WrittenOrder {
 public:
  // A point that is dated `point`, and was written before the one that is dated `by`, the earlier of the two dates.
  struct Overtaken {
    UtcTime point;
    UtcTime by;
    bool operator==(const Overtaken&) const = default;
  };

  WrittenOrder() = default;
  // In the order in which they were written, as overtaken() gives them.
  explicit WrittenOrder(std::vector<Overtaken> overtaken) : overtaken_(std::move(overtaken)) {}
  [[nodiscard]] const std::vector<Overtaken>& overtaken() const { return overtaken_; }

  // So many are kept: what lies in the record is bounded. Further ones count by their date.
  static constexpr std::size_t kMostOvertaken = 1000;

  // A point dated `written` is being written, after all of `stored`. Forgets points that are not stored any more.
  void note(UtcTime written, std::span<const UtcTime> stored);
  // Whether `a` was written before `b`, as far as is known.
  [[nodiscard]] bool before(UtcTime a, UtcTime b) const;
  // When the point was written at the latest: its date, or that of the point that overtook it.
  [[nodiscard]] UtcTime written_by(UtcTime point) const;

 private:
  std::vector<Overtaken> overtaken_;
};

}  // namespace cairn
