// SPDX-License-Identifier: GPL-3.0-or-later
// Token keys: RSA key pairs on a token, as KEKs: CKA_LABEL is the KEK's name, CKA_ID its version as decimal text. The
// private halves never leave the token: wrapping needs only the public half and is done here (rsa_key.h), unwrapping is
// CKM_RSA_PKCS_OAEP (OASIS PKCS #11 Current Mechanisms v2.40, section 2.1.8) in the token. Any thread that has the
// session.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "crypto/secret_bytes.h"
#include "crypto/vault/pkcs11/pkcs11_session.h"
#include "crypto/vault/rsa_key.h"

namespace cairn {

struct TokenKey {
  std::string name;
  // Of a key that another program made: "1" without a CKA_ID, and "0x..." for one that is no decimal text.
  std::string version;
  CK_OBJECT_HANDLE private_half = CK_INVALID_HANDLE;  // good for this session
  bool may_decrypt = false;                           // else it may only unwrap
  unsigned bits = 0;
  Buffer modulus;          // big-endian, CKA_MODULUS
  Buffer public_exponent;  // the same; empty: the token does not give it
  bool twin = false;       // another private key has the same name and version: which is meant is not known
};

// The private RSA keys that can unwrap and whose labels can be names of KEKs, sorted by name, each name's oldest first;
// with `name` only those of that name. Errors: hsm_failed, hsm_unavailable (of all calls here).
Result<std::vector<TokenKey>> list_token_keys(TokenSession& session, const std::string* name = nullptr);

// The number that the next version of a key gets; `versions` are those there are.
std::string next_key_version(const std::vector<std::string>& versions);

// Makes a pair that never leaves the token. Errors: kek_wrong_type (keys of that size), kek_exists.
Result<void> generate_token_key(TokenSession& session, const std::string& name, const std::string& version,
                                unsigned bits);
// Destroys these pairs, public halves first. `keys` are all of one name.
Result<void> destroy_token_keys(TokenSession& session, const std::vector<TokenKey>& keys);

// Nothing: the token does not do OAEP with this hash (SoftHSM 2.6 knows only SHA-1), or the bytes were not made for
// this key; most tokens' answers do not say which. session.last_failure() has the answer.
Result<std::optional<SecretBytes>> token_decrypt(TokenSession& session, const TokenKey& key, rsa_key::Hash hash,
                                                 ByteView sealed);

}  // namespace cairn
