// SPDX-License-Identifier: GPL-3.0-or-later
// A libFuzzer program of the target named in $CAIRN_FUZZ_TARGET; how to build it: tests/fuzz/meson.build.
#include <cstdlib>
#include <string_view>

#include "crypto/secret_bytes.h"
#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const cairn::FuzzTarget* const target = []() -> const cairn::FuzzTarget* {
    cairn::start_crypto();
    const char* wanted = std::getenv("CAIRN_FUZZ_TARGET");
    for (const cairn::FuzzTarget& candidate : cairn::fuzz_targets())
      if (wanted != nullptr && std::string_view(wanted) == candidate.name) return &candidate;
    std::abort();  // name a target in CAIRN_FUZZ_TARGET
  }();
  target->run({data, size});
  return 0;
}
