// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/key_ring.h"

#include <sodium.h>

#include "config/base/result.h"
#include "crypto/key_slots.h"

namespace cairn {
namespace {

// Part of the store format: never renumber.
enum class SubKey : std::uint64_t {
  chunk_names = 1,
  node_names = 2,
  packs = 3,
  points = 4,
  store_document = 5,
  escrow = 6,
  fingerprints = 7
};

SecretBytes derive(const SecretBytes& master_key, SubKey which) {
  static_assert(crypto_kdf_KEYBYTES == kMasterKeyBytes && crypto_kdf_CONTEXTBYTES == 8);
  CAIRN_ASSERT(master_key.size() == kMasterKeyBytes);
  SecretBytes key(32);
  crypto_kdf_derive_from_key(key.reveal().data(), key.size(), static_cast<std::uint64_t>(which), "cairn-v1",
                             master_key.reveal().data());
  return key;
}

SecretBytes salted(const SecretBytes& root, ByteView salt) {
  CAIRN_ASSERT(salt.size() == kSaltBytes);
  SecretBytes key(32);
  crypto_generichash(key.reveal().data(), key.size(), salt.data(), salt.size(), root.reveal().data(), root.size());
  return key;
}

}  // namespace

KeyRing::KeyRing(const SecretBytes& master_key)
    : namer_(derive(master_key, SubKey::chunk_names), derive(master_key, SubKey::node_names)),
      pack_root_(derive(master_key, SubKey::packs)),
      point_root_(derive(master_key, SubKey::points)),
      document_key_(derive(master_key, SubKey::store_document)),
      escrow_(escrow_keys_of(derive(master_key, SubKey::escrow))),
      fingerprint_key_(derive(master_key, SubKey::fingerprints)) {}

SecretBytes KeyRing::pack_key(ByteView salt) const {
  return salted(pack_root_, salt);
}
SecretBytes KeyRing::point_key(ByteView salt) const {
  return salted(point_root_, salt);
}

Buffer KeyRing::document_mac(ByteView document) const {
  Buffer mac(32);
  crypto_generichash(mac.data(), mac.size(), document.data(), document.size(), document_key_.reveal().data(),
                     document_key_.size());
  return mac;
}

Buffer KeyRing::fingerprint(const SecretBytes& volume_key) const {
  Buffer hash(crypto_generichash_BYTES_MIN);
  crypto_generichash(hash.data(), hash.size(), volume_key.reveal().data(), volume_key.size(),
                     fingerprint_key_.reveal().data(), fingerprint_key_.size());
  return hash;
}

}  // namespace cairn
