// SPDX-License-Identifier: GPL-3.0-or-later
// Random operations on a store and on a model of it in memory, which must agree. The model is the scene's list of what
// is promised, and which points are deleted or protected.
#include <algorithm>
#include <set>

#include "fs/store/collect/garbage.h"
#include "fs/store/create_store.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/faults/kinds.h"
#include "tests/faults/scene.h"

namespace cairn::faults {
namespace {

constexpr const char* kMachines[] = {"web", "db", "mail"};

class Model {
 public:
  Model(const std::filesystem::path& root, std::uint64_t seed) : scene_(root), random_(seed) {
    std::filesystem::create_directory(root);
    const NewKeySlot& slot = Scene::first_slot();
    expect(create_store(scene_.store(), {}, {&slot, 1}), "init");
    reopen();
  }

  CaseResult run(unsigned steps) {
    for (unsigned step = 0; step < steps && result_.verdict == Verdict::fine; ++step) {
      this->step();
      check_lists();
      if (step % 10 == 9) scene_.check_points(*store_, result_);
    }
    scene_.check_points(*store_, result_);
    return result_;
  }

 private:
  struct Kept {
    PointName name;
    bool deleted = false;
    bool is_protected = false;
  };

  void step() {
    switch (random_() % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        return back_up();
      case 5:
      case 6:
        return delete_one();
      case 7:
        return undelete_one();
      case 8:
        return protect_one();
      case 9:
      case 10:
        return purge_one();
      case 11:
      case 12:
        return collect();
      case 13:
        return reopen();
      case 14:
        return rebuild();
      default:
        return lose_index();
    }
  }

  // `code`: nothing: it must succeed; else it must fail with that.
  template <class Outcome>
  void expect(const Outcome& outcome, const std::string& what, std::optional<ErrorCode> code = {}) {
    history_ += what + "; ";
    if (history_.size() > 160) history_.erase(0, history_.size() - 160);
    if (!code && !outcome) result_.add(Verdict::other, history_ + outcome.error().message());
    if (code && outcome) result_.add(Verdict::other, history_ + "succeeded and should not have");
    if (code && !outcome && outcome.error().code != *code)
      result_.add(Verdict::other, history_ + "another error than expected: " + outcome.error().message());
  }

  Kept* any() { return points_.empty() ? nullptr : &points_[random_() % points_.size()]; }
  UtcTime now() const { return test_time(static_cast<int>(100'000 + second_)); }

  void back_up() {
    const char* machine = kMachines[random_() % std::size(kMachines)];
    const int second = second_++;
    expect(scene_.back_up(*store_, machine, static_cast<unsigned>(random_() % 12), second),
           std::string("backup ") + machine);
    points_.push_back({{machine, test_time(second)}, false, false});
  }

  void delete_one() {
    Kept* point = any();
    if (point == nullptr) return;
    const auto writer = begin_writing(*store_, "model");
    const Deletion deletion{point->name, now(), now(), "by hand"};
    const std::string what = "delete " + point->name.text();
    if (point->is_protected) return expect(delete_point(**writer, deletion, now()), what, ErrorCode::point_protected);
    expect(delete_point(**writer, deletion, now()), what);
    point->deleted = true;
    scene_.promise(point->name.text(), Standing::hidden);
  }

  void undelete_one() {
    Kept* point = any();
    if (point == nullptr) return;
    const auto writer = begin_writing(*store_, "model");
    const std::string what = "undelete " + point->name.text();
    if (!point->deleted) return expect(undelete_point(**writer, point->name), what, ErrorCode::point_not_deleted);
    expect(undelete_point(**writer, point->name), what);
    point->deleted = false;
    scene_.promise(point->name.text(), Standing::must);
  }

  void protect_one() {
    Kept* point = any();
    if (point == nullptr || point->deleted) return;
    const auto writer = begin_writing(*store_, "model");
    if (point->is_protected)
      expect(unprotect_point(**writer, point->name), "unprotect " + point->name.text());
    else
      expect(protect_point(**writer, {point->name, now(), std::nullopt}), "protect " + point->name.text());
    point->is_protected = !point->is_protected;
  }

  void purge_one() {
    const auto deleted = std::ranges::find(points_, true, &Kept::deleted);
    if (deleted == points_.end()) return;
    const auto writer = begin_writing(*store_, "model");
    expect(purge_point(**writer, deleted->name, "model", now(), now()), "purge " + deleted->name.text());
    points_.erase(deleted);
  }

  void collect() {
    const auto writer = begin_writing(*store_, "model");
    CollectOptions options;
    options.rewrite_below = static_cast<double>(random_() % 10) / 10;
    const auto report = collect_garbage(**writer, options);
    expect(report, "gc");
    if (report && report->missing_chunks != 0) result_.add(Verdict::lost, history_ + "chunks are missing");
  }

  void reopen() {
    store_.reset();
    auto opened = scene_.open();
    expect(opened, "reopen");
    if (!opened) throw std::runtime_error(result_.text);
    store_ = *std::move(opened);
  }

  void rebuild() { expect(rebuild_index(*store_), "rebuild-index"); }

  void lose_index() {
    if (random_() % 4 != 0) return;
    store_.reset();
    std::filesystem::remove_all(scene_.store() / "index");
    reopen();
    expect(begin_writing(*store_, "model"), "index lost", ErrorCode::index_missing);
    rebuild();
  }

  // Names only: what is listed, and what is listed as deleted.
  void check_lists() {
    std::set<std::string> listed;
    std::set<std::string> deleted;
    for (const Kept& point : points_) (point.deleted ? deleted : listed).insert(point.name.text());
    const auto same = [&](const Result<std::vector<PointName>>& found, const std::set<std::string>& wanted,
                          const char* what) {
      std::set<std::string> names;
      if (found)
        for (const PointName& name : *found) names.insert(name.text());
      if (names != wanted) result_.add(Verdict::other, history_ + "another list of " + what);
    };
    same(store_->points().list(), listed, "points");
    same(store_->points().list_deleted(), deleted, "deleted points");
  }

  Scene scene_;
  std::mt19937_64 random_;
  std::unique_ptr<Store> store_;
  std::vector<Kept> points_;
  int second_ = 0;
  std::string history_;
  CaseResult result_;
};

}  // namespace

Tally model(const Options& options) {
  const std::size_t cases = options.quick ? 4 : 24;
  const unsigned steps = options.quick ? 60 : 250;
  std::mt19937_64 random(options.seed);
  std::vector<std::uint64_t> seeds(cases);
  for (std::uint64_t& seed : seeds) seed = random();
  Tally tally;
  run_cases(
      tally, cases, options,
      [&](std::size_t number) {
        const TemporaryDirectory place;
        CaseResult result = Model(place.path() / "scene", seeds[number]).run(steps);
        result.cases = steps;
        return result;
      },
      [&](std::size_t number) { return "model with seed " + std::to_string(seeds[number]); },
      std::chrono::seconds(300));
  return tally;
}

}  // namespace cairn::faults
