// SPDX-License-Identifier: GPL-3.0-or-later
// OpenIndex: the index of an opened store: opened when it is first needed, again when it was replaced. Any thread.
#pragma once

#include <filesystem>
#include <memory>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "fs/store/index/index.h"

namespace cairn {

class OpenIndex {
 public:
  // `folder`: where it lies. `store` must outlive this.
  OpenIndex(std::filesystem::path folder, const StoreId& store) : folder_(std::move(folder)), store_(store) {}

  // What the packs' footers say, as it stands. Errors: index_missing, index_damaged.
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
  Guarded<std::shared_ptr<Index>> index_;  // null until first used, or after a rebuild
};

}  // namespace cairn
