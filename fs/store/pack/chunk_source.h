// SPDX-License-Identifier: GPL-3.0-or-later
// Where opened (authenticated, decompressed) chunks and nodes come from: the store, or a cache in front of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "crypto/chunk_name.h"

namespace cairn {

// The bytes of one chunk or node. Not zeroed when made: who makes it fills all of it. A fixed size.
class ChunkBytes {
 public:
  explicit ChunkBytes(std::size_t size) : bytes_(std::make_unique_for_overwrite<std::uint8_t[]>(size)), size_(size) {}
  explicit ChunkBytes(ByteView from) : ChunkBytes(from.size()) { std::ranges::copy(from, bytes_.get()); }

  [[nodiscard]] std::uint8_t* data() { return bytes_.get(); }
  [[nodiscard]] const std::uint8_t* data() const { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] ByteView view() const { return {bytes_.get(), size_}; }
  [[nodiscard]] MutableBytes room() { return {bytes_.get(), size_}; }
  const std::uint8_t& operator[](std::size_t at) const { return bytes_[at]; }

 private:
  std::unique_ptr<std::uint8_t[]> bytes_;
  std::size_t size_;
};

using SharedBuffer = std::shared_ptr<const ChunkBytes>;

class ChunkSource {
 public:
  // Called for each name that was asked for, in any order, on the thread that asked.
  using Deliver = std::function<void(std::size_t index, Result<SharedBuffer> outcome)>;

  virtual ~ChunkSource() = default;
  // `name` is not the zero name. Errors: chunk_missing, chunk_damaged, pack_damaged, io_error.
  virtual Result<SharedBuffer> fetch(RecordKind kind, const ChunkName& name) = 0;
  // to.size() bytes from `offset` of the chunk `name`, which has `chunk_bytes` bytes; they lie in it. For readers that
  // want a little here and there: it may cost less than the whole chunk, and nothing is kept. Errors: as fetch();
  // map_damaged: the chunk has another length.
  virtual Result<void> fetch_part(const ChunkName& name, std::uint32_t chunk_bytes, std::uint32_t offset,
                                  MutableBytes to) {
    CAIRN_TRY(const SharedBuffer whole, fetch(RecordKind::chunk, name));
    return copy_part(*whole, name, chunk_bytes, offset, to);
  }
  // Many at once, none of them the zero name: cheaper than one by one where they lie near each other. Each succeeds or
  // fails by itself, and is delivered as soon as it is there. `deliver` must not throw.
  virtual void fetch_all(RecordKind kind, std::span<const ChunkName> names, const Deliver& deliver) {
    for (std::size_t i = 0; i < names.size(); ++i) deliver(i, fetch(kind, names[i]));
  }

 protected:
  static Result<void> check_chunk_length(std::uint64_t bytes, const ChunkName& name, std::uint32_t chunk_bytes) {
    if (bytes == chunk_bytes) return {};
    return fail(ErrorCode::map_damaged, "read chunk", name.hex().substr(0, 16),
                "it has another length than its place in the disk");
  }
  // The part of a chunk that is there whole, for fetch_part().
  static Result<void> copy_part(const ChunkBytes& whole, const ChunkName& name, std::uint32_t chunk_bytes,
                                std::uint32_t offset, MutableBytes to) {
    CAIRN_CHECK(check_chunk_length(whole.size(), name, chunk_bytes));
    std::ranges::copy(whole.view().subspan(offset, to.size()), to.begin());
    return {};
  }
};

// Says where chunks are to be opened to, and hears what became of them. Called on the thread that asked, one record
// after another, in any order.
class ChunkReceiver {
 public:
  virtual ~ChunkReceiver() = default;
  // `bytes` of memory for the record that was asked for as number `index`; empty: it is not wanted with that length.
  virtual MutableBytes room(std::size_t index, std::size_t bytes) = 0;
  virtual void opened(std::size_t index) = 0;
  virtual void failed(std::size_t index, Error error) = 0;
};

}  // namespace cairn
