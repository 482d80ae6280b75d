// SPDX-License-Identifier: GPL-3.0-or-later
// Sealed bytes: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, libsodium) under a key that seals many things: each has
// a random nonce of 24 bytes, made here, before it. Layout: nonce (24), ciphertext, tag (16). Any thread.
#pragma once

#include <cstddef>

#include "config/base/bytes.h"
#include "crypto/secret_bytes.h"

namespace cairn {

inline constexpr std::size_t kSealedBytesOverhead = 24 + 16;

// `key` is 32 bytes; `context` is authenticated too.
Buffer seal_bytes(const SecretBytes& key, ByteView plain, ByteView context);
// `to` is kSealedBytesOverhead shorter than `sealed`. False (`to` is zero then): altered, other context or other key.
[[nodiscard]] bool open_bytes(const SecretBytes& key, ByteView sealed, ByteView context, MutableBytes to);

}  // namespace cairn
