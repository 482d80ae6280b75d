// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/pkcs11/pkcs11_module.h"

#include <dlfcn.h>
#include <fmt/core.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

namespace cairn {
namespace {

constexpr const char* kDoing = "use PKCS #11 library";

// A field of fixed size, padded with blanks (PKCS #11, section 3.2, CK_TOKEN_INFO). Some libraries pad with zeros.
std::string padded(std::span<const CK_UTF8CHAR> field) {
  std::string text(field.begin(), field.end());
  text.resize(text.find_last_not_of(std::string_view(" \0", 2)) + 1);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  return text;
}

}  // namespace

std::string describe_ckr(CK_RV answer) {
#define CAIRN_CKR(name) {name, #name}
  static const std::map<CK_RV, const char*> names = {
      CAIRN_CKR(CKR_CANCEL),
      CAIRN_CKR(CKR_HOST_MEMORY),
      CAIRN_CKR(CKR_SLOT_ID_INVALID),
      CAIRN_CKR(CKR_GENERAL_ERROR),
      CAIRN_CKR(CKR_FUNCTION_FAILED),
      CAIRN_CKR(CKR_ARGUMENTS_BAD),
      CAIRN_CKR(CKR_NEED_TO_CREATE_THREADS),
      CAIRN_CKR(CKR_CANT_LOCK),
      CAIRN_CKR(CKR_ATTRIBUTE_READ_ONLY),
      CAIRN_CKR(CKR_ATTRIBUTE_SENSITIVE),
      CAIRN_CKR(CKR_ATTRIBUTE_TYPE_INVALID),
      CAIRN_CKR(CKR_ATTRIBUTE_VALUE_INVALID),
      CAIRN_CKR(CKR_ACTION_PROHIBITED),
      CAIRN_CKR(CKR_DATA_INVALID),
      CAIRN_CKR(CKR_DATA_LEN_RANGE),
      CAIRN_CKR(CKR_DEVICE_ERROR),
      CAIRN_CKR(CKR_DEVICE_MEMORY),
      CAIRN_CKR(CKR_DEVICE_REMOVED),
      CAIRN_CKR(CKR_ENCRYPTED_DATA_INVALID),
      CAIRN_CKR(CKR_ENCRYPTED_DATA_LEN_RANGE),
      CAIRN_CKR(CKR_FUNCTION_CANCELED),
      CAIRN_CKR(CKR_FUNCTION_NOT_SUPPORTED),
      CAIRN_CKR(CKR_KEY_HANDLE_INVALID),
      CAIRN_CKR(CKR_KEY_SIZE_RANGE),
      CAIRN_CKR(CKR_KEY_TYPE_INCONSISTENT),
      CAIRN_CKR(CKR_KEY_FUNCTION_NOT_PERMITTED),
      CAIRN_CKR(CKR_MECHANISM_INVALID),
      CAIRN_CKR(CKR_MECHANISM_PARAM_INVALID),
      CAIRN_CKR(CKR_OBJECT_HANDLE_INVALID),
      CAIRN_CKR(CKR_OPERATION_ACTIVE),
      CAIRN_CKR(CKR_OPERATION_NOT_INITIALIZED),
      CAIRN_CKR(CKR_PIN_INCORRECT),
      CAIRN_CKR(CKR_PIN_INVALID),
      CAIRN_CKR(CKR_PIN_LEN_RANGE),
      CAIRN_CKR(CKR_PIN_EXPIRED),
      CAIRN_CKR(CKR_PIN_LOCKED),
      CAIRN_CKR(CKR_SESSION_CLOSED),
      CAIRN_CKR(CKR_SESSION_COUNT),
      CAIRN_CKR(CKR_SESSION_HANDLE_INVALID),
      CAIRN_CKR(CKR_SESSION_READ_ONLY),
      CAIRN_CKR(CKR_TEMPLATE_INCOMPLETE),
      CAIRN_CKR(CKR_TEMPLATE_INCONSISTENT),
      CAIRN_CKR(CKR_TOKEN_NOT_PRESENT),
      CAIRN_CKR(CKR_TOKEN_NOT_RECOGNIZED),
      CAIRN_CKR(CKR_TOKEN_WRITE_PROTECTED),
      CAIRN_CKR(CKR_UNWRAPPING_KEY_HANDLE_INVALID),
      CAIRN_CKR(CKR_UNWRAPPING_KEY_SIZE_RANGE),
      CAIRN_CKR(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT),
      CAIRN_CKR(CKR_USER_NOT_LOGGED_IN),
      CAIRN_CKR(CKR_USER_PIN_NOT_INITIALIZED),
      CAIRN_CKR(CKR_USER_TYPE_INVALID),
      CAIRN_CKR(CKR_USER_ANOTHER_ALREADY_LOGGED_IN),
      CAIRN_CKR(CKR_USER_TOO_MANY_TYPES),
      CAIRN_CKR(CKR_WRAPPED_KEY_INVALID),
      CAIRN_CKR(CKR_WRAPPED_KEY_LEN_RANGE),
      CAIRN_CKR(CKR_BUFFER_TOO_SMALL),
      CAIRN_CKR(CKR_CRYPTOKI_NOT_INITIALIZED),
      CAIRN_CKR(CKR_FUNCTION_REJECTED),
  };
#undef CAIRN_CKR
  const auto found = names.find(answer);
  const bool of_the_vendor = (answer & CKR_VENDOR_DEFINED) != 0;
  return fmt::format("{} (0x{:x})",
                     found != names.end() ? found->second : (of_the_vendor ? "an error of its maker's" : "CKR_"),
                     answer);
}

Result<Pkcs11Module*> Pkcs11Module::load(const std::string& path) {
  // Neither is ever destroyed: see the head of the header.
  static std::mutex& mutex = *new std::mutex;
  static auto& loaded = *new std::map<std::string, std::unique_ptr<Pkcs11Module>>;
  // Held while a library starts, so that each is started once.
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<Pkcs11Module>& module = loaded[path];
  if (!module) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* why = dlerror();  // glibc keeps it for each thread
      return fail(ErrorCode::hsm_unavailable, kDoing, path, why != nullptr ? why : "it cannot be loaded");
    }
    const auto get_list = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
    CK_FUNCTION_LIST* api = nullptr;
    if (get_list == nullptr || get_list(&api) != CKR_OK || api == nullptr) {
      dlclose(library);
      return fail(ErrorCode::hsm_unavailable, kDoing, path, "it is no PKCS #11 library (C_GetFunctionList)");
    }
    module.reset(new Pkcs11Module(path, api));
  }
  CAIRN_CHECK(module->initialise());
  return module.get();
}

