// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/retention/prune.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "config/base/log.h"
#include "daemon/backup/pack_warning.h"
#include "daemon/keys/key_rules.h"
#include "daemon/queue/job.h"
#include "daemon/queue/job_record.h"
#include "daemon/queue/lock_wait.h"
#include "daemon/retention/known_machines.h"
#include "daemon/retention/prune_plan.h"
#include "fs/store/collect/garbage.h"
#include "fs/store/collect/space.h"
#include "fs/store/store.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"

namespace cairn {
namespace {

using nlohmann::json;

// The clock's record is written when something is removed, and otherwise this often.
constexpr std::chrono::seconds kClockKeptEvery = std::chrono::hours(1);
constexpr std::chrono::seconds kSpaceKept = std::chrono::days(1);

struct MachinePlan {
  std::string machine;
  const Policy* policy = nullptr;  // null: not in the settings
  std::vector<PlannedPoint> points;
  std::map<PointName, std::string> notes;  // of points with which it went another way
};

Result<PrunePoint> facts_of(Store& store, const PointName& name, const WrittenOrder& order, bool deleted,
                            bool has_protection, UtcTime now) {
  PrunePoint facts;
  facts.name = name;
  const auto point = store.points().load(name);
  std::optional<UtcTime> trusted_time;
  if (point) {
    facts.proved = point->proof.state == ProofState::proved;
    facts.immutable_until = point->immutable_until;
    facts.torn = point->consistency == Consistency::torn || point->consistency == Consistency::unknown;
    facts.suspect = point->suspect();
    for (const DiskRecord& disk : point->disks)
      if (!disk.suspicion) facts.disks.push_back(disk.name);
    trusted_time = point->trusted_time;
  } else {
    facts.damage = point.error();
  }
  facts.taken = taken_at(name, trusted_time, order.written_by(name.time), now);
  if (has_protection) {
    auto protection = store.points().protection_of(name);
    if (protection)
      facts.protection = *std::move(protection);
    else
      facts.protection_unreadable = true;
  }
  facts.deleted = deleted;
  if (deleted) {
    auto deletion = store.points().deletion_of(name);
    if (deletion) facts.deletion = *std::move(deletion);
  }
  return facts;
}

json to_json(const CollectReport& report) {
  return {{"points", report.points},
          {"needed_chunks", report.needed_chunks},
          {"needed_bytes", report.needed_bytes},
          {"packs_before", report.packs_before},
          {"bytes_before", report.bytes_before},
          {"removed_packs", report.removed_packs},
          {"freed_bytes", report.freed_bytes},
          {"rewritten_packs", report.rewritten_packs},
          {"written_bytes", report.written_bytes},
          {"waiting_packs", report.waiting_packs},
          {"waiting_bytes", report.waiting_bytes},
          {"unneeded_bytes", report.unneeded_bytes},
          {"missing_chunks", report.missing_chunks},
          {"memory_bytes", report.memory_bytes}};
}

class Prune {
 public:
  Prune(const PruneTask& task, const PruneInputs& inputs, JobContext& job) : task_(task), inputs_(inputs), job_(job) {}

  Result<json> run() {
    const auto began = std::chrono::steady_clock::now();
    CAIRN_CHECK(look_at_clock());
    CAIRN_CHECK(make_plans());
    if (task_.dry_run) {
      CAIRN_CHECK(collect());
    } else {
      auto applied = apply();
      // A full disk: what can be given back may be enough for the point state that is still to be written.
      const bool full = !applied && applied.error().code == ErrorCode::no_space;
      if (!applied && !full) return pass_on(std::move(applied).error());
      if (full) force_ = true;
      CAIRN_CHECK(collect());
      if (full) CAIRN_CHECK(apply());
      measure();
    }
    const auto took = std::chrono::steady_clock::now() - began;
    return document(std::chrono::duration_cast<std::chrono::milliseconds>(took));
  }

 private:
  Result<void> look_at_clock() {
    auto verdict = inputs_.store.points().check_clock(inputs_.clock, task_.accept_clock);
    if (verdict) {
      clock_ = *verdict;
      return {};
    }
    if (!task_.dry_run) return pass_on(std::move(verdict).error());
    clock_problem_ = verdict.error();
    job_.warn(verdict.error().message());
    clock_.record.last = inputs_.clock;
    clock_.trusted = inputs_.clock.now;
    return {};
  }

