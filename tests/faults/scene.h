// SPDX-License-Identifier: GPL-3.0-or-later
// Scene: a small store in a directory of its own, and what must be in it: every disk of every point, byte by byte.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fs/store/verify/damage.h"
#include "tests/faults/interpose.h"
#include "tests/faults/tally.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn::faults {

// What is promised of a point.
enum class Standing : std::uint8_t {
  must,   // its commit was reported: listed, and every byte of it is there
  may,    // being made or being removed: listed or not; when listed, every byte is there
  hidden  // deleted or removed, and that was reported: not listed
};

struct PointTruth {
  std::map<std::string, std::shared_ptr<const Buffer>> disks;
  Standing standing = Standing::may;
  // Damage that was done to it: these bytes of these disks may be reported as unreadable, and nothing else.
  std::map<std::string, std::vector<ByteRange>> unreadable;
  bool opens = true;  // false: its file is damaged
};
using Truth = std::map<std::string, PointTruth>;  // by the point's name

// A change of what is promised, and when it came.
struct TruthChange {
  std::size_t position = 0;  // operations before it
  std::string point;
  PointTruth now;
};

class Scene {
 public:
  // Everything lies below `root`: store/ and state/.
  explicit Scene(std::filesystem::path root) : root_(std::move(root)) {}

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path store() const { return root_ / "store"; }
  [[nodiscard]] std::filesystem::path journal() const { return root_ / "state" / "journal.db"; }
  // The same promises for a copy of the directory somewhere else.
  [[nodiscard]] Scene at(std::filesystem::path root, Truth truth) const;

  static const NewKeySlot& first_slot();
  static UnlockKey key();
  Result<std::unique_ptr<Store>> open() const { return Store::open(store(), key()); }

  // Promises, in the order in which they are made. With a watch, they know their place among the operations.
  void set_watch(const Watch* watch);
  void stop_watching() { watch_ = nullptr; }
  void promise(const std::string& point, PointTruth now);
  void promise(const std::string& point, Standing standing);
  [[nodiscard]] const Truth& truth() const { return truth_; }
  // As it was after `operations` operations of the watch: what was reported by then, and what was being done.
  [[nodiscard]] Truth truth_after(std::size_t operations) const;

  // Backs up this generation of the machine's disks as a point at `second`, and promises it.
  Result<void> back_up(Store& store, const std::string& machine, unsigned generation, int second);

  // Looks at what cannot be read of the points, and promises no more than that of what was done to them.
  void admit_damage();
  // Takes that back, for one point or, with an empty text, for all: they must be whole from now on.
  void promise_whole(const std::string& point = {});

  // Reads all that is listed and compares it with what is promised.
  void check_points(CaseResult& result) const;
  // The same on a store that is open already.
  void check_points(Store& store, CaseResult& result) const;

 private:
  std::filesystem::path root_;
  const Watch* watch_ = nullptr;
  Truth at_start_;  // of the watch
  Truth truth_;
  std::vector<TruthChange> changes_;
};

// A machine's disk: generation by generation, a few chunks differ.
MemoryImage disk_image(const std::string& machine, unsigned generation);
// Copies a directory, files by their bytes.
void copy_tree(const std::filesystem::path& from, const std::filesystem::path& to);

// For temporary directories: in memory where that is possible, for speed.
std::filesystem::path scratch_parent();

}  // namespace cairn::faults
