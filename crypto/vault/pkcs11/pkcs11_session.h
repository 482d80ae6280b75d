// SPDX-License-Identifier: GPL-3.0-or-later
// TokenSession: a session with a token of an HSM, logged in as its user (OASIS PKCS #11 v2.40, sections 5.6 and 5.7).
// The PIN is in locked memory for the time of the login only. One thread at a time.
#pragma once

#include <memory>
#include <string>

#include "config/base/result.h"
#include "crypto/vault/pkcs11/pkcs11_module.h"

namespace cairn {

struct TokenSettings {
  std::string module;    // path of the library
  std::string token;     // label
  std::string pin_file;  // the PIN, less one newline at the end
};

class TokenSession {
 public:
  // Tries the PIN once, and not at all when this process is logged in already, when the token says that it is the last
  // try, or when the token has refused this same PIN to this process before: whoever opens the vault again and again,
  // as the daemon does, must not lock the token.
  // Errors: hsm_unavailable, hsm_pin_wrong, hsm_token_locked, those of read_key_file for the PIN file.
  static Result<std::unique_ptr<TokenSession>> open(const TokenSettings& settings);
  ~TokenSession();
  TokenSession(const TokenSession&) = delete;
  TokenSession& operator=(const TokenSession&) = delete;

  [[nodiscard]] CK_FUNCTION_LIST& api() const { return module_.api(); }
  [[nodiscard]] CK_SESSION_HANDLE handle() const { return handle_; }

  // Words for the errors of what follows, as in Error.
  void begin(std::string doing, std::string object);
  [[nodiscard]] const std::string& doing() const { return doing_; }
  [[nodiscard]] const std::string& object() const { return object_; }
  // The error of `call` ("C_Decrypt"): hsm_failed; hsm_unavailable when the answer says that session or token is gone.
  std::unexpected<Error> failed(const char* call, CK_RV answer);
  // What that error said: "C_Decrypt: CKR_DATA_INVALID (0x20)".
  [[nodiscard]] const std::string& last_failure() const { return last_failure_; }
  // It is gone; open another.
  [[nodiscard]] bool lost() const { return lost_; }

 private:
  TokenSession(const Pkcs11Module& module, TokenFacts token) : module_(module), token_(std::move(token)) {}
  Result<void> start(const TokenSettings& settings);
  Result<void> log_in(const TokenSettings& settings);
  [[nodiscard]] bool is_logged_in() const;

  const Pkcs11Module& module_;
  const TokenFacts token_;
  CK_SESSION_HANDLE handle_ = CK_INVALID_HANDLE;
  bool lost_ = false;
  std::string doing_;
  std::string object_;
  std::string last_failure_;
};

}  // namespace cairn
