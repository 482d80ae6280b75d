// SPDX-License-Identifier: GPL-3.0-or-later
// FveVolume: a BitLocker volume as its boot sector and its three FVE metadata blocks describe it, and which of them
// libcryptsetup may see. Reads only. One thread at a time. Bytes: crypto/volume/VOLUMES.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "crypto/volume/fve_metadata.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

inline constexpr std::size_t kFveBootSector = 512;

struct FveVolume {
  bool vista = false;     // the version that libcryptsetup cannot open
  bool known_id = false;  // the boot sector holds BitLocker's identifier
  unsigned sector_bytes = 512;
  std::size_t offsets_at = 0;              // where in the boot sector the three offsets stand; Vista: 0
  std::array<std::uint64_t, 3> offsets{};  // of the blocks, bytes from the volume's start; 0: not given
  Buffer sector;
  std::array<Buffer, 3> bytes;  // of the blocks; empty: outside of the volume
  std::array<FveBlock, 3> blocks;
};

// Nothing when it is no boot sector of BitLocker. Errors: io_error.
Result<std::optional<FveVolume>> read_fve_volume(const VolumeSource& source);

// The block to unlock with: the first sound one, else the first that libcryptsetup can open without harm.
std::optional<std::size_t> best_block(const FveVolume& volume);

}  // namespace cairn
