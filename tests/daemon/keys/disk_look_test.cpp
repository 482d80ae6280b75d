// SPDX-License-Identifier: GPL-3.0-or-later
// What is said of disks of which nobody knows what they hold.
#include "daemon/keys/disk_look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn {
namespace {

using ::testing::HasSubstr;

TEST(EncryptionUnknown, IsWarnedOfWhenThereIsSomethingToLose) {
  DiskSettings without;
  DiskSettings with;
  with.beks = {{"main", "web"}};
  with.kek = VaultReference{"main", "backup"};
  const DiskFacts lvm{.not_known = {"LVM2_member: its metadata are damaged"}};
  const DiskFacts noise{.not_known = {"nothing recognised"}};
  const DiskFacts plain{.seen = {"ext4"}, .all_known = true};

  ASSERT_TRUE(encryption_unknown(with, noise, nullptr, "web/root"));
  EXPECT_THAT(encryption_unknown(with, noise, nullptr, "web/root")->because, HasSubstr("kept in the recovery point"));
  ASSERT_TRUE(encryption_unknown(without, lvm, nullptr, "web/root"));
  EXPECT_THAT(encryption_unknown(without, lvm, nullptr, "web/root")->message(), HasSubstr("LVM2_member"));
  EXPECT_FALSE(encryption_unknown(without, noise, nullptr, "web/root"));
  EXPECT_FALSE(encryption_unknown(with, plain, nullptr, "web/root"));

  DiskRecord before;
  before.facts = lvm;
  EXPECT_FALSE(encryption_unknown(without, lvm, &before, "web/root")) << "said before, and nothing changed";
  EXPECT_TRUE(encryption_unknown(with, lvm, &before, "web/root"));
  before.facts = noise;
  EXPECT_TRUE(encryption_unknown(without, lvm, &before, "web/root"));
}

TEST(EncryptionUnknown, ADiskOfZerosIsEmpty) {
  DiskFacts facts{.not_known = {"nothing recognised"}};
  take_for_empty(facts);
  EXPECT_EQ(facts.encryption(), DiskEncryption::not_encrypted);
  EXPECT_EQ(encryption_in_words(facts), "not encrypted (nothing but zeros)");
}

}  // namespace
}  // namespace cairn
