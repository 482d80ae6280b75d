// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/last_proof.h"

#include <fmt/core.h>

#include "daemon/keys/key_rules.h"
#include "daemon/keys/stored_headers.h"
#include "fs/store/store.h"

namespace cairn {

LastProof last_proof(Store& store, const RecoveryPoint* previous, const std::string& disk, const VolumeFacts& volume,
                     const std::string& object) {
  const DiskRecord* const was = previous != nullptr ? previous->disk(disk) : nullptr;
  const VolumeProof* const proof =
      was != nullptr ? previous->proof.volume(disk, volume.partition, volume.within) : nullptr;
  if (proof == nullptr || !proof->proved || proof->slot < 0) return {};
  LastProof last{proof->slot, 0};
  for (const VolumeFacts& facts : was->facts.volumes) {
    if (facts.partition != volume.partition || facts.within != volume.within || facts.type != volume.type) continue;
    const std::string name = volume_object(object, facts);
    // Without the earlier header there is nothing to compare with.
    const auto seconds = slot_seconds(facts, read_stored_header(store, *was, facts, name), proof->slot, name);
    if (seconds) last.seconds = *seconds;
  }
  return last;
}

UnlockLimits limits_after(const LastProof& last, OnCostlierKeys on_costlier_keys) {
  UnlockLimits limits;
  limits.first_slot = last.slot;
  if (last.seconds > 0 && on_costlier_keys == OnCostlierKeys::fail) limits.slot_seconds = most_expected(last.seconds);
  return limits;
}

std::optional<Error> costlier_than(const LastProof& last, const VolumeFacts& volume, const ReadHeader& read, int slot,
                                   const std::string& object) {
  if (last.seconds <= 0) return std::nullopt;
  const auto now = slot_seconds(volume, read, slot, object);
  if (!now || *now <= most_expected(last.seconds)) return std::nullopt;
  return fail(ErrorCode::unlock_costlier, "find usual", object,
              fmt::format("key slot {} asks for about {:.0f} s of key derivation, and asked for about {:.0f} at the "
                          "last proof",
                          slot, *now, last.seconds))
      .error();
}

}  // namespace cairn
