// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/open_index.h"

namespace cairn {

Result<std::shared_ptr<Index>> OpenIndex::get() {
  const auto index = index_.lock();
  if (*index) return *index;
  CAIRN_TRY(*index, Index::open(folder_, store_));
  return *index;
}

Result<std::shared_ptr<Index>> OpenIndex::newest() {
  auto index = get();
  if (!index || !(*index)->replaced()) return index;
  forget();
  return get();
}

void OpenIndex::forget() {
  index_.lock()->reset();
}

void OpenIndex::read_from(const std::filesystem::path& folder) {
  forget();
  folder_ = folder;
  private_ = true;
}

}  // namespace cairn