  Result<void> make_plans() {
    Store& store = inputs_.store;
    CAIRN_TRY(const auto deleted, store.points().list_deleted());
    CAIRN_TRY(const auto stored, store.points().list_stored());
    CAIRN_TRY(const auto kept, store.points().list_protected());
    std::map<std::string, std::vector<PrunePoint>> machines;
    std::map<std::string, WrittenOrder> orders;
    for (const auto& [name, machine] : inputs_.settings->machines) machines[name];
    for (const PointName& name : stored) machines[name.machine];
    if (task_.machine)
      CAIRN_CHECK(check_known_machine("prune recovery points of", *task_.machine, *inputs_.settings, stored));
    for (const PointName& name : stored) {
      if (task_.machine && *task_.machine != name.machine) continue;
      if (job_.stop().stop_requested()) return cancelled();
      if (!orders.contains(name.machine)) orders[name.machine] = store.points().order_of(name.machine);
      CAIRN_TRY(PrunePoint facts, facts_of(store, name, orders[name.machine], std::ranges::binary_search(deleted, name),
                                           std::ranges::binary_search(kept, name), inputs_.clock.now));
      // Removed since it was listed.
      if (facts.damage && facts.damage->code == ErrorCode::point_missing) continue;
      machines[name.machine].push_back(std::move(facts));
    }
    for (const auto& [name, points] : machines) {
      if (task_.machine && *task_.machine != name) continue;
      MachinePlan& plan = plans_.emplace_back();
      plan.machine = name;
      const auto known = inputs_.settings->machines.find(name);
      if (known != inputs_.settings->machines.end())
        plan.policy = &inputs_.settings->policy_of(known->second);
      else if (const auto policy = inputs_.settings->policies.find(task_.policy.value_or(""));
               policy != inputs_.settings->policies.end())
        plan.policy = &policy->second;
      PruneRules rules{plan.policy, inputs_.clock.now, clock_.trusted, {}, {}};
      CAIRN_TRY(rules.latest, store.points().latest(name));
      if (known != inputs_.settings->machines.end()) {
        const MachineSettings& machine = known->second;
        // Which disks a domain of libvirt has is known when it is backed up.
        std::optional<RecoveryPoint> last;
        if (machine.guest.kind == GuestSettings::Kind::libvirt && rules.latest)
          if (auto loaded = store.points().load(*rules.latest)) last = *std::move(loaded);
        rules.must_stay = [&machine, last](const std::string& disk) {
          if (last)
            return !machine.leaves_out(disk) &&
                   std::ranges::find(last->left_out, disk, &LeftOutDisk::disk) != last->left_out.end();
          return std::ranges::find(machine.disks, disk, &DiskSettings::name) == machine.disks.end() &&
                 !machine.leaves_out(disk);
        };
      }
      CAIRN_TRY(plan.points, plan_prune(points, rules));
      if (inputs_.older.contains(name)) keep_all(plan);
      for (const PrunePoint& point : points)
        if (point.damage) plan.notes[point.name] = point.damage->message();
    }
    return {};
  }

  // Until somebody has looked.
  static void keep_all(MachinePlan& plan) {
    for (PlannedPoint& point : plan.points) {
      if (point.action == PruneAction::purge && point.purge_after) point.action = PruneAction::wait;
      if (point.action != PruneAction::wait) point.action = PruneAction::keep;
      point.reasons.emplace_back("the store is older than it was");
    }
  }

  [[nodiscard]] bool anything_to_do() const {
    return std::ranges::any_of(plans_, [](const MachinePlan& plan) {
      return std::ranges::any_of(plan.points, [](const PlannedPoint& point) {
        return point.action == PruneAction::hide || point.action == PruneAction::purge;
      });
    });
  }

  [[nodiscard]] Result<bool> clock_is_due() const {
    if (task_.accept_clock) return true;
    CAIRN_TRY(const auto record, inputs_.store.points().clock_record());
    return !record || record->last.boot_id != inputs_.clock.boot_id ||
           inputs_.clock.since_boot - record->last.since_boot >= kClockKeptEvery;
  }

