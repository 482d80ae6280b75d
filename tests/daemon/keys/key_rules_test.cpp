// SPDX-License-Identifier: GPL-3.0-or-later
// The key rules that need no disk: what is named, what changed. With vaults and disks: machine_keys_test.cpp.
#include "daemon/keys/key_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

DiskFacts encrypted() {
  DiskFacts facts;
  VolumeFacts volume;
  volume.uuid = "6c7b1c4e";
  volume.slots = {{0, "argon2id"}};
  facts.volumes.push_back(volume);
  return facts;
}

DiskSettings disk_with(bool bek, bool kek) {
  DiskSettings disk;
  disk.name = "root";
  if (bek) disk.beks.push_back({"main", "web-root"});
  if (kek) disk.kek = VaultReference{"main", "backup"};
  return disk;
}

DiskRecord record_of(const DiskFacts& facts, std::uint8_t header_root = 1) {
  DiskRecord record;
  record.name = "root";
  record.facts = facts;
  for (const VolumeFacts& volume : facts.volumes) {
    HeaderRecord header;
    header.partition = volume.partition;
    header.map.root = *ChunkName::parse(std::string(62, '0') + "0" + std::to_string(header_root));
    record.headers.push_back(header);
  }
  return record;
}

Proof proof_with(const std::string& fingerprint) {
  Proof proof;
  VolumeProof volume;
  volume.disk = "root";
  volume.fingerprint = fingerprint;
  proof.volumes.push_back(volume);
  return proof;
}

DiskFacts plain_disk() {
  return {.seen = {"ext4"}, .all_known = true};
}
DiskFacts unknown_disk(std::string what) {
  return {.not_known = {std::move(what)}};
}

TEST(KeyRules, AnEncryptedDiskNeedsKeys) {
  const auto refused = check_named_keys(disk_with(false, false), encrypted(), nullptr, "web/root");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::keys_missing);
  EXPECT_THAT(refused.error().message(), HasSubstr("web/root: it holds LUKS2 and the settings name no keys for it"));
}

TEST(KeyRules, ADiskThatBecameEncryptedHasAnErrorOfItsOwn) {
  const DiskRecord plain = record_of(plain_disk());
  const auto refused = check_named_keys(disk_with(false, false), encrypted(), &plain, "web/root");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::became_encrypted);
  const DiskRecord before = record_of(encrypted());
  EXPECT_EQ(check_named_keys(disk_with(false, false), encrypted(), &before, "web/root").error().code,
            ErrorCode::keys_missing);
}

TEST(KeyRules, ABekNeedsAKek) {
  EXPECT_EQ(check_named_keys(disk_with(true, false), encrypted(), nullptr, "web/root").error().code,
            ErrorCode::bek_without_kek);
  EXPECT_TRUE(check_named_keys(disk_with(true, true), encrypted(), nullptr, "web/root"));
}

TEST(KeyRules, PlainDisksNeedNoneAndKeysForThemAreAWarning) {
  EXPECT_TRUE(check_named_keys(disk_with(false, false), plain_disk(), nullptr, "web/root"));
  EXPECT_FALSE(keys_not_needed(disk_with(false, false), plain_disk(), nullptr, "web/root"));
  const auto idle = keys_not_needed(disk_with(true, true), plain_disk(), nullptr, "web/root");
  ASSERT_TRUE(idle);
  EXPECT_EQ(idle->code, ErrorCode::keys_not_needed);
  const DiskRecord before = record_of(encrypted());
  EXPECT_THAT(keys_not_needed(disk_with(true, true), plain_disk(), &before, "web/root")->because,
              HasSubstr("is its header destroyed?"));
  EXPECT_THAT(
      keys_not_needed(disk_with(true, true), plain_disk(), &before, "web/root")->message(),
      testing::AllOf(HasSubstr("leave its keys in the settings"), testing::Not(HasSubstr("take bek and kek out"))));
  EXPECT_FALSE(keys_not_needed(disk_with(true, true), encrypted(), nullptr, "web/root"));
}

TEST(KeyRules, KeysOfADiskThatIsNotKnownAreNeverCalledUnnecessary) {
  EXPECT_FALSE(keys_not_needed(disk_with(true, true), unknown_disk("LVM2_member"), nullptr, "web/root"));
  EXPECT_FALSE(keys_not_needed(disk_with(true, true), DiskFacts{}, nullptr, "web/root"));
}

