// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/index/record_bits.h"

#include <algorithm>

namespace cairn {

RecordNumbers::RecordNumbers(std::span<const PackRow> packs) {
  PackNumber last = 0;
  for (const PackRow& pack : packs) last = std::max(last, pack.number);
  first_.assign(packs.empty() ? 1 : std::size_t{last} + 2, 0);
  for (const PackRow& pack : packs) first_[std::size_t{pack.number} + 1] = pack.records;
  std::uint64_t sum = 0;
  for (std::uint64_t& first : first_) first = sum += first;
}

RecordBits::RecordBits(std::span<const PackRow> packs)
    : numbers_(packs), words_(static_cast<std::size_t>((numbers_.records() + 63) / 64)) {}

bool RecordBits::test(const IndexEntry& entry) const {
  if (!knows(entry)) return false;
  const std::uint64_t at = numbers_.at(entry);
  return (words_[at / 64] >> at % 64 & 1U) != 0;
}

bool RecordBits::set(const IndexEntry& entry) {
  if (!knows(entry) || test(entry)) return false;
  const std::uint64_t at = numbers_.at(entry);
  words_[at / 64] |= std::uint64_t{1} << at % 64;
  return true;
}

void RecordBits::clear() {
  std::ranges::fill(words_, 0);
}

std::uint64_t RecordBits::memory_bytes() const {
  return numbers_.memory_bytes() + words_.capacity() * sizeof(words_[0]);
}

}  // namespace cairn
