// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/pack/open_packs.h"

namespace cairn {

Result<OpenPacks::SharedPack> OpenPacks::open(const std::string& pack_name) {
  {
    const auto packs = packs_.lock();
    if (const SharedPack* known = packs->find(pack_name)) return *known;
  }
  CAIRN_TRY(auto opened, PackReader::open(backend_, pack_name, keys_, store_));
  SharedPack pack = std::move(opened);
  const auto pushed_out = packs_.lock()->keep(pack_name, pack);  // closed when the lock is no longer held
  return pack;
}

void OpenPacks::drop(const std::string& pack_name) {
  const auto dropped = packs_.lock()->drop(pack_name);
}

void OpenPacks::drop_removed() {
  const auto dropped = packs_.lock()->drop_if([](const SharedPack& pack) { return pack->is_removed(); });
}

void OpenPacks::clear() {
  const auto dropped = packs_.lock()->clear();
}

}  // namespace cairn
