// SPDX-License-Identifier: GPL-3.0-or-later
// A short, seeded slice of each kind of the fault programme; all of it: scripts/faults.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "tests/faults/programme.h"

namespace cairn::faults {
namespace {

class Faults : public ::testing::TestWithParam<Kind> {};

TEST_P(Faults, LoseNothing) {
  Options options;
  options.quick = true;
  if (const char* seed = std::getenv("CAIRN_TEST_SEED")) options.seed = std::strtoull(seed, nullptr, 10);
  const Tally tally = run_kind(GetParam(), options);
  std::cout << tally.cases << " cases, " << tally.points << " points at stake, seed " << options.seed << "\n";
  if (!tally.skipped.empty()) GTEST_SKIP() << tally.skipped;
  for (const std::string& example : tally.examples) ADD_FAILURE() << example;
  EXPECT_GT(tally.cases, 0U);
  EXPECT_EQ(tally.lost, 0U);
  EXPECT_EQ(tally.wrong, 0U);
  EXPECT_EQ(tally.crashes, 0U);
  EXPECT_EQ(tally.other, 0U);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Faults, ::testing::ValuesIn(kinds().begin(), kinds().end()), [](const auto& which) {
  std::string name = which.param.name;
  std::ranges::replace_if(name, [](char letter) { return std::isalnum(static_cast<unsigned char>(letter)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace cairn::faults
