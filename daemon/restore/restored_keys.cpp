// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/restore/restored_keys.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/base/enum_words.h"
#include "daemon/keys/key_rules.h"
#include "daemon/keys/stored_headers.h"
#include "daemon/queue/job.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using nlohmann::json;

// In the results of jobs: scripts match on them.
constexpr EnumWords<KeyAtHand, 5> kKeyStates{{{KeyAtHand::ready, "ready"},
                                              {KeyAtHand::no_secret, "no-secret"},
                                              {KeyAtHand::missing, "missing"},
                                              {KeyAtHand::unknown, "unknown"},
                                              {KeyAtHand::none, "none"}}};

// What the vault gave for one of the disk's BEKs, now.
struct FromVault {
  BekRecord record;  // as it is in the vault, which may be a later version
  SecretBytes bek;
};

Result<FromVault> from_vault(const BekRecord& record, VaultSet& vaults, const std::string& object) {
  CAIRN_TRY(const OpenedVault* const opened, vaults.open(record.vault));
  CAIRN_TRY(StoredBek stored, opened->vault->get_secret(record.secret));
  FromVault found{{record.vault, record.secret, std::move(stored.version), std::move(stored.bek), {}}, {}};
  CAIRN_TRY(SecretBytes plain, opened->vault->unwrap(found.record.bek.kek, found.record.bek.wrapped));
  CAIRN_TRY(found.bek, normal_bek(found.record.bek.type, std::move(plain), object));
  return found;
}

KeyAtHand state_after(const Error& error) {
  constexpr std::array kGone = {ErrorCode::secret_missing, ErrorCode::kek_missing,   ErrorCode::vault_missing,
                                ErrorCode::secret_damaged, ErrorCode::unwrap_failed, ErrorCode::bek_does_not_open};
  return std::ranges::find(kGone, error.code) == kGone.end() ? KeyAtHand::unknown : KeyAtHand::missing;
}

class KeysAtHand {
 public:
  KeysAtHand(Store& store, const RecoveryPoint& point, const OpenVault& open_vault, JobContext& job)
      : store_(store), point_(point), have_vaults_(open_vault != nullptr), vaults_(open_vault), job_(job) {}

  void add(const DiskRecord& disk) {
    std::vector<FromVault> found;
    std::optional<Error> error;
    for (const BekRecord& record : disk.beks) {
      if (!have_vaults_) break;
      auto one = from_vault(record, vaults_, record.reference());
      if (one)
        found.push_back(*std::move(one));
      else if (!error)
        error = std::move(one).error();
    }
    for (const VolumeFacts& volume : disk.facts.volumes) add(disk, volume, found, error);
  }

  json take() && { return std::move(rows_); }

 private:
  void add(const DiskRecord& disk, const VolumeFacts& volume, const std::vector<FromVault>& found,
           const std::optional<Error>& error) {
    const std::string object = volume_object(point_.name.text() + "/" + disk.name, volume);
    const VolumeProof* proof = point_.proof.volume(disk.name, volume.partition, volume.within);
    const BekRecord* record = record_of(disk, proof);
    KeyAtHand state = KeyAtHand::none;
    std::string reason;
    if (record == nullptr && proof != nullptr && proof->proved) {
      state = KeyAtHand::no_secret;
    } else if (record == nullptr) {
      reason = "the recovery point was taken without keys";
    } else if (!have_vaults_) {
      state = KeyAtHand::unknown;
      reason = "no settings name its key vault here";
    } else {
      const auto tried = found.empty() ? error : try_now(disk, volume, found, object);
      state = tried ? state_after(error ? *error : *tried) : KeyAtHand::ready;
      if (tried) {
        const Error& why = error ? *error : *tried;
        reason = why.message() + " [" + std::string(why.name()) + "]";
      }
    }
    row(disk, volume, record, state, reason);
    // Whoever has no settings reads the row; he asked for no vault.
    if (state == KeyAtHand::missing || state == KeyAtHand::none || (state == KeyAtHand::unknown && have_vaults_))
      job_.warn(warning(disk, volume, record, state, reason));
  }

  // The BEK that proved the volume, or else the first of the disk.
  static const BekRecord* record_of(const DiskRecord& disk, const VolumeProof* proof) {
    if (proof != nullptr && proof->proved && proof->secret.empty()) return nullptr;
    for (const BekRecord& record : disk.beks)
      if (proof != nullptr && record.reference() == proof->secret) return &record;
    return disk.beks.empty() ? nullptr : &disk.beks.front();
  }

