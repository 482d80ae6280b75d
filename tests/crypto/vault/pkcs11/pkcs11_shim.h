// SPDX-License-Identifier: GPL-3.0-or-later
// A PKCS #11 library for tests: SoftHSM behind it does the work, and the tests say where it is to behave like other
// HSMs do: locked PINs, tokens that are pulled out, OAEP with SHA-256.
#pragma once

#include <p11-kit/pkcs11.h>

#include <atomic>

namespace cairn {

inline constexpr const char* kSoftHsm = "/usr/lib/softhsm/libsofthsm2.so";

// Reached by its symbol: dlsym(library, "pkcs11_shim_controls").
struct ShimControls {
  std::atomic<CK_FLAGS> token_flags{0};     // are added to those of every token
  std::atomic<CK_RV> login_answer{CKR_OK};  // of C_Login, instead of asking
  std::atomic<unsigned> logins{0};          // how often C_Login was called
  std::atomic<unsigned> losses{0};          // so many times a search says CKR_DEVICE_REMOVED
  std::atomic<bool> knows_sha256{false};    // OAEP with SHA-256 works
  std::atomic<CK_RV> decrypt_answer{CKR_OK};
  std::atomic<CK_RV> generate_answer{CKR_OK};
};

}  // namespace cairn
