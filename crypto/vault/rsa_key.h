// SPDX-License-Identifier: GPL-3.0-or-later
// RSA keys (libcrypto, since libsodium has none): made, checked and used. Private keys are in locked memory only: as
// PKCS #8 in SecretBytes, and decoded in the locked heap for the time of a call (crypto/locked_heap.h), one call at a
// time. Any thread.
#pragma once

#include <optional>

#include "config/base/bytes.h"
#include "crypto/secret_bytes.h"

namespace cairn::rsa_key {

// A new key as PKCS #8 DER (RFC 5208). Seconds for 4096 bits. Ends the process when no locked memory can be had.
SecretBytes generate(unsigned bits);
// Is it a private key of that size, in exactly the form that generate() gives?
bool is_private_key(const SecretBytes& pkcs8, unsigned bits);
// As SubjectPublicKeyInfo DER (RFC 5280). `pkcs8` is_private_key().
Buffer public_half(const SecretBytes& pkcs8);

// Of OAEP and of its MGF1. New keys use SHA-256; SHA-1 is for HSMs that know no other (for OAEP it is not broken).
enum class Hash { sha1, sha256 };
// The longest that OAEP takes: modulus less 66 bytes, with SHA-1 less 42 (RFC 8017, section 7.1.1).
std::size_t most_plain_bytes(unsigned bits, Hash hash = Hash::sha256);
// RSA-OAEP (RFC 8017, section 7.1): SHA-256 for OAEP and MGF1, no label. As long as the modulus.
Buffer encrypt(const SecretBytes& pkcs8, ByteView plain);
// Nothing: it was not made with this key, or is altered.
std::optional<SecretBytes> decrypt(const SecretBytes& pkcs8, ByteView sealed);

// encrypt() with nothing but a public key: both numbers big-endian. Nothing: libcrypto takes no such key.
std::optional<Buffer> encrypt_for(ByteView modulus, ByteView exponent, Hash hash, ByteView plain);

}  // namespace cairn::rsa_key
