// Where opened (authenticated, decompressed) chunks and nodes come from: the store, or a cache in front of it.
// SPDX-License-Identifier: GPL-3.0-or-later
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
  // Many at once, none of them the zero name: cheaper than one by one where they lie near each other. Each succeeds or
  // fails by itself, and is delivered as soon as it is there. `deliver` must not throw.
  virtual void fetch_all(RecordKind kind, std::span<const ChunkName> names, const Deliver& deliver) {
    for (std::size_t i = 0; i < names.size(); ++i) deliver(i, fetch(kind, names[i]));
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
