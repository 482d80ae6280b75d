// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/record_bits.h"

#include <algorithm>

namespace cairn {

RecordBits::RecordBits(std::span<const PackRow> packs) {
  PackNumber last = 0;
  for (const PackRow& pack : packs) last = std::max(last, pack.number);
  first_.assign(packs.empty() ? 1 : std::size_t{last} + 2, 0);
  for (const PackRow& pack : packs) first_[pack.number + 1] = pack.records;
  std::uint64_t sum = 0;
  for (std::uint64_t& first : first_) first = sum += first;
  words_.assign(static_cast<std::size_t>((sum + 63) / 64), 0);
}

bool RecordBits::knows(const IndexEntry& entry) const {
  return std::size_t{entry.pack} + 1 < first_.size() && at(entry) < first_[std::size_t{entry.pack} + 1];
}

bool RecordBits::test(const IndexEntry& entry) const {
  return knows(entry) && (words_[at(entry) / 64] >> at(entry) % 64 & 1U) != 0;
}

bool RecordBits::set(const IndexEntry& entry) {
  if (!knows(entry) || test(entry)) return false;
  words_[at(entry) / 64] |= std::uint64_t{1} << at(entry) % 64;
  return true;
}

std::uint64_t RecordBits::memory_bytes() const {
  return (first_.capacity() + words_.capacity()) * sizeof(std::uint64_t);
}

}  // namespace cairn
