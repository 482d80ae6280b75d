// SPDX-License-Identifier: GPL-3.0-or-later
// Progress: one line on standard error, updated in place, and only on a terminal. What the line says is pure.
// One thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace cairn::cli {

struct ProgressFacts {
  std::string object;  // "web-01"
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;  // 0: not known yet
  double bytes_per_second = 0;    // 0: not known yet
  unsigned job = 1;               // this one ...
  unsigned jobs = 1;              // ... of so many
  bool cancelling = false;
  std::string waiting_for = {};  // empty: it does not wait
};

// "web-01  42 %  1.05 GiB of 2.50 GiB  512 MiB/s  0:03 left"
std::string progress_line(const ProgressFacts& facts);

// The rate over the last few seconds. Pure: the caller brings the time.
class RateMeter {
 public:
  using Time = std::chrono::steady_clock::time_point;
  void add(Time now, std::uint64_t done_bytes);
  // 0 while less than half a second has been seen.
  [[nodiscard]] double bytes_per_second() const;

 private:
  struct Sample {
    Time time;
    std::uint64_t done_bytes;
  };
  std::deque<Sample> samples_;
};

// The terminal's line; without a terminal all calls do nothing.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(bool on_terminal) : on_(on_terminal) {}
  ~ProgressDisplay() { clear(); }
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;
  void show(const std::string& line);
  void clear();

 private:
  bool on_;
  bool shown_ = false;
};

}  // namespace cairn::cli
