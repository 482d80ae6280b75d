// SPDX-License-Identifier: GPL-3.0-or-later
// OpenIndex: the index of an opened store: opened when it is first needed, again when it was replaced. Any thread.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "fs/store/index/index.h"

namespace cairn {

class OpenIndex {
 public:
  // `folder`: where it lies. `store` must outlive this.
  OpenIndex(std::filesystem::path folder, const StoreId& store) : folder_(std::move(folder)), store_(store) {}

  // What the packs' footers say, as it stands. Cheap also when it fails again and again. Errors: index_missing,
  // index_damaged.
  Result<std::shared_ptr<Index>> get();
  // The same, and never one that was replaced since it was opened.
  Result<std::shared_ptr<Index>> newest();
  // The next get() opens it again.
  void forget();
  // Another folder from now on, for a store that cannot be written: see use_private_index(). Before anything is read.
  void read_from(const std::filesystem::path& folder);
  [[nodiscard]] bool is_private() const { return private_; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  bool private_ = false;
  const StoreId& store_;
  // Of the file data.mdb; all zero: there is none.
  struct FileFacts {
    std::array<std::int64_t, 5> facts{};  // device, inode, size, time of change in seconds and nanoseconds
    bool operator==(const FileFacts&) const = default;
  };
  [[nodiscard]] FileFacts file_facts() const;
  struct Opened {
    std::shared_ptr<Index> index;  // null until first used, or after a rebuild
    // Why it could not be opened, and what the file was then: it is not tried again until the file is another.
    std::optional<Error> failure;
    FileFacts file;
  };
  Guarded<Opened> opened_;
};

}  // namespace cairn