TEST(KeyRules, WhatEarlierVersionsDidNotLookForIsNoSignOfRansomware) {
  const DiskRecord before = record_of(DiskFacts{});  // as a point of an earlier version is read
  EXPECT_EQ(check_named_keys(disk_with(false, false), encrypted(), &before, "web/root").error().code,
            ErrorCode::keys_missing);
  const DiskRecord looked_at = record_of(unknown_disk("nothing recognised"));
  EXPECT_EQ(check_named_keys(disk_with(false, false), encrypted(), &looked_at, "web/root").error().code,
            ErrorCode::became_encrypted);
}

TEST(KeyRules, WhatIsLostComesBackFromThePreviousPoint) {
  DiskRecord before = record_of(encrypted());
  before.beks.push_back({"main", "web-root", "1", {}, {}});
  const auto resolution = [&](ErrorCode code, const DiskRecord* previous) {
    return naming_key_restore(Error{code, "read secret", "main/web-root", "gone", 0, "as it was"}, previous, "web")
        .resolution;
  };
  for (const ErrorCode code : {ErrorCode::secret_missing, ErrorCode::kek_missing}) {
    EXPECT_THAT(resolution(code, &before), HasSubstr("\"cairn key restore web@latest --vault main\" brings it back"));
    EXPECT_EQ(resolution(code, nullptr), "as it was");
  }
  EXPECT_THAT(resolution(ErrorCode::vault_missing, &before), HasSubstr("cairn vault init --vault main"));
  EXPECT_EQ(resolution(ErrorCode::vault_denied, &before), "as it was");
  before.beks.clear();
  EXPECT_EQ(resolution(ErrorCode::secret_missing, &before), "as it was");
}

TEST(KeyRules, AClearKeyNeedsNoKeysToBeNamed) {
  DiskFacts facts = encrypted();
  facts.volumes[0].type = VolumeType::bitlocker;
  facts.volumes[0].slots = {{0, "clear-key"}, {1, "recovery-password"}};
  EXPECT_TRUE(check_named_keys(disk_with(false, false), facts, nullptr, "web/root"));
  facts.volumes.push_back(encrypted().volumes[0]);  // another volume that needs one
  EXPECT_EQ(check_named_keys(disk_with(false, false), facts, nullptr, "web/root").error().code,
            ErrorCode::keys_missing);
}

TEST(KeyRules, AnotherVolumeKeyIsTold) {
  const DiskRecord before = record_of(encrypted());
  const DiskRecord now = record_of(encrypted(), 2);
  EXPECT_THAT(volume_changes(before, proof_with("aa"), now, proof_with("bb"), "web/root"),
              ElementsAre(HasSubstr("[volume-key-changed]")));
}

TEST(KeyRules, WithoutKnownKeysTheUuidTellsOfAnotherVolume) {
  DiskFacts other = encrypted();
  other.volumes[0].uuid = "ffff";
  EXPECT_THAT(volume_changes(record_of(encrypted()), Proof{}, record_of(other), Proof{}, "web/root"),
              ElementsAre(HasSubstr("[volume-key-changed]")));
}

TEST(KeyRules, ChangedSlotsAreToldWithBothLists) {
  DiskFacts more = encrypted();
  more.volumes[0].slots.push_back({1, "pbkdf2"});
  EXPECT_THAT(
      volume_changes(record_of(encrypted()), proof_with("aa"), record_of(more, 2), proof_with("aa"), "web/root"),
      ElementsAre(HasSubstr("its key slots were 0 argon2id at the previous recovery point, and are 0 argon2id, 1 "
                            "pbkdf2 [key-slots-changed]")));
}

TEST(KeyRules, AChangedHeaderWithTheSameSlotsIsToldToo) {
  EXPECT_THAT(
      volume_changes(record_of(encrypted()), proof_with("aa"), record_of(encrypted(), 2), proof_with("aa"), "web/root"),
      ElementsAre(HasSubstr("other metadata in its header changed")));
}

TEST(KeyRules, NothingChangedNothingSaid) {
  EXPECT_THAT(
      volume_changes(record_of(encrypted()), proof_with("aa"), record_of(encrypted()), proof_with("aa"), "web/root"),
      IsEmpty());
  EXPECT_THAT(volume_changes(record_of(plain_disk()), Proof{}, record_of(encrypted()), proof_with("aa"), "web/root"),
              IsEmpty())
      << "a volume that was not there before has not changed";
}

}  // namespace
}  // namespace cairn
