// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/point_unlock.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "crypto/vault/kek_backup.h"
#include "daemon/keys/last_proof.h"
#include "daemon/keys/stored_headers.h"
#include "daemon/queue/job_record.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using nlohmann::json;

// A disk's BEKs, as far as they can be opened.
struct OpenedBeks {
  std::vector<const BekRecord*> records;
  std::vector<SecretBytes> beks;
  std::optional<Error> error;  // the first that could not be

  OpenedBeks(const RecoveryPoint& point, const DiskRecord& disk, const EscrowKeys& owner) {
    for (const BekRecord& record : disk.beks) {
      auto bek = open_bek(point, record, owner);
      if (bek) {
        records.push_back(&record);
        beks.push_back(*std::move(bek));
      } else if (!error) {
        error = std::move(bek).error();
      }
    }
  }
};

}  // namespace

Result<SecretBytes> open_bek(const RecoveryPoint& point, const BekRecord& record, const EscrowKeys& owner) {
  const std::string object = point.name.text() + ": " + record.reference();
  const KekRecord* kek = point.kek_of(record);
  if (kek != nullptr && kek->backup.portable) {
    CAIRN_TRY(const Kek opened, open_kek_backup(kek->backup, owner, object));
    CAIRN_TRY(SecretBytes bek, opened.unwrap(record.bek.wrapped, object));
    return normal_bek(record.bek.type, std::move(bek), object);
  }
  if (record.escrowed.empty())
    return fail(ErrorCode::no_escrowed_keys, "open BEK", object,
                "the point holds it wrapped by a KEK that never leaves the vault " + record.vault +
                    ", and not in escrow (escrow_beks: false)",
                "only that vault can unwrap it");
  CAIRN_TRY(SecretBytes bek, open_escrow(record.escrowed, owner, record.escrow_context(), object));
  return normal_bek(record.bek.type, std::move(bek), object);
}

ProofState PointVerdict::state() const {
  if (volumes.empty()) return recorded == ProofState::unknown ? recorded : ProofState::not_encrypted;
  const bool all = std::ranges::none_of(volumes, [](const VolumeVerdict& volume) { return volume.error.has_value(); });
  return all ? ProofState::proved : ProofState::unproved;
}

PointVerdict unlock_point(Store& store, const RecoveryPoint& point, const EscrowKeys& owner) {
  PointVerdict verdict;
  verdict.name = point.name;
  verdict.recorded = point.proof.state;
  double left = kUnlockSecondsOfJob;
  for (const DiskRecord& disk : point.disks) {
    if (!disk.facts.encrypted()) continue;
    const OpenedBeks opened(point, disk, owner);
    std::vector<BekToTry> beks;
    for (std::size_t i = 0; i < opened.beks.size(); ++i) beks.push_back({opened.records[i], &opened.beks[i]});
    for (const VolumeFacts& volume : disk.facts.volumes) {
      const std::string object = volume_object(point.name.text() + "/" + disk.name, volume);
      UnlockLimits limits;
      limits.left = &left;
      if (const VolumeProof* proof = point.proof.volume(disk.name, volume.partition, volume.within))
        limits.first_slot = proof->slot;
      TriedVolume tried = try_volume(
          volume, read_stored_header(store, disk, volume, object), beks,
          [&](const SecretBytes& key) { return store.keys().fingerprint(key); }, disk.name, object, limits);
      if (tried.error && disk.beks.empty())
        tried.error = fail(ErrorCode::no_escrowed_keys, "unlock", object, "the point was taken without keys").error();
      else if (tried.error && opened.error)
        tried.error = opened.error;
      verdict.volumes.push_back({disk.name, volume.partition, volume.within, to_string(volume.type), volume.uuid,
                                 std::move(tried.proof), std::move(tried.error)});
    }
  }
  return verdict;
}

json to_json(const PointVerdict& verdict) {
  json volumes = json::array();
  for (const VolumeVerdict& volume : verdict.volumes)
    volumes.push_back({{"disk", volume.disk},
                       {"partition", volume.partition},
                       {"within", volume.within},
                       {"type", volume.type},
                       {"uuid", volume.uuid},
                       {"unlocked", !volume.error},
                       {"secret", volume.proof.secret},
                       {"secret_version", volume.proof.secret_version},
                       {"kek", volume.proof.kek},
                       {"kek_version", volume.proof.kek_version},
                       {"slot", volume.proof.slot},
                       {"error", volume.error ? to_json(*volume.error) : json(nullptr)}});
  return {{"point", verdict.name.text()},
          {"state", to_string(verdict.state())},
          {"recorded", to_string(verdict.recorded)},
          {"volumes", volumes}};
}

}  // namespace cairn
