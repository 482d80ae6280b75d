// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/retention/prune_plan.h"

#include <algorithm>
#include <map>

#include "config/base/enum_words.h"
#include "config/settings.h"

namespace cairn {
namespace {

// In the results of prunes: scripts match on them.
constexpr EnumWords<PruneAction, 4> kPruneActions{{{PruneAction::keep, "keep"},
                                                   {PruneAction::hide, "delete"},
                                                   {PruneAction::wait, "wait"},
                                                   {PruneAction::purge, "purge"}}};

bool is_protected(const PrunePoint& point, UtcTime trusted) {
  if (point.protection_unreadable) return true;
  return point.protection && (!point.protection->until || *point.protection->until > trusted);
}

// What keeps the point whatever retention and deletion say.
void add_guards(const PrunePoint& point, const PruneRules& rules, PlannedPoint& planned) {
  const auto until = immutable_until(point.name, point.immutable_until, rules.policy);
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

}  // namespace

std::string_view to_string(PruneAction action) {
  return word_of(kPruneActions, action);
}
std::optional<PruneAction> parse_prune_action(std::string_view text) {
  return value_of_word(kPruneActions, text);
}

std::optional<UtcTime> immutable_until(const PointName& name, const std::optional<UtcTime>& recorded,
                                       const Policy* policy) {
  if (policy == nullptr || !policy->immutable) return recorded;
  return std::max(recorded, std::optional(name.time + *policy->immutable));
}

Result<std::vector<PlannedPoint>> plan_prune(std::span<const PrunePoint> points, const PruneRules& rules) {
  std::vector<const PrunePoint*> newest_first;
  for (const PrunePoint& point : points) newest_first.push_back(&point);
  std::ranges::sort(newest_first, std::greater{}, [](const PrunePoint* point) { return point->name.time; });

  // A damaged point does not stand in for a good one of its day.
  std::vector<UtcTime> counted;
  const PrunePoint* newest_proved = nullptr;
  for (const PrunePoint* point : newest_first) {
    if (point->deleted || point->damage) continue;
    counted.push_back(point->name.time);
    if (point->proved && newest_proved == nullptr) newest_proved = point;
  }
  std::map<UtcTime, std::vector<std::string>> verdicts;
  if (rules.policy != nullptr) {
    CAIRN_TRY(const auto found, apply_retention(counted, rules.policy->retention, rules.policy->schedule.zone()));
    for (const RetentionVerdict& verdict : found) verdicts[verdict.time] = verdict.reasons;
  }

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
    if (const auto verdict = verdicts.find(point->name.time); verdict != verdicts.end() && !point->damage)
      planned.reasons.insert(planned.reasons.end(), verdict->second.begin(), verdict->second.end());
    if (point == newest_proved) planned.reasons.emplace_back("newest proved");
    add_guards(*point, rules, planned);
    if (planned.reasons.empty() && rules.now - point->name.time < kYoung)
      planned.reasons.emplace_back("younger than a day");
    if (!planned.reasons.empty()) continue;
    planned.action = rules.policy->soft_delete ? PruneAction::hide : PruneAction::purge;
    if (rules.policy->soft_delete) planned.purge_after = rules.now + *rules.policy->soft_delete;
  }
  return plan;
}

}  // namespace cairn
