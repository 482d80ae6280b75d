// SPDX-License-Identifier: GPL-3.0-or-later
// What tests of the states of points share: points by day, and whether the chain of predecessors is explained.
#pragma once

#include "fs/store/point/point_marks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "config/base/log.h"
#include "fs/io/local_backend.h"
#include "fs/store/point/mark_files.h"
#include "fs/store/store_state.h"
#include "fs/store/verify/verify_points.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_backend.h"
#include "tests/support/temporary_store.h"

namespace cairn {

// Every put from the first on fails as on a full disk, until an object is removed.
class FullBackend final : public Backend {
 public:
  explicit FullBackend(std::shared_ptr<Backend> inner) : inner_(std::move(inner)) {}
  int room = 0;  // so many puts succeed
  int room_by_removing = 0;
  [[nodiscard]] std::string location() const override { return inner_->location(); }
  using Backend::put;
  Result<void> put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) override {
    if (room-- <= 0) return fail_errno(ENOSPC, "write", std::string(name));
    return inner_->put(name, parts, if_exists);
  }
  Result<std::unique_ptr<ObjectReader>> open(std::string_view name) override { return inner_->open(name); }
  Result<std::vector<std::string>> list(std::string_view prefix) override { return inner_->list(prefix); }
  Result<void> remove(std::string_view name) override {
    room = std::max(room, 0) + room_by_removing;
    return inner_->remove(name);
  }
  Result<std::optional<std::uint64_t>> change_token(std::string_view prefix) override {
    return inner_->change_token(prefix);
  }

 private:
  std::shared_ptr<Backend> inner_;
};

inline PointName vm(int day) {
  return {"vm", test_time() + std::chrono::days(day)};
}
inline const UtcTime kNow = test_time() + std::chrono::days(100);

class PointMarks : public testing::Test {
 protected:
  void SetUp() override { redirect_log(&log_); }
  void TearDown() override { redirect_log(nullptr); }

  static void commit(Store& store, const PointName& name, std::optional<UtcTime> immutable_until = {}) {
    const auto writer = value_of(begin_writing(store, "test"));
    RecoveryPoint point;
    point.name = name;
    point.immutable_until = immutable_until;
    expect_ok(writer->commit(point));
  }
  static void commit_days(Store& store, int count) {
    for (int day = 0; day < count; ++day) commit(store, vm(day));
  }
  static Deletion deletion(const PointName& name) { return {name, kNow, kNow + std::chrono::days(14), "by hand"}; }
  static Result<void> remove(Store& store, const PointName& name) {
    return delete_point(*value_of(begin_writing(store, "test")), deletion(name), kNow);
  }
  static Result<void> purge(Store& store, const PointName& name) {
    return purge_point(*value_of(begin_writing(store, "test")), name, "test", kNow, kNow);
  }
  // From the newest point back: each predecessor is there, or a tombstone with the hash that is named stands for it.
  // Empty: explained.
  static std::string gap_in(Store& store) {
    std::map<std::string, Tombstone> stones;
    for (const Tombstone& stone : value_of(store.points().tombstones())) stones[stone.point.text()] = stone;
    std::set<std::string> there;
    for (const PointName& name : value_of(store.points().list_stored())) there.insert(name.text());
    for (const std::string& start : there) {
      const RecoveryPoint point = value_of(store.points().load(*PointName::parse(start)));
      std::string name = point.previous_name;
      std::string hash = point.previous;
      while (!name.empty() && !there.contains(name)) {
        const auto stone = stones.find(name);
        if (stone == stones.end()) return start + " needs " + name;
        if (stone->second.hash != hash) return start + " finds another " + name;
        hash = stone->second.previous;
        name = stone->second.previous_name;
      }
      if (!name.empty() && value_of(store.points().hash_of(*PointName::parse(name))) != hash)
        return start + " finds another " + name;
    }
    const PointsFound found = value_of(look_at_points(store, {}, false));
    return found.gaps.empty() ? "" : found.gaps[0].after + " misses " + found.gaps[0].missing;
  }

  std::string log_;
  TemporaryStore place_;
};

}  // namespace cairn
