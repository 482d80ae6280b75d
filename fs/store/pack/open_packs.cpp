// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/pack/open_packs.h"

namespace cairn {

Result<OpenPacks::SharedPack> OpenPacks::open(const std::string& pack_name) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_name_.find(pack_name); found != by_name_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
      return found->second->second;
    }
  }
  CAIRN_TRY(auto opened, PackReader::open(backend_, pack_name, keys_, store_));
  SharedPack pack = std::move(opened);
  const std::lock_guard lock(mutex_);
  if (by_name_.contains(pack_name)) return pack;
  recent_.emplace_front(pack_name, pack);
  by_name_[pack_name] = recent_.begin();
  if (recent_.size() > kOpenPacks) {
    by_name_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return pack;
}

void OpenPacks::drop(const std::string& pack_name) {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(pack_name);
  if (found == by_name_.end()) return;
  recent_.erase(found->second);
  by_name_.erase(found);
}

void OpenPacks::drop_removed() {
  const std::lock_guard lock(mutex_);
  for (auto pack = recent_.begin(); pack != recent_.end();) {
    if (pack->second->is_removed()) {
      by_name_.erase(pack->first);
      pack = recent_.erase(pack);
    } else {
      ++pack;
    }
  }
}

void OpenPacks::clear() {
  const std::lock_guard lock(mutex_);
  by_name_.clear();
  recent_.clear();
}

}  // namespace cairn
