// SPDX-License-Identifier: GPL-3.0-or-later
// make_bitlocker_volume [OPTION...] FILE [PLAINTEXT-FILE]: writes a small BitLocker volume (and what it decrypts to),
// for tests in shell. Prints its recovery password, the one line on stdout. --startup-key FILE: a protector with that
// .BEK file; --clear-key-only: it opens without a secret, and by nothing else.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <string_view>

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
  cairn::testing::BitlockerOptions options;
  const char* startup_key = nullptr;
  int at = 1;
  for (; at < argc && std::string_view(argv[at]).starts_with("--"); ++at) {
    const std::string_view option = argv[at];
    if (option == "--startup-key" && at + 1 < argc) {
      options.startup_key = true;
      startup_key = argv[++at];
    } else if (option == "--clear-key-only") {
      options.clear_key = true;
      options.recovery = false;
      options.password.clear();
    } else {
      at = argc;
    }
  }
  const int files = argc - at;
  if (files < 1 || files > 2) {
    fmt::print(stderr, "usage: make_bitlocker_volume [--startup-key FILE] [--clear-key-only] FILE [PLAINTEXT-FILE]\n");
    return 2;
  }
  const auto volume = cairn::testing::make_bitlocker_volume(options);
  if (!write_file(argv[at], volume.bytes) || (files == 2 && !write_file(argv[at + 1], volume.plaintext))) return 1;
  if (startup_key != nullptr && !write_file(startup_key, volume.startup_key)) return 1;
  fmt::print("{}\n", volume.recovery_password);
  return 0;
}
