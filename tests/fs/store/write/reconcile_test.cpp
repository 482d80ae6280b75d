// SPDX-License-Identifier: GPL-3.0-or-later
// What the index says of packs is compared with what is there before anything builds on it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/units.h"
#include "fs/store/pack/pack.h"
#include "fs/store/store_state.h"
#include "fs/store/verify/damage.h"
#include "fs/store/verify/verify.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class Reconcile : public testing::Test {
 protected:
  Reconcile() : image_(24 * kMiB) {
    image_.fill_random(0, 24 * kMiB, 1);
    first_ = value_of(take_backup(*place_.open(), image_, "vm", test_time()));
    packs_ = files_in(place_.path() / "packs");
  }
  PackFindings next_backup() {
    const auto store = place_.open();
    const auto writer = value_of(begin_writing(*store, "test"));
    const PackFindings found = writer->pack_findings();
    second_ = value_of(take_backup(*store, image_, "vm", test_time(1)));
    return found;
  }
  void expect_second_whole() { expect_same(*place_.open(), second_.name, image_); }
  TemporaryStore place_;
  MemoryImage image_;
  RecoveryPoint first_;
  RecoveryPoint second_;
  std::vector<std::filesystem::path> packs_;
};

TEST_F(Reconcile, ABackupDoesNotBuildOnAPackThatWasCutOff) {
  std::filesystem::resize_file(packs_[0], 1000);
  const PackFindings found = next_backup();
  EXPECT_THAT(found.other_size, ElementsAre(packs_[0].filename().string()));
  EXPECT_THAT(found.missing, IsEmpty());
  expect_second_whole();
}

TEST_F(Reconcile, NorOnOneThatIsEmptyOrHasGrown) {
  ASSERT_GE(packs_.size(), 2U);
  std::filesystem::resize_file(packs_[0], 0);
  std::filesystem::resize_file(packs_[1], std::filesystem::file_size(packs_[1]) + 1);
  EXPECT_THAT(next_backup().other_size, SizeIs(2));
  expect_second_whole();
}

TEST_F(Reconcile, NorOnOneThatIsGoneOrALink) {
  ASSERT_GE(packs_.size(), 2U);
  std::filesystem::remove(packs_[0]);
  std::filesystem::remove(packs_[1]);
  std::filesystem::create_symlink("/dev/zero", packs_[1]);
  const PackFindings found = next_backup();
  EXPECT_EQ(found.missing.size() + found.other_size.size(), 2U);
  expect_second_whole();
}

TEST_F(Reconcile, TrackedBackupsReadAllAgain) {
  const auto epoch = [&] { return value_of(value_of(begin_writing(*place_.open(), "test"))->epoch()); };
  const std::string before = epoch();
  EXPECT_EQ(epoch(), before);
  std::filesystem::resize_file(packs_[0], 1000);
  EXPECT_NE(epoch(), before);
}

TEST_F(Reconcile, WhatWasFoundIsKnownDamageUntilAVerify) {
  std::filesystem::resize_file(packs_[0], 1000);
  std::filesystem::remove(packs_[1]);
  const auto store = place_.open();
  {
    const auto writer = value_of(begin_writing(*store, "test"));
    expect_ok(keep_findings(*store, writer->pack_findings(), test_time(2)));
    expect_ok(keep_findings(*store, writer->pack_findings(), test_time(3)));
  }
  const Damage damage = value_of(load_damage(*store));
  EXPECT_THAT(damage.packs, SizeIs(2));
  EXPECT_EQ(damage.found, test_time(2));
  const VerifyReport report = value_of(verify_store(*store, {}));
  EXPECT_THAT(report.damage.points, SizeIs(1));
}

TEST_F(Reconcile, NothingIsFoundWhenAllIsThere) {
  EXPECT_TRUE(next_backup().none());
}

class Keyless : public Reconcile {
 protected:
  KeylessReport verify() {
    KeylessOptions options;
    options.index_folder = place_.path() / "index";
    return value_of(verify_keyless(*place_.open()->state().backend, options));
  }
};

TEST_F(Keyless, ACopyWithoutPacksIsNotCalledWell) {
  EXPECT_TRUE(verify().clean());
  std::filesystem::remove_all(place_.path() / "packs");
  EXPECT_THAT(verify().missing, SizeIs(packs_.size()));
  EXPECT_FALSE(verify().clean());
}

TEST_F(Keyless, WithoutAnIndexItSaysThatItCannotKnow) {
  std::filesystem::remove_all(place_.path() / "index");
  const KeylessReport report = verify();
  EXPECT_FALSE(report.expected);
  EXPECT_NE(report.not_expected, "");
  EXPECT_FALSE(report.clean());
  EXPECT_EQ(report.points, 1U);
}

}  // namespace
}  // namespace cairn
