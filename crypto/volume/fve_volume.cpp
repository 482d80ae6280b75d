// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/fve_volume.h"

#include <algorithm>
#include <string_view>

namespace cairn {

namespace {

constexpr std::string_view kToGoSignature = "MSWIN4.1";  // FAT32's as well: BitLocker To Go shows a FAT file system
constexpr std::string_view kVistaBootCode = "\xeb\x52\x90";
constexpr std::size_t kSuperblockAt = 160;      // identifier, then three block offsets
constexpr std::size_t kToGoSuperblockAt = 424;  // the same
constexpr std::size_t kVistaClusterAt = 56;     // the first block, in clusters
constexpr std::array<std::uint8_t, 16> kNormalId = {0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a,
                                                    0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01};
constexpr std::array<std::uint8_t, 16> kEncryptOnWriteId = {0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d,
                                                            0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8};

// Nothing when it is no boot sector of BitLocker. One of To Go is so only with BitLocker's identifier in it.
std::optional<FveVolume> read_boot_sector(Buffer bytes) {
  if (bytes.size() < kFveBootSector) return std::nullopt;
  const ByteView sector = bytes;
  FveVolume volume;
  const std::string_view signature = as_text(sector.subspan(3, 8));
  const bool to_go = signature == kToGoSignature;
  if (signature != kFveSignature && !to_go) return std::nullopt;
  volume.vista = !to_go && as_text(sector.first(3)) == kVistaBootCode;
  volume.sector_bytes = get_le<std::uint16_t>(sector.subspan(11));
  if (volume.sector_bytes == 0) volume.sector_bytes = 512;
  if (volume.vista) {
    const std::uint64_t cluster_bytes = std::uint64_t{volume.sector_bytes} * sector[13];
    const auto cluster = get_le<std::uint64_t>(sector.subspan(kVistaClusterAt));
    if (cluster < (std::uint64_t{1} << 32)) volume.offsets[0] = cluster * cluster_bytes;
  } else {
    const std::size_t super_at = to_go ? kToGoSuperblockAt : kSuperblockAt;
    const ByteView super = sector.subspan(super_at);
    volume.known_id = std::equal(kNormalId.begin(), kNormalId.end(), super.begin()) ||
                      std::equal(kEncryptOnWriteId.begin(), kEncryptOnWriteId.end(), super.begin());
    if (to_go && !volume.known_id) return std::nullopt;
    volume.offsets_at = super_at + kNormalId.size();
    for (std::size_t i = 0; i < 3; ++i)
      volume.offsets[i] = get_le<std::uint64_t>(sector.subspan(volume.offsets_at + 8 * i));
  }
  volume.sector = std::move(bytes);
  return volume;
}

}  // namespace

Result<std::optional<FveVolume>> read_fve_volume(const VolumeSource& source) {
  CAIRN_TRY(Buffer sector, source.read(ByteOffset(0), ByteCount(kFveBootSector)));
  auto volume = read_boot_sector(std::move(sector));
  if (!volume) return std::nullopt;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::uint64_t offset = volume->offsets[i];
    if (offset == 0 || offset >= source.place.size) {
      volume->blocks[i].wrong = offset == 0 ? "its place is not known" : "it would lie outside of the volume";
      continue;
    }
    CAIRN_TRY(volume->bytes[i], source.read(ByteOffset(offset), ByteCount(kFveBlockBytes)));
    volume->blocks[i] = parse_fve_block(volume->bytes[i]);
    // Vista's boot sector tells the first block only; that one tells the others.
    if (volume->vista && i == 0 && volume->blocks[0].present) volume->offsets = volume->blocks[0].blocks;
  }
  return volume;
}

std::optional<std::size_t> best_block(const FveVolume& volume) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < 3; ++i) {
    if (!volume.blocks[i].openable) continue;
    if (volume.blocks[i].sound) return i;
    if (!best) best = i;
  }
  return best;
}

}  // namespace cairn
