// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/write/writer_sessions.h"

#include <algorithm>

namespace cairn {

WriterSessions::Number WriterSessions::begin(PackNumber next_pack) {
  const std::lock_guard lock(mutex_);
  active_.emplace(next_, next_pack);
  return next_++;
}

void WriterSessions::end(Number session) {
  const std::lock_guard lock(mutex_);
  active_.erase(session);
}

WriterSessions::Number WriterSessions::next() const {
  const std::lock_guard lock(mutex_);
  return next_;
}

std::optional<WriterSessions::Number> WriterSessions::oldest_but(Number own) const {
  const std::lock_guard lock(mutex_);
  for (const auto& entry : active_)
    if (entry.first != own) return entry.first;
  return {};
}

PackNumber WriterSessions::settled_packs(Number own) const {
  const std::lock_guard lock(mutex_);
  PackNumber settled = UINT32_MAX;
  for (const auto& [session, next_pack] : active_)
    if (session != own) settled = std::min(settled, next_pack);
  return settled;
}

void WriterSessions::retired(std::span<const PackNumber> packs, Number before) {
  const std::lock_guard lock(mutex_);
  for (const PackNumber pack : packs) retired_[pack] = before;
}

WriterSessions::Number WriterSessions::retired_before(PackNumber pack) const {
  const std::lock_guard lock(mutex_);
  const auto found = retired_.find(pack);
  return found == retired_.end() ? 0 : found->second;
}

void WriterSessions::removed(std::span<const PackNumber> packs) {
  const std::lock_guard lock(mutex_);
  for (const PackNumber pack : packs) retired_.erase(pack);
}

}  // namespace cairn
