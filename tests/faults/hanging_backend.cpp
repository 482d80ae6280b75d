// SPDX-License-Identifier: GPL-3.0-or-later
// A backend whose calls do not come back, or come back late: whoever does not need them goes on, a backup that waits
// for one can be asked to stop, and when they come back nothing was lost.
#include <condition_variable>
#include <mutex>
#include <thread>

#include "fs/io/local_backend.h"
#include "fs/store/create_store.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/store_writer.h"
#include "tests/faults/kinds.h"
#include "tests/faults/scene.h"

namespace cairn::faults {
namespace {

// Calls that `hangs` chooses wait until release().
class HangingBackend final : public Backend {
 public:
  using Chooser = std::function<bool(std::string_view call, std::string_view name)>;
  HangingBackend(std::filesystem::path path, Chooser hangs) : inner_(std::move(path)), hangs_(std::move(hangs)) {}

  void release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  // Waits until a call hangs.
  bool wait_until_hanging() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return hanging_ != 0; });
  }

  [[nodiscard]] std::string location() const override { return inner_.location(); }
  using Backend::put;
  Result<void> put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) override {
    pass("put", name);
    return inner_.put(name, parts, if_exists);
  }
  Result<std::unique_ptr<ObjectReader>> open(std::string_view name) override {
    pass("open", name);
    return inner_.open(name);
  }
  Result<std::vector<std::string>> list(std::string_view prefix) override {
    pass("list", prefix);
    return inner_.list(prefix);
  }
  Result<void> remove(std::string_view name) override {
    pass("remove", name);
    return inner_.remove(name);
  }
  Result<std::unique_ptr<ObjectHold>> hold(std::string_view name) override { return inner_.hold(name); }
  Result<bool> remove_unless_held(std::string_view name) override {
    pass("remove", name);
    return inner_.remove_unless_held(name);
  }
  Result<std::optional<std::uint64_t>> change_token(std::string_view prefix) override {
    return inner_.change_token(prefix);
  }
  Result<void> remove_leftovers() override { return inner_.remove_leftovers(); }
  Result<void> settle(std::string_view prefix) override { return inner_.settle(prefix); }

 private:
  void pass(std::string_view call, std::string_view name) {
    std::unique_lock lock(mutex_);
    if (released_ || !hangs_(call, name)) return;
    ++hanging_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return released_; });
    --hanging_;
  }

  LocalBackend inner_;
  const Chooser hangs_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;
  int hanging_ = 0;
};

void make_store(Scene& scene) {
  std::filesystem::create_directory(scene.root());
  const NewKeySlot& slot = Scene::first_slot();
  if (auto made = create_store(scene.store(), {}, {&slot, 1}); !made) throw std::runtime_error(made.error().message());
  const auto store = value_of(scene.open());
  for (const char* machine : {"web", "db"})
    if (auto done = scene.back_up(*store, machine, 0, 0); !done) throw std::runtime_error(done.error().message());
}

// A backup hangs in a put; all points are read meanwhile through the same store; then it goes on.
CaseResult put_hangs(const char* prefix) {
  const TemporaryDirectory place;
  Scene scene(place.path() / "scene");
  make_store(scene);
  const auto backend = std::make_shared<HangingBackend>(
      scene.store(), [&](auto call, auto name) { return call == "put" && name.starts_with(prefix); });
  const auto store = value_of(Store::open(scene.store(), backend, Scene::key()));
  Scene of_backup = scene.at(scene.root(), scene.truth());
  std::optional<Result<void>> done;
  std::thread backup([&] { done = of_backup.back_up(*store, "web", 1, 5); });
  CaseResult result;
  if (!backend->wait_until_hanging()) result.add(Verdict::other, "nothing hangs");
  scene.check_points(*store, result);
  backend->release();
  backup.join();
  if (!*done) result.add(Verdict::other, "the backup fails when the call comes back: " + done->error().message());
  of_backup.check_points(*store, result);
  return result;
}

