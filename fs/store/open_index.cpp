// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/open_index.h"

namespace cairn {

Result<std::shared_ptr<Index>> OpenIndex::get() {
  const std::lock_guard lock(mutex_);
  if (index_) return index_;
  CAIRN_TRY(index_, Index::open(folder_, store_));
  return index_;
}

Result<std::shared_ptr<Index>> OpenIndex::newest() {
  auto index = get();
  if (!index || !(*index)->replaced()) return index;
  forget();
  return get();
}

void OpenIndex::forget() {
  const std::lock_guard lock(mutex_);
  index_.reset();
}

void OpenIndex::read_from(const std::filesystem::path& folder) {
  forget();
  folder_ = folder;
  private_ = true;
}

}  // namespace cairn
