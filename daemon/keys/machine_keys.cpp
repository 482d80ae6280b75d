// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/machine_keys.h"

#include <fmt/core.h>

#include <utility>

#include "config/base/enum_words.h"
#include "daemon/keys/disk_look.h"
#include "daemon/keys/key_room.h"
#include "daemon/keys/key_rules.h"
#include "daemon/keys/last_proof.h"
#include "daemon/keys/stored_headers.h"
#include "daemon/source/disk_format.h"
#include "fs/image/open_image.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using Kind = KeyFinding::Kind;

// In the status: scripts match on them.
constexpr EnumWords<Kind, 3> kFindingKinds{{{Kind::good, "good"}, {Kind::warning, "warning"}, {Kind::error, "error"}}};

class MachineCheck {
 public:
  MachineCheck(const MachineSettings& machine, OnCostlierKeys on_costlier_keys, VaultSet& vaults, Store& store,
               std::stop_token stop)
      : machine_(machine),
        on_costlier_keys_(on_costlier_keys),
        vaults_(vaults),
        store_(store),
        stop_(std::move(stop)),
        owners_(store.keys().escrow_owners()),
        defined_(defined_disks(machine)) {
    const auto newest = store.points().find(machine.name + "@latest");
    auto point = newest ? store.points().load(*newest) : Result<RecoveryPoint>(pass_on(newest.error()));
    if (point) previous_ = *std::move(point);
  }

  void check(const DiskSettings& listed) {
    const std::string object = disk_object(machine_.name, listed.name);
    const auto settled = settle_disk(listed, defined_, previous_ ? previous_->disk(listed.name) : nullptr, object);
    if (!settled) return;
    const DiskSettings& disk = settled->disk;
    const auto image = open_image(disk.image, CloneMode::never);
    if (!image) return;
    const auto facts = look_at_disk(disk, **image, object);
    if (!facts) return;
    const DiskRecord* before = previous_ ? previous_->disk(disk.name) : nullptr;
    if (!disk.beks.empty())
      if (auto unknown = encryption_unknown(disk, *facts, before, object))
        add(disk, Kind::warning, *std::move(unknown));
    if (auto idle = keys_not_needed(disk, *facts, before, object)) add(disk, Kind::warning, *std::move(idle));
    if (auto named = check_named_keys(disk, *facts, before, object); !named)
      return add(disk, Kind::error, std::move(named).error());
    const bool may_be = facts->encryption() == DiskEncryption::unknown && !disk.beks.empty();
    if (!facts->encrypted() && !may_be) return;
    if (!may(disk)) return;
    const auto keys = gather_keys(disk, vaults_, owners_, object);
    if (!keys) return add(disk, Kind::error, naming_key_restore(keys.error(), before, machine_.name));
    if (auto fits = room_.take(*keys, object); !fits) return add(disk, Kind::error, std::move(fits).error());
    try_volumes(disk, *facts, **image, *keys, object);
  }

  std::vector<KeyFinding> take() && { return std::move(findings_); }

 private:
  void add(const DiskSettings& disk, Kind kind, Error error) {
    findings_.push_back({disk.name, kind, error.message(), std::move(error)});
  }

  // All rights that are lacking, at once.
  bool may(const DiskSettings& disk) {
    auto lacking = lacking_rights(disk, vaults_);
    if (!lacking) {
      const DiskRecord* before = previous_ ? previous_->disk(disk.name) : nullptr;
      add(disk, Kind::error, naming_key_restore(std::move(lacking).error(), before, machine_.name));
      return false;
    }
    for (Error& error : *lacking) add(disk, Kind::error, std::move(error));
    return lacking->empty();
  }

  void try_volumes(const DiskSettings& disk, const DiskFacts& facts, ImageReader& image, const GatheredKeys& keys,
                   const std::string& object) {
    const std::vector<BekToTry> beks = keys.to_try();
    for (const VolumeFacts& volume : facts.volumes) {
      if (stop_.stop_requested()) return;
      const std::string name = volume_object(object, volume);
      const ReadHeader read = read_live_header(image, volume);
      const LastProof last = last_proof(store_, previous_ ? &*previous_ : nullptr, disk.name, volume, object);
      UnlockLimits limits = limits_after(last, on_costlier_keys_);
      limits.left = &left_;
      limits.stop = stop_;
      TriedVolume tried =
          try_volume(volume, read, beks, [](const SecretBytes&) { return std::string(); }, disk.name, name, limits);
      if (tried.error && tried.error->code == ErrorCode::cancelled) return;
      if (tried.error) {
        const Kind kind = tried.error->code == ErrorCode::volume_cut_off ? Kind::warning : Kind::error;
        add(disk, kind, *std::move(tried.error));
        continue;
      }
      if (auto jump = costlier_than(last, volume, read, tried.proof.slot, name))
        add(disk, Kind::warning, *std::move(jump));
      if (auto open = opened_without_secret(tried, name)) {
        add(disk, Kind::warning, *std::move(open));
        continue;
      }
      const std::string place = volume_name(volume.partition, volume.within);
      findings_.push_back({disk.name, Kind::good,
                           fmt::format("{} opens the {} header{}; it is wrapped by {} version {}", tried.proof.secret,
                                       to_string(volume.type), place.empty() ? place : " of " + place, tried.proof.kek,
                                       tried.proof.kek_version),
                           std::nullopt});
    }
  }

  const MachineSettings& machine_;
  const OnCostlierKeys on_costlier_keys_;
  VaultSet& vaults_;
  Store& store_;
  const std::stop_token stop_;
  double left_ = kUnlockSecondsOfJob;
  const std::vector<EscrowOwner> owners_;
  KeyRoom room_;
  const std::vector<DefinedDisk> defined_;
  std::optional<RecoveryPoint> previous_;
  std::vector<KeyFinding> findings_;
};

}  // namespace

std::string_view to_string(KeyFinding::Kind kind) {
  return word_of(kFindingKinds, kind);
}

std::vector<KeyFinding> check_machine_keys(const MachineSettings& machine, const Policy& policy, VaultSet& vaults,
                                           Store& store, const std::stop_token& stop) {
  MachineCheck check(machine, policy.on_costlier_keys, vaults, store, stop);
  for (const DiskSettings& disk : machine.disks) {
    if (stop.stop_requested()) break;
    check.check(disk);
  }
  std::vector<KeyFinding> findings = std::move(check).take();
  if (policy.on_missing_keys == OnMissingKeys::warn)
    for (KeyFinding& finding : findings)
      if (finding.kind == Kind::error) finding.kind = Kind::warning;
  return findings;
}

}  // namespace cairn
