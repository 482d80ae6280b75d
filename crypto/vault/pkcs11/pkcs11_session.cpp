// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/pkcs11/pkcs11_session.h"

#include <fmt/core.h>
#include <sodium.h>

#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "crypto/secret_bytes.h"
#include "crypto/unlock_key.h"

namespace cairn {
namespace {

bool says_that_it_is_gone(CK_RV answer) {
  switch (answer) {
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_DEVICE_REMOVED:
    case CKR_DEVICE_ERROR:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_TOKEN_NOT_RECOGNIZED:
    case CKR_SLOT_ID_INVALID:
    case CKR_USER_NOT_LOGGED_IN:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
    case CKR_OPERATION_ACTIVE:  // not gone, but of no use any more
      return true;
    default:
      return false;
  }
}

// The last PIN that each token refused to this process.
class RefusedPins {
 public:
  static RefusedPins& instance() {
    static RefusedPins one;
    return one;
  }
  bool has(const std::string& module, const TokenFacts& token, const SecretBytes& pin) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = pins_.find({module, token.label, token.serial});
    return found != pins_.end() && found->second.size() == pin.size() &&
           sodium_memcmp(std::as_const(found->second).reveal().data(), pin.reveal().data(), pin.size()) == 0;
  }
  void add(const std::string& module, const TokenFacts& token, const SecretBytes& pin) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pins_[{module, token.label, token.serial}] = SecretBytes::copy_of(pin.reveal());
  }
  void forget(const std::string& module, const TokenFacts& token) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pins_.erase({module, token.label, token.serial});
  }

 private:
  std::mutex mutex_;
  std::map<std::tuple<std::string, std::string, std::string>, SecretBytes> pins_;
};

}  // namespace

Result<std::unique_ptr<TokenSession>> TokenSession::open(const TokenSettings& settings) {
  CAIRN_TRY(const Pkcs11Module* module, Pkcs11Module::load(settings.module));
  CAIRN_TRY(TokenFacts token, module->find_token(settings.token));
  std::unique_ptr<TokenSession> session(new TokenSession(*module, std::move(token)));
  CAIRN_CHECK(session->start(settings));
  return session;
}

TokenSession::~TokenSession() {
  if (handle_ != CK_INVALID_HANDLE) static_cast<void>(api().C_CloseSession(handle_));
}

void TokenSession::begin(std::string doing, std::string object) {
  doing_ = std::move(doing);
  object_ = std::move(object);
}

std::unexpected<Error> TokenSession::failed(const char* call, CK_RV answer) {
  if (says_that_it_is_gone(answer)) lost_ = true;
  last_failure_ = fmt::format("{}: {}", call, describe_ckr(answer));
  return fail(lost_ ? ErrorCode::hsm_unavailable : ErrorCode::hsm_failed, doing_, object_, last_failure_);
}

Result<void> TokenSession::start(const TokenSettings& settings) {
  begin("open token", settings.token);
  const auto open_session = [&](CK_FLAGS flags) {
    return api().C_OpenSession(token_.slot, CKF_SERIAL_SESSION | flags, nullptr, nullptr, &handle_);
  };
  CK_RV answer = open_session(CKF_RW_SESSION);
  // Then keys can be used and not made.
  if (answer == CKR_TOKEN_WRITE_PROTECTED) answer = open_session(0);
  if (answer != CKR_OK) {
    handle_ = CK_INVALID_HANDLE;
    return fail(ErrorCode::hsm_unavailable, doing_, object_, "C_OpenSession: " + describe_ckr(answer));
  }
  if ((token_.flags & CKF_LOGIN_REQUIRED) == 0 || is_logged_in()) return {};
  return log_in(settings);
}

// A login is the process's, not the session's: it lasts until the last session with the token is closed.
bool TokenSession::is_logged_in() const {
  CK_SESSION_INFO info{};
  if (api().C_GetSessionInfo(handle_, &info) != CKR_OK) return false;
  return info.state == CKS_RW_USER_FUNCTIONS || info.state == CKS_RO_USER_FUNCTIONS;
}

Result<void> TokenSession::log_in(const TokenSettings& settings) {
  const auto locked = [&](std::string because) {
    return fail(ErrorCode::hsm_token_locked, "log in to token", settings.token, std::move(because));
  };
  const auto wrong = [&](std::string because, std::string resolution = {}) {
    return fail(ErrorCode::hsm_pin_wrong, "log in to token", settings.token, std::move(because), std::move(resolution));
  };
  if ((token_.flags & CKF_USER_PIN_LOCKED) != 0) return locked("the token says that its PIN is locked");
  if ((token_.flags & CKF_USER_PIN_FINAL_TRY) != 0)
    return wrong(
        "one more wrong PIN locks the token, so none was tried",
        fmt::format("log in by hand once to reset the count: pkcs11-tool --module {} --token-label {} --login -O",
                    settings.module, settings.token));
  CAIRN_TRY(SecretBytes pin, read_passphrase_file(settings.pin_file, "read PIN"));
  RefusedPins& refused = RefusedPins::instance();
  if (refused.has(settings.module, token_, pin))
    return wrong(fmt::format("it refused the PIN that is in {} before; it was not tried again", settings.pin_file),
                 "put the right PIN into pin_file; if it is right since the token was given it, start cairnd again");
  const CK_RV answer = api().C_Login(handle_, CKU_USER, pin.reveal().data(), pin.size());
  switch (answer) {
    case CKR_OK:
    case CKR_USER_ALREADY_LOGGED_IN:
      refused.forget(settings.module, token_);
      return {};
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
      refused.add(settings.module, token_, pin);
      return wrong(fmt::format("the PIN in {} is not its PIN: {}", settings.pin_file, describe_ckr(answer)));
    case CKR_PIN_EXPIRED:
      return wrong("the PIN has expired: " + describe_ckr(answer), "set a new one with the HSM's own tool");
    case CKR_USER_PIN_NOT_INITIALIZED:
      return wrong("the token has no user PIN yet", "set one with the HSM's own tool, and put it into pin_file");
    case CKR_PIN_LOCKED:
      return locked("C_Login: " + describe_ckr(answer));
    default:
      return fail(ErrorCode::hsm_unavailable, "log in to token", settings.token, "C_Login: " + describe_ckr(answer));
  }
}

}  // namespace cairn
