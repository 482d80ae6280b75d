// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/point_keys.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "daemon/keys/disk_look.h"
#include "daemon/keys/stored_headers.h"
#include "daemon/queue/job.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

OpenVault or_none(const OpenVault& open) {
  if (open) return open;
  return [](const std::string& name) -> Result<OpenedVault> {
    return fail(ErrorCode::vault_missing, "open key vault", name, "no vaults are declared");
  };
}

}  // namespace

PointKeys::PointKeys(const std::string& machine, const KeyInputs& inputs, Store& store, JobContext& job,
                     std::optional<RecoveryPoint> previous)
    : machine_(machine),
      inputs_(inputs),
      store_(store),
      job_(job),
      previous_(std::move(previous)),
      vaults_(or_none(inputs.open_vault)),
      owners_(store.keys().escrow_owners()) {}

const DiskRecord* PointKeys::before(const std::string& disk) const {
  return previous_ ? previous_->disk(disk) : nullptr;
}

void PointKeys::gather(const DiskSettings& disk, const DiskFacts& facts) {
  const std::string name = object(disk.name);
  if (const auto idle = keys_not_needed(disk, facts, before(disk.name), name)) job_.warn(as_warning(*idle));
  // Keys of a disk that may be encrypted, for all that is known, are kept, though there is nothing to try them on.
  const bool may_be = facts.encryption() == DiskEncryption::unknown && !disk.beks.empty();
  if (!facts.encrypted() && !may_be) return;
  Disk& kept = disks_[disk.name];
  const auto failed = [&](Error error) {
    kept.error = error;
    wrong_.push_back(std::move(error));
  };
  if (auto named = check_named_keys(disk, facts, before(disk.name), name); !named)
    return failed(std::move(named).error());
  auto keys = gather_keys(disk, vaults_, owners_, name);
  if (!keys) return failed(naming_key_restore(std::move(keys).error(), before(disk.name), machine_));
  if (auto fits = room_.take(*keys, name); !fits) return failed(std::move(fits).error());
  kept.keys = *std::move(keys);
}

void PointKeys::prove(const DiskRecord& disk, const std::stop_token& stop) {
  const auto found = disks_.find(disk.name);
  if (found == disks_.end()) return;
  const Disk& kept = found->second;
  const std::vector<BekToTry> beks = kept.keys.to_try();
  for (const VolumeFacts& volume : disk.facts.volumes) {
    // Each may take minutes of key derivation; a job that is stopped ends before it commits.
    if (stop.stop_requested()) return;
    const std::string name = volume_object(object(disk.name), volume);
    const LastProof last = last_proof(store_, previous_ ? &*previous_ : nullptr, disk.name, volume, object(disk.name));
    UnlockLimits limits = limits_after(last, inputs_.on_costlier_keys);
    limits.left = &left_;
    limits.stop = stop;
    const ReadHeader read = read_stored_header(store_, disk, volume, name);
    TriedVolume tried = try_volume(
        volume, read, beks, [this](const SecretBytes& key) { return store_.keys().fingerprint(key); }, disk.name, name,
        limits);
    if (tried.error && tried.error->code == ErrorCode::cancelled) return;
    if (tried.proof.proved)
      if (const auto jump = costlier_than(last, volume, read, tried.proof.slot, name)) job_.warn(as_warning(*jump));
    // Why there are no keys is known better by whoever looked for them.
    if (kept.error) tried.proof.reason = kept.error->message();
    if (!kept.error && tried.error) {
      // The keys are right, and what is left of the disk is to be kept.
      if (tried.error->code == ErrorCode::volume_cut_off)
        job_.warn(as_warning(*tried.error));
      else
        wrong_.push_back(*tried.error);
    }
    if (const auto open = opened_without_secret(tried, name)) job_.warn(as_warning(*open));
    proof_.volumes.push_back(std::move(tried.proof));
  }
  if (const DiskRecord* was = before(disk.name))
    for (std::string& change : volume_changes(*was, previous_->proof, disk, proof_, object(disk.name)))
      job_.warn(std::move(change));
}

Result<void> PointKeys::verdict() {
  std::vector<Error> wrong;
  // A vault that does not open is one thing that is wrong, of however many disks.
  for (Error& error : std::exchange(wrong_, {}))
    if (std::ranges::none_of(wrong, [&](const Error& known) { return known.message() == error.message(); }))
      wrong.push_back(std::move(error));
  if (wrong.empty()) return {};
  if (inputs_.on_missing_keys == OnMissingKeys::warn) {
    for (const Error& error : wrong) job_.warn(as_warning(error));
    return {};
  }
  Error first = std::move(wrong.front());
  for (std::size_t i = 1; i < wrong.size(); ++i)
    first.because += fmt::format("{} {}", i == 1 ? "; and beside that:" : ";", as_warning(wrong[i]));
  return pass_on(std::move(first));
}

void PointKeys::finish(RecoveryPoint& point, UtcTime now) {
  for (DiskRecord& disk : point.disks)
    if (const auto found = disks_.find(disk.name); found != disks_.end()) disk.beks = found->second.keys.beks;
  for (const auto& [name, disk] : disks_)
    for (const KekRecord& kek : disk.keys.keks) {
      if (std::ranges::none_of(point.keks, [&](const KekRecord& have) { return have.is_of(kek); }))
        point.keks.push_back(kek);
    }
  if (proof_.volumes.empty()) {
    const auto unknown = std::ranges::find_if(
        point.disks, [](const DiskRecord& disk) { return disk.facts.encryption() == DiskEncryption::unknown; });
    proof_.state = unknown == point.disks.end() ? ProofState::not_encrypted : ProofState::unknown;
    if (unknown != point.disks.end())
      proof_.reason = fmt::format("disk {}: {}", unknown->name, encryption_in_words(unknown->facts));
  } else {
    proof_.time = now;
    const auto open = std::ranges::find(proof_.volumes, false, &VolumeProof::proved);
    proof_.state = open == proof_.volumes.end() ? ProofState::proved : ProofState::unproved;
    if (open != proof_.volumes.end()) proof_.reason = open->reason;
  }
  point.proof = std::move(proof_);
}

}  // namespace cairn
