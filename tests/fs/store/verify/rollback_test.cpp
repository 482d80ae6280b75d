// SPDX-License-Identifier: GPL-3.0-or-later
// Whether the store is older than it was: what is found when it, a point or a record of its state was put back, and
// that nothing that Cairn does itself is taken for that.
#include "fs/store/verify/rollback.h"

#include <random>

#include "tests/fs/store/point/point_marks_fixture.h"

namespace cairn {
namespace {

using std::chrono::days;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Rollback : public PointMarks {
 protected:
  // What the host finds, which remembers what is new.
  std::vector<std::string> look(Store& store) {
    const auto views = value_of(look_at_machines(store, seen_));
    std::vector<std::string> findings;
    for (const auto& [name, view] : views) {
      RollbackJudgement judged = judge_rollback(seen_[name], view, kNow);
      findings.insert(findings.end(), judged.findings.begin(), judged.findings.end());
      seen_[name] = std::move(judged.next);
    }
    return findings;
  }
  std::vector<std::string> look() { return look(*place_.open()); }
  [[nodiscard]] std::filesystem::path file(const std::string& object) const { return place_.path() / object; }
  void keep_copy() { std::filesystem::copy(place_.path(), copy(), std::filesystem::copy_options::recursive); }
  [[nodiscard]] std::filesystem::path copy() const { return directory_.path() / "copy"; }
  void put_copy_back() {
    std::filesystem::rename(place_.path(), directory_.path() / "newer");
    std::filesystem::copy(copy(), place_.path(), std::filesystem::copy_options::recursive);
  }
  void put_newer_back() {
    std::filesystem::remove_all(place_.path());
    std::filesystem::rename(directory_.path() / "newer", place_.path());
  }
  template <class Change>
  void change(Change make) {
    const auto store = place_.open();
    make(*store, *value_of(begin_writing(*store, "test")));
  }

  StoreMemories seen_;
  TemporaryDirectory directory_;
};

TEST_F(Rollback, AStoreThatIsSeenFirstAndOneThatOnlyGrewAreTakenAsTheyAre) {
  const auto store = place_.open();
  commit_days(*store, 2);
  EXPECT_THAT(look(*store), IsEmpty());
  commit(*store, vm(2));
  EXPECT_THAT(look(*store), IsEmpty());
  EXPECT_THAT(look(*store), IsEmpty());
  EXPECT_EQ(seen_["vm"].changes, 3U);
  EXPECT_EQ(seen_["vm"].points.size(), 3U);
}

TEST_F(Rollback, AStoreThatWasPutBackIsFoundAfterABackupAProtectionADeletionAndItsEnd) {
  {
    const auto store = place_.open();
    commit_days(*store, 3);
  }
  const std::vector<std::function<void(Store&, StoreWriter&)>> changes{
      [](Store& store, StoreWriter&) { commit(store, vm(5)); },
      [](Store&, StoreWriter& writer) { expect_ok(protect_point(writer, {vm(1), kNow, {}})); },
      [](Store&, StoreWriter& writer) { expect_ok(delete_point(writer, deletion(vm(1)), kNow)); },
      [](Store&, StoreWriter& writer) {
        expect_ok(delete_point(writer, deletion(vm(1)), kNow));
        expect_ok(undelete_point(writer, vm(1)));
      },
      [](Store&, StoreWriter& writer) { expect_ok(purge_point(writer, vm(1), "test", kNow, kNow)); }};
  keep_copy();
  for (const auto& make : changes) {
    seen_.clear();
    change(make);
    EXPECT_THAT(look(), IsEmpty());
    put_copy_back();
    EXPECT_THAT(look(), Not(IsEmpty()));
    EXPECT_THAT(look(), Not(IsEmpty())) << "until it is settled";
    put_newer_back();
    EXPECT_THAT(look(), IsEmpty()) << "what is newer is there again";
    std::filesystem::remove_all(place_.path());
    std::filesystem::copy(copy(), place_.path(), std::filesystem::copy_options::recursive);
  }
}

TEST_F(Rollback, ChangesAfterItDoNotHideIt) {
  {
    const auto store = place_.open();
    commit_days(*store, 3);
  }
  keep_copy();
  change([](Store&, StoreWriter& writer) { expect_ok(delete_point(writer, deletion(vm(1)), kNow)); });
  EXPECT_THAT(look(), IsEmpty());
  put_copy_back();
  // By a host that never saw the newer state.
  for (int day = 10; day < 20; ++day) change([&](Store& store, StoreWriter&) { commit(store, vm(day)); });
  EXPECT_THAT(look(), ElementsAre(HasSubstr("its change number 4 is another")));
  for (int i = 0; i < 300; ++i)
    change([&](Store&, StoreWriter& writer) { expect_ok(protect_point(writer, {vm(10), kNow, {}})); });
  EXPECT_THAT(look(), ElementsAre(HasSubstr("may be missing")));
}

TEST_F(Rollback, TheNewestPointRemovedTogetherWithItsRecordIsMissed) {
  const auto store = place_.open();
  commit_days(*store, 3);
  EXPECT_THAT(look(*store), IsEmpty());
  std::filesystem::remove(file("points/" + vm(2).text()));
  std::filesystem::remove_all(file("newest"));
  EXPECT_THAT(look(*store), Contains(HasSubstr(vm(2).text() + " is not there")));
}

TEST_F(Rollback, OneMachineThatWasPutBackIsFoundAlone) {
  const auto store = place_.open();
  commit_days(*store, 2);
  commit(*store, {"other", test_time()});
  std::filesystem::copy(file("newest/vm"), directory_.path() / "newest");
  commit(*store, vm(2));
  commit(*store, {"other", test_time() + days(1)});
  EXPECT_THAT(look(*store), IsEmpty());
  std::filesystem::remove(file("points/" + vm(2).text()));
  std::filesystem::copy_file(directory_.path() / "newest", file("newest/vm"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(look(*store), Contains(HasSubstr(vm(2).text())));
  EXPECT_FALSE(seen_["other"].older);
  EXPECT_TRUE(seen_["vm"].older);
}

TEST_F(Rollback, APointInTheMiddleThatIsGoneWithoutATombstoneIsFound) {
  const auto store = place_.open();
  commit_days(*store, 5);
  EXPECT_THAT(look(*store), IsEmpty());
  std::filesystem::remove(file("points/" + vm(2).text()));
  EXPECT_THAT(look(*store), ElementsAre(HasSubstr(vm(2).text() + " is not there")));
  // Later purges are no explanation.
  expect_ok(purge(*store, vm(4)));
  EXPECT_THAT(look(*store), ElementsAre(HasSubstr(vm(2).text() + " is not there")));
}

TEST_F(Rollback, ARecordOfADeletionThatWasUndoneIsFoundWhenItComesBack) {
  const auto store = place_.open();
  commit_days(*store, 3);
  expect_ok(remove(*store, vm(1)));
  EXPECT_THAT(look(*store), IsEmpty());
  const std::filesystem::path mark = file("deleted/" + vm(1).text());
  std::filesystem::copy(mark, directory_.path() / "mark");
  change([](Store&, StoreWriter& writer) { expect_ok(undelete_point(writer, vm(1))); });
  EXPECT_THAT(look(*store), IsEmpty());
  std::filesystem::copy(directory_.path() / "mark", mark);
  EXPECT_THAT(look(*store), ElementsAre(HasSubstr("was undone is recorded again")));
  // One that was really deleted again is none of that.
  std::filesystem::remove(mark);
  expect_ok(remove(*store, vm(1)));
  EXPECT_THAT(look(*store), IsEmpty());
}

TEST_F(Rollback, AProtectionThatIsTakenAwayOrPutBackToAnEarlierEndIsFound) {
  const auto store = place_.open();
  const auto writer = value_of(begin_writing(*store, "test"));
  commit_days(*store, 3);
  expect_ok(protect_point(*writer, {vm(1), kNow, kNow + days(1)}));
  EXPECT_THAT(look(*store), IsEmpty());
  const std::filesystem::path mark = file("protected/" + vm(1).text());
  std::filesystem::copy(mark, directory_.path() / "short");
  expect_ok(protect_point(*writer, {vm(1), kNow, {}}));
  EXPECT_THAT(look(*store), IsEmpty());
  std::filesystem::copy(mark, directory_.path() / "long");
  std::filesystem::copy_file(directory_.path() / "short", mark, std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(look(*store), ElementsAre(HasSubstr("earlier record of the protection")));
  std::filesystem::remove(mark);
  EXPECT_THAT(look(*store), ElementsAre(HasSubstr("was protected, and the record of that is gone")));
  std::filesystem::copy(directory_.path() / "long", mark);
  EXPECT_THAT(look(*store), IsEmpty());
  // Its end is no removal.
  expect_ok(unprotect_point(*writer, vm(1)));
  EXPECT_THAT(look(*store), IsEmpty());
}

TEST_F(Rollback, APointThatWasRemovedAndIsPutBackIsFound) {
  const auto store = place_.open();
  commit_days(*store, 3);
  EXPECT_THAT(look(*store), IsEmpty());
  std::filesystem::copy(file("points/" + vm(0).text()), directory_.path() / "point");
  expect_ok(purge(*store, vm(0)));
  EXPECT_THAT(look(*store), IsEmpty());
  std::filesystem::copy(directory_.path() / "point", file("points/" + vm(0).text()));
  EXPECT_THAT(look(*store), ElementsAre(HasSubstr("was removed, and is there again")));
}

TEST_F(Rollback, AGapThatWasAcceptedIsSettled) {
  const auto store = place_.open();
  commit_days(*store, 3);
  EXPECT_THAT(look(*store), IsEmpty());
  std::filesystem::remove(file("points/" + vm(1).text()));
  EXPECT_THAT(look(*store), Not(IsEmpty()));
  Damage damage;
  damage.accepted_gaps = {{vm(2).text(), vm(1).text(), {}, kPointFileMissing}};
  expect_ok(save_damage(*store, damage));
  EXPECT_THAT(look(*store), IsEmpty());
}

TEST_F(Rollback, ADamagedRecordSaysNothingAndItsRepairIsNoRollback) {
  const auto store = place_.open();
  commit_days(*store, 3);
  EXPECT_THAT(look(*store), IsEmpty());
  flip_byte(file("newest/vm"), 70);
  EXPECT_THAT(look(*store), IsEmpty());
  commit(*store, vm(3));
  EXPECT_THAT(look(*store), IsEmpty());
}

// Whatever hosts that share the store do, in whatever order, and however seldom this one looks.
TEST_F(Rollback, NothingThatCairnDoesIsTakenForOne) {
  const auto seed = static_cast<unsigned>(testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE("seed " + std::to_string(seed));
  for (unsigned round = 0; round < 8; ++round) {
    const TemporaryStore place;
    const auto store = place.open();
    const auto writer = value_of(begin_writing(*store, "test"));
    std::mt19937 random(seed * 100 + round);
    StoreMemories seen;
    for (int step = 0; step < 60; ++step) {
      const PointName name = vm(static_cast<int>(random() % 12));
      switch (random() % 7) {
        case 0:
        case 1: {
          RecoveryPoint point;
          point.name = name;
          static_cast<void>(writer->commit(point).has_value());
          break;
        }
        case 2:
          static_cast<void>(delete_point(*writer, deletion(name), kNow).has_value());
          break;
        case 3:
          static_cast<void>(undelete_point(*writer, name).has_value());
          break;
        case 4:
          static_cast<void>(purge_point(*writer, name, "test", kNow, kNow).has_value());
          break;
        case 5:
          static_cast<void>(protect_point(*writer, {name, kNow, {}}).has_value());
          break;
        default:
          static_cast<void>(unprotect_point(*writer, name).has_value());
      }
      if (random() % 4 != 0) continue;
      for (const auto& [machine, view] : value_of(look_at_machines(*store, seen))) {
        RollbackJudgement judged = judge_rollback(seen[machine], view, kNow);
        EXPECT_THAT(judged.findings, IsEmpty()) << "round " << round << ", step " << step;
        seen[machine] = std::move(judged.next);
      }
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace cairn
