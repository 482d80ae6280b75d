// SPDX-License-Identifier: GPL-3.0-or-later
#define OPENSSL_SUPPRESS_DEPRECATED  // taking OAEP apart has no newer form
#include "tests/crypto/vault/pkcs11/pkcs11_shim.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace {

cairn::ShimControls controls;
CK_FUNCTION_LIST* real = nullptr;
// One session decrypts at a time in the tests.
thread_local bool in_sha256 = false;

CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO* info) {
  const CK_RV answer = real->C_GetTokenInfo(slot, info);
  if (answer == CKR_OK) info->flags |= controls.token_flags;
  return answer;
}

CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR* pin, CK_ULONG size) {
  ++controls.logins;
  if (controls.login_answer != CKR_OK) return controls.login_answer;
  return real->C_Login(session, user, pin, size);
}

CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE* wanted, CK_ULONG count) {
  if (controls.losses > 0) {
    --controls.losses;
    return CKR_DEVICE_REMOVED;
  }
  return real->C_FindObjectsInit(session, wanted, count);
}

// SoftHSM 2.6 refuses SHA-256; raw RSA it does, and libcrypto the rest.
CK_RV decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE key) {
  in_sha256 = false;
  if (controls.knows_sha256 && mechanism->mechanism == CKM_RSA_PKCS_OAEP) {
    const auto* const oaep = static_cast<const CK_RSA_PKCS_OAEP_PARAMS*>(mechanism->pParameter);
    if (oaep->hashAlg == CKM_SHA256 && oaep->mgf == CKG_MGF1_SHA256) {
      in_sha256 = true;
      CK_MECHANISM raw{CKM_RSA_X_509, nullptr, 0};
      return real->C_DecryptInit(session, &raw, key);
    }
  }
  return real->C_DecryptInit(session, mechanism, key);
}

CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE* sealed, CK_ULONG sealed_size, CK_BYTE* plain, CK_ULONG* size) {
  if (controls.decrypt_answer != CKR_OK) {
    static_cast<void>(real->C_Decrypt(session, sealed, sealed_size, plain, size));
    return controls.decrypt_answer;
  }
  if (!in_sha256) return real->C_Decrypt(session, sealed, sealed_size, plain, size);
  std::vector<unsigned char> padded(sealed_size);
  CK_ULONG padded_size = padded.size();
  const CK_RV answer = real->C_Decrypt(session, sealed, sealed_size, padded.data(), &padded_size);
  if (answer != CKR_OK) return answer;
  const int got =
      RSA_padding_check_PKCS1_OAEP_mgf1(plain, static_cast<int>(*size), padded.data(), static_cast<int>(padded_size),
                                        static_cast<int>(sealed_size), nullptr, 0, EVP_sha256(), EVP_sha256());
  if (got < 0) return CKR_ENCRYPTED_DATA_INVALID;
  *size = static_cast<CK_ULONG>(got);
  return CKR_OK;
}

CK_RV generate(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_ATTRIBUTE* public_half, CK_ULONG public_count,
               CK_ATTRIBUTE* private_half, CK_ULONG private_count, CK_OBJECT_HANDLE* made_public,
               CK_OBJECT_HANDLE* made_private) {
  if (controls.generate_answer != CKR_OK) return controls.generate_answer;
  return real->C_GenerateKeyPair(session, mechanism, public_half, public_count, private_half, private_count,
                                 made_public, made_private);
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) cairn::ShimControls* pkcs11_shim_controls() {
  return &controls;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST** list) {
  static CK_FUNCTION_LIST own;
  void* const library = dlopen(cairn::kSoftHsm, RTLD_NOW | RTLD_LOCAL);
  const auto get_list =
      library != nullptr ? reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList")) : nullptr;
  if (get_list == nullptr || get_list(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  own = *real;
  own.C_GetTokenInfo = get_token_info;
  own.C_Login = login;
  own.C_FindObjectsInit = find_objects_init;
  own.C_DecryptInit = decrypt_init;
  own.C_Decrypt = decrypt;
  own.C_GenerateKeyPair = generate;
  *list = &own;
  return CKR_OK;
}
}