  Result<void> take_writer() {
    if (writer_) return {};
    const auto wait = task_.dry_run ? std::chrono::seconds(0) : task_.wait;
    CAIRN_TRY(writer_, when_unlocked(job_, wait, [&] { return begin_writing(inputs_.store, "prune"); }));
    warn_of_packs(inputs_.store, *writer_, inputs_.clock.now, job_);
    return {};
  }

  Result<void> apply() {
    const bool to_do = anything_to_do();
    CAIRN_TRY(const bool clock_due, clock_is_due());
    if (!to_do && !clock_due) return {};
    if (!writer_) {
      CAIRN_CHECK(take_writer());
      // Others may have written while it waited.
      plans_.clear();
      CAIRN_CHECK(make_plans());
    }
    // First: what is removed from here on counts from this clock. A full disk is no reason not to make room.
    if (auto kept = keep_clock(*writer_, clock_.record); !kept && kept.error().code != ErrorCode::no_space) return kept;
    if (auto settled = settle_marks(*writer_); !settled && settled.error().code != ErrorCode::no_space) return settled;
    // What gives space back first.
    CAIRN_CHECK(apply_all(PruneAction::purge));
    return apply_all(PruneAction::hide);
  }

  Result<void> apply_all(PruneAction action) {
    for (MachinePlan& plan : plans_)
      for (PlannedPoint& point : plan.points) {
        if (point.action != action || done_.contains(point.name)) continue;
        if (job_.stop().stop_requested()) return cancelled();
        const auto done = apply(point);
        if (done) {
          if (action == PruneAction::purge) done_.insert(point.name);
          continue;
        }
        switch (done.error().code) {
          case ErrorCode::point_in_use:
          case ErrorCode::point_immutable:
          case ErrorCode::point_protected:
            // It was not so when it was looked at.
            point.action = action == PruneAction::purge && point.purge_after ? PruneAction::wait : PruneAction::keep;
            point.reasons.emplace_back(done.error().code == ErrorCode::point_in_use ? "it is being read"
                                                                                    : done.error().because);
            break;
          case ErrorCode::point_not_deleted:
            point.action = PruneAction::keep;
            point.purge_after.reset();
            point.reasons.push_back(done.error().because);
            break;
          case ErrorCode::point_missing:
            break;
          default:
            return done;
        }
      }
    return {};
  }

  Result<void> apply(const PlannedPoint& point) {
    const UtcTime now = inputs_.clock.now;
    if (point.action == PruneAction::hide)
      return delete_point(*writer_, {point.name, now, *point.purge_after, "retention"}, clock_.trusted);
    if (point.purge_after)
      CAIRN_CHECK(purge_deleted_point(*writer_, point.name, now, clock_.trusted));
    else
      CAIRN_CHECK(purge_point(*writer_, point.name, "retention", now, clock_.trusted));
    ++purged_;
    return {};
  }

  Result<void> collect() {
    if (!inputs_.older.empty()) {
      const Error& error = inputs_.older.begin()->second;
      for (const auto& [machine, why] : inputs_.older) job_.warn(as_warning(why));
      collection_ = {{"error", cairn::to_json(error)}};
      return {};
    }
    if (task_.collect == Collect::when_needed && purged_ == 0 && !force_) {
      CAIRN_TRY(const bool waiting, garbage_waiting(inputs_.store));
      if (!waiting) return {};
    }
    if (auto taken = take_writer(); !taken) {
      if (!task_.dry_run || taken.error().code != ErrorCode::store_locked) return taken;
      collection_ = {{"skipped", taken.error().message()}};
      return {};
    }
    CollectOptions options;
    options.dry_run = task_.dry_run;
    options.accept_damage = task_.accept_damage;
    options.rate = task_.rate;
    options.stop = job_.stop();
    const auto report = collect_garbage(*writer_, options);
    if (report) {
      collection_ = to_json(*report);
      return {};
    }
    // Nothing for anybody to do: the space comes back with the next prune.
    if (report.error().code == ErrorCode::job_conflict) {
      collection_ = {{"skipped", report.error().message()}};
      return {};
    }
    if (report.error().code != ErrorCode::collection_blocked) return pass_on(report.error());
    job_.warn(report.error().message());
    collection_ = {{"error", cairn::to_json(report.error())}};
    return {};
  }

