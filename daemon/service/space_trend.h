// SPDX-License-Identifier: GPL-3.0-or-later
// How full the store's file system is, and when it will be full if it goes on like this: a figure of `cairn status`.
// After each backup the free space is noted in `state_dir` (space/STORE-ID.json, at most one sample an hour, of 30
// days):
//   {"version":1,"samples":[[SECONDS-SINCE-1970,FREE-BYTES,TOTAL-BYTES],...]}
// It is the free space that is followed, not what Cairn writes: what prunes free and others write counts too. A file
// that cannot be read is begun anew, and one that cannot be written is done without: then the trend is not known.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/guarded.h"

namespace cairn {

class Backend;

struct SpaceSample {
  UtcTime time;
  std::uint64_t free = 0;   // bytes that may still be written
  std::uint64_t total = 0;  // bytes of the file system
  bool operator==(const SpaceSample&) const = default;
};

// In how many days the free space is used up, by the line of least squares through the samples of the last 14 days.
// Nothing: they span less than a day, are fewer than three, or the space does not shrink. A change of `total` begins
// anew; samples of the future are left out. Pure.
std::optional<double> days_left(std::span<const SpaceSample> samples, UtcTime now);

// Any thread. Processes that write at once may lose a sample, never more.
class SpaceHistory {
 public:
  // Touches nothing yet. `state_dir` empty: nothing is kept.
  SpaceHistory(const std::filesystem::path& state_dir, const std::string& store_id);
  ~SpaceHistory();
  void note(const SpaceSample& sample);
  [[nodiscard]] std::vector<SpaceSample> samples() const;

 private:
  std::shared_ptr<Backend> records_;  // null: nothing is kept
  std::string name_;
  Guarded<int> writing_;  // locked while the file is read and written anew
};

}  // namespace cairn
