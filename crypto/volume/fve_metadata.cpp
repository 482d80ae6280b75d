// FVE metadata. Sources: libbde's "BitLocker Drive Encryption (BDE) format", cryptsetup's lib/bitlk/bitlk.c, and for
// the checksum dislocker's src/metadata; checked against volumes that Windows made. SPDX-License-Identifier:
// GPL-3.0-or-later
#include "crypto/volume/fve_metadata.h"

#include <fmt/format.h>

#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

constexpr std::string_view kSignature = "-FVE-FS-";
constexpr std::size_t kBlockHeader = 64;
constexpr std::size_t kMetadataHeader = 48;
constexpr std::size_t kEntryHeader = 8;
constexpr std::size_t kVmkHeader = 28;       // GUID, time, two bytes unknown, protection
constexpr std::size_t kSealedKey = 12 + 16;  // nonce and MAC before the AES-CCM ciphertext
constexpr std::size_t kStretchKey = 4 + 16;  // method and salt

enum EntryType : std::uint16_t { kVmk = 2, kFvek = 3, kDescription = 7, kVolumeHeader = 15 };
enum ValueType : std::uint16_t { kString = 2, kStretch = 3, kAesCcm = 5 };

struct Entry {
  std::uint16_t type = 0;
  std::uint16_t value = 0;
  ByteView data;
};

// Takes the entry at the front off `entries`. False: the end. Sets `broken` when an entry does not fit.
bool next_entry(ByteView& entries, Entry& entry, bool& broken) {
  if (entries.size() < 2) return false;
  const auto size = get_le<std::uint16_t>(entries);
  if (size == 0) return false;
  if (size < kEntryHeader || size > entries.size()) {
    broken = true;
    return false;
  }
  entry.type = get_le<std::uint16_t>(entries.subspan(2));
  entry.value = get_le<std::uint16_t>(entries.subspan(4));
  entry.data = entries.subspan(kEntryHeader, size - kEntryHeader);
  entries = entries.subspan(size);
  return true;
}

std::string protector_name(std::uint16_t protection) {
  switch (protection) {
    case 0x0000:
      return "clear-key";
    case 0x0100:
      return "tpm";
    case 0x0200:
      return "startup-key";
    case 0x0500:
      return "tpm-pin";
    case 0x0800:
      return "recovery-password";
    case 0x1000:
      return "smart-card";
    case 0x2000:
      return "password";
    default:
      return fmt::format("unknown-{:#06x}", protection);
  }
}

// The properties inside a VMK entry. False: one does not fit.
bool check_vmk_properties(ByteView properties) {
  Entry entry;
  bool broken = false;
  while (next_entry(properties, entry, broken)) {
    if (entry.value == kAesCcm && entry.data.size() < kSealedKey) return false;
    if (entry.value == kStretch && entry.data.size() < kStretchKey) return false;
    if (entry.value == kString && entry.data.size() % 2 != 0) return false;
  }
  return !broken;
}

// False: an entry does not fit.
bool take_entries(ByteView entries, FveBlock& block) {
  Entry entry;
  bool broken = false;
  while (next_entry(entries, entry, broken)) {
    switch (entry.type) {
      case kVmk: {
        if (entry.data.size() < kVmkHeader || !check_vmk_properties(entry.data.subspan(kVmkHeader))) return false;
        const auto protection = get_le<std::uint16_t>(entry.data.subspan(kVmkHeader - 2));
        block.clear_key = block.clear_key || protection == 0;
        block.protectors.push_back({static_cast<int>(block.protectors.size()), protector_name(protection)});
        break;
      }
      case kFvek:
        if (entry.data.size() < kSealedKey) return false;
        block.has_volume_key = true;
        break;
      case kDescription:
        if (entry.data.size() % 2 != 0) return false;
        if (block.description.empty()) block.description = printable_utf16(entry.data);
        break;
      case kVolumeHeader:
        if (entry.data.size() < 16) return false;
        break;
      default:
        break;
    }
  }
  return !broken;
}

// CRC-32 of IEEE 802.3, reflected. A block is some hundred bytes, 64 KiB at most: a table would not pay.
std::uint32_t crc32(ByteView bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

// Behind the metadata stands the validation block: its size, its version, and the CRC-32 of all before it. Version 2
// counts the metadata in units of 16 bytes.
std::string check_sum(ByteView block, std::uint16_t version) {
  std::size_t size = get_le<std::uint16_t>(block.subspan(8));
  if (version >= 2) size *= 16;
  if (size < kBlockHeader + kMetadataHeader || size + 8 > block.size()) return "its size is impossible";
  if (get_le<std::uint32_t>(block.subspan(size + 4)) != crc32(block.first(size))) return "its checksum is wrong";
  return {};
}

}  // namespace

FveBlock parse_fve_block(ByteView bytes) {
  FveBlock block;
  if (bytes.size() < kBlockHeader + kMetadataHeader) {
    block.wrong = "it is cut off by the end of the volume";
    return block;
  }
  if (as_text(bytes.first(8)) != kSignature) {
    block.wrong = "its signature is missing";
    return block;
  }
  block.present = true;
  const auto version = get_le<std::uint16_t>(bytes.subspan(10));
  block.state = get_le<std::uint16_t>(bytes.subspan(12));
  block.next_state = get_le<std::uint16_t>(bytes.subspan(14));
  if (version >= 2) block.volume_size = get_le<std::uint64_t>(bytes.subspan(16));
  for (std::size_t i = 0; i < 3; ++i) block.blocks[i] = get_le<std::uint64_t>(bytes.subspan(32 + 8 * i));
  const auto metadata_size = get_le<std::uint32_t>(bytes.subspan(kBlockHeader));
  block.guid = guid_text(bytes.subspan(80, 16));
  block.encryption = get_le<std::uint16_t>(bytes.subspan(100));
  if (metadata_size < kMetadataHeader + kEntryHeader || metadata_size > bytes.size() - kBlockHeader) {
    block.wrong = "its size is impossible";
    return block;
  }
  block.safe = take_entries(bytes.subspan(kBlockHeader + kMetadataHeader, metadata_size - kMetadataHeader), block);
  if (!block.safe)
    block.wrong = "an entry reaches beyond its end";
  else if (!block.has_volume_key)
    block.wrong = "it holds no volume key";
  else
    block.wrong = check_sum(bytes, version);
  block.sound = block.wrong.empty();
  return block;
}

std::string fve_cipher(std::uint16_t encryption) {
  switch (encryption) {
    case 0x8000:
    case 0x8001:
      return "aes-cbc-elephant";
    case 0x8002:
    case 0x8003:
      return "aes-cbc-eboiv";
    case 0x8004:
    case 0x8005:
      return "aes-xts-plain64";
    default:
      return {};
  }
}

unsigned fve_key_bits(std::uint16_t encryption) {
  switch (encryption) {
    case 0x8002:
      return 128;
    case 0x8000:
    case 0x8003:
    case 0x8004:
      return 256;
    case 0x8001:
    case 0x8005:
      return 512;
    default:
      return 0;
  }
}

std::string guid_text(ByteView guid) {
  return fmt::format("{:08x}-{:04x}-{:04x}-{}-{}", get_le<std::uint32_t>(guid), get_le<std::uint16_t>(guid.subspan(4)),
                     get_le<std::uint16_t>(guid.subspan(6)), to_hex(guid.subspan(8, 2)), to_hex(guid.subspan(10, 6)));
}

}  // namespace cairn
