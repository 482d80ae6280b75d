// SPDX-License-Identifier: GPL-3.0-or-later
// DiskReader: random access to one stored disk (or header image) through its map. Holds the map's path in memory, not
// the data: those come from a ChunkSource, which may cache. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "fs/store/map/map_record.h"
#include "fs/store/pack/chunk_source.h"

namespace cairn {

class DiskReader {
 public:
  // `source` must outlive the reader. `object` names the disk in errors: "web-01@20261121T020000Z/root".
  // Nodes are kept in a small bounded cache (at most 64 nodes of 32 KiB a reader).
  DiskReader(ChunkSource& source, const MapRecord& map, std::uint32_t chunk_size, std::string object);
  ~DiskReader();
  DiskReader(const DiskReader&) = delete;
  DiskReader& operator=(const DiskReader&) = delete;

  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] std::uint32_t chunk_size() const;
  [[nodiscard]] std::uint64_t chunk_count() const;
  [[nodiscard]] const std::string& object() const;

  // The name of chunk `index` (< chunk_count()). Errors: map_damaged, and those of fetch().
  Result<ChunkName> chunk_name(std::uint64_t index);
  // The names of `count` chunks from `first` on, as far as there are chunks. Errors: as chunk_name().
  Result<std::vector<ChunkName>> chunk_names(std::uint64_t first, std::uint64_t count);
  // Bytes of chunk `index`: chunk_size(), but for the last one.
  [[nodiscard]] std::uint32_t chunk_bytes(std::uint64_t index) const;
  // Chunk `index`, its length as it must be; null when it is all zero. Errors: map_damaged and those of fetch().
  Result<SharedBuffer> chunk(std::uint64_t index);
  // The same for `count` chunks from `first` on, fetched together; each fails by itself. `chunks` is used again.
  void chunks(std::uint64_t first, std::uint64_t count, std::vector<Result<SharedBuffer>>& chunks);
  // Fills `to` from `offset`, as far as the disk goes; returns how many bytes that were.
  Result<std::size_t> read(std::uint64_t offset, MutableBytes to);
  // The same, opening no more of a chunk than is wanted: for small reads here and there.
  Result<std::size_t> read_part(std::uint64_t offset, MutableBytes to);
  // lseek(2): the first byte at or after `offset` that lies in a chunk with data / in an all-zero chunk. size() when
  // there is no more hole; nothing when there is no more data.
  Result<std::optional<std::uint64_t>> seek_data(std::uint64_t offset);
  Result<std::uint64_t> seek_hole(std::uint64_t offset);

  // Hears of a part of the disk, in whole chunks, that cannot be read, and why.
  using Lose = std::function<void(ByteRange lost, const Error& because)>;
  // seek_data() for who salvages: what lies below a damaged map node (is_damage_error), from `offset` on, is passed
  // over and reported to `lose`, a node at a time. Errors: as seek_data; of damage only that of the root, which is all.
  Result<std::optional<std::uint64_t>> seek_data_past_damage(std::uint64_t offset, const Lose& lose);

 private:
  // Calls `piece`(chunk, offset in it, to) -> Result<void> for each chunk that the range touches.
  template <class Piece>
  Result<std::size_t> read_pieces(std::uint64_t offset, MutableBytes to, const Piece& piece);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn
