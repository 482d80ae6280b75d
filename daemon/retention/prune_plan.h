// SPDX-License-Identifier: GPL-3.0-or-later
// Prune plan: which recovery points of one machine stay, and why; which are hidden, and which removed for good. Rules:
// config/REFERENCE.md "Retention". Pure. Any thread.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/retention.h"
#include "fs/store/point/point_marks.h"

namespace cairn {

struct Policy;

// A point that was made a moment ago must not be gone before anybody has looked at it.
inline constexpr std::chrono::seconds kYoung = std::chrono::days(1);

// What a prune knows of a point.
struct PrunePoint {
  PointName name;
  std::optional<Error> damage;  // its document cannot be read: no more than its name is known
  bool proved = false;
  bool torn = false;                    // or not known not to be
  bool suspect = false;                 // one of its disks looks as if it had been lost
  std::vector<std::string> disks = {};  // names of those that are not suspect
  // When it was taken, as far as that can be trusted: retention counts by it, and immutability. Its name's time, but
  // where a clock ran ahead.
  std::optional<UtcTime> taken = {};
  std::optional<UtcTime> immutable_until;  // as the point says
  std::optional<Protection> protection;
  bool protection_unreadable = false;
  bool deleted = false;
  std::optional<Deletion> deletion;  // nothing although deleted: it cannot be read
};

struct PruneRules {
  const Policy* policy = nullptr;  // null: the machine is not in the settings
  UtcTime now;
  UtcTime trusted;  // judge_clock()
  // Disks that must not lose their last point: those of points, less those that are backed up or left out on purpose.
  std::function<bool(const std::string& disk)> must_stay = {};
  std::optional<PointName> latest = {};  // the one that was written last; nothing: that of the newest date
};

enum class PruneAction {
  keep,
  hide,   // delete: it can be brought back until purge_after
  wait,   // deleted already, until purge_after
  purge,  // removed for good
};
std::string_view to_string(PruneAction action);  // "keep", "delete", "wait", "purge"
std::optional<PruneAction> parse_prune_action(std::string_view text);

struct PlannedPoint {
  PointName name;
  PruneAction action = PruneAction::keep;
  std::vector<std::string> reasons;  // of keeping it: "daily 3 of 30", "newest proved", "immutable until ..."
  std::optional<UtcTime> purge_after;
  bool damaged = false;
};

// When the point was taken: by its date, by what it says itself of a clock that ran ahead (`trusted_time`), and by when
// the next was written (`written_by`): the earliest of these.
UtcTime taken_at(const PointName& name, const std::optional<UtcTime>& trusted_time, UtcTime written_by, UtcTime now);

// Until when nothing removes the point: what it says itself, or what the policy says now of a point `taken` then;
// nothing: it is not immutable.
std::optional<UtcTime> immutable_until(UtcTime taken, const std::optional<UtcTime>& recorded, const Policy* policy);

// A row for each of the points, newest first. Errors: settings_invalid when the policy's zone is unknown.
Result<std::vector<PlannedPoint>> plan_prune(std::span<const PrunePoint> points, const PruneRules& rules);

}  // namespace cairn
