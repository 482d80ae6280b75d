// SPDX-License-Identifier: GPL-3.0-or-later
// The fault programme: one table. See scripts/faults.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "tests/faults/programme.h"

int main(int argc, char** argv) {
  using namespace cairn::faults;
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (word == "--quick") {
      options.quick = true;
      continue;
    }
    if (value == nullptr) {
      std::cerr << "faults: " << word << " needs a value\n";
      return 2;
    }
    ++i;
    if (word == "--seed")
      options.seed = std::strtoull(value, nullptr, 10);
    else if (word == "--hours")
      options.hours = std::strtod(value, nullptr);
    else if (word == "--kind")
      options.kind = value;
    else if (word == "--scenario")
      options.only = value;
    else if (word == "--jobs")
      options.jobs = static_cast<unsigned>(std::strtoul(value, nullptr, 10));
    else {
      std::cerr << "faults: unknown option " << word << "\n";
      return 2;
    }
  }
  return run_programme(options, std::cout) ? 0 : 1;
}
