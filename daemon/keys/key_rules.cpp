// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/key_rules.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

namespace cairn {
namespace {

// What taking a point asks of a vault: crypto/vault/access_policy.h, template backup.
constexpr std::array kNeeded = {Right::secrets_get, Right::keys_get, Right::keys_unwrap, Right::keys_backup};

std::string volumes_in_words(const DiskFacts& facts) {
  std::vector<std::string> words;
  for (const VolumeFacts& volume : facts.volumes) {
    const std::string name = volume_name(volume.partition, volume.within);
    words.push_back(to_string(volume.type) + (name.empty() ? name : " on " + name));
  }
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string slots_in_words(const VolumeFacts& volume) {
  std::vector<std::string> words;
  for (const KeySlotFacts& slot : volume.slots) words.push_back(fmt::format("{} {}", slot.number, slot.kind));
  return words.empty() ? "none" : fmt::format("{}", fmt::join(words, ", "));
}

// The KEK's backup, unless the point has it already. Vaults that never give KEKs out have none.
Result<void> back_up_kek(const OpenedVault& opened, const BekRecord& record, std::span<const EscrowOwner> owners,
                         std::vector<KekRecord>& keks) {
  if (std::ranges::any_of(keks, [&](const KekRecord& have) { return have.wraps(record); })) return {};
  auto backup = opened.vault->backup_kek(record.bek.kek, record.bek.wrapped.version, owners);
  if (backup) {
    keks.push_back({record.vault, *std::move(backup)});
    return {};
  }
  if (backup.error().code == ErrorCode::not_supported_yet && !opened.vault->keks_are_portable()) return {};
  return pass_on(std::move(backup).error());
}

Result<void> gather(const VaultReference& bek, const VaultReference& kek, VaultSet& vaults,
                    std::span<const EscrowOwner> owners, const std::string& object, GatheredKeys& keys) {
  CAIRN_TRY(const OpenedVault* const opened, vaults.open(bek.vault));
  KeyVault& vault = *opened->vault;
  CAIRN_TRY(StoredBek stored, vault.get_secret(bek.name));
  if (kek.vault != bek.vault || stored.bek.kek != kek.name)
    return fail(
        ErrorCode::bek_other_kek, "use BEK " + bek.text() + " for", object,
        fmt::format("it is wrapped by the KEK {}/{}, and the settings name {}", bek.vault, stored.bek.kek, kek.text()));
  BekRecord record{bek.vault, bek.name, std::move(stored.version), std::move(stored.bek), {}};
  CAIRN_CHECK(vault.get_kek(kek.name));
  CAIRN_TRY(SecretBytes plain, vault.unwrap(kek.name, record.bek.wrapped));
  CAIRN_TRY(plain, normal_bek(record.bek.type, std::move(plain), bek.text()));
  CAIRN_CHECK(back_up_kek(*opened, record, owners, keys.keks));
  if (!vault.keks_are_portable() && opened->escrow_beks)
    record.escrowed = seal_escrow(plain, owners, record.escrow_context());
  keys.beks.push_back(std::move(record));
  keys.opened.push_back(std::move(plain));
  return {};
}

}  // namespace

std::string disk_object(const std::string& machine, const std::string& disk) {
  return machine + "/" + disk;
}

std::string volume_object(const std::string& disk_object, const VolumeFacts& volume) {
  const std::string name = volume_name(volume.partition, volume.within);
  return name.empty() ? disk_object : disk_object + ", " + name;
}

std::string as_warning(const Error& error) {
  return fmt::format("{} [{}]", error.message(), error.name());
}

Result<void> check_named_keys(const DiskSettings& disk, const DiskFacts& facts, const DiskRecord* previous,
                              const std::string& object) {
  if (!disk.beks.empty() && !disk.kek)
    return fail(ErrorCode::bek_without_kek, "protect disk", object,
                fmt::format("the settings name the BEK {} and no KEK", disk.beks.front().text()));
  if (!facts.encrypted() || !disk.beks.empty() || std::ranges::all_of(facts.volumes, has_clear_key)) return {};
  const std::string what = volumes_in_words(facts);
  // Points of earlier versions do not say whether they looked where this one did.
  const bool was_looked_at = previous != nullptr && (previous->facts.all_known || !previous->facts.not_known.empty());
  if (was_looked_at && !previous->facts.encrypted())
    return fail(ErrorCode::became_encrypted, "protect disk", object,
                fmt::format("it holds {} and the settings name no keys for it; at the previous recovery point {}", what,
                            previous->facts.all_known ? "it was not encrypted" : "no encrypted volume was seen on it"));
  return fail(ErrorCode::keys_missing, "protect disk", object,
              fmt::format("it holds {} and the settings name no keys for it", what));
}

std::optional<Error> keys_not_needed(const DiskSettings& disk, const DiskFacts& facts, const DiskRecord* previous,
                                     const std::string& object) {
  if (facts.encryption() != DiskEncryption::not_encrypted || (disk.beks.empty() && !disk.kek)) return std::nullopt;
  std::string because = fmt::format("it holds {} and no LUKS or BitLocker volume, and the settings name keys for it",
                                    fmt::join(facts.seen, ", "));
  std::string resolution;
  if (previous != nullptr && previous->facts.encrypted()) {
    because += "; at the previous recovery point it was encrypted: is its header destroyed?";
    resolution = "leave its keys in the settings until that is known: the earlier recovery points need them";
  }
  return fail(ErrorCode::keys_not_needed, "use the keys of disk", object, because, resolution).error();
}

Result<GatheredKeys> gather_keys(const DiskSettings& disk, VaultSet& vaults, std::span<const EscrowOwner> owners,
                                 const std::string& object) {
  CAIRN_ASSERT(disk.kek.has_value() || disk.beks.empty());
  GatheredKeys keys;
  for (const VaultReference& bek : disk.beks) CAIRN_CHECK(gather(bek, *disk.kek, vaults, owners, object, keys));
  return keys;
}

Error naming_key_restore(Error error, const DiskRecord* previous, const std::string& machine) {
  constexpr std::array kLost = {ErrorCode::secret_missing, ErrorCode::kek_missing, ErrorCode::vault_missing};
  if (previous == nullptr || previous->beks.empty() || std::ranges::find(kLost, error.code) == kLost.end())
    return error;
  const std::string restore =
      fmt::format("\"cairn key restore {}@latest --vault {}\"", machine, previous->beks.front().vault);
  error.resolution =
      error.code == ErrorCode::vault_missing
          ? fmt::format(
                "is its file system mounted? if it is lost: \"cairn vault init --vault {} --create-key-file\", "
                "then {} brings its keys back from the newest recovery point",
                previous->beks.front().vault, restore)
          : fmt::format("{} brings it back from the newest recovery point", restore);
  return error;
}

std::vector<BekToTry> GatheredKeys::to_try() const {
  std::vector<BekToTry> all;
  for (std::size_t i = 0; i < beks.size(); ++i) all.push_back({&beks[i], &opened[i]});
  return all;
}

Result<std::vector<Error>> lacking_rights(const DiskSettings& disk, VaultSet& vaults) {
  std::vector<Error> errors;
  std::vector<std::string> asked;
  for (const VaultReference& bek : disk.beks) {
    if (std::ranges::find(asked, bek.vault) != asked.end()) continue;
    asked.push_back(bek.vault);
    CAIRN_TRY(const OpenedVault* const opened, vaults.open(bek.vault));
    CAIRN_TRY(const std::vector<Right> missing, opened->vault->missing_rights(kNeeded));
    if (missing.empty()) continue;
    std::vector<std::string_view> rights;
    for (const Right right : missing) rights.push_back(to_string(right));
    const std::string& principal = opened->vault->principal();
    errors.push_back(fail(ErrorCode::vault_denied, "use the keys", fmt::format("in {} for backups", bek.vault),
                          fmt::format("principal {} has no right {} there", principal, fmt::join(rights, ", ")),
                          fmt::format("\"cairn vault grant {} --template backup --vault {}\" grants what backups need",
                                      principal, bek.vault))
                         .error());
  }
  return errors;
}

TriedVolume try_volume(const VolumeFacts& volume, const ReadHeader& read, std::span<const BekToTry> beks,
                       const std::function<std::string(const SecretBytes&)>& fingerprint, const std::string& disk,
                       const std::string& object, const UnlockLimits& limits) {
  TriedVolume tried;
  const Error cut_off{ErrorCode::volume_cut_off, "prove", object, "a part of it is missing: " + volume.cut_off, 0, {}};
  tried.proof.disk = disk;
  tried.proof.partition = volume.partition;
  tried.proof.within = volume.within;
  for (const BekToTry& bek : beks) {
    tried.proof.secret = bek.record->reference();
    tried.proof.secret_version = bek.record->version;
    tried.proof.kek = bek.record->vault + "/" + bek.record->bek.kek;
    tried.proof.kek_version = bek.record->bek.wrapped.version;
    const auto unlocked = unlock_volume(volume, read, bek.record->bek.type, *bek.bek, object, limits);
    const bool cut_header = !unlocked && unlocked.error().code == ErrorCode::header_damaged;
    if (!volume.cut_off.empty() && (unlocked || cut_header)) {
      tried.error = cut_off;
      break;
    }
    if (unlocked) {
      tried.proof.proved = true;
      tried.proof.slot = unlocked->slot;
      tried.proof.fingerprint = fingerprint(unlocked->volume_key);
      tried.proof.reason.clear();
      tried.error.reset();
      return tried;
    }
    // With several BEKs, one that says more than "does not open" says why it is really so.
    if (!tried.error || tried.error->code == ErrorCode::bek_does_not_open) tried.error = unlocked.error();
  }
  const bool opened = tried.error && tried.error->code == ErrorCode::volume_cut_off;
  if (!opened && has_clear_key(volume)) {
    const auto unlocked = unlock_without_secret(volume, read, object);
    if (unlocked && !volume.cut_off.empty()) {
      tried.error = cut_off;
    } else if (unlocked) {
      tried.proof = VolumeProof{};
      tried.proof.disk = disk;
      tried.proof.partition = volume.partition;
      tried.proof.within = volume.within;
      tried.proof.proved = true;
      tried.proof.fingerprint = fingerprint(unlocked->volume_key);
      tried.bek_error = std::exchange(tried.error, std::nullopt);
      return tried;
    }
    if (!unlocked && !tried.error) tried.error = unlocked.error();
  }
  if (!tried.error)
    tried.error = fail(ErrorCode::keys_missing, "prove", object, "the point holds no keys for it").error();
  tried.proof.reason = tried.error->message();
  return tried;
}

std::optional<Error> opened_without_secret(const TriedVolume& tried, const std::string& object) {
  if (!tried.proof.proved || !tried.proof.secret.empty()) return std::nullopt;
  std::string because =
      "BitLocker's protection is suspended: a key that needs no secret is stored on the volume, and opened it";
  if (tried.bek_error) because += "; the BEK of the settings does not: " + tried.bek_error->because;
  return fail(ErrorCode::protection_suspended, "rely on the secret of", object, std::move(because)).error();
}

std::vector<std::string> volume_changes(const DiskRecord& before, const Proof& proof_before, const DiskRecord& now,
                                        const Proof& proof_now, const std::string& object) {
  std::vector<std::string> changes;
  for (const VolumeFacts& volume : now.facts.volumes) {
    const auto was = std::ranges::find_if(before.facts.volumes,
                                          [&](const VolumeFacts& other) { return is_same_volume(other, volume); });
    if (was == before.facts.volumes.end()) continue;
    const std::string name = volume_object(object, volume);
    const VolumeProof* key_before = proof_before.volume(before.name, volume.partition, volume.within);
    const VolumeProof* key_now = proof_now.volume(now.name, volume.partition, volume.within);
    const bool keys_known = key_before != nullptr && key_now != nullptr && !key_before->fingerprint.empty() &&
                            !key_now->fingerprint.empty();
    const bool other_key = keys_known ? key_before->fingerprint != key_now->fingerprint : was->uuid != volume.uuid;
    if (other_key) {
      changes.push_back(
          fmt::format("{}: its volume key is another than at the previous recovery point: it was encrypted "
                      "anew, and all of it is stored anew [{}]",
                      name, catalogue_entry(ErrorCode::volume_key_changed).name));
      continue;
    }
    const HeaderRecord* header_before = before.header_of(*was);
    const HeaderRecord* header_now = now.header_of(volume);
    if (header_before == nullptr || header_now == nullptr || header_before->map.root == header_now->map.root) continue;
    const std::string slots_before = slots_in_words(*was);
    const std::string slots_now = slots_in_words(volume);
    changes.push_back(fmt::format(
        "{}: {} [{}]", name,
        slots_before == slots_now
            ? fmt::format(
                  "a key or other metadata in its header changed since the previous recovery point (key slots: {})",
                  slots_now)
            : fmt::format("its key slots were {} at the previous recovery point, and are {}", slots_before, slots_now),
        catalogue_entry(ErrorCode::key_slots_changed).name));
  }
  return changes;
}

}  // namespace cairn