  // Why what the vaults have now does not open the volume. Nothing: it does.
  std::optional<Error> try_now(const DiskRecord& disk, const VolumeFacts& volume, const std::vector<FromVault>& found,
                               const std::string& object) {
    if (job_.stop().stop_requested())
      return Error{ErrorCode::cancelled, "try the keys of", object, "it was asked to stop", 0, {}};
    UnlockLimits limits;
    limits.left = &left_;
    limits.stop = job_.stop();
    if (const VolumeProof* proof = point_.proof.volume(disk.name, volume.partition, volume.within))
      limits.first_slot = proof->slot;
    std::vector<BekToTry> beks;
    for (const FromVault& one : found) beks.push_back({&one.record, &one.bek});
    return try_volume(
               volume, read_stored_header(store_, disk, volume, object), beks,
               [](const SecretBytes&) { return std::string(); }, disk.name, object, limits)
        .error;
  }

  // Whether an owner of the store gets the BEK out of the point.
  [[nodiscard]] bool is_in_point(const BekRecord& record) const {
    const KekRecord* kek = point_.kek_of(record);
    return !record.escrowed.empty() || (kek != nullptr && kek->backup.portable);
  }

  [[nodiscard]] std::vector<std::string> commands(const DiskRecord& disk, const BekRecord* record,
                                                  KeyAtHand state) const {
    if (record == nullptr || state == KeyAtHand::ready || !is_in_point(*record)) return {};
    const std::string name = point_.name.text();
    if (!have_vaults_)
      return {fmt::format("cairn --store {} --recovery-key FILE key export {} --disk {} --secret {} --to FILE",
                          store_.path().string(), name, disk.name, record->reference())};
    return {fmt::format("cairn key restore {} --vault {} --disk {}", name, record->vault, disk.name),
            fmt::format("cairn key export {} --disk {} --secret {} --to FILE", name, disk.name, record->reference())};
  }

  void row(const DiskRecord& disk, const VolumeFacts& volume, const BekRecord* record, KeyAtHand state,
           const std::string& reason) {
    rows_.push_back({{"disk", disk.name},
                     {"partition", volume.partition},
                     {"within", volume.within},
                     {"type", to_string(volume.type)},
                     {"secret", record == nullptr ? "" : record->reference()},
                     {"secret_version", record == nullptr ? "" : record->version},
                     {"bek_type", record == nullptr ? json(nullptr) : json(to_string(record->bek.type))},
                     {"kek", record == nullptr ? "" : record->vault + "/" + record->bek.kek},
                     {"kek_version", record == nullptr ? "" : record->bek.wrapped.version},
                     {"state", to_string(state)},
                     {"reason", reason},
                     {"commands", commands(disk, record, state)}});
  }

  [[nodiscard]] std::string warning(const DiskRecord& disk, const VolumeFacts& volume, const BekRecord* record,
                                    KeyAtHand state, const std::string& reason) const {
    const std::string name = volume_object(disk.name, volume);
    if (record == nullptr) return fmt::format("nothing in the recovery point opens {}: {}", name, reason);
    std::string text =
        fmt::format("what opens {}, {} version {}, {}: {}", name, record->reference(), record->version,
                    state == KeyAtHand::missing ? "is not in its vault now" : "may not be to be had now", reason);
    const std::vector<std::string> what_to_do = commands(disk, record, state);
    if (what_to_do.empty()) return text + "; only the vault " + record->vault + " can give it back";
    return text + fmt::format(
                      "; the point has it: \"{}\" puts key and secret back into the vault, \"{}\" writes the "
                      "secret out",
                      what_to_do[0], what_to_do[1]);
  }

  Store& store_;
  const RecoveryPoint& point_;
  const bool have_vaults_;
  VaultSet vaults_;
  JobContext& job_;
  double left_ = UnlockLimits{}.seconds;  // of key derivation, for all volumes together
  json rows_ = json::array();
};

}  // namespace

std::string_view to_string(KeyAtHand state) {
  return word_of(kKeyStates, state);
}

json keys_at_hand(Store& store, const RecoveryPoint& point, std::span<const DiskRecord* const> disks,
                  const OpenVault& open_vault, JobContext& job) {
  KeysAtHand keys(store, point, open_vault, job);
  for (const DiskRecord* disk : disks) keys.add(*disk);
  return std::move(keys).take();
}

}  // namespace cairn
