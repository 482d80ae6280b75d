// SPDX-License-Identifier: GPL-3.0-or-later
// Retention: which recovery points of one machine a rule keeps, and why. Pure. Any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"

namespace cairn {

// How many points of each kind are kept: the newest `last`, and the newest of each of the last so many hours, days,
// ISO weeks, months, years that have a point. Periods are those of the policy's time zone.
struct RetentionRule {
  unsigned last = 0;
  unsigned hourly = 0;
  unsigned daily = 30;
  unsigned weekly = 0;
  unsigned monthly = 0;
  unsigned yearly = 0;
};

struct RetentionVerdict {
  UtcTime time;
  bool keep = false;
  std::vector<std::string> reasons;  // "newest", "daily 3 of 30"; empty when not kept
};

// One verdict for each of `points` (any order, times distinct), newest first. The newest is always kept.
// `zone` is an IANA name; empty: UTC. Errors: settings_invalid when the zone is unknown.
Result<std::vector<RetentionVerdict>> apply_retention(std::span<const UtcTime> points, const RetentionRule& rule,
                                                      std::string_view zone);

}  // namespace cairn
