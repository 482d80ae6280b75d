// SPDX-License-Identifier: GPL-3.0-or-later
// Escrow: a secret sealed for the store's owners: whoever has the master key, or the secret half of a recovery key, can
// open it. Bytes: fs/store/FORMAT.md "Escrow". Any thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "crypto/secret_bytes.h"

namespace cairn {

// An owner's X25519 public key, 32 bytes: KeyRing::escrow_keys() for the master key, a slot's for a recovery key.
using EscrowOwner = Buffer;

struct EscrowKeys {
  SecretBytes secret;  // X25519, 32 bytes
  EscrowOwner public_half;
};
// The pair that belongs to the secret half of a recovery key.
EscrowKeys escrow_keys_of(const SecretBytes& x25519_secret);

// `context` is authenticated with it: what the secret is ("kek main/backup 1").
// A broken promise: no owners, or one that is not 32 bytes.
Buffer seal_escrow(const SecretBytes& secret, std::span<const EscrowOwner> owners, std::string_view context);
// Errors: escrow_damaged (altered, of another context, or none of its owners has these keys). `object` names it.
Result<SecretBytes> open_escrow(ByteView sealed, const EscrowKeys& keys, std::string_view context,
                                const std::string& object);

}  // namespace cairn
