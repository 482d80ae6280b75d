// BitLocker volumes: finds the three FVE metadata blocks by the boot sector, judges each, and asks libcryptsetup (which
// only ever reads the first) for its opinion on a copy. Bytes: crypto/volume/VOLUMES.md.
// SPDX-License-Identifier: GPL-3.0-or-later
#include <fmt/format.h>
#include <libcryptsetup.h>

#include <algorithm>
#include <array>

#include "crypto/volume/crypt_device.h"
#include "crypto/volume/fve_metadata.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

constexpr std::size_t kBootSector = 512;
constexpr std::string_view kSignature = "-FVE-FS-";
constexpr std::string_view kToGoSignature = "MSWIN4.1";  // FAT32's as well: BitLocker To Go shows a FAT file system
constexpr std::string_view kVistaBootCode = "\xeb\x52\x90";
constexpr std::size_t kSuperblockAt = 160;      // identifier, then three block offsets
constexpr std::size_t kToGoSuperblockAt = 424;  // the same
constexpr std::size_t kVistaClusterAt = 56;     // the first block, in clusters
constexpr std::array<std::uint8_t, 16> kNormalId = {0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a,
                                                    0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01};
constexpr std::array<std::uint8_t, 16> kEncryptOnWriteId = {0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d,
                                                            0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8};
constexpr std::uint16_t kFullyEncrypted = 4;

struct BootSector {
  bool vista = false;
  bool to_go = false;
  bool known_id = false;
  unsigned sector_bytes = 512;
  std::array<std::uint64_t, 3> blocks{};  // bytes from the volume's start; 0: not told
};

// Nothing when it is no boot sector of BitLocker. One of To Go is so only with BitLocker's identifier in it.
std::optional<BootSector> read_boot_sector(ByteView sector) {
  if (sector.size() < kBootSector) return std::nullopt;
  BootSector boot;
  const std::string_view signature = as_text(sector.subspan(3, 8));
  boot.to_go = signature == kToGoSignature;
  if (signature != kSignature && !boot.to_go) return std::nullopt;
  boot.vista = !boot.to_go && as_text(sector.first(3)) == kVistaBootCode;
  boot.sector_bytes = get_le<std::uint16_t>(sector.subspan(11));
  if (boot.sector_bytes == 0) boot.sector_bytes = 512;
  if (boot.vista) {
    const std::uint64_t cluster_bytes = std::uint64_t{boot.sector_bytes} * sector[13];
    const auto cluster = get_le<std::uint64_t>(sector.subspan(kVistaClusterAt));
    if (cluster < (std::uint64_t{1} << 32)) boot.blocks[0] = cluster * cluster_bytes;
    return boot;
  }
  const ByteView super = sector.subspan(boot.to_go ? kToGoSuperblockAt : kSuperblockAt);
  boot.known_id = std::equal(kNormalId.begin(), kNormalId.end(), super.begin()) ||
                  std::equal(kEncryptOnWriteId.begin(), kEncryptOnWriteId.end(), super.begin());
  if (boot.to_go && !boot.known_id) return std::nullopt;
  for (std::size_t i = 0; i < 3; ++i) boot.blocks[i] = get_le<std::uint64_t>(super.subspan(16 + 8 * i));
  return boot;
}

struct Blocks {
  std::array<Buffer, 3> bytes;
  std::array<FveBlock, 3> parsed;
};

Result<Blocks> read_blocks(const VolumeSource& source, BootSector& boot) {
  Blocks blocks;
  for (std::size_t i = 0; i < 3; ++i) {
    if (boot.blocks[i] == 0 || boot.blocks[i] >= source.place.size) {
      blocks.parsed[i].wrong = boot.blocks[i] == 0 ? "its place is not known" : "it would lie outside of the volume";
      continue;
    }
    CAIRN_TRY(blocks.bytes[i], source.read(boot.blocks[i], kFveBlockBytes));
    blocks.parsed[i] = parse_fve_block(blocks.bytes[i]);
    // Vista's boot sector tells the first block only; that one tells the others.
    if (boot.vista && i == 0 && blocks.parsed[0].present) boot.blocks = blocks.parsed[0].blocks;
  }
  return blocks;
}

