// SPDX-License-Identifier: GPL-3.0-or-later
// FVE metadata. Sources: libbde's "BitLocker Drive Encryption (BDE) format", cryptsetup's lib/bitlk/bitlk.c, and for
// the checksum dislocker's src/metadata; checked against volumes that Windows made.
#include "crypto/volume/fve_metadata.h"

#include <fmt/format.h>

#include <algorithm>

#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

constexpr std::size_t kBlockHeader = 64;
constexpr std::size_t kMetadataHeader = 48;
constexpr std::size_t kEntryHeader = 8;
constexpr std::size_t kVmkHeader = 28;                       // GUID, time, two bytes unknown, protection
constexpr std::size_t kSealedKey = 12 + 16;                  // nonce and MAC before the AES-CCM ciphertext
constexpr std::size_t kUnsealedHeader = kFveUnsealedHeader;  // size, type, version, method before a sealed key
constexpr std::size_t kVmkBytes = 32;  // AES-256, of which libcrypto reads all bytes, whatever the entry's size
constexpr std::size_t kLargestVolumeKey = 128;
// More than Windows makes; each costs a second to try, and the volume may be a hostile one.
constexpr std::size_t kMostProtectors = 64;
constexpr std::size_t kStretchKey = 4 + 16;  // method and salt

enum EntryType : std::uint16_t { kVmk = 2, kFvek = 3, kDescription = 7, kVolumeHeader = 15 };
enum ValueType : std::uint16_t { kKey = 1, kString = 2, kStretch = 3, kAesCcm = 5 };

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
      return std::string(kClearKeyKind);
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

// Bytes of the key in an AES-CCM entry that is at least as long as kSealedKey.
std::size_t sealed_key_bytes(const Entry& entry) {
  const std::size_t sealed = entry.data.size() - kSealedKey;
  return sealed < kUnsealedHeader ? 0 : sealed - kUnsealedHeader;
}

// libcryptsetup 2.6 unseals the first key of each protector that it knows, whether there is one or not, and gives a
// volume key of any size out into a buffer of the cipher's.
struct SealedKeys {
  bool protectors_fit = true;
  std::size_t least = kLargestVolumeKey;  // of the volume keys, bytes
  std::size_t most = 0;
};

bool needs_key(std::uint16_t protection) {
  return protection == 0x0200 || protection == 0x0800 || protection == 0x2000;
}

// The properties inside a VMK entry. False: one does not fit.
bool check_vmk_properties(ByteView properties, std::uint16_t protection, SealedKeys& keys) {
  Entry entry;
  bool broken = false;
  bool has_key = false;
  while (next_entry(properties, entry, broken)) {
    if (entry.value == kAesCcm) {
      if (entry.data.size() < kSealedKey) return false;
      has_key = true;
      if (sealed_key_bytes(entry) != kVmkBytes) keys.protectors_fit = false;
    }
    if (entry.value == kStretch && entry.data.size() < kStretchKey) return false;
    if (entry.value == kString && entry.data.size() % 2 != 0) return false;
  }
  if (needs_key(protection) && !has_key) keys.protectors_fit = false;
  return !broken;
}

// False: an entry does not fit.
bool take_entries(ByteView entries, FveBlock& block, SealedKeys& keys) {
  Entry entry;
  bool broken = false;
  while (next_entry(entries, entry, broken)) {
    switch (entry.type) {
      case kVmk: {
        if (entry.data.size() < kVmkHeader) return false;
        const auto protection = get_le<std::uint16_t>(entry.data.subspan(kVmkHeader - 2));
        if (!check_vmk_properties(entry.data.subspan(kVmkHeader), protection, keys)) return false;
        block.clear_key = block.clear_key || protection == 0;
        block.protectors.push_back({static_cast<int>(block.protectors.size()), protector_name(protection)});
        break;
      }
      case kFvek:
        if (entry.data.size() < kSealedKey) return false;
        block.has_volume_key = true;
        keys.least = std::min(keys.least, sealed_key_bytes(entry));
        keys.most = std::max(keys.most, sealed_key_bytes(entry));
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

// Bytes of the volume key as it is sealed, at least. AES-128 with the diffuser: two keys of 16 bytes, each padded
// to 32.
std::size_t sealed_volume_key(std::uint16_t encryption) {
  return encryption == 0x8000 ? 64 : fve_key_bits(encryption) / 8;
}

}  // namespace

FveBlock parse_fve_block(ByteView bytes) {
  FveBlock block;
  if (bytes.size() < kBlockHeader + kMetadataHeader) {
    block.wrong = "it is cut off by the end of the volume";
    return block;
  }
  if (as_text(bytes.first(8)) != kFveSignature) {
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
  SealedKeys keys;
  block.safe =
      take_entries(bytes.subspan(kBlockHeader + kMetadataHeader, metadata_size - kMetadataHeader), block, keys);
  if (!block.safe)
    block.wrong = "an entry reaches beyond its end";
  else if (!block.has_volume_key)
    block.wrong = "it holds no volume key";
  else
    block.wrong = check_sum(bytes, version);
  block.sound = block.wrong.empty();
  block.openable = block.safe && block.has_volume_key && keys.protectors_fit &&
                   block.protectors.size() <= kMostProtectors && keys.least >= sealed_volume_key(block.encryption) &&
                   keys.most <= kLargestVolumeKey;
  return block;
}

FveClearKeys fve_clear_keys(ByteView block) {
  FveClearKeys found;
  const auto metadata_size = get_le<std::uint32_t>(block.subspan(kBlockHeader));
  ByteView entries = block.subspan(kBlockHeader + kMetadataHeader, metadata_size - kMetadataHeader);
  Entry entry;
  bool broken = false;
  while (next_entry(entries, entry, broken)) {
    if (entry.type == kFvek && entry.value == kAesCcm) found.sealed_volume_keys.push_back(entry.data);
    if (entry.type != kVmk || get_le<std::uint16_t>(entry.data.subspan(kVmkHeader - 2)) != 0) continue;
    ByteView properties = entry.data.subspan(kVmkHeader);
    FveClearKey clear;
    Entry property;
    while (next_entry(properties, property, broken)) {
      constexpr std::size_t kMethod = 4;
      if (property.value == kKey && property.data.size() == kMethod + kVmkBytes)
        clear.key = property.data.subspan(kMethod);
      if (property.value == kAesCcm) clear.sealed_master_key = property.data;
    }
    if (!clear.key.empty() && !clear.sealed_master_key.empty()) found.keys.push_back(clear);
  }
  return found;
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

}  // namespace cairn
