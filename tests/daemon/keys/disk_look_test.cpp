// SPDX-License-Identifier: GPL-3.0-or-later
// What is done with images that look like other formats, and what is said of disks of which nobody knows what they
// hold.
#include "daemon/keys/disk_look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn {
namespace {

using ::testing::HasSubstr;

DiskFacts vmdk() {
  DiskFacts facts;
  facts.format = ImageFormat{"VMDK", "vmdk", "a descriptor"};
  return facts;
}

DiskRecord raw_before() {
  DiskRecord before;
  before.image = "/images/web.img";
  before.inode = 7;
  before.map.size = 1000;
  return before;
}

const ImageIdentity kNow{"/images/web.img", 7, 1000};

TEST(ImageForm, AnotherFormatIsRefusedByItsName) {
  const auto refused = form_of(DiskSettings{}, vmdk(), kNow, nullptr, "web/root");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::image_not_raw);
  EXPECT_THAT(refused.error().message(), HasSubstr("/images/web.img looks like a VMDK file (a descriptor)"));
  EXPECT_TRUE(form_of(DiskSettings{}, DiskFacts{}, kNow, nullptr, "web/root"));
}

TEST(ImageForm, FormatRawStoresItUnderItsOwnSuffix) {
  DiskSettings raw;
  raw.format = DiskFormat::raw;
  const auto form = form_of(raw, vmdk(), kNow, nullptr, "web/root");
  ASSERT_TRUE(form);
  EXPECT_EQ(form->stored_as, "vmdk");
  EXPECT_FALSE(form->warning);
  DiskRecord record;
  record.name = "root";
  EXPECT_EQ(record.file_name(), "root.img");
  record.stored_as = form->stored_as;
  EXPECT_EQ(record.file_name(), "root.vmdk");
}

TEST(ImageForm, AGuestThatWritesSuchBytesStopsNoBackup) {
  const DiskRecord before = raw_before();
  for (const DiskFormat said : {DiskFormat::not_said, DiskFormat::raw}) {
    DiskSettings settings;
    settings.format = said;
    const auto form = form_of(settings, vmdk(), kNow, &before, "web/root");
    ASSERT_TRUE(form);
    EXPECT_EQ(form->stored_as, "");
    ASSERT_TRUE(form->warning);
    EXPECT_EQ(form->warning->code, ErrorCode::image_not_raw);
    EXPECT_THAT(form->warning->message(), HasSubstr("was a raw disk at the previous recovery point"));
  }
}

TEST(ImageForm, AnotherFileIsNotTheRawDiskOfBefore) {
  const DiskRecord before = raw_before();
  for (const ImageIdentity& now : {ImageIdentity{"/images/new.img", 7, 1000}, ImageIdentity{"/images/web.img", 8, 1000},
                                   ImageIdentity{"/images/web.img", 7, 1001}})
    EXPECT_FALSE(form_of(DiskSettings{}, vmdk(), now, &before, "web/root"));
  DiskRecord earlier_version = before;
  earlier_version.image.clear();
  EXPECT_FALSE(form_of(DiskSettings{}, vmdk(), kNow, &earlier_version, "web/root"));
  DiskRecord vmdk_before = before;
  vmdk_before.stored_as = "vmdk";
  EXPECT_FALSE(form_of(DiskSettings{}, vmdk(), kNow, &vmdk_before, "web/root"));
}

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
