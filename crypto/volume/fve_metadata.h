// SPDX-License-Identifier: GPL-3.0-or-later
// FVE metadata: BitLocker's own description of a volume, kept three times on it. A bounded parser of what the facts
// need and of what libcryptsetup 2.6 relies on without checking. Pure. Bytes: crypto/volume/VOLUMES.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/bytes.h"
#include "crypto/volume/volume_facts.h"

namespace cairn {

inline constexpr std::size_t kFveBlockBytes = 64 * 1024;  // the area of one metadata block
inline constexpr std::string_view kFveSignature = "-FVE-FS-";

struct FveBlock {
  bool present = false;     // the block's signature is there
  bool sound = false;       // checksum and all entries are right
  bool safe = false;        // entries lie within their bounds: libcryptsetup may see it
  bool openable = false;    // safe, and its sealed keys have sizes that libcryptsetup 2.6 can unseal without harm
  std::string wrong;        // not sound: why, in words
  std::uint16_t state = 0;  // 4: fully encrypted
  std::uint16_t next_state = 0;
  std::uint64_t volume_size = 0;          // bytes, 0: not given
  std::array<std::uint64_t, 3> blocks{};  // where the three blocks lie, bytes from the volume's start
  std::string guid;                       // of the volume
  std::uint16_t encryption = 0;           // 0x8000 ... 0x8005
  std::string description;
  bool has_volume_key = false;  // an FVEK entry is there
  bool clear_key = false;       // a protector that needs no secret: protection is suspended
  std::vector<KeySlotFacts> protectors;
};

// `block`: up to kFveBlockBytes from the block's start.
FveBlock parse_fve_block(ByteView block);

// What opens a volume without a secret: the clear keys that stand in a block, each with what it seals. Views into the
// block; sealed: nonce (12), MAC (16), then an AES-CCM ciphertext of kFveUnsealedHeader bytes and the key.
struct FveClearKey {
  ByteView key;                // 32 bytes
  ByteView sealed_master_key;  // of the volume (VMK), under the clear key
};
struct FveClearKeys {
  std::vector<FveClearKey> keys;
  std::vector<ByteView> sealed_volume_keys;  // FVEK, under the volume master key
};
inline constexpr std::size_t kFveNonceBytes = 12;
inline constexpr std::size_t kFveMacBytes = 16;
inline constexpr std::size_t kFveUnsealedHeader = 12;
inline constexpr std::string_view kClearKeyKind = "clear-key";  // KeySlotFacts::kind
// `block` as parse_fve_block() found it openable.
FveClearKeys fve_clear_keys(ByteView block);

// "aes-xts-plain64" in libcryptsetup's words; empty when unknown.
std::string fve_cipher(std::uint16_t encryption);
unsigned fve_key_bits(std::uint16_t encryption);

}  // namespace cairn
