// SPDX-License-Identifier: GPL-3.0-or-later
// Pkcs11Module: a PKCS #11 library (OASIS PKCS #11 v2.40), loaded and initialised once in a process and never unloaded:
// libraries are seldom written for that, and other threads may be in them. Any thread.
#pragma once

#include <p11-kit/pkcs11.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "config/base/result.h"

namespace cairn {

// "CKR_PIN_INCORRECT (0xa0)"
std::string describe_ckr(CK_RV answer);

struct TokenFacts {
  CK_SLOT_ID slot = 0;
  std::string label;   // without the blanks at its end
  std::string serial;  // the same
  CK_FLAGS flags = 0;  // CKF_...
};

class Pkcs11Module {
 public:
  // The library at `path`, which lives as long as the process. Errors: hsm_unavailable.
  static Result<Pkcs11Module*> load(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] CK_FUNCTION_LIST& api() const { return *api_; }
  // The initialised tokens that are present. Errors: hsm_unavailable.
  [[nodiscard]] Result<std::vector<TokenFacts>> tokens() const;
  // Errors: hsm_unavailable: none of that label (the message lists those that are there), or several.
  [[nodiscard]] Result<TokenFacts> find_token(const std::string& label) const;

 private:
  Pkcs11Module(std::string path, CK_FUNCTION_LIST* api) : path_(std::move(path)), api_(api) {}
  // Errors: hsm_unavailable.
  Result<void> initialise();

  const std::string path_;
  CK_FUNCTION_LIST* const api_;
  pid_t initialised_by_ = 0;  // a process that was forked off has to do it again
};

}  // namespace cairn
