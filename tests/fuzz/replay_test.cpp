// SPDX-License-Identifier: GPL-3.0-or-later
// Replays the corpus, and mutations of it under a fixed seed ($CAIRN_FUZZ_SEED, $CAIRN_FUZZ_ROUNDS), on every target.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "crypto/secret_bytes.h"
#include "tests/fuzz/targets.h"

namespace cairn {
namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::vector<Buffer> corpus_of(const FuzzTarget& target) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(CAIRN_CORPUS_DIR) / target.corpus))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<Buffer> inputs;
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
  return inputs;
}

Buffer mutated(Buffer input, std::mt19937_64& random) {
  const auto below = [&](std::size_t limit) {
    return static_cast<std::size_t>(random() % std::max<std::size_t>(1, limit));
  };
  for (std::size_t steps = 1 + below(8); steps > 0; --steps) {
    if (input.empty()) input.push_back(0);
    const std::size_t at = below(input.size());
    switch (below(6)) {
      case 0:
        input[at] ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 1:
        input[at] = static_cast<std::uint8_t>(random());
        break;
      case 2:
        input.resize(at);
        break;
      case 3:
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), below(16), static_cast<std::uint8_t>(random()));
        break;
      case 4:
        std::fill_n(input.begin() + static_cast<std::ptrdiff_t>(at), std::min(below(9), input.size() - at), 0xff);
        break;
      default: {
        const std::size_t from = below(input.size());
        const std::size_t size = std::min({below(64), input.size() - at, input.size() - from});
        std::copy_n(Buffer(input).begin() + static_cast<std::ptrdiff_t>(from), size,
                    input.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
  }
  return input;
}

class Fuzz : public testing::TestWithParam<FuzzTarget> {};

TEST_P(Fuzz, SurvivesItsCorpusAndMutationsOfIt) {
  start_crypto();
  const FuzzTarget& target = GetParam();
  const std::vector<Buffer> corpus = corpus_of(target);
  ASSERT_FALSE(corpus.empty()) << "no corpus for " << target.name;
  for (const Buffer& input : corpus) target.run(input);
  const std::uint64_t seed = number_from("CAIRN_FUZZ_SEED", 20261122);
  const std::uint64_t rounds = number_from("CAIRN_FUZZ_ROUNDS", 500);
  std::cout << target.name << ": seed " << seed << ", " << rounds << " rounds\n";
  std::mt19937_64 random(seed);
  for (std::uint64_t round = 0; round < rounds; ++round) target.run(mutated(corpus[random() % corpus.size()], random));
}

INSTANTIATE_TEST_SUITE_P(Targets, Fuzz, testing::ValuesIn(fuzz_targets().begin(), fuzz_targets().end()),
                         [](const auto& which) {
                           std::string name = which.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace cairn
