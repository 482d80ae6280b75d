// SPDX-License-Identifier: GPL-3.0-or-later
// Chunk names: what chunks and map nodes are called. Keyed BLAKE3 (https://github.com/BLAKE3-team/BLAKE3-specs), so a
// name reveals nothing about the bytes and cannot be guessed. Chunks and nodes are named under different keys, so the
// one can never pass for the other. Any thread.
#pragma once

#include <array>
#include <compare>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "config/base/bytes.h"
#include "crypto/secret_bytes.h"

namespace cairn {

inline constexpr std::size_t kChunkNameBytes = 32;

struct ChunkName {
  std::array<std::uint8_t, kChunkNameBytes> bytes{};

  // The name of every chunk and subtree that is all zero; nothing is stored for it.
  [[nodiscard]] bool is_zero() const { return is_all_zero(bytes); }
  [[nodiscard]] std::string hex() const { return to_hex(bytes); }
  [[nodiscard]] ByteView view() const { return bytes; }
  static std::optional<ChunkName> parse(std::string_view hex);
  static ChunkName of(ByteView thirty_two_bytes);
  auto operator<=>(const ChunkName&) const = default;
};

struct ChunkNameHash {
  std::size_t operator()(const ChunkName& name) const { return get_le<std::uint64_t>(name.bytes); }
};

enum class RecordKind : std::uint8_t { chunk = 1, node = 2 };  // on disk: never renumber

class ChunkNamer {
 public:
  // Both keys are 32 bytes.
  ChunkNamer(SecretBytes chunk_key, SecretBytes node_key);
  // Never the zero name. `bytes` that are all zero are named by the caller, without hashing.
  [[nodiscard]] ChunkName name(RecordKind kind, ByteView bytes) const;

 private:
  SecretBytes chunk_key_;
  SecretBytes node_key_;
};

// Unkeyed BLAKE3, streaming: pack names and point hashes.
class Blake3 {
 public:
  Blake3();
  ~Blake3();
  Blake3(const Blake3&) = delete;
  Blake3& operator=(const Blake3&) = delete;
  void update(ByteView bytes);
  [[nodiscard]] std::array<std::uint8_t, 32> finish() const;
  static std::string hex_of(ByteView bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn
