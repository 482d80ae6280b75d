// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/text/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "config/base/units.h"
#include "daemon/cli/text/table.h"

namespace cairn::cli {
namespace {

std::string format_left(double seconds) {
  const auto whole = std::llround(seconds);
  if (whole >= 100LL * 3600) return "days";
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

std::string progress_line(const ProgressFacts& facts) {
  std::string line = printable(facts.object);
  if (facts.jobs > 1) line += fmt::format(" ({} of {})", facts.job, facts.jobs);
  if (facts.cancelling) return line + "  stopping at the next safe point; Ctrl-C again to leave at once";
  if (!facts.waiting_for.empty()) return line + "  waiting: " + printable(facts.waiting_for);
  if (facts.total_bytes == 0) return line + "  starting";
  const std::uint64_t done = std::min(facts.done_bytes, facts.total_bytes);
  // Down, not to the nearest: 100 % means all of it.
  const auto percent = static_cast<unsigned>(static_cast<double>(done) / static_cast<double>(facts.total_bytes) * 100);
  line += fmt::format("  {} %  {} of {}", done == facts.total_bytes ? 100 : std::min(percent, 99U), format_size(done),
                      format_size(facts.total_bytes));
  if (facts.bytes_per_second < 1) return line;
  line += fmt::format("  {}/s", format_size(static_cast<std::uint64_t>(facts.bytes_per_second)));
  if (done < facts.total_bytes)
    line +=
        fmt::format("  {} left", format_left(static_cast<double>(facts.total_bytes - done) / facts.bytes_per_second));
  return line;
}

void RateMeter::add(Time now, std::uint64_t done_bytes) {
  static constexpr std::chrono::seconds kWindow{5};
  if (!samples_.empty() && done_bytes < samples_.back().done_bytes) samples_.clear();  // another job
  samples_.push_back({now, done_bytes});
  while (samples_.size() > 2 && now - samples_[1].time >= kWindow) samples_.pop_front();
}

double RateMeter::bytes_per_second() const {
  if (samples_.size() < 2) return 0;
  const double seconds = std::chrono::duration<double>(samples_.back().time - samples_.front().time).count();
  if (seconds < 0.5) return 0;
  return static_cast<double>(samples_.back().done_bytes - samples_.front().done_bytes) / seconds;
}

void ProgressDisplay::show(const std::string& line) {
  if (!on_) return;
  std::fprintf(stderr, "\r%s\x1b[K", line.c_str());  // K: clear what a longer line left
  std::fflush(stderr);
  shown_ = true;
}

void ProgressDisplay::clear() {
  if (!shown_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace cairn::cli
