// SPDX-License-Identifier: GPL-3.0-or-later
// make_bitlocker_volume FILE [PLAINTEXT-FILE]: writes a small BitLocker volume (and what it decrypts to), for tests in
// shell. Prints its recovery password, the one line on stdout.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>

#include "tests/support/bitlocker_volume.h"

namespace {

bool write_file(const char* path, const cairn::Buffer& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.flush();
  if (!file) fmt::print(stderr, "cannot write {}\n", path);
  return static_cast<bool>(file);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    fmt::print(stderr, "usage: make_bitlocker_volume FILE [PLAINTEXT-FILE]\n");
    return 2;
  }
  const auto volume = cairn::testing::make_bitlocker_volume();
  if (!write_file(argv[1], volume.bytes) || (argc == 3 && !write_file(argv[2], volume.plaintext))) return 1;
  fmt::print("{}\n", volume.recovery_password);
  return 0;
}