Result<void> Pkcs11Module::initialise() {
  if (initialised_by_ == getpid()) return {};
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  const CK_RV answer = api_->C_Initialize(&arguments);
  if (answer != CKR_OK && answer != CKR_CRYPTOKI_ALREADY_INITIALIZED)
    return fail(ErrorCode::hsm_unavailable, kDoing, path_, "C_Initialize: " + describe_ckr(answer));
  initialised_by_ = getpid();
  return {};
}

Result<std::vector<TokenFacts>> Pkcs11Module::tokens() const {
  const auto failed = [&](const char* call, CK_RV answer) {
    return fail(ErrorCode::hsm_unavailable, kDoing, path_, fmt::format("{}: {}", call, describe_ckr(answer)));
  };
  std::vector<CK_SLOT_ID> slots;
  CK_ULONG count = 0;
  // Tokens may be plugged in between asking how many there are and which.
  for (CK_RV answer = CKR_BUFFER_TOO_SMALL; answer == CKR_BUFFER_TOO_SMALL;) {
    if (answer = api_->C_GetSlotList(CK_TRUE, nullptr, &count); answer != CKR_OK)
      return failed("C_GetSlotList", answer);
    slots.resize(count);
    if (count == 0) break;
    answer = api_->C_GetSlotList(CK_TRUE, slots.data(), &count);
    if (answer != CKR_OK && answer != CKR_BUFFER_TOO_SMALL) return failed("C_GetSlotList", answer);
  }
  slots.resize(count);
  std::vector<TokenFacts> tokens;
  for (const CK_SLOT_ID slot : slots) {
    CK_TOKEN_INFO info{};
    // One that was pulled out in this moment, or that does not answer, hides no other.
    if (api_->C_GetTokenInfo(slot, &info) != CKR_OK || (info.flags & CKF_TOKEN_INITIALIZED) == 0) continue;
    tokens.push_back({slot, padded(info.label), padded(info.serialNumber), info.flags});
  }
  return tokens;
}

Result<TokenFacts> Pkcs11Module::find_token(const std::string& label) const {
  CAIRN_TRY(const std::vector<TokenFacts> present, tokens());
  const TokenFacts* found = nullptr;
  std::string labels;
  unsigned matches = 0;
  for (const TokenFacts& token : present) {
    labels += fmt::format("{}\"{}\"", labels.empty() ? "" : ", ", token.label);
    if (token.label != label) continue;
    found = &token;
    ++matches;
  }
  if (matches == 1) return *found;
  if (matches > 1)
    return fail(ErrorCode::hsm_unavailable, "find token", label,
                fmt::format("{} tokens have that label, so which is meant is not known", matches),
                "leave one of them plugged in, or give it a label of its own");
  return fail(ErrorCode::hsm_unavailable, "find token", label,
              fmt::format("{} has {}", path_, labels.empty() ? "no token at all" : "only " + labels));
}

}  // namespace cairn