// Asked to stop while a put hangs: it stops once the call has come back, and the next backup succeeds.
CaseResult stopped_while_hanging() {
  const TemporaryDirectory place;
  Scene scene(place.path() / "scene");
  make_store(scene);
  const auto backend = std::make_shared<HangingBackend>(
      scene.store(), [](auto call, auto name) { return call == "put" && name.starts_with("packs/"); });
  const auto store = value_of(Store::open(scene.store(), backend, Scene::key()));
  std::stop_source stop;
  MemoryImage image(std::uint64_t{96} << 20U);  // more than the packs that may wait
  image.fill_random(0, std::size_t{96} << 20U, 1);
  std::optional<Result<IngestReport>> ingested;
  std::thread backup([&] {
    const auto writer = value_of(begin_writing(*store, "faults"));
    IngestOptions options;
    options.stop = stop.get_token();
    ingested = ingest_disk(*writer, image, options);
  });
  CaseResult result;
  if (!backend->wait_until_hanging()) result.add(Verdict::other, "nothing hangs");
  stop.request_stop();
  scene.check_points(*store, result);
  backend->release();
  backup.join();
  if (*ingested || ingested->error().code != ErrorCode::cancelled)
    result.add(Verdict::other, "it was asked to stop and did not");
  if (auto done = scene.back_up(*store, "web", 1, 5); !done)
    result.add(Verdict::other, "the next backup fails: " + done.error().message());
  scene.check_points(*store, result);
  return result;
}

// The packs of one point cannot be read for a while: the other point's reader does not notice.
CaseResult read_hangs() {
  const TemporaryDirectory place;
  Scene scene(place.path() / "scene");
  make_store(scene);
  // What only the last backup needs.
  const std::string newest_pack = [&] {
    std::string newest;
    std::filesystem::file_time_type when = std::filesystem::file_time_type::min();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scene.store() / "packs"))
      if (entry.is_regular_file() && entry.last_write_time() > when) {
        when = entry.last_write_time();
        newest = entry.path().filename().string();
      }
    return newest;
  }();
  const auto backend = std::make_shared<HangingBackend>(
      scene.store(), [&](auto call, auto name) { return call == "open" && name.ends_with(newest_pack); });
  const auto store = value_of(Store::open(scene.store(), backend, Scene::key()));
  Truth web;
  Truth db;
  for (const auto& [point, truth] : scene.truth()) (point.starts_with("web") ? web : db)[point] = truth;
  const auto read_point = [&](const Truth& truth, CaseResult& result) {
    for (const auto& [text, wanted] : truth) {
      ++result.points;
      const auto point = store->points().load(*PointName::parse(text));
      const auto& bytes = *wanted.disks.at("root");
      Buffer read(bytes.size());
      const auto got = point ? store->open_disk(point->disks.at(0).map, text)->read(0, read)
                             : Result<std::size_t>(pass_on(point.error()));
      if (!got)
        result.add(Verdict::lost, text + ": " + got.error().message());
      else if (read != bytes)
        result.add(Verdict::wrong, text + " has other bytes");
    }
  };
  CaseResult of_hanging;
  std::thread reader([&] { read_point(db, of_hanging); });
  CaseResult result;
  if (!backend->wait_until_hanging()) result.add(Verdict::other, "nothing hangs");
  read_point(web, result);
  backend->release();
  reader.join();
  result.points += of_hanging.points;
  result.add(of_hanging.verdict, of_hanging.text);
  return result;
}

}  // namespace

Tally hanging_backend(const Options& options) {
  using Case = std::function<CaseResult()>;
  const std::pair<const char*, Case> cases[] = {
      {"a pack's put hangs", [] { return put_hangs("packs/"); }},
      {"a point's put hangs", [] { return put_hangs("points/"); }},
      {"asked to stop while a put hangs", stopped_while_hanging},
      {"a pack's opening hangs", read_hangs},
  };
  const std::size_t rounds = options.quick ? 1 : 10;
  Tally tally;
  run_cases(
      tally, rounds * std::size(cases), options,
      [&](std::size_t number) { return cases[number % std::size(cases)].second(); },
      [&](std::size_t number) { return std::string(cases[number % std::size(cases)].first); });
  return tally;
}

}  // namespace cairn::faults
