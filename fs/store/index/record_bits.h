// SPDX-License-Identifier: GPL-3.0-or-later
// Records of all packs, numbered as the index numbers them, and a bit for each. Memory: 8 bytes a pack number, and 1
// bit a record: with packs of 256 chunks of 64 KiB 0.16 bytes a chunk, 16 MB for 100 million.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fs/store/index/index.h"

namespace cairn {

class RecordNumbers {
 public:
  explicit RecordNumbers(std::span<const PackRow> packs);

  // False: no such record (a pack that came later, or a damaged entry).
  [[nodiscard]] bool knows(const IndexEntry& entry) const {
    return entry.pack < pack_numbers() && at(entry) < first_[std::size_t{entry.pack} + 1];
  }
  // Of a record that it knows; below records().
  [[nodiscard]] std::uint64_t at(const IndexEntry& entry) const { return first_[entry.pack] + entry.place.number; }
  [[nodiscard]] std::uint64_t records() const { return first_.back(); }
  // All numbers of packs are below this.
  [[nodiscard]] std::size_t pack_numbers() const { return first_.size() - 1; }
  [[nodiscard]] std::uint64_t memory_bytes() const { return first_.capacity() * sizeof(first_[0]); }

 private:
  std::vector<std::uint64_t> first_;  // by pack number: where its records begin; one more at the end
};

class RecordBits {
 public:
  explicit RecordBits(std::span<const PackRow> packs);

  [[nodiscard]] const RecordNumbers& numbers() const { return numbers_; }
  // As RecordNumbers: what it does not know is not kept, and is never set.
  [[nodiscard]] bool knows(const IndexEntry& entry) const { return numbers_.knows(entry); }
  [[nodiscard]] bool test(const IndexEntry& entry) const;
  // True when it was not set before. Of one it does not know: false.
  bool set(const IndexEntry& entry);
  // None is set any more.
  void clear();
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  RecordNumbers numbers_;
  std::vector<std::uint64_t> words_;
};

}  // namespace cairn
