// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/retention/prune_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "config/base/enum_words.h"
#include "config/settings.h"

namespace cairn {
namespace {

// In the results of prunes: scripts match on them.
constexpr EnumWords<PruneAction, 4> kPruneActions{{{PruneAction::keep, "keep"},
                                                   {PruneAction::hide, "delete"},
                                                   {PruneAction::wait, "wait"},
                                                   {PruneAction::purge, "purge"}}};

UtcTime taken_of(const PrunePoint& point) {
  return point.taken.value_or(point.name.time);
}

bool is_protected(const PrunePoint& point, UtcTime trusted) {
  if (point.protection_unreadable) return true;
  return point.protection && (!point.protection->until || *point.protection->until > trusted);
}

// What keeps the point whatever retention and deletion say.
void add_guards(const PrunePoint& point, const PruneRules& rules, PlannedPoint& planned) {
  const auto until = immutable_until(taken_of(point), point.immutable_until, rules.policy);
  if (until && *until > rules.trusted) planned.reasons.push_back("immutable until " + iso_time(*until));
  if (point.protection_unreadable)
    planned.reasons.emplace_back("protected; until when cannot be read");
  else if (is_protected(point, rules.trusted))
    planned.reasons.push_back(point.protection->until ? "protected until " + iso_time(*point.protection->until)
                                                      : "protected");
}

// A hidden point: nothing but its time, and what forbids removing it, counts.
void plan_deleted(const PrunePoint& point, const PruneRules& rules, PlannedPoint& planned) {
  planned.action = PruneAction::wait;
  if (!point.deletion) {
    planned.reasons.emplace_back("deleted; until when it can be brought back cannot be read");
    return;
  }
  planned.purge_after = point.deletion->purge_after;
  if (planned.reasons.empty() && point.deletion->purge_after <= rules.now) planned.action = PruneAction::purge;
}

using Points = std::vector<const PrunePoint*>;

// Why the rule keeps points. A damaged point does not stand in for a good one of its day, and neither does one that is
// suspect: these are counted among themselves, so that they push out no other, and do not pile up either.
Result<std::map<const PrunePoint*, std::vector<std::string>>> verdicts_of(const Points& newest_first,
                                                                          const PruneRules& rules) {
  std::map<const PrunePoint*, std::vector<std::string>> verdicts;
  for (const bool suspect : {false, true}) {
    Points counted;
    std::vector<UtcTime> times;
    for (const PrunePoint* point : newest_first) {
      if (point->deleted || point->damage || point->suspect != suspect) continue;
      counted.push_back(point);
      times.push_back(taken_of(*point));
    }
    if (rules.policy == nullptr) continue;
    CAIRN_TRY(const auto found, apply_retention(times, rules.policy->retention, rules.policy->schedule.zone()));
    for (std::size_t i = 0; i < counted.size(); ++i) {
      std::vector<std::string> reasons = found[i].reasons;
      if (suspect)
        for (std::string& reason : reasons) reason = "suspect: " + reason;
      const bool newest =
          std::ranges::any_of(reasons, [](const std::string& reason) { return reason.ends_with("newest"); });
      if (rules.latest == counted[i]->name && !newest) reasons.insert(reasons.begin(), "newest");
      verdicts[counted[i]] = std::move(reasons);
    }
  }
  return verdicts;
}

// One that is torn only when no other was proved. Null: none was.
const PrunePoint* newest_proved_of(const Points& newest_first) {
  const PrunePoint* torn = nullptr;
  for (const PrunePoint* point : newest_first) {
    if (point->deleted || point->damage || point->suspect || !point->proved) continue;
    if (!point->torn) return point;
    if (torn == nullptr) torn = point;
  }
  return torn;
}

// Of disks that are not backed up any more, and that nobody said may go: the last point that has them.
std::map<const PrunePoint*, std::string> last_points_of_disks(const Points& newest_first, const PruneRules& rules) {
  std::map<const PrunePoint*, std::string> last;
  if (!rules.must_stay) return last;
  std::set<std::string> seen;
  for (const PrunePoint* point : newest_first) {
    if (point->deleted || point->damage) continue;
    for (const std::string& disk : point->disks) {
      if (!rules.must_stay(disk) || !seen.insert(disk).second) continue;
      std::string& names = last[point];
      names += (names.empty() ? "" : ", ") + disk;
    }
  }
  return last;
}

}  // namespace

std::string_view to_string(PruneAction action) {
  return word_of(kPruneActions, action);
}
std::optional<PruneAction> parse_prune_action(std::string_view text) {
  return value_of_word(kPruneActions, text);
}

UtcTime taken_at(const PointName& name, const std::optional<UtcTime>& trusted_time, UtcTime written_by, UtcTime now) {
  // Only a date that is still to come shows that its own clock was ahead. Else it was the later point's that was
  // behind: one backup under such a clock must not make all points before it as old as it says.
  if (name.time <= now) written_by = name.time;
  return std::min({name.time, trusted_time.value_or(name.time), written_by});
}

std::optional<UtcTime> immutable_until(UtcTime taken, const std::optional<UtcTime>& recorded, const Policy* policy) {
  if (policy == nullptr || !policy->immutable) return recorded;
  return std::max(recorded, std::optional(taken + *policy->immutable));
}

Result<std::vector<PlannedPoint>> plan_prune(std::span<const PrunePoint> points, const PruneRules& rules) {
  std::vector<const PrunePoint*> newest_first;
  for (const PrunePoint& point : points) newest_first.push_back(&point);
  std::ranges::sort(newest_first, std::greater{},
                    [](const PrunePoint* point) { return std::pair(taken_of(*point), point->name.time); });
  CAIRN_TRY(const auto verdicts, verdicts_of(newest_first, rules));
  const PrunePoint* const newest_proved = newest_proved_of(newest_first);
  const auto last_of_disk = last_points_of_disks(newest_first, rules);

  std::vector<PlannedPoint> plan;
  for (const PrunePoint* point : newest_first) {
    PlannedPoint& planned = plan.emplace_back();
    planned.name = point->name;
    planned.damaged = point->damage.has_value();
    if (point->deleted) {
      add_guards(*point, rules, planned);
      plan_deleted(*point, rules, planned);
      continue;
    }
    if (rules.policy == nullptr) planned.reasons.emplace_back("the machine is not in the settings");
    if (point->damage) planned.reasons.emplace_back("damaged");
    if (const auto verdict = verdicts.find(point); verdict != verdicts.end())
      planned.reasons.insert(planned.reasons.end(), verdict->second.begin(), verdict->second.end());
    if (point == newest_proved) planned.reasons.emplace_back("newest proved");
    if (const auto disk = last_of_disk.find(point); disk != last_of_disk.end())
      planned.reasons.push_back("the last with disk " + disk->second);
    add_guards(*point, rules, planned);
    if (planned.reasons.empty() && rules.now - taken_of(*point) < kYoung)
      planned.reasons.emplace_back("younger than a day");
    if (!planned.reasons.empty()) continue;
    planned.action = rules.policy->soft_delete ? PruneAction::hide : PruneAction::purge;
    if (rules.policy->soft_delete) planned.purge_after = rules.now + *rules.policy->soft_delete;
  }
  return plan;
}

}  // namespace cairn
