// SPDX-License-Identifier: GPL-3.0-or-later
// Fuzz targets: every decoder of foreign bytes, each as a function that must neither crash, hang nor trip a sanitizer.
// The normal run replays the corpus and a fixed number of mutations of it (replay_test.cpp); with clang, libfuzzer.cpp
// makes a libFuzzer program of them.
#pragma once

#include <span>

#include "config/base/bytes.h"

namespace cairn {

struct FuzzTarget {
  const char* name;
  void (*run)(ByteView input);
  const char* corpus = name;  // its folder
};

std::span<const FuzzTarget> fuzz_targets();

}  // namespace cairn
