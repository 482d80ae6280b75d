// SPDX-License-Identifier: GPL-3.0-or-later
// What the fault programme found, each as small as it can be shown.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/secret_bytes.h"
#include "fs/io/local_backend.h"
#include "fs/store/create_store.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/write/store_writer.h"
#include "tests/faults/cut_disk.h"
#include "tests/faults/scene.h"

namespace cairn::faults {
namespace {

namespace fs = std::filesystem;

void ok(const Result<void>& result) {
  if (!result) throw std::runtime_error(result.error().message());
}

class Found : public ::testing::Test {
 protected:
  Found() {
    start_crypto();
    fs::create_directory(scene_.root());
  }
  Result<void> init() { return create_store(scene_.store(), {}, {&Scene::first_slot(), 1}); }
  // Whether, after a cut now with all that is unsynced dropped, the store opens, reads and can be written to.
  void expect_whole_after_cut(Watch& watch) {
    CutDisk disk(watch.start());
    for (const Operation& operation : watch.take_log()) disk.apply(operation);
    scene_.stop_watching();
    std::mt19937_64 random(1);
    const Scene cut = scene_.at(place_.path() / "cut", scene_.truth());
    disk.materialize(cut.root(), Unsynced::dropped, random);
    CaseResult result;
    cut.check_points(result);
    EXPECT_EQ(result.verdict, Verdict::fine) << result.text;
    const auto store = value_of(cut.open());
    EXPECT_TRUE(begin_writing(*store, "test"));
  }

  TemporaryDirectory place_;
  Scene scene_{place_.path() / "scene"};
};

TEST_F(Found, AnInterruptedInitCanBeRunAgain) {
  for (const char* folder : {"packs", "points", "tmp", "index"}) fs::create_directories(scene_.store() / folder);
  ok(init());
  EXPECT_TRUE(scene_.open());
}

TEST_F(Found, AStoreThatLostItsDocumentIsNotMadeAnew) {
  ok(init());
  ok(scene_.back_up(*value_of(scene_.open()), "vm", 0, 0));
  fs::remove(scene_.store() / "store.json");
  const auto again = init();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::store_exists);
}

TEST_F(Found, AnInitThatWasReportedIsOnTheDisk) {
  Watch watch(scene_.root());
  ok(init());
  expect_whole_after_cut(watch);
}

TEST_F(Found, ARebuiltIndexIsOnTheDisk) {
  ok(init());
  ok(scene_.back_up(*value_of(scene_.open()), "vm", 0, 0));
  fs::remove_all(scene_.store() / "index");
  Watch watch(scene_.root());
  scene_.set_watch(&watch);
  value_of(rebuild_index(*value_of(scene_.open())));
  expect_whole_after_cut(watch);
}

TEST_F(Found, ARebuildThatFailsKeepsTheOldIndex) {
  ok(init());
  ok(scene_.back_up(*value_of(scene_.open()), "vm", 0, 0));
  const auto store = value_of(scene_.open());
  std::uint64_t calls = 0;
  {
    const Watch watch(scene_.root());
    value_of(rebuild_index(*store));
    calls = watch.calls(Flavour::no_space);
  }
  for (std::uint64_t at = 0; at < calls; ++at) {
    SCOPED_TRACE(at);
    {
      const Watch watch(scene_.root(), {Flavour::no_space, at, true});
      static_cast<void>(rebuild_index(*store).has_value());
    }
    CaseResult result;
    scene_.check_points(result);
    EXPECT_EQ(result.verdict, Verdict::fine) << result.text;
  }
}

TEST_F(Found, APutThatFailedInItsLastStepLeftNothing) {
  LocalBackend backend(scene_.root());
  ok(backend.put("points/first", Buffer(1), IfExists::fail));
  const Watch watch(scene_.root(), {Flavour::sync_failed, 1, false});  // 0: its bytes; 1: its folder
  EXPECT_FALSE(backend.put("points/second", Buffer(1), IfExists::fail));
  EXPECT_THAT(value_of(backend.list("points/")), ::testing::ElementsAre("points/first"));
}

// A folder of packs that was made by somebody who was killed before it was on the disk.
TEST_F(Found, APackInAFolderWhoseMakerWasKilledIsThereAfterACut) {
  LocalBackend backend(scene_.root());
  ok(backend.put("packs/00/first", Buffer(1), IfExists::fail));
  // Of the second put: 0 syncs its bytes; 1 the folder of packs/; 2 packs/, in which 01 is new.
  Watch watch(scene_.root(), {Flavour::sync_failed, 2, true});
  ASSERT_FALSE(backend.put("packs/01/second", Buffer(1), IfExists::fail));
  ASSERT_TRUE(fs::exists(scene_.root() / "packs/01"));
  watch.disarm();
  ok(backend.settle(""));  // as a writer begins
  ok(backend.put("packs/01/third", Buffer(1), IfExists::fail));
  CutDisk disk(watch.start());
  for (const Operation& operation : watch.take_log()) disk.apply(operation);
  std::mt19937_64 random(1);
  const TemporaryDirectory place;
  disk.materialize(place.path() / "cut", Unsynced::dropped, random);
  EXPECT_TRUE(fs::exists(place.path() / "cut/packs/01/third"));
}

TEST_F(Found, APackWhoseWriterWasKilledBeforeItsNameWasOnTheDiskIsThereWhenAPointNeedsIt) {
  ok(init());
  std::uint64_t calls = 0;
  const auto killed_at = [&](std::uint64_t at) {
    const TemporaryDirectory place;
    copy_tree(scene_.root(), place.path() / "scene");
    Scene scene = scene_.at(place.path() / "scene", scene_.truth());
    Watch watch(scene.root(), {Flavour::io_error, at, true});
    scene.set_watch(&watch);
    static_cast<void>(scene.back_up(*value_of(scene.open()), "vm", 0, 0).has_value());
    calls = watch.calls(Flavour::io_error);
    watch.disarm();
    ok(scene.back_up(*value_of(scene.open()), "vm", 0, 1));
    CutDisk disk(watch.start());
    for (const Operation& operation : watch.take_log()) disk.apply(operation);
    std::mt19937_64 random(1);
    disk.materialize(place.path() / "cut", Unsynced::dropped, random);
    CaseResult result;
    scene.at(place.path() / "cut", scene.truth()).check_points(result);
    EXPECT_EQ(result.verdict, Verdict::fine) << at << ": " << result.text;
  };
  killed_at(1'000'000);
  // The first calls read store.json, whose failure is not survived by opening.
  for (std::uint64_t at = 4, all = calls; at < all; ++at) {
    try {
      killed_at(at);
    } catch (const std::runtime_error&) {
      EXPECT_LT(at, 8U);
    }
  }
}

}  // namespace
}  // namespace cairn::faults
