// SPDX-License-Identifier: GPL-3.0-or-later
// The keys and the proof in a recovery point's document.
#include "fs/store/point/key_records.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crypto/base64.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {
namespace {

using nlohmann::json;

RecoveryPoint point_with_keys() {
  RecoveryPoint point;
  point.name = {"web-01", *parse_iso_time("2026-11-22T02:00:00Z")};
  DiskRecord disk;
  disk.name = "root";
  VolumeFacts volume;
  volume.partition = 2;
  disk.facts.volumes.push_back(volume);
  disk.headers.push_back({"root-part2.luks2", {}, 2});
  BekRecord bek;
  bek.vault = "main";
  bek.secret = "web-01-root";
  bek.version = "3";
  bek.bek.type = BekType::luks_passphrase;
  bek.bek.file_name = "web.key";
  bek.bek.kek = "backup";
  bek.bek.wrapped = {"2", "X25519-sealed-box", Buffer(300, 0xab)};
  bek.bek.created = *parse_iso_time("2026-11-01T00:00:00Z");
  bek.escrowed = Buffer(200, 0xcd);
  disk.beks.push_back(bek);
  point.disks.push_back(disk);
  KekRecord kek;
  kek.vault = "main";
  kek.backup = {"backup", "2", "X25519", parse_iso_time("2026-10-01T00:00:00Z"), true, Buffer(250, 0xef)};
  point.keks.push_back(kek);
  point.proof.state = ProofState::proved;
  point.proof.time = point.name.time;
  VolumeProof proof;
  proof.disk = "root";
  proof.partition = 2;
  proof.proved = true;
  proof.secret = "main/web-01-root";
  proof.secret_version = "3";
  proof.kek = "main/backup";
  proof.kek_version = "2";
  proof.slot = 1;
  proof.fingerprint = "00ff";
  point.proof.volumes.push_back(proof);
  return point;
}

TEST(KeyRecords, AreReadBackAsTheyWereWritten) {
  const RecoveryPoint point = point_with_keys();
  const auto read = point_from_json(to_json(point, KeyMaterial::with), "test");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(to_json(*read, KeyMaterial::with), to_json(point, KeyMaterial::with));
  EXPECT_EQ(read->disks[0].beks[0].bek, point.disks[0].beks[0].bek);
  EXPECT_EQ(read->disks[0].beks[0].escrowed, point.disks[0].beks[0].escrowed);
  EXPECT_EQ(read->keks[0].backup.sealed, point.keks[0].backup.sealed);
  ASSERT_NE(read->proof.volume("root", 2), nullptr);
  EXPECT_EQ(read->proof.volume("root", 2)->slot, 1);
  EXPECT_EQ(read->proof.volume("root", 0), nullptr);
}

TEST(KeyRecords, ShownWithoutWhatIsWrappedOrInEscrow) {
  const RecoveryPoint point = point_with_keys();
  const std::string shown = to_json(point).dump();
  for (const Buffer& bytes :
       {point.disks[0].beks[0].bek.wrapped.bytes, point.disks[0].beks[0].escrowed, point.keks[0].backup.sealed})
    EXPECT_EQ(shown.find(to_base64(bytes).substr(0, 40)), std::string::npos);
  EXPECT_NE(shown.find("web-01-root"), std::string::npos);
  EXPECT_EQ(to_json(point)["disks"][0]["keys"][0]["in_escrow"], true);
}

TEST(KeyRecords, InEscrowIsWhatAnOwnerOfTheStoreGetsBack) {
  RecoveryPoint point = point_with_keys();
  const auto in_escrow = [&]() -> bool { return to_json(point)["disks"][0]["keys"][0]["in_escrow"]; };
  point.disks[0].beks[0].escrowed.clear();
  for (KekRecord& kek : point.keks) kek.backup.portable = true;
  ASSERT_NE(point.kek_of(point.disks[0].beks[0]), nullptr);
  EXPECT_TRUE(in_escrow());  // wrapped by a KEK that the point has
  for (KekRecord& kek : point.keks) kek.backup.portable = false;
  EXPECT_FALSE(in_escrow());  // only its vault opens it
  point.disks[0].beks[0].escrowed = Buffer(100, 1);
  EXPECT_TRUE(in_escrow());
  point.keks.clear();
  EXPECT_TRUE(in_escrow());
  point.disks[0].beks[0].escrowed.clear();
  EXPECT_FALSE(in_escrow());
}

TEST(KeyRecords, PointsOfBeforeThereWereVaultsAreRead) {
  json document = to_json(point_with_keys(), KeyMaterial::with);
  document.erase("keks");
  document["proof"] = {{"state", "unproved"}, {"reason", "no key vault is in use yet: keys were not escrowed"}};
  for (json& disk : document["disks"]) {
    disk.erase("keys");
    for (json& header : disk["headers"]) header.erase("partition");
  }
  const auto read = point_from_json(document, "test");
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_TRUE(read->keks.empty());
  EXPECT_TRUE(read->disks[0].beks.empty());
  EXPECT_EQ(read->proof.state, ProofState::unproved);
  EXPECT_NE(read->disks[0].header_of(read->disks[0].facts.volumes[0]), nullptr)
      << "headers then belonged to the volumes in order";
}

TEST(KeyRecords, DamagedOnesMakeThePointDamaged) {
  const json good = to_json(point_with_keys(), KeyMaterial::with);
  const auto refused = [&](const json::json_pointer& at, const json& value) {
    json document = good;
    document[at] = value;
    const auto read = point_from_json(document, "test");
    return !read && read.error().code == ErrorCode::point_damaged;
  };
  EXPECT_TRUE(refused(json::json_pointer("/keks/0/sealed_base64"), "not base64!"));
  EXPECT_TRUE(refused(json::json_pointer("/keks/0/version"), 7));
  EXPECT_TRUE(refused(json::json_pointer("/disks/0/keys/0/bek/type"), "house key"));
  EXPECT_TRUE(refused(json::json_pointer("/disks/0/keys/0/escrowed_base64"), "%"));
  EXPECT_TRUE(refused(json::json_pointer("/proof/volumes/0/slot"), "one"));
}

}  // namespace
}  // namespace cairn
