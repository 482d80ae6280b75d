// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/programme.h"

#include <fmt/format.h>

#include <array>
#include <ostream>

#include "config/base/log.h"
#include "crypto/secret_bytes.h"
#include "tests/faults/scene.h"

namespace cairn::faults {
namespace {

constexpr std::array kKinds = {
    Kind{"power cut", power_cuts},
    Kind{"failing call", failing_calls},
    Kind{"bit flip", bit_flips},
    Kind{"full disk", full_disk},
    Kind{"hanging backend", hanging_backend},
    Kind{"two processes", two_writers},
    Kind{"readers meanwhile", readers_meanwhile},
    Kind{"clock jump", clock_jumps},
    Kind{"model", model},
};

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void print(std::ostream& out, const Tally& tally) {
  out << fmt::format("{:<22} {:>9} {:>10} {:>6} {:>6} {:>8} {:>6} {:>8.1f}", tally.kind, tally.cases, tally.points,
                     tally.lost, tally.wrong, tally.crashes, tally.other, tally.seconds);
  if (!tally.skipped.empty()) out << "  not run: " << tally.skipped;
  out << '\n';
  for (const std::string& example : tally.examples) out << "    " << example << '\n';
  out.flush();
}

}  // namespace

std::span<const Kind> kinds() {
  return kKinds;
}

Tally run_kind(const Kind& kind, const Options& options) {
  start_crypto();
  ::setenv("TMPDIR", scratch_parent().c_str(), 1);
  std::string log;
  redirect_log(&log);
  const auto begin = std::chrono::steady_clock::now();
  Tally tally = kind.run(options);
  tally.kind = kind.name;
  tally.seconds = seconds_since(begin);
  redirect_log(nullptr);
  return tally;
}

bool run_programme(Options options, std::ostream& out) {
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t first_seed = options.seed;
  std::vector<Tally> all;
  out << fmt::format("{:<22} {:>9} {:>10} {:>6} {:>6} {:>8} {:>6} {:>8}\n", "kind", "cases", "points", "lost", "wrong",
                     "crashes", "other", "seconds");
  for (;;) {
    std::size_t number = 0;
    for (const Kind& kind : kinds()) {
      if (!options.kind.empty() && options.kind != kind.name) continue;
      Tally tally = run_kind(kind, options);
      if (options.hours == 0) print(out, tally);
      if (all.size() <= number) all.emplace_back().kind = tally.kind;
      all[number++].add(tally);
    }
    if (seconds_since(begin) >= options.hours * 3600) break;
    ++options.seed;
  }
  bool good = !all.empty();
  for (const Tally& tally : all) {
    if (options.hours != 0) print(out, tally);
    good = good && tally.good();
  }
  if (options.seed != first_seed) out << fmt::format("seeds {} to {}\n", first_seed, options.seed);
  return good;
}

}  // namespace cairn::faults
