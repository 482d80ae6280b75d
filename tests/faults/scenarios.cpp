// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/scenarios.h"
#include "fs/store/collect/garbage.h"

#include <algorithm>
#include <array>

#include "daemon/queue/journal.h"
#include "fs/store/create_store.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"

namespace cairn::faults {
namespace {

// Promises that are no points are kept in the same list, as points that are not to be listed.
constexpr const char* kStorePromise = "the store";

Result<void> init(Scene& scene, int attempt) {
  const NewKeySlot& slot = Scene::first_slot();
  auto made = create_store(scene.store(), {}, {&slot, 1});
  // A cut that came too late to be reported.
  if (!made && made.error().code == ErrorCode::store_exists && attempt > 0 && scene.open()) return {};
  if (made) scene.promise(kStorePromise, Standing::hidden);
  return made;
}

// Once init has said that the store is made, it opens, and a backup goes into it.
void check_store(const Scene& scene, CaseResult& result) {
  if (!scene.truth().contains(kStorePromise)) return;
  const auto store = scene.open();
  if (!store)
    result.add(Verdict::lost, "the store cannot be opened: " + store.error().message());
  else if (const auto writer = begin_writing(**store, "check"); !writer)
    result.add(Verdict::other, "the store cannot be written to: " + writer.error().message());
}

}  // namespace

void must(const Result<void>& result) {
  if (!result) throw std::runtime_error(result.error().message());
}

namespace {

void prepare_empty(Scene& scene) {
  must(init(scene, 0));
}

}  // namespace

void prepare_two_machines(Scene& scene) {
  prepare_empty(scene);
  const auto store = value_of(scene.open());
  must(scene.back_up(*store, "web", 0, 0));
  must(scene.back_up(*store, "db", 0, 1));
}

namespace {

// Three runs of names: the next backup merges four into one.
void prepare_before_merge(Scene& scene) {
  prepare_two_machines(scene);
  const auto store = value_of(scene.open());
  must(scene.back_up(*store, "web", 1, 2));
}

// A pack that is published and that the index does not know: its writer was killed in between.
void prepare_interrupted(Scene& scene) {
  prepare_two_machines(scene);
  copy_tree(scene.store() / "index", scene.root() / "index.kept");
  {
    const auto store = value_of(scene.open());
    const auto writer = value_of(begin_writing(*store, "killed"));
    MemoryImage image = disk_image("web", 2);
    IngestOptions options;
    options.workers = 1;
    value_of(ingest_disk(*writer, image, options));
    must(writer->flush());
  }
  std::filesystem::remove_all(scene.store() / "index");
  std::filesystem::rename(scene.root() / "index.kept", scene.store() / "index");
}

}  // namespace

Result<void> back_up(Scene& scene, const char* machine, unsigned generation, int second) {
  CAIRN_TRY(const auto store, scene.open());
  return scene.back_up(*store, machine, generation, second);
}

namespace {

NewKeySlot second_slot() {
  NewKeySlot slot;
  slot.label = "second";
  slot.secret = SecretBytes::random(32);
  return slot;
}

Result<void> add_key(Scene& scene, int attempt) {
  CAIRN_TRY(const auto store, scene.open());
  auto added = store->keys().add_slot(second_slot());
  if (!added && attempt > 0 && added.error().code == ErrorCode::key_slot_exists) return {};
  return added;
}

Result<void> remove_key(Scene& scene, int attempt) {
  CAIRN_TRY(const auto store, scene.open());
  auto removed = store->keys().remove_slot("second");
  if (!removed && attempt > 0 && removed.error().code == ErrorCode::no_such_key_slot) return {};
  return removed;
}

Result<void> rebuild(Scene& scene) {
  CAIRN_TRY(const auto store, scene.open());
  CAIRN_TRY(const RebuildReport report, rebuild_index(*store));
  if (!report.damaged_packs.empty())
    return fail(ErrorCode::pack_damaged, "rebuild index", report.damaged_packs.front());
  return {};
}

Result<void> remove_point(Scene& scene, int attempt) {
  const PointName name{"web", test_time(0)};
  CAIRN_TRY(const auto store, scene.open());
  CAIRN_TRY(const auto writer, begin_writing(*store, "faults"));
  scene.promise(name.text(), Standing::may);
  auto removed = remove_point(*writer, name);
  if (!removed && attempt > 0 && removed.error().code == ErrorCode::point_missing) removed = {};
  if (removed) scene.promise(name.text(), Standing::hidden);
  return removed;
}

// Of three points one is removed: some packs are needed no more, and of some only a part.
void prepare_garbage(Scene& scene) {
  prepare_two_machines(scene);
  const auto store = value_of(scene.open());
  must(scene.back_up(*store, "web", 1, 2));
  must(scene.back_up(*store, "web", 2, 3));
  const auto writer = value_of(begin_writing(*store, "faults"));
  for (const int second : {0, 2}) {
    const PointName name{"web", test_time(second)};
    must(remove_point(*writer, name));
    scene.promise(name.text(), Standing::hidden);
  }
}

Result<void> collect(Scene& scene) {
  CAIRN_TRY(const auto store, scene.open());
  CAIRN_TRY(const auto writer, begin_writing(*store, "faults"));
  CollectOptions options;
  options.rewrite_below = 0.9;
  CAIRN_TRY(const CollectReport report, collect_garbage(*writer, options));
  if (report.missing_chunks != 0) return fail(ErrorCode::chunk_missing, "collect", "store");
  return {};
}

// A backup between two collections: what it needs again may just be on its way out.
Result<void> collect_and_back_up(Scene& scene, int attempt) {
  CAIRN_TRY(const auto store, scene.open());
  CAIRN_TRY(const auto writer, begin_writing(*store, "faults"));
  CollectOptions options;
  options.rewrite_below = 0.9;
  CAIRN_CHECK(collect_garbage(*writer, options));
  CAIRN_CHECK(scene.back_up(*store, "web", 1, 10 + attempt));
  CAIRN_CHECK(collect_garbage(*writer, options));
  return {};
}

// --- deleting, bringing back, protecting, removing for good
const PointName kFirst{"web", test_time(0)};

Result<std::shared_ptr<StoreWriter>> writer_of(Store& store) {
  return begin_writing(store, "faults");
}

// An error that says that an earlier try got that far, when it is the repetition.
Result<void> unless_done(Result<void> outcome, int attempt, ErrorCode done) {
  if (!outcome && attempt > 0 && outcome.error().code == done) return {};
  return outcome;
}

Result<void> delete_first(Scene& scene, int attempt) {
  CAIRN_TRY(const auto store, scene.open());
  CAIRN_TRY(const auto writer, writer_of(*store));
  scene.promise(kFirst.text(), Standing::may);
  const Deletion deletion{kFirst, test_time(100), test_time(200), "by hand"};
  CAIRN_CHECK(unless_done(delete_point(*writer, deletion, test_time(100)), attempt, ErrorCode::point_deleted));
  scene.promise(kFirst.text(), Standing::hidden);
  return {};
}

void prepare_deleted(Scene& scene) {
  prepare_two_machines(scene);
  must(delete_first(scene, 0));
}

Result<void> undelete_first(Scene& scene, int attempt) {
  CAIRN_TRY(const auto store, scene.open());
  CAIRN_TRY(const auto writer, writer_of(*store));
  scene.promise(kFirst.text(), Standing::may);
  CAIRN_CHECK(unless_done(undelete_point(*writer, kFirst), attempt, ErrorCode::point_not_deleted));
  scene.promise(kFirst.text(), Standing::must);
  return {};
}

Result<void> protect_first(Scene& scene, int) {
  CAIRN_TRY(const auto store, scene.open());
  CAIRN_TRY(const auto writer, writer_of(*store));
  CAIRN_CHECK(protect_point(*writer, {kFirst, test_time(100), std::nullopt}));
  scene.promise("protected", Standing::hidden);
  return {};
}

void check_protected(const Scene& scene, CaseResult& result) {
  if (!scene.truth().contains("protected")) return;
  const auto store = scene.open();
  if (!store) return;
  const auto protection = (*store)->points().protection_of(kFirst);
  if (!protection || !*protection) result.add(Verdict::other, "a point that was protected is not");
}

// As prune does it: the deletion's time is over, the point goes for good, and then what only it needed.
Result<void> prune(Scene& scene, int attempt) {
  CAIRN_TRY(const auto store, scene.open());
  CAIRN_TRY(const auto writer, writer_of(*store));
  CAIRN_CHECK(unless_done(purge_point(*writer, kFirst, "retention", test_time(300), test_time(300)), attempt,
                          ErrorCode::point_missing));
  CAIRN_CHECK(collect_garbage(*writer, {}));
  scene.promise("purged", Standing::hidden);
  return {};
}

void check_purged(const Scene& scene, CaseResult& result) {
  if (!scene.truth().contains("purged")) return;
  const auto store = scene.open();
  if (!store) return;
  const auto stored = (*store)->points().list_stored();
  if (!stored || std::ranges::find(*stored, kFirst) != stored->end())
    result.add(Verdict::other, "a point that was removed for good is still there");
  const auto tombstones = (*store)->points().tombstones();
  if (!tombstones) result.add(Verdict::other, "tombstones cannot be read: " + tombstones.error().message());
}

// Reads every byte; the bytes are compared by the check that follows.
Result<void> read_all(Scene& scene) {
  CAIRN_TRY(const auto store, scene.open());
  CAIRN_TRY(const auto names, store->points().list());
  for (const PointName& name : names) {
    CAIRN_TRY(const RecoveryPoint point, store->points().load(name));
    for (const DiskRecord& disk : point.disks) {
      Buffer bytes(disk.map.size);
      CAIRN_TRY(const auto got, store->open_disk(disk.map, name.text())->read(0, bytes));
      const auto& promised = scene.truth().at(name.text()).disks.at(disk.name);
      // A read that reports success with other bytes is what this scenario looks for.
      if (got != bytes.size() || bytes != *promised) throw std::logic_error(name.text() + " read with wrong bytes");
    }
  }
  return {};
}

// --- the journal
JobRecord job_record(const std::string& id, JobState state) {
  JobRecord record;
  record.id = id;
  record.kind = JobKind::backup;
  record.object = "web";
  record.state = state;
  record.queued = test_time();
  return record;
}

void prepare_journal(Scene& scene) {
  std::filesystem::create_directories(scene.journal().parent_path());
  const auto journal = value_of(Journal::open(scene.journal()));
  must(journal->save(job_record("first", JobState::completed)));
  must(journal->set_schedule_mark("web", {test_time(5), false}));
}

Result<void> journal_jobs(Scene& scene, int attempt) {
  CAIRN_TRY(const auto journal, Journal::open(scene.journal()));
  for (int number = 0; number < 3; ++number) {
    const std::string id = "job-" + std::to_string(attempt) + "-" + std::to_string(number);
    CAIRN_CHECK(journal->save(job_record(id, JobState::in_progress)));
    CAIRN_CHECK(journal->save(job_record(id, JobState::completed)));
    // Promised like a point: an ended job is durable when save() returns.
    scene.promise("job " + id, Standing::hidden);
    CAIRN_CHECK(journal->set_schedule_mark("web", {test_time(10 + number), false}));
  }
  return {};
}

void check_journal(const Scene& scene, CaseResult& result) {
  const auto journal = Journal::open(scene.journal());
  if (!journal) {
    result.add(Verdict::lost, "the journal cannot be opened: " + journal.error().message());
    return;
  }
  std::vector<std::string> ended = {"first"};
  for (const auto& [name, truth] : scene.truth())
    if (name.starts_with("job ")) ended.push_back(name.substr(4));
  for (const std::string& id : ended) {
    ++result.points;
    const auto job = (*journal)->job(id);
    if (!job || !*job || (*job)->state != JobState::completed)
      result.add(Verdict::lost, "job " + id + " is not in the journal as it ended");
  }
}

const std::array kScenarios = {
    Scenario{"init", [](Scene&) {}, init, check_store, false},
    Scenario{"init and backup", [](Scene&) {},
             [](Scene& scene, int attempt) -> Result<void> {
               if (!scene.open()) CAIRN_CHECK(init(scene, attempt));
               return back_up(scene, "web", 0, attempt);
             },
             check_store, false},
    Scenario{"first backup", prepare_empty,
             [](Scene& scene, int attempt) { return back_up(scene, "web", 0, attempt); }},
    Scenario{"next backup", prepare_two_machines,
             [](Scene& scene, int attempt) { return back_up(scene, "web", 1, 10 + attempt); }},
    Scenario{"backup that merges", prepare_before_merge,
             [](Scene& scene, int attempt) { return back_up(scene, "db", 1, 10 + attempt); }},
    Scenario{"backup after a kill", prepare_interrupted,
             [](Scene& scene, int attempt) { return back_up(scene, "web", 2, 10 + attempt); }},
    Scenario{"key add", prepare_two_machines, add_key},
    Scenario{"key remove",
             [](Scene& scene) {
               prepare_two_machines(scene);
               must(add_key(scene, 0));
             },
             remove_key},
    Scenario{"rebuild-index", prepare_two_machines, [](Scene& scene, int) { return rebuild(scene); }},
    Scenario{"point removed", prepare_two_machines, remove_point},
    Scenario{"gc", prepare_garbage, [](Scene& scene, int) { return collect(scene); }},
    Scenario{"gc and backup", prepare_garbage, collect_and_back_up},
    Scenario{"delete", prepare_two_machines, delete_first},
    Scenario{"undelete", prepare_deleted, undelete_first},
    Scenario{"protect", prepare_two_machines, protect_first, check_protected},
    Scenario{"prune", prepare_deleted, prune, check_purged},
    Scenario{"reading", prepare_two_machines, [](Scene& scene, int) { return read_all(scene); }},
    Scenario{"journal", prepare_journal, journal_jobs, check_journal, false},
};

}  // namespace

std::span<const Scenario> scenarios() {
  static const std::vector<Scenario> all = [] {
    std::vector<Scenario> every(kScenarios.begin(), kScenarios.end());
    every.insert(every.end(), damage_scenarios().begin(), damage_scenarios().end());
    return every;
  }();
  return all;
}

void check_afterwards(const Scenario& scenario, Scene& scene, bool rebuild_too, int attempt, CaseResult& result) {
  const auto check = [&] {
    const bool store = scenario.has_store || scene.truth().contains(kStorePromise);
    if (store && scenario.readable) scene.check_points(result);
    if (scenario.check) scenario.check(scene, result);
  };
  check();
  if (result.verdict == Verdict::lost) return;
  if (const auto again = scenario.run(scene, attempt); !again) {
    result.add(Verdict::other,
               "run again, it fails: " + std::string(again.error().name()) + ": " + again.error().message());
    return;
  }
  check();
  if (!rebuild_too || !std::filesystem::exists(scene.store())) return;
  if (const auto rebuilt = rebuild(scene); !rebuilt)
    result.add(Verdict::other, "the index cannot be rebuilt: " + rebuilt.error().message());
  check();
}

PreparedScenario::PreparedScenario(const Scenario& scenario) : scenario_(scenario) {
  Scene scene(directory_.path() / "scene");
  std::filesystem::create_directory(scene.root());
  scenario.prepare(scene);
  truth_ = scene.truth();
}

Scene PreparedScenario::copy_to(const std::filesystem::path& root) const {
  copy_tree(directory_.path() / "scene", root);
  return Scene(root).at(root, truth_);
}

}  // namespace cairn::faults
