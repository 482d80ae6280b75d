// SPDX-License-Identifier: GPL-3.0-or-later
// Key records: what a recovery point holds of the keys that open its disks, and the proof that they do. Bytes:
// fs/store/FORMAT.md "Recovery point". Pure. Any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/clock.h"
#include "config/base/result.h"
#include "crypto/vault/key_vault.h"
#include "crypto/vault/wrapped_bek.h"

namespace cairn {

// A BEK of a disk, as its vault gave it.
struct BekRecord {
  std::string vault;    // its name in the settings
  std::string secret;   // its name in the vault
  std::string version;  // of the secret
  WrappedBek bek;
  Buffer escrowed;  // the BEK itself in escrow; empty: its KEK's backup is portable, and opens it
  [[nodiscard]] std::string reference() const { return vault + "/" + secret; }
  [[nodiscard]] std::string escrow_context() const { return "bek " + reference() + " " + version; }
};

// A KEK version that wraps BEKs of this point.
struct KekRecord {
  std::string vault;
  KekBackup backup;
  // The version that wraps this BEK.
  [[nodiscard]] bool wraps(const BekRecord& bek) const {
    return vault == bek.vault && backup.name == bek.bek.kek && backup.version == bek.bek.wrapped.version;
  }
  [[nodiscard]] bool is_of(const KekRecord& other) const {
    return vault == other.vault && backup.name == other.backup.name && backup.version == other.backup.version;
  }
};

// One encrypted volume: whether a BEK of the point opened its header as stored in the point.
struct VolumeProof {
  std::string disk;
  unsigned partition = 0;  // 0: the whole disk
  bool proved = false;
  std::string reason;  // why not
  std::string secret;  // "main/web-01-root"; empty: none was tried, or (proved) it opened without any
  std::string secret_version;
  std::string kek;  // "main/backup"
  std::string kek_version;
  int slot = -1;            // LUKS: the key slot that opened
  std::string fingerprint;  // hex; the same as long as the volume key is the same (KeyRing::fingerprint)
};

// proved: every encrypted volume of the point was opened with the keys in the point, from its header in the point.
enum class ProofState { unproved, proved, not_encrypted };
std::string_view to_string(ProofState state);  // "unproved", "proved", "not-encrypted"
std::optional<ProofState> parse_proof_state(std::string_view text);

struct Proof {
  ProofState state = ProofState::unproved;
  std::string reason;           // why it is unproved
  std::optional<UtcTime> time;  // when it was tried
  std::vector<VolumeProof> volumes;
  [[nodiscard]] const VolumeProof* volume(std::string_view disk, unsigned partition) const;
};

// with: as in the store. without: what is wrapped or in escrow is left out; for the mount, commands and the API.
enum class KeyMaterial { with, without };

nlohmann::json to_json(const BekRecord& record, KeyMaterial material);
nlohmann::json to_json(const KekRecord& record, KeyMaterial material);
nlohmann::json to_json(const Proof& proof);
// Throw nlohmann::json::exception when a member is missing or of another type. Errors: point_damaged.
Result<BekRecord> bek_record_from(const nlohmann::json& document, const std::string& object);
Result<KekRecord> kek_record_from(const nlohmann::json& document, const std::string& object);
Result<Proof> proof_from(const nlohmann::json& document, const std::string& object);

}  // namespace cairn
