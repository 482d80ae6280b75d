// SPDX-License-Identifier: GPL-3.0-or-later
// AES-256-GCM (NIST SP 800-38D) with 12-byte nonces and 16-byte tags, by libcrypto: twice to four times as fast as
// libsodium's, the same bytes. Internal to crypto/; callers use Sealer and Opener. Any thread.
//
// A key's schedule lives in locked, guarded memory like the key itself: libcrypto allocates its contexts through a hook
// (CRYPTO_set_mem_functions(3)) that serves them from there. Each thread has one context, set to the key of each call.
// Where that cannot be had (the hook was refused, the locked memory is used up) libsodium does the work.
#pragma once

#include <span>

#include "config/base/bytes.h"

namespace cairn::aes_gcm {

enum class Library { libcrypto, libsodium };
// Which one this thread uses.
Library library();

// `key` has 32 bytes, `nonce` 12, `to` 16 more than `plain`.
void seal(ByteView key, ByteView nonce, ByteView plain, ByteView context, MutableBytes to);
// `sealed` has at least 16 bytes, `to` 16 fewer than that or more. False: it does not authenticate; `to` holds zeros.
[[nodiscard]] bool open(ByteView key, ByteView nonce, ByteView sealed, ByteView context, MutableBytes to);

// Several messages under one key, each with a nonce of its own and with the same context: the key is set up once.
struct Message {
  ByteView nonce;
  ByteView from;    // as `plain` or `sealed` above
  MutableBytes to;  // as above
};
void seal(ByteView key, ByteView context, std::span<const Message> messages);
// False: at least one does not authenticate; its `to` holds zeros, and so do those after it.
[[nodiscard]] bool open(ByteView key, ByteView context, std::span<const Message> messages);

// By the given library. False from seal_by(): it cannot be had.
[[nodiscard]] bool seal_by(Library library, ByteView key, ByteView nonce, ByteView plain, ByteView context,
                           MutableBytes to);

// Bytes of locked memory that contexts take, of all threads; for tests.
std::size_t locked_bytes();

}  // namespace cairn::aes_gcm
