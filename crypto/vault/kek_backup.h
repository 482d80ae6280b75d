// SPDX-License-Identifier: GPL-3.0-or-later
// KEK backups: a KEK outside of its vault, in locked memory only: what a portable KekBackup's seal holds, and wrapping
// and unwrapping with it. The local vault uses the same code for the keys it keeps; the drill uses it without any
// vault. Bytes and algorithms: crypto/vault/VAULT.md "KEK". Any thread.
#pragma once

#include <string>

#include "config/base/result.h"
#include "crypto/vault/key_vault.h"

namespace cairn {

// One version of a KEK with its private half.
class Kek {
 public:
  // Takes a while for RSA (seconds for RSA-4096).
  static Kek generate(KekType type);
  // Of the bytes that encode() gives. Errors: escrow_damaged (`object` names it).
  static Result<Kek> decode(const SecretBytes& encoded, const std::string& object);
  // X25519: 32 bytes; RSA: PKCS #8 DER (RFC 5208); with a byte for the type before it.
  [[nodiscard]] SecretBytes encode() const;

  [[nodiscard]] KekType type() const { return type_; }
  // X25519: 32 bytes; RSA: SubjectPublicKeyInfo DER (RFC 5280).
  [[nodiscard]] Buffer public_half() const;
  // Algorithm and bytes; the version is the caller's to fill in. X25519: sealed box (libsodium crypto_box_seal). RSA:
  // RSA-OAEP-256 (RFC 8017, SHA-256 for both, no label); what is longer than it takes is sealed with XChaCha20-Poly1305
  // under a random key that is wrapped so.
  [[nodiscard]] Wrapped wrap(const SecretBytes& bek) const;
  // Errors: kek_wrong_type, unwrap_failed.
  [[nodiscard]] Result<SecretBytes> unwrap(const Wrapped& wrapped, const std::string& object) const;

 private:
  Kek(KekType type, SecretBytes private_half) : type_(type), private_half_(std::move(private_half)) {}
  KekType type_;
  SecretBytes private_half_;
};

// Opens a portable backup with an owner's keys. Errors: escrow_damaged, not_supported_yet (it is not portable).
Result<Kek> open_kek_backup(const KekBackup& backup, const EscrowKeys& owner, const std::string& object);

}  // namespace cairn
