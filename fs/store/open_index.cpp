// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/open_index.h"

#include <sys/stat.h>

namespace cairn {

OpenIndex::FileFacts OpenIndex::file_facts() const {
  struct stat facts{};
  if (::stat((folder_ / "data.mdb").c_str(), &facts) != 0) return {};
  return {{static_cast<std::int64_t>(facts.st_dev), static_cast<std::int64_t>(facts.st_ino), facts.st_size,
           facts.st_ctim.tv_sec, facts.st_ctim.tv_nsec}};
}

Result<std::shared_ptr<Index>> OpenIndex::get() {
  const auto opened = opened_.lock();
  const auto damaged = opened->index ? opened->index->damaged() : std::nullopt;
  if (opened->index && !damaged) return opened->index;
  const FileFacts now = file_facts();
  if (damaged) {
    // Not tried again as long as the file is the same.
    opened->failure = damaged;
    opened->file = now;
    opened->index.reset();
  }
  if (opened->failure && opened->file == now) return pass_on(*opened->failure);
  opened->failure.reset();
  auto index = Index::open(folder_, store_);
  if (!index) {
    const ErrorCode code = index.error().code;
    if (code == ErrorCode::index_missing || code == ErrorCode::index_damaged) {
      opened->failure = index.error();
      opened->file = now;
    }
    return index;
  }
  opened->index = *index;
  return index;
}

Result<std::shared_ptr<Index>> OpenIndex::newest() {
  auto index = get();
  if (!index || !(*index)->replaced()) return index;
  forget();
  return get();
}

void OpenIndex::forget() {
  const auto opened = opened_.lock();
  opened->index.reset();
  opened->failure.reset();
}

void OpenIndex::read_from(const std::filesystem::path& folder) {
  forget();
  folder_ = folder;
  private_ = true;
}

}  // namespace cairn
