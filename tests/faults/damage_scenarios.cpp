// SPDX-License-Identifier: GPL-3.0-or-later
// A store that is damaged, and what is done about it: verify, repair with and without a replica, recover. Whatever
// fails and wherever the power goes: what could be read before still can, and the next repair succeeds.
#include <array>

#include "fs/store/document_pair.h"
#include "fs/store/point/point_file.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/verify/repair.h"
#include "tests/faults/scenarios.h"
#include "tests/fs/store/verify/damaged_store.h"

namespace cairn::faults {
namespace {

// Promised like a point that is not to be listed: the store says itself that it is damaged.
constexpr const char* kDamageKnown = "the damage";

const PointName kDamaged{"web", test_time(0)};

std::filesystem::path replica_of(const Scene& scene) {
  return scene.root() / "replica";
}

// A replica, and then: two chunks of one machine, the map of another, a point's file, store.json.
void prepare_damaged(Scene& scene) {
  prepare_two_machines(scene);
  const auto store = value_of(scene.open());
  must(scene.back_up(*store, "web", 1, 2));
  copy_tree(scene.store(), replica_of(scene));
  const auto web = value_of(store->points().load(kDamaged));
  const auto db = value_of(store->points().load({"db", test_time(1)}));
  for (const std::uint64_t chunk : {1U, 3U}) {
    const PackRecord record = record_of_chunk(*store, web, chunk);
    flip_byte(pack_holding(*store, record.name), record.place.offset + 5);
  }
  const PackRecord node = record_of_node(*store, db, 0, 0);
  flip_byte(pack_holding(*store, node.name), node.place.offset + 5);
  scene.admit_damage();
  flip_byte(scene.store() / point_object({"web", test_time(2)}), 100);
  flip_byte(scene.store() / kStoreDocument, 100);
  scene.admit_damage();
}

VerifyOptions everything() {
  VerifyOptions options;
  options.data_percent = 100;
  options.threads = 1;
  return options;
}

Result<void> verify(Scene& scene, int) {
  CAIRN_TRY(const auto store, scene.open());
  CAIRN_TRY(const VerifyReport report, verify_store(*store, everything()));
  if (report.clean() && report.unreadable.empty()) throw std::logic_error("a verify did not notice the damage");
  if (!report.recorded) return fail(ErrorCode::io_error, "record", "what was found", report.not_recorded);
  if (!report.damage.none()) scene.promise(kDamageKnown, Standing::hidden);
  return report.unreadable.empty() ? Result<void>()
                                   : fail(ErrorCode::io_error, "verify", "store", report.unreadable.front());
}

void prepare_verified(Scene& scene) {
  prepare_damaged(scene);
  must(verify(scene, 0));
}

Result<RepairReport> repaired(Scene& scene, bool from_replica) {
  CAIRN_TRY(const auto store, scene.open());
  RepairOptions options;
  options.verify = everything();
  if (from_replica) options.replica = replica_of(scene);
  return repair_store(*store, options);
}

// Nothing has a copy of what is damaged: it stays known, and all else stays readable.
Result<void> repair_alone(Scene& scene, int) {
  CAIRN_TRY(const RepairReport report, repaired(scene, false));
  if (report.after.clean() && report.after.unreadable.empty())
    throw std::logic_error("a repair says that all is well though it had no copy");
  if (!report.after.unreadable.empty())
    return fail(ErrorCode::io_error, "repair", "store", report.after.unreadable.front());
  if (report.after.recorded) scene.promise(kDamageKnown, Standing::hidden);
  return {};
}

Result<void> repair_from_replica(Scene& scene, int) {
  CAIRN_TRY(const RepairReport report, repaired(scene, true));
  CAIRN_CHECK(verdict_of(report, "store"));
  scene.promise_whole();
  return {};
}

// What the store knows to be damaged is stored anew by whoever has it, and older points are whole again.
Result<void> back_up_again(Scene& scene, int attempt) {
  CAIRN_CHECK(back_up(scene, "web", 0, 10 + attempt));
  scene.promise_whole(kDamaged.text());
  return {};
}

void check_known(const Scene& scene, CaseResult& result) {
  if (!scene.truth().contains(kDamageKnown)) return;
  const auto store = scene.open();
  if (!store) return;
  const auto damage = load_damage(**store);
  if (!damage)
    result.add(Verdict::other, "known damage cannot be read: " + damage.error().message());
  else if (damage->none())
    result.add(Verdict::other, "damage that was known is forgotten");
}

void prepare_lost_index(Scene& scene) {
  prepare_two_machines(scene);
  std::filesystem::remove_all(scene.store() / "index");
}

// As `cairn store recover` does: an index elsewhere, and nothing is written into the store.
Result<std::unique_ptr<Store>> recovered(const Scene& scene, const std::string& folder) {
  CAIRN_TRY(auto store, scene.open());
  CAIRN_TRY(const RebuildReport report, use_private_index(*store, scene.root() / folder));
  if (!report.damaged_packs.empty()) return fail(ErrorCode::pack_damaged, "recover", report.damaged_packs.front());
  return store;
}

Result<void> recover(Scene& scene, int attempt) {
  CAIRN_TRY(const auto store, recovered(scene, "work-" + std::to_string(attempt)));
  if (std::filesystem::exists(scene.store() / "index")) throw std::logic_error("recover wrote into the store");
  for (const auto& [text, truth] : scene.truth()) {
    if (truth.disks.empty()) continue;  // the store's own
    CAIRN_TRY(const RecoveryPoint point, store->points().load(*PointName::parse(text)));
    const Buffer& promised = *truth.disks.at("root");
    Buffer bytes(promised.size());
    CAIRN_TRY(const auto got, store->open_disk(point.disks.at(0).map, text)->read(0, bytes));
    if (got != bytes.size() || bytes != promised) throw std::logic_error(text + " recovered with wrong bytes");
  }
  return {};
}

void check_recovered(const Scene& scene, CaseResult& result) {
  std::filesystem::remove_all(scene.root() / "check");
  if (const auto store = recovered(scene, "check"))
    scene.check_points(**store, result);
  else
    result.add(Verdict::lost, "points cannot be recovered: " + store.error().message());
}

const std::array kDamageScenarios = {
    Scenario{"verify", prepare_damaged, verify, check_known},
    Scenario{"repair", prepare_damaged, repair_alone, check_known},
    Scenario{"repair from replica", prepare_damaged, repair_from_replica},
    Scenario{"repair, then backup", prepare_verified,
             [](Scene& scene, int attempt) {
               return attempt == 0 ? repair_alone(scene, attempt) : back_up_again(scene, attempt);
             }},
    Scenario{"two repairs, backup", prepare_verified,
             [](Scene& scene, int attempt) {
               return attempt < 2 ? repair_alone(scene, attempt) : back_up_again(scene, attempt);
             }},
    Scenario{"recover", prepare_lost_index, recover, check_recovered, false, false},
};

}  // namespace

std::span<const Scenario> damage_scenarios() {
  return kDamageScenarios;
}

}  // namespace cairn::faults
