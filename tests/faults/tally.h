// SPDX-License-Identifier: GPL-3.0-or-later
// What the fault programme counts, and how cases are run: each in a forked child, so that a crash or a hang is counted
// and ends nothing else.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cairn::faults {

// How one case went; the worst that was seen of it.
enum class Verdict : std::uint8_t {
  fine,
  other,  // a promise broken that cost no data: the next run failed, a half-made thing was listed, a false success
  wrong,  // bytes that are not the disk's were given out as such
  lost    // a point whose commit was reported is not there, or cannot be read
};

struct CaseResult {
  Verdict verdict = Verdict::fine;
  std::uint32_t points = 0;  // at stake
  std::uint32_t cases = 0;   // when it was several; 0: one
  std::string text;          // what was wrong

  // Keeps the worst.
  void add(Verdict found, std::string because);
};

struct Options {
  std::uint64_t seed = 20261122;
  bool quick = false;  // the slice that the tests run
  double hours = 0;    // 0: once
  std::string kind;    // empty: all
  unsigned jobs = 2;   // processes at once
  std::string only;    // one scenario's name
};

struct Tally {
  std::string kind;
  std::uint64_t cases = 0;
  std::uint64_t points = 0;
  std::uint64_t lost = 0;
  std::uint64_t wrong = 0;
  std::uint64_t crashes = 0;  // and hangs
  std::uint64_t other = 0;
  double seconds = 0;
  std::string skipped;                // why it was not run
  std::vector<std::string> examples;  // of what was bad; some

  void count(const CaseResult& result, const std::string& name);
  void add(const Tally& more);
  [[nodiscard]] bool good() const { return lost == 0 && wrong == 0 && crashes == 0 && other == 0; }
};

// Runs cases 0 to `count` - 1 in children, at most `jobs` at once, and counts them. A case that takes longer than
// `limit` counts as a crash. `name` says what a case was, for examples.
void run_cases(Tally& tally, std::size_t count, const Options& options,
               const std::function<CaseResult(std::size_t)>& run, const std::function<std::string(std::size_t)>& name,
               std::chrono::seconds limit = std::chrono::seconds(60));

}  // namespace cairn::faults
