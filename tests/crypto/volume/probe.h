// SPDX-License-Identifier: GPL-3.0-or-later
// What the volume tests share: probing a file, and LUKS images that cryptsetup makes cheaply.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "crypto/volume/volume.h"
#include "tests/support/sandbox.h"

namespace cairn::testing {

// Fails the test when probing fails, or when it changed the file.
DiskFacts probe(const std::filesystem::path& image);

inline constexpr const char* kPassphrase = "correct horse";
inline const std::vector<std::string> kCheap = {"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"};
inline const std::vector<std::string> kCheapArgon = {
    "--pbkdf", "argon2id", "--pbkdf-memory", "32", "--pbkdf-force-iterations", "4"};

// cryptsetup luksFormat. `options` come before the image.
void luks_format(const std::filesystem::path& image, const std::vector<std::string>& options);
// cryptsetup luksAddKey with the passphrase "second".
void luks_add_key(const std::filesystem::path& image, const std::vector<std::string>& options);
// cryptsetup open --test-passphrase.
bool opens(const std::filesystem::path& image);
// The volumes that Windows made ($CAIRN_TESTDATA, else ../shared/testdata beside the repository), unpacked into `box`:
// their directory. Empty: they are not there, and `why` says where they were looked for.
std::filesystem::path unpack_windows_volumes(const Sandbox& box, std::string& why);
// Makes the checksum of a changed LUKS2 header copy right again: SHA-256 over it all, its own field zero.
void repair_luks2(MutableBytes bytes, std::size_t at, std::size_t size);
// Everything a VolumeFacts says, for comparing.
std::string describe(const VolumeFacts& facts);

}  // namespace cairn::testing

#define NEEDS_CRYPTSETUP() \
  if (!::cairn::testing::have_program("cryptsetup")) GTEST_SKIP() << "cryptsetup is not installed"
