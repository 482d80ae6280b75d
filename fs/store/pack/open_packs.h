// SPDX-License-Identifier: GPL-3.0-or-later
// OpenPacks: packs that are kept open for reading, the most recently used ones. Any thread.
#pragma once

#include <memory>
#include <string>

#include "config/base/guarded.h"
#include "config/base/lru.h"
#include "config/base/result.h"
#include "fs/io/backend.h"
#include "fs/store/pack/pack.h"

namespace cairn {

class OpenPacks {
 public:
  using SharedPack = std::shared_ptr<const PackReader>;
  // All must outlive this.
  OpenPacks(Backend& backend, const KeyRing& keys, const StoreId& store)
      : backend_(backend), keys_(keys), store_(store) {}
  // Errors: as PackReader::open.
  Result<SharedPack> open(const std::string& pack_name);
  void clear();
  // Lets go of a pack whose file is being removed.
  void drop(const std::string& pack_name);
  // Lets go of packs whose files another process has removed, so that their space comes back.
  void drop_removed();

 private:
  static constexpr std::size_t kOpenPacks = 256;  // file descriptors
  Backend& backend_;
  const KeyRing& keys_;
  const StoreId& store_;
  Guarded<Lru<std::string, SharedPack>> packs_{Lru<std::string, SharedPack>({.entries = kOpenPacks})};
};

}  // namespace cairn
