// RecordBits: a bit for each record of each pack, as the index numbers them. Memory: 1 bit a record and 8 bytes a pack
// number: with packs of 256 chunks of 64 KiB 0.16 bytes a chunk, 16 MB for 100 million. SPDX-License-Identifier:
// GPL-3.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fs/store/index.h"

namespace cairn {

class RecordBits {
 public:
  explicit RecordBits(std::span<const PackRow> packs);

  // False: no such record (a pack that came later, or a damaged entry): it is not kept, and is never set.
  [[nodiscard]] bool knows(const IndexEntry& entry) const;
  [[nodiscard]] bool test(const IndexEntry& entry) const;
  // True when it was not set before. Of one it does not know: false.
  bool set(const IndexEntry& entry);
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  [[nodiscard]] std::uint64_t at(const IndexEntry& entry) const { return first_[entry.pack] + entry.place.number; }
  std::vector<std::uint64_t> first_;  // by pack number: where its bits begin; one more at the end
  std::vector<std::uint64_t> words_;
};

}  // namespace cairn
