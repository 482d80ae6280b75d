// SPDX-License-Identifier: GPL-3.0-or-later
// BitLocker volumes: the facts come from the FVE metadata blocks; libcryptsetup (which only ever reads the first) is
// asked for its opinion on a copy. Bytes: crypto/volume/VOLUMES.md.
#include <fmt/format.h>
#include <libcryptsetup.h>

#include <array>

#include "config/base/ranges.h"
#include "crypto/volume/crypt_device.h"
#include "crypto/volume/fve_volume.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

constexpr std::uint16_t kFullyEncrypted = 4;

std::string describe_blocks(const std::array<FveBlock, 3>& blocks) {
  std::string words;
  bool one_is_sound = false;
  for (std::size_t i = 0; i < 3; ++i) {
    one_is_sound = one_is_sound || blocks[i].sound;
    if (blocks[i].sound) continue;
    if (!words.empty()) words += "; ";
    words += fmt::format("FVE metadata block {} of 3 is damaged: {}", i + 1, blocks[i].wrong);
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
  CAIRN_TRY(auto found, read_fve_volume(source));
  if (!found) return std::nullopt;
  FveVolume& volume = *found;

  VolumeFacts facts = facts_of(source, VolumeType::bitlocker);
  facts.sector_bytes = volume.sector_bytes;
  std::vector<ByteRange> header = {{0, kFveBootSector}};
  for (const std::uint64_t offset : volume.offsets)
    if (offset != 0) header.push_back({offset, kFveBlockBytes});
  facts.header = tidy_ranges(std::move(header), source.place.size);

  // The first sound block speaks; where none is sound, the first whose entries can at least be walked.
  const FveBlock* best = nullptr;
  for (const FveBlock& block : volume.blocks)
    if (best == nullptr ? block.safe : (!best->sound && block.sound)) best = &block;
  if (best != nullptr) {
    facts.uuid = best->guid;
    facts.label = best->description;
    facts.cipher = fve_cipher(best->encryption);
    facts.key_bits = fve_key_bits(best->encryption);
    facts.slots = best->protectors;
    note_state(*best, source, remarks);
    if (best->volume_size > source.place.size) {
      facts.cut_off =
          fmt::format("the volume has {} bytes, but only {} are there", best->volume_size, source.place.size);
      facts.damage = facts.cut_off;
    }
  }
  add_damage(facts, describe_blocks(volume.blocks));
  if (!volume.vista && !volume.known_id) add_damage(facts, "the identifier in the boot sector is not BitLocker's");
  if (volume.vista) {
    remarks.push_back("BitLocker on " + source.name() +
                      " is of Windows Vista's version, which libcryptsetup cannot open");
    return facts;
  }
  // libcryptsetup 2.6 trusts the entries' sizes and dereferences a volume key that need not be there: it only sees a
  // first block that has been walked here.
  if (!volume.blocks[0].safe || !volume.blocks[0].has_volume_key) return facts;
  CAIRN_TRY(HeaderCopy copy, HeaderCopy::make(source.place.size, source.object));
  CAIRN_CHECK(copy.put(0, std::move(volume.sector)));
  for (std::size_t i = 0; i < 3; ++i)
    if (!volume.bytes[i].empty()) CAIRN_CHECK(copy.put(volume.offsets[i], std::move(volume.bytes[i])));
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
