// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/pkcs11/pkcs11_keys.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <tuple>
#include <utility>

#include "config/base/text.h"

namespace cairn {
namespace {

constexpr std::size_t kMaxModulus = 2048;  // bytes: RSA-16384
constexpr std::size_t kMaxDecimals = 9;
constexpr std::size_t kMaxForeignId = 60;  // bytes; what is longer is cut off

// The type of PKCS #11 for values that are only read has no const.
template <class Value>
CK_ATTRIBUTE attribute(CK_ATTRIBUTE_TYPE type, const Value& value) {
  return {type, const_cast<Value*>(&value), sizeof(Value)};
}
CK_ATTRIBUTE attribute(CK_ATTRIBUTE_TYPE type, const std::string& text) {
  return {type, const_cast<char*>(text.data()), text.size()};
}
template <std::size_t Size>
CK_ATTRIBUTE attribute(CK_ATTRIBUTE_TYPE type, const std::array<std::uint8_t, Size>& bytes) {
  return {type, const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
}

constexpr CK_BBOOL kYes = CK_TRUE;
constexpr CK_BBOOL kNo = CK_FALSE;
constexpr CK_KEY_TYPE kRsa = CKK_RSA;
constexpr CK_OBJECT_CLASS kPrivateKey = CKO_PRIVATE_KEY;
constexpr CK_OBJECT_CLASS kPublicKey = CKO_PUBLIC_KEY;

// RSA keys of the token, of a class, perhaps of a label.
Result<std::vector<CK_OBJECT_HANDLE>> find_keys(TokenSession& session, const CK_OBJECT_CLASS& of_class,
                                                const std::string* label) {
  std::vector<CK_ATTRIBUTE> wanted = {attribute(CKA_CLASS, of_class), attribute(CKA_KEY_TYPE, kRsa),
                                      attribute(CKA_TOKEN, kYes)};
  if (label != nullptr) wanted.push_back(attribute(CKA_LABEL, *label));
  CK_FUNCTION_LIST& api = session.api();
  if (const CK_RV answer = api.C_FindObjectsInit(session.handle(), wanted.data(), wanted.size()); answer != CKR_OK)
    return session.failed("C_FindObjectsInit", answer);
  std::vector<CK_OBJECT_HANDLE> found;
  std::array<CK_OBJECT_HANDLE, 64> some{};
  CK_RV answer = CKR_OK;
  CK_ULONG count = 0;
  do {
    answer = api.C_FindObjects(session.handle(), some.data(), some.size(), &count);
    if (answer == CKR_OK) found.insert(found.end(), some.begin(), some.begin() + count);
  } while (answer == CKR_OK && count > 0);
  static_cast<void>(api.C_FindObjectsFinal(session.handle()));
  if (answer != CKR_OK) return session.failed("C_FindObjects", answer);
  return found;
}

std::optional<unsigned> decimal(std::string_view text) {
  unsigned value = 0;
  if (text.empty() || text.size() > kMaxDecimals || text.front() == '0') return std::nullopt;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string version_of_id(ByteView id) {
  if (id.empty()) return "1";
  if (decimal(as_text(id))) return std::string(as_text(id));
  return "0x" + to_hex(id.first(std::min(id.size(), kMaxForeignId)));
}

Buffer without_leading_zeros(ByteView number) {
  while (!number.empty() && number.front() == 0) number = number.subspan(1);
  return {number.begin(), number.end()};
}

// Nothing: no key that can be a KEK.
Result<std::optional<TokenKey>> read_key(TokenSession& session, CK_OBJECT_HANDLE handle) {
  std::array<std::uint8_t, 256> label{};
  std::array<std::uint8_t, 256> id{};
  std::array<std::uint8_t, kMaxModulus> modulus{};
  std::array<std::uint8_t, 64> exponent{};
  CK_BBOOL decrypts = CK_FALSE;
  CK_BBOOL unwraps = CK_FALSE;
  std::array<CK_ATTRIBUTE, 6> asked = {attribute(CKA_LABEL, label),      attribute(CKA_ID, id),
                                       attribute(CKA_MODULUS, modulus),  attribute(CKA_PUBLIC_EXPONENT, exponent),
                                       attribute(CKA_DECRYPT, decrypts), attribute(CKA_UNWRAP, unwraps)};
  const CK_RV answer = session.api().C_GetAttributeValue(session.handle(), handle, asked.data(), asked.size());
  // What a token does not give, or is too long, has the size -1, and the rest is there all the same.
  if (answer == CKR_OBJECT_HANDLE_INVALID) return std::nullopt;  // somebody deleted it in this moment
  if (answer != CKR_OK && answer != CKR_ATTRIBUTE_TYPE_INVALID && answer != CKR_ATTRIBUTE_SENSITIVE &&
      answer != CKR_BUFFER_TOO_SMALL)
    return session.failed("C_GetAttributeValue", answer);
  const auto value_of = [&](std::size_t which, const auto& bytes) {
    const CK_ULONG size = asked[which].ulValueLen;
    return size <= bytes.size() ? ByteView(bytes).first(size) : ByteView();
  };
  TokenKey key;
  key.name = as_text(value_of(0, label));
  key.version = version_of_id(value_of(1, id));
  key.private_half = handle;
  key.modulus = without_leading_zeros(value_of(2, modulus));
  const ByteView public_exponent = value_of(3, exponent);
  key.public_exponent.assign(public_exponent.begin(), public_exponent.end());
  key.may_decrypt = decrypts == CK_TRUE;
  if (!is_vault_name(key.name) || key.modulus.empty() || (!key.may_decrypt && unwraps != CK_TRUE)) return std::nullopt;
  key.bits =
      static_cast<unsigned>(key.modulus.size() * 8) - static_cast<unsigned>(std::countl_zero(key.modulus.front()));
  return key;
}

// Foreign ones first: they were there before Cairn's.
auto age(const TokenKey& key) {
  return std::tuple(key.name, decimal(key.version).value_or(0), key.version);
}

struct OaepParameters {
  explicit OaepParameters(rsa_key::Hash hash) {
    const bool sha256 = hash == rsa_key::Hash::sha256;
    parameters.hashAlg = sha256 ? CKM_SHA256 : CKM_SHA_1;
    parameters.mgf = sha256 ? CKG_MGF1_SHA256 : CKG_MGF1_SHA1;
    parameters.source = CKZ_DATA_SPECIFIED;
    mechanism = {CKM_RSA_PKCS_OAEP, &parameters, sizeof(parameters)};
  }
  OaepParameters(const OaepParameters&) = delete;
  OaepParameters& operator=(const OaepParameters&) = delete;
  CK_RSA_PKCS_OAEP_PARAMS parameters{};
  CK_MECHANISM mechanism{};
};

// For keys that may unwrap and not decrypt: as a session's secret key, whose value is read. Empty: as token_decrypt().
Result<std::optional<SecretBytes>> unwrap_to_session(TokenSession& session, const TokenKey& key,
                                                     CK_MECHANISM& mechanism, Buffer& sealed) {
  constexpr CK_OBJECT_CLASS kSecretKey = CKO_SECRET_KEY;
  constexpr CK_KEY_TYPE kGeneric = CKK_GENERIC_SECRET;
  std::array<CK_ATTRIBUTE, 5> wanted = {attribute(CKA_CLASS, kSecretKey), attribute(CKA_KEY_TYPE, kGeneric),
                                        attribute(CKA_TOKEN, kNo), attribute(CKA_SENSITIVE, kNo),
                                        attribute(CKA_EXTRACTABLE, kYes)};
  CK_FUNCTION_LIST& api = session.api();
  CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
  CK_RV answer = api.C_UnwrapKey(session.handle(), &mechanism, key.private_half, sealed.data(), sealed.size(),
                                 wanted.data(), wanted.size(), &made);
  if (answer != CKR_OK) {
    auto error = session.failed("C_UnwrapKey", answer);
    if (session.lost()) return error;
    return std::nullopt;
  }
  SecretBytes plain(key.modulus.size());
  CK_ATTRIBUTE value{CKA_VALUE, plain.reveal().data(), plain.size()};
  answer = api.C_GetAttributeValue(session.handle(), made, &value, 1);
  static_cast<void>(api.C_DestroyObject(session.handle(), made));
  if (answer != CKR_OK) return session.failed("C_GetAttributeValue (CKA_VALUE of an unwrapped key)", answer);
  plain.shrink_to(value.ulValueLen);
  return plain;
}

}  // namespace

Result<std::vector<TokenKey>> list_token_keys(TokenSession& session, const std::string* name) {
  CAIRN_TRY(const std::vector<CK_OBJECT_HANDLE> handles, find_keys(session, kPrivateKey, name));
  std::vector<TokenKey> keys;
  for (const CK_OBJECT_HANDLE handle : handles) {
    CAIRN_TRY(std::optional<TokenKey> key, read_key(session, handle));
    if (key) keys.push_back(*std::move(key));
  }
  std::sort(keys.begin(), keys.end(), [](const TokenKey& a, const TokenKey& b) { return age(a) < age(b); });
  for (std::size_t i = 1; i < keys.size(); ++i)
    if (age(keys[i - 1]) == age(keys[i])) keys[i - 1].twin = keys[i].twin = true;
  return keys;
}

std::string next_key_version(const std::vector<std::string>& versions) {
  unsigned last = 0;
  for (const std::string& version : versions) last = std::max(last, decimal(version).value_or(0));
  return std::to_string(last + 1);
}

Result<void> generate_token_key(TokenSession& session, const std::string& name, const std::string& version,
                                unsigned bits) {
  const CK_ULONG modulus_bits = bits;
  constexpr std::array<std::uint8_t, 3> kExponent = {1, 0, 1};  // 65537
  std::array<CK_ATTRIBUTE, 9> public_half = {attribute(CKA_TOKEN, kYes),
                                             attribute(CKA_PRIVATE, kNo),
                                             attribute(CKA_LABEL, name),
                                             attribute(CKA_ID, version),
                                             attribute(CKA_ENCRYPT, kYes),
                                             attribute(CKA_WRAP, kYes),
                                             attribute(CKA_VERIFY, kNo),
                                             attribute(CKA_MODULUS_BITS, modulus_bits),
                                             attribute(CKA_PUBLIC_EXPONENT, kExponent)};
  std::array<CK_ATTRIBUTE, 9> private_half = {
      attribute(CKA_TOKEN, kYes),   attribute(CKA_PRIVATE, kYes),   attribute(CKA_LABEL, name),
      attribute(CKA_ID, version),   attribute(CKA_SENSITIVE, kYes), attribute(CKA_EXTRACTABLE, kNo),
      attribute(CKA_DECRYPT, kYes), attribute(CKA_UNWRAP, kYes),    attribute(CKA_SIGN, kNo)};
  CK_MECHANISM mechanism{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
  CK_OBJECT_HANDLE made_public = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE made_private = CK_INVALID_HANDLE;
  const CK_RV answer =
      session.api().C_GenerateKeyPair(session.handle(), &mechanism, public_half.data(), public_half.size(),
                                      private_half.data(), private_half.size(), &made_public, &made_private);
  if (answer != CKR_OK) {
    auto error = session.failed("C_GenerateKeyPair", answer);
    if (answer == CKR_KEY_SIZE_RANGE) error.error().code = ErrorCode::kek_wrong_type;
    return error;
  }
  // Another process may have made the same version in this moment. Neither has wrapped anything yet; ours goes.
  CAIRN_TRY(const std::vector<TokenKey> keys, list_token_keys(session, &name));
  for (const TokenKey& key : keys) {
    if (key.private_half != made_private || !key.twin) continue;
    static_cast<void>(session.api().C_DestroyObject(session.handle(), made_public));
    static_cast<void>(session.api().C_DestroyObject(session.handle(), made_private));
    return fail(ErrorCode::kek_exists, session.doing(), session.object(),
                fmt::format("another program made version {} of it in this moment", version));
  }
  return {};
}

Result<void> destroy_token_keys(TokenSession& session, const std::vector<TokenKey>& keys) {
  if (keys.empty()) return {};
  // Another program may keep other keys under the same label: only what belongs to these is touched.
  std::vector<CK_OBJECT_HANDLE> doomed;
  CAIRN_TRY(const std::vector<CK_OBJECT_HANDLE> public_halves, find_keys(session, kPublicKey, &keys.front().name));
  for (const CK_OBJECT_HANDLE handle : public_halves) {
    std::array<std::uint8_t, kMaxModulus> bytes{};
    CK_ATTRIBUTE asked = attribute(CKA_MODULUS, bytes);
    if (const CK_RV answer = session.api().C_GetAttributeValue(session.handle(), handle, &asked, 1); answer != CKR_OK)
      return session.failed("C_GetAttributeValue", answer);
    const Buffer modulus = without_leading_zeros(ByteView(bytes).first(asked.ulValueLen));
    if (std::any_of(keys.begin(), keys.end(), [&](const TokenKey& key) { return key.modulus == modulus; }))
      doomed.push_back(handle);
  }
  for (const TokenKey& key : keys) doomed.push_back(key.private_half);
  for (const CK_OBJECT_HANDLE handle : doomed) {
    const CK_RV answer = session.api().C_DestroyObject(session.handle(), handle);
    if (answer != CKR_OK && answer != CKR_OBJECT_HANDLE_INVALID) return session.failed("C_DestroyObject", answer);
  }
  return {};
}

Result<std::optional<SecretBytes>> token_decrypt(TokenSession& session, const TokenKey& key, rsa_key::Hash hash,
                                                 ByteView sealed) {
  OaepParameters oaep(hash);
  Buffer input(sealed.begin(), sealed.end());
  if (!key.may_decrypt) return unwrap_to_session(session, key, oaep.mechanism, input);
  CK_FUNCTION_LIST& api = session.api();
  SecretBytes plain(key.modulus.size());
  CK_ULONG size = plain.size();
  const char* call = "C_DecryptInit";
  CK_RV answer = api.C_DecryptInit(session.handle(), &oaep.mechanism, key.private_half);
  if (answer == CKR_OK) {
    call = "C_Decrypt";
    answer = api.C_Decrypt(session.handle(), input.data(), input.size(), plain.reveal().data(), &size);
  }
  if (answer != CKR_OK) {
    auto error = session.failed(call, answer);
    if (session.lost()) return error;
    return std::nullopt;
  }
  plain.shrink_to(size);
  return plain;
}

}  // namespace cairn
