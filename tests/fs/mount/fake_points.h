// SPDX-License-Identifier: GPL-3.0-or-later
// Fakes for the mount's tests: points in memory, and chunks that count how often they are asked for.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "fs/mount/loaded_points.h"
#include "fs/store/map/disk_map.h"
#include "fs/store/map/disk_reader.h"

namespace cairn::test {

inline PointName point_name(const std::string& machine, std::int64_t seconds) {
  return {machine, UtcTime(std::chrono::seconds(seconds))};
}

class FakePoints : public PointSource {
 public:
  void add(const PointName& name) {
    RecoveryPoint point;
    point.name = name;
    add(point);
  }
  void add(const RecoveryPoint& point) {
    points_[point.name] = point;
    ++token_;
  }
  void remove(const PointName& name) {
    points_.erase(name);
    ++token_;
  }
  void damage(const PointName& name) { damaged_.insert(name); }
  void repair(const PointName& name) { damaged_.erase(name); }
  void hide_token() { tells_token_ = false; }

  Result<std::vector<PointName>> list_points() override {
    ++lists;
    if (broken) return fail(ErrorCode::io_error, "list points", "fake");
    std::vector<PointName> names;
    for (const auto& [name, point] : points_) names.push_back(name);
    std::ranges::reverse(names);  // the tree must not rely on the order
    return names;
  }
  // The newest by date, unless the test says that another was written last.
  std::set<PointName> written_last;
  Result<std::vector<PointName>> latest_points(const std::vector<PointName>& names) override {
    std::map<std::string, PointName> last;
    for (const PointName& name : names)
      if (!last.contains(name.machine) || !written_last.contains(last[name.machine])) last[name.machine] = name;
    std::vector<PointName> found;
    for (const auto& [machine, name] : last) found.push_back(name);
    return found;
  }
  Result<std::optional<std::uint64_t>> points_token() override {
    return tells_token_ ? std::optional(token_) : std::nullopt;
  }
  Result<RecoveryPoint> load_point(const PointName& name) override {
    ++loads;
    if (damaged_.contains(name)) return fail(ErrorCode::point_damaged, "read recovery point", name.text());
    const auto at = points_.find(name);
    if (at == points_.end()) return fail(ErrorCode::point_missing, "read recovery point", name.text());
    return at->second;
  }

  int lists = 0;
  int loads = 0;
  bool broken = false;

 private:
  std::map<PointName, RecoveryPoint> points_;
  std::set<PointName> damaged_;
  std::uint64_t token_ = 1;
  bool tells_token_ = true;
};

// Chunks by name. Names are of the test's choosing.
class FakeChunks : public ChunkSource {
 public:
  static ChunkName name(std::uint64_t number) {
    ChunkName made;
    // Spread over all bytes, as a hash is.
    std::uint64_t mixed = number + 1;
    for (std::size_t i = 0; i < made.bytes.size(); i += 8) {
      mixed *= 0x9E3779B97F4A7C15ULL;
      mixed ^= mixed >> 29;
      put_le(MutableBytes(made.bytes).subspan(i), mixed);
    }
    return made;
  }
  void put(const ChunkName& name, Buffer bytes) { chunks_[name] = std::make_shared<const ChunkBytes>(bytes); }
  void damage(const ChunkName& name) {
    const std::lock_guard lock(mutex_);
    damaged_.insert(name);
  }
  void repair(const ChunkName& name) {
    const std::lock_guard lock(mutex_);
    damaged_.erase(name);
  }
  // Called by every fetch, before it answers.
  std::function<void()> while_fetching = [] {};
  std::atomic<int> fetches = 0;

  Result<SharedBuffer> fetch(RecordKind, const ChunkName& name) override {
    ++fetches;
    while_fetching();
    const std::lock_guard lock(mutex_);
    if (damaged_.contains(name)) return fail(ErrorCode::chunk_damaged, "open chunk", name.hex());
    const auto at = chunks_.find(name);
    if (at == chunks_.end()) return fail(ErrorCode::chunk_missing, "open chunk", name.hex());
    return at->second;
  }

 private:
  std::mutex mutex_;
  std::map<ChunkName, SharedBuffer> chunks_;
  std::set<ChunkName> damaged_;
};

}  // namespace cairn::test
