// SPDX-License-Identifier: GPL-3.0-or-later
// Sealing: authenticated encryption (AEAD) of records. AES-256-GCM (NIST SP 800-38D; aes_gcm.h) where the CPU has it,
// libsodium's XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) elsewhere. Nonce rule: every sealing key seals one pack
// or one document only, and the nonce is the record's number, counted here, and the number of the section in it; no
// caller can pass one. Any thread unless said otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "crypto/secret_bytes.h"

namespace cairn {

enum class SealAlgorithm : std::uint8_t { aes256_gcm = 1, xchacha20_poly1305 = 2 };  // on disk: never renumber

inline constexpr std::size_t kSealKeyBytes = 32;
inline constexpr std::size_t kSealTagBytes = 16;  // how much longer sealed bytes are, both algorithms

// Sections: a record may be sealed in pieces of this many bytes (the last may be shorter), each with a tag, so that
// each can be opened alone. They follow each other, piece and tag by turns.
inline constexpr std::size_t kSectionBytes = 4096;
inline constexpr std::size_t kSealedSectionBytes = kSectionBytes + kSealTagBytes;
// `plain` bytes, sealed in sections. Of no bytes: 0.
constexpr std::size_t sealed_in_sections(std::size_t plain) {
  return plain + (plain + kSectionBytes - 1) / kSectionBytes * kSealTagBytes;
}

SealAlgorithm best_seal_algorithm();                  // for this CPU
bool is_available(SealAlgorithm algorithm);           // on this CPU
std::string_view to_string(SealAlgorithm algorithm);  // "aes-256-gcm", "xchacha20-poly1305"
std::optional<SealAlgorithm> parse_seal_algorithm(std::string_view text);

// Seals records 0, 1, 2, ... under one key. One thread at a time.
class Sealer {
 public:
  Sealer(SealAlgorithm algorithm, SecretBytes key);
  [[nodiscard]] std::uint32_t next_number() const { return next_; }
  // Writes plain.size() + kSealTagBytes bytes to `to`, which has that size; `context` is authenticated with them.
  // Returns the record's number.
  std::uint32_t seal(ByteView plain, ByteView context, MutableBytes to);
  // In sections: to.size() is sealed_in_sections(plain.size()).
  std::uint32_t seal_sections(ByteView plain, ByteView context, MutableBytes to);
  // The same as seal(), appended.
  template <class Bytes>
  std::uint32_t seal_onto(ByteView plain, ByteView context, Bytes& to) {
    const std::size_t at = to.size();
    to.resize(at + plain.size() + kSealTagBytes);
    return seal(plain, context, MutableBytes(to).subspan(at));
  }

 private:
  std::uint32_t take_number();
  SealAlgorithm algorithm_;
  SecretBytes key_;
  std::uint32_t next_ = 0;
};

class Opener {
 public:
  Opener(SealAlgorithm algorithm, SecretBytes key);
  // Writes sealed.size() - kSealTagBytes bytes to the start of `to`. False: altered, moved, other context or other key.
  [[nodiscard]] bool open(std::uint32_t number, ByteView sealed, ByteView context, MutableBytes to) const;
  // Whole sections of a record, from section `first` on; `sealed` is theirs alone, and is not empty. Writes
  // sealed.size() less their tags to the start of `to`. False: at least one was altered, moved and so on.
  [[nodiscard]] bool open_sections(std::uint32_t number, std::uint32_t first, ByteView sealed, ByteView context,
                                   MutableBytes to) const;

 private:
  SealAlgorithm algorithm_;
  SecretBytes key_;
};

}  // namespace cairn
