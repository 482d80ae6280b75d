// SPDX-License-Identifier: GPL-3.0-or-later
// CutDisk: what a disk holds when the power is cut. Keeps what was synced apart from what was not: a file's data until
// that file is synced, a folder's entries until that folder is synced. A rename is atomic. Stricter than any
// journalling file system, which also keeps unsynced changes in order.
#pragma once

#include <map>
#include <random>
#include <set>

#include "tests/faults/interpose.h"

namespace cairn::faults {

// What becomes of what was not synced.
enum class Unsynced : std::uint8_t {
  dropped,
  kept,
  mixed  // any part: sectors of 512 bytes of data, a folder's changes up to some of them
};

class CutDisk {
 public:
  explicit CutDisk(const std::vector<StartObject>& start);

  void apply(const Operation& operation);
  // Makes in the empty or new directory `target` what is there after a cut now. The times of files are of no meaning.
  void materialize(const std::filesystem::path& target, Unsynced unsynced, std::mt19937_64& random) const;

 private:
  struct File {
    std::shared_ptr<const Buffer> durable = std::make_shared<Buffer>();
    std::vector<Operation> pending;  // writes and truncations, in order
  };
  struct EntryChange {
    Operation operation;
    [[nodiscard]] bool touches(ObjectId folder) const;
    [[nodiscard]] bool touches_any(const std::set<ObjectId>& folders) const;
  };
  using Folders = std::map<ObjectId, std::map<std::string, ObjectId>>;

  static void change_entry(Folders& folders, const Operation& operation);
  static void change_data(Buffer& data, const Operation& operation);
  void sync_folder(ObjectId folder);
  [[nodiscard]] Buffer data_of(const File& file, Unsynced unsynced, std::mt19937_64& random) const;
  void make_tree(const Folders& folders, ObjectId folder, const std::filesystem::path& path, Unsynced unsynced,
                 std::mt19937_64& random) const;

  std::map<ObjectId, File> files_;
  std::set<ObjectId> is_folder_;
  Folders folders_;                   // as synced
  std::vector<EntryChange> pending_;  // of all folders, in order
};

}  // namespace cairn::faults
