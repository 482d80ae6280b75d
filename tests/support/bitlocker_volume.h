// SPDX-License-Identifier: GPL-3.0-or-later
// A small BitLocker volume made from nothing, for machines without one that Windows formatted: libcryptsetup accepts it
// and its recovery password and password open it; dislocker decrypts it. The keys come from a fixed seed: for tests
// only. Sources: crypto/volume/VOLUMES.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "config/base/bytes.h"

namespace cairn::testing {

struct BitlockerOptions {
  std::uint64_t size = 16ULL * 1024 * 1024;    // bytes, at least 4 MiB, a multiple of 4096
  std::string password = "cairn test volume";  // ASCII; empty: no such protector
  bool startup_key = false;                    // a protector that a .BEK file opens
  bool clear_key = false;                      // a key that needs no secret: protection is suspended
  bool recovery = true;                        // a recovery password
  bool to_go = false;                          // the boot sector of BitLocker To Go
  std::uint64_t seed = 1;
  unsigned key_rounds = 0x100000;  // of the key derivation; others make a volume that nobody can open, faster
};

struct BitlockerVolume {
  Buffer bytes;
  Buffer plaintext;                       // as a decrypting device shows it: metadata areas are zeros
  std::string recovery_password;          // 8 groups of 6 digits
  Buffer startup_key;                     // the .BEK file, when it was asked for
  std::string guid;                       // as libcryptsetup prints it
  std::array<std::uint64_t, 3> blocks{};  // where the FVE metadata blocks lie, bytes
};

BitlockerVolume make_bitlocker_volume(const BitlockerOptions& options = {});

// A .BEK file as Windows writes it. `guid`: of the protector, 16 bytes; `key`: 32 bytes.
Buffer make_startup_key(ByteView guid, ByteView key);

// Writes the right checksum behind the metadata block at `block` (64 KiB), after a test has changed it on purpose.
void repair_checksum(MutableBytes block);

}  // namespace cairn::testing