std::string describe_blocks(const Blocks& blocks) {
  std::string words;
  bool one_is_sound = false;
  for (std::size_t i = 0; i < 3; ++i) {
    one_is_sound = one_is_sound || blocks.parsed[i].sound;
    if (blocks.parsed[i].sound) continue;
    if (!words.empty()) words += "; ";
    words += fmt::format("FVE metadata block {} of 3 is damaged: {}", i + 1, blocks.parsed[i].wrong);
  }
  if (!words.empty()) words += one_is_sound ? "; at least one other is intact" : "; none is intact";
  return words;
}

void note_state(const FveBlock& block, const VolumeSource& source, std::vector<std::string>& remarks) {
  if (block.state != kFullyEncrypted || block.next_state != kFullyEncrypted)
    remarks.push_back(
        fmt::format("BitLocker has not finished with {} (state {}, next {}): part of it may be in the clear",
                    source.name(), block.state, block.next_state));
  if (block.clear_key)
    remarks.push_back("BitLocker's protection of " + source.name() +
                      " is suspended: a key that needs no secret is stored on it");
}

}  // namespace

Result<std::optional<VolumeFacts>> probe_bitlocker(const VolumeSource& source, std::vector<std::string>& remarks) {
  CAIRN_TRY(Buffer sector, source.read(0, kBootSector));
  auto boot = read_boot_sector(sector);
  if (!boot) return std::nullopt;
  CAIRN_TRY(Blocks blocks, read_blocks(source, *boot));

  VolumeFacts facts = facts_of(source, VolumeType::bitlocker);
  facts.sector_bytes = boot->sector_bytes;
  std::vector<ByteRange> header = {{0, kBootSector}};
  for (const std::uint64_t offset : boot->blocks)
    if (offset != 0) header.push_back({offset, kFveBlockBytes});
  facts.header = tidy_ranges(std::move(header), source.place.size);

  // The first sound block speaks; where none is sound, the first whose entries can at least be walked.
  const FveBlock* best = nullptr;
  for (const FveBlock& block : blocks.parsed)
    if (best == nullptr ? block.safe : (!best->sound && block.sound)) best = &block;
  if (best != nullptr) {
    facts.uuid = best->guid;
    facts.label = best->description;
    facts.cipher = fve_cipher(best->encryption);
    facts.key_bits = fve_key_bits(best->encryption);
    facts.slots = best->protectors;
    note_state(*best, source, remarks);
    if (best->volume_size > source.place.size)
      facts.damage =
          fmt::format("the volume has {} bytes, but only {} are there", best->volume_size, source.place.size);
  }
  add_damage(facts, describe_blocks(blocks));
  if (!boot->vista && !boot->known_id) add_damage(facts, "the identifier in the boot sector is not BitLocker's");
  if (boot->vista) {
    remarks.push_back("BitLocker on " + source.name() +
                      " is of Windows Vista's version, which libcryptsetup cannot open");
    return facts;
  }
  // libcryptsetup 2.6 trusts the entries' sizes and dereferences a volume key that need not be there: it only sees a
  // first block that has been walked here.
  if (!blocks.parsed[0].safe || !blocks.parsed[0].has_volume_key) return facts;
  CAIRN_TRY(HeaderCopy copy, HeaderCopy::make(source));
  CAIRN_CHECK(copy.put(0, std::move(sector)));
  for (std::size_t i = 0; i < 3; ++i)
    if (!blocks.bytes[i].empty()) CAIRN_CHECK(copy.put(boot->blocks[i], std::move(blocks.bytes[i])));
  CryptDevice device(copy.path());
  if (device.load(CRYPT_BITLK) != 0) {
    add_damage(facts, "libcryptsetup refuses the header: " + device.why());
    return facts;
  }
  if (const int bytes = crypt_get_sector_size(device.get()); bytes > 0)
    facts.sector_bytes = static_cast<unsigned>(bytes);
  return facts;
}

}  // namespace cairn
