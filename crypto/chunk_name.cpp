// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/chunk_name.h"

#include <blake3.h>
#include <sodium.h>

#include "config/base/result.h"

namespace cairn {
static_assert(kChunkNameBytes == BLAKE3_OUT_LEN);

std::optional<ChunkName> ChunkName::parse(std::string_view hex) {
  const auto bytes = from_hex(hex);
  if (!bytes || bytes->size() != kChunkNameBytes) return std::nullopt;
  return of(*bytes);
}

ChunkName ChunkName::of(ByteView thirty_two_bytes) {
  CAIRN_ASSERT(thirty_two_bytes.size() == kChunkNameBytes);
  ChunkName name;
  std::memcpy(name.bytes.data(), thirty_two_bytes.data(), kChunkNameBytes);
  return name;
}

ChunkNamer::ChunkNamer(SecretBytes chunk_key, SecretBytes node_key)
    : chunk_key_(std::move(chunk_key)), node_key_(std::move(node_key)) {
  CAIRN_ASSERT(chunk_key_.size() == BLAKE3_KEY_LEN && node_key_.size() == BLAKE3_KEY_LEN);
}

ChunkName ChunkNamer::name(RecordKind kind, ByteView bytes) const {
  blake3_hasher hasher;
  blake3_hasher_init_keyed(&hasher, (kind == RecordKind::node ? node_key_ : chunk_key_).reveal().data());
  blake3_hasher_update(&hasher, bytes.data(), bytes.size());
  ChunkName name;
  blake3_hasher_finalize(&hasher, name.bytes.data(), name.bytes.size());
  sodium_memzero(&hasher, sizeof(hasher));  // it holds the key
  if (name.is_zero()) name.bytes[0] = 1;    // the zero name is taken; this happens once in 2^256
  return name;
}

struct Blake3::State {
  blake3_hasher hasher;
};

Blake3::Blake3() : state_(std::make_unique<State>()) {
  blake3_hasher_init(&state_->hasher);
}
Blake3::~Blake3() = default;

void Blake3::update(ByteView bytes) {
  blake3_hasher_update(&state_->hasher, bytes.data(), bytes.size());
}

std::array<std::uint8_t, 32> Blake3::finish() const {
  std::array<std::uint8_t, 32> hash{};
  blake3_hasher_finalize(&state_->hasher, hash.data(), hash.size());
  return hash;
}

std::string Blake3::hex_of(ByteView bytes) {
  Blake3 hasher;
  hasher.update(bytes);
  return to_hex(hasher.finish());
}

}  // namespace cairn
