// SPDX-License-Identifier: GPL-3.0-or-later
// KeyRing: every key that is derived from the master key. Derivation: libsodium crypto_kdf (BLAKE2b, sub-key ids below,
// context "cairn-v1"); a pack's or document's own key is keyed BLAKE2b-256 of its random salt. Constant after
// construction; any thread.
#pragma once

#include "crypto/chunk_name.h"
#include "crypto/escrow.h"
#include "crypto/secret_bytes.h"

namespace cairn {

inline constexpr std::size_t kSaltBytes = 32;

class KeyRing {
 public:
  explicit KeyRing(const SecretBytes& master_key);

  [[nodiscard]] const ChunkNamer& namer() const { return namer_; }
  // The sealing key of the pack or point document with this salt (kSaltBytes).
  [[nodiscard]] SecretBytes pack_key(ByteView salt) const;
  [[nodiscard]] SecretBytes point_key(ByteView salt) const;
  // Authenticates the store's own document; 32 bytes.
  [[nodiscard]] Buffer document_mac(ByteView document) const;
  // The pair that stands for the master key among the owners of what is in escrow.
  [[nodiscard]] const EscrowKeys& escrow_keys() const { return escrow_; }
  // 16 bytes that are the same for the same key of a volume and tell nothing about it without the master key.
  [[nodiscard]] Buffer fingerprint(const SecretBytes& volume_key) const;

 private:
  ChunkNamer namer_;
  SecretBytes pack_root_;
  SecretBytes point_root_;
  SecretBytes document_key_;
  EscrowKeys escrow_;
  SecretBytes fingerprint_key_;
};

}  // namespace cairn
