// SPDX-License-Identifier: GPL-3.0-or-later
// WriterSessions: who is writing at the moment. Internal to fs/store. Any thread.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <span>

#include "fs/store/index/index.h"

namespace cairn {

// Which writers are active, so that garbage collection can tell what they may count on. A session is one StoreWriter.
// Numbers grow; why that is enough: FORMAT.md "Garbage collection".
class WriterSessions {
 public:
  using Number = std::uint64_t;
  // `next_pack`: packs from this number on are its own, or of sessions beside it.
  Number begin(PackNumber next_pack);
  void end(Number session);
  // The number that the next session will have.
  [[nodiscard]] Number next() const;
  // The oldest one that is active, but for `own`; nothing: there is none.
  [[nodiscard]] std::optional<Number> oldest_but(Number own) const;
  // Packs before this one belong to no session that is active, but for `own`.
  [[nodiscard]] PackNumber settled_packs(Number own) const;

  // Packs that this process retired, and the number that the next session had then: sessions before it may count on
  // them. Of packs that an earlier process retired: 0.
  void retired(std::span<const PackNumber> packs, Number before);
  [[nodiscard]] Number retired_before(PackNumber pack) const;
  void removed(std::span<const PackNumber> packs);

 private:
  mutable std::mutex mutex_;
  Number next_ = 1;
  std::map<Number, PackNumber> active_;
  std::map<PackNumber, Number> retired_;
};

}  // namespace cairn