  // What status shows. Costs a walk of all maps: when something was collected, and once a day.
  void measure() {
    const UtcTime now = inputs_.clock.now;
    const auto kept = kept_space(inputs_.store);
    const auto measured =
        kept && kept->contains("measured") ? parse_iso_time((*kept)["measured"].get<std::string>()) : std::nullopt;
    const bool fresh = measured && *measured <= now && now - *measured < kSpaceKept;
    if (fresh && collection_.is_null()) return;
    const auto outcome = [&]() -> Result<void> {
      CAIRN_TRY(auto due, due_points(inputs_.store, now));
      CAIRN_TRY(const SpaceReport space,
                measure_space(inputs_.store, {.now = now, .due = std::move(due), .stop = job_.stop()}));
      return keep_space(inputs_.store, space);
    }();
    // Figures only: the prune itself is done.
    if (!outcome) log_error("space-not-measured", inputs_.store.path().string(), outcome.error());
  }

  json row_of(const MachinePlan& plan, const PlannedPoint& point) const {
    json row{{"machine", point.name.machine},
             {"point", point.name.stamp()},
             {"name", point.name.text()},
             {"time", iso_time(point.name.time)},
             {"keep", point.action == PruneAction::keep},
             {"reasons", point.reasons},
             {"action", to_string(point.action)},
             {"purge_after", time_or_null(point.purge_after)},
             {"damaged", point.damaged}};
    if (const auto note = plan.notes.find(point.name); note != plan.notes.end()) row["note"] = note->second;
    return row;
  }

  json document(std::chrono::milliseconds took) const {
    std::map<PruneAction, std::size_t> all;
    std::size_t damaged = 0;
    json machines = json::array();
    for (const MachinePlan& plan : plans_) {
      json rows = json::array();
      std::map<PruneAction, std::size_t> of_machine;
      for (const PlannedPoint& point : plan.points) {
        rows.push_back(row_of(plan, point));
        ++of_machine[point.action];
        ++all[point.action];
        damaged += point.damaged ? 1 : 0;
      }
      machines.push_back({{"machine", plan.machine},
                          {"in_settings", inputs_.settings->machines.contains(plan.machine)},
                          {"policy", plan.policy != nullptr ? json(plan.policy->name) : json(nullptr)},
                          {"kept", of_machine[PruneAction::keep]},
                          {"deleted", of_machine[PruneAction::hide]},
                          {"waiting", of_machine[PruneAction::wait]},
                          {"purged", of_machine[PruneAction::purge]},
                          {"points", std::move(rows)}});
    }
    return {{"dry_run", task_.dry_run},
            {"clock",
             {{"state", clock_problem_ ? "jumped" : "trusted"},
              {"doubtful_s", clock_.record.doubtful.count()},
              {"error", clock_problem_ ? cairn::to_json(*clock_problem_) : json(nullptr)}}},
            {"machines", std::move(machines)},
            {"totals",
             {{"kept", all[PruneAction::keep]},
              {"deleted", all[PruneAction::hide]},
              {"waiting", all[PruneAction::wait]},
              {"purged", all[PruneAction::purge]},
              {"damaged", damaged}}},
            {"collection", collection_},
            {"duration_ms", took.count()}};
  }

  [[nodiscard]] std::unexpected<Error> cancelled() const {
    return fail(ErrorCode::cancelled, "prune", task_.machine.value_or("the store"), "it was asked to stop");
  }

  const PruneTask& task_;
  const PruneInputs& inputs_;
  JobContext& job_;
  ClockVerdict clock_;
  std::optional<Error> clock_problem_;
  std::vector<MachinePlan> plans_;
  std::shared_ptr<StoreWriter> writer_;
  std::set<PointName> done_;  // removed for good
  std::size_t purged_ = 0;
  bool force_ = false;  // collects whatever the task says
  json collection_;     // null: there was nothing to collect
};

}  // namespace

Result<json> run_prune(const PruneTask& task, const PruneInputs& inputs, JobContext& job) {
  return Prune(task, inputs, job).run();
}

}  // namespace cairn
