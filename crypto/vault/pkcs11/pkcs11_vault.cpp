// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/pkcs11/pkcs11_vault.h"

#include <fmt/core.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <utility>

#include "config/base/guarded.h"
#include "config/base/text.h"
#include "crypto/vault/pkcs11/pkcs11_keys.h"
#include "crypto/vault/pkcs11/pkcs11_session.h"
#include "crypto/vault/rsa_key.h"
#include "crypto/vault/sealed_bytes.h"
#include "crypto/vault/vault_errors.h"

namespace cairn {
namespace {

constexpr std::size_t kDataKeyBytes = 32;

// How a BEK is wrapped; the names stand in wrapped BEKs and are the context of the hybrid's seal (VAULT.md "KEK").
struct Algorithm {
  std::string_view name;
  rsa_key::Hash hash;
  bool hybrid;
};
constexpr std::array<Algorithm, 4> kAlgorithms = {
    Algorithm{"RSA-OAEP-256", rsa_key::Hash::sha256, false},
    Algorithm{"RSA-OAEP-256+XChaCha20-Poly1305", rsa_key::Hash::sha256, true},
    Algorithm{"RSA-OAEP", rsa_key::Hash::sha1, false},
    Algorithm{"RSA-OAEP+XChaCha20-Poly1305", rsa_key::Hash::sha1, true},
};

bool same(const SecretBytes& a, const SecretBytes& b) {
  return a.size() == b.size() && sodium_memcmp(a.reveal().data(), b.reveal().data(), a.size()) == 0;
}

// RFC 8017 takes 65537 for what the token does not tell; the proof after wrapping finds out if that is wrong.
std::optional<Buffer> encrypt_for(const TokenKey& key, rsa_key::Hash hash, const SecretBytes& plain) {
  static constexpr std::array<std::uint8_t, 3> kUsualExponent = {1, 0, 1};
  return rsa_key::encrypt_for(key.modulus, key.public_exponent.empty() ? ByteView(kUsualExponent) : key.public_exponent,
                              hash, plain.reveal());
}

// Does the token unwrap what is wrapped for this key?
Result<bool> key_works(TokenSession& session, const TokenKey& key, rsa_key::Hash hash) {
  const SecretBytes plain = SecretBytes::random(kDataKeyBytes);
  const auto sealed = encrypt_for(key, hash, plain);
  if (!sealed) return false;
  CAIRN_TRY(const auto back, token_decrypt(session, key, hash, *sealed));
  return back && same(*back, plain);
}

KekFacts facts_of(std::span<const TokenKey> keys) {
  KekFacts facts;
  for (const TokenKey& key : keys) {
    if (!facts.versions.empty() && facts.versions.back().version == key.version) continue;
    facts.name = key.name;
    facts.type = fmt::format("RSA-{}", key.bits);
    facts.versions.push_back({key.version, {}});
  }
  return facts;
}

std::vector<KekFacts> facts_of_all(const std::vector<TokenKey>& keys) {
  std::vector<KekFacts> all;
  for (std::size_t begin = 0, end = 0; begin < keys.size(); begin = end) {
    while (end < keys.size() && keys[end].name == keys[begin].name) ++end;
    all.push_back(facts_of(std::span(keys).subspan(begin, end - begin)));
  }
  return all;
}

class Pkcs11Vault final : public KeyVault {
 public:
  Pkcs11Vault(std::unique_ptr<LocalVault> beside, const KeyVaultSettings& settings)
      : beside_(std::move(beside)), settings_{settings.module, settings.token, settings.pin_file} {}

  // Errors: those of open_pkcs11_vault.
  Result<void> log_in() {
    CAIRN_TRY(*session_.lock(), TokenSession::open(settings_));
    return {};
  }

  [[nodiscard]] const std::string& name() const override { return beside_->name(); }
  [[nodiscard]] const std::string& principal() const override { return beside_->principal(); }
  [[nodiscard]] bool keks_are_portable() const override { return false; }
  Result<std::vector<Right>> missing_rights(std::span<const Right> rights) override {
    return beside_->missing_rights(rights);
  }

  Result<std::vector<KekFacts>> list_keks() override {
    CAIRN_CHECK(beside_->authorise(Right::keys_list, "keys of " + name()));
    return on_token("list keys of", name(), [](TokenSession& session) -> Result<std::vector<KekFacts>> {
      CAIRN_TRY(const std::vector<TokenKey> keys, list_token_keys(session));
      return facts_of_all(keys);
    });
  }

  Result<KekFacts> get_kek(const std::string& kek) override {
    return on_kek(Right::keys_get, "use key", kek, [&](TokenSession& session) -> Result<KekFacts> {
      CAIRN_TRY(const std::vector<TokenKey> versions, versions_of(session, kek));
      return facts_of(versions);
    });
  }

  Result<KekFacts> create_kek(const std::string& kek, KekType type) override {
    if (!is_vault_name(kek))
      return fail(
          ErrorCode::used_wrongly, "create key", path_of(kek), "that cannot be the name of a key",
          "names have letters, digits and . _ -, begin with a letter or digit, and have at most 127 characters");
    return on_kek(Right::keys_create, "create key", kek, [&](TokenSession& session) -> Result<KekFacts> {
      if (type == KekType::x25519)
        return fail(ErrorCode::kek_wrong_type, "create key", path_of(kek),
                    "keys in an HSM are RSA keys, and X25519 was asked for", "name --type RSA-3072 or RSA-4096");
      CAIRN_TRY(const std::vector<TokenKey> there, list_token_keys(session, &kek));
      if (!there.empty()) return fail(ErrorCode::kek_exists, "create key", path_of(kek));
      return make_version(session, kek, {}, type == KekType::rsa_3072 ? 3072 : 4096);
    });
  }

  Result<KekFacts> rotate_kek(const std::string& kek) override {
    return on_kek(Right::keys_create, "rotate key", kek, [&](TokenSession& session) -> Result<KekFacts> {
      CAIRN_TRY(const std::vector<TokenKey> versions, versions_of(session, kek));
      return make_version(session, kek, versions, versions.back().bits);
    });
  }

  Result<void> delete_kek(const std::string& kek) override {
    return on_kek(Right::keys_delete, "delete key", kek, [&](TokenSession& session) -> Result<void> {
      CAIRN_TRY(const std::vector<TokenKey> versions, versions_of(session, kek));
      return destroy_token_keys(session, versions);
    });
  }

  Result<Wrapped> wrap(const std::string& kek, const SecretBytes& bek) override {
    return on_kek(Right::keys_wrap, "wrap with key", kek, [&](TokenSession& session) -> Result<Wrapped> {
      if (bek.empty() || bek.size() > kMaxBekBytes)
        return fail(ErrorCode::used_wrongly, "wrap with key", path_of(kek),
                    fmt::format("the BEK has {} bytes, 1 to {} are allowed", bek.size(), kMaxBekBytes));
      CAIRN_TRY(const std::vector<TokenKey> versions, versions_of(session, kek));
      CAIRN_TRY(const TokenKey* key, the_one(versions, versions.back().version));
      // SHA-256 where the token takes it. That it does, and will give the BEK back, is proved, not asked.
      for (const rsa_key::Hash hash : {rsa_key::Hash::sha256, rsa_key::Hash::sha1}) {
        CAIRN_TRY(std::optional<Wrapped> wrapped, wrap_and_prove(session, *key, hash, bek));
        if (wrapped) return *std::move(wrapped);
      }
      const std::string& answer = session.last_failure();
      return fail(ErrorCode::hsm_failed, "wrap with key", path_of(kek),
                  "the token does not unwrap what is wrapped for it by RSA-OAEP: " +
                      (answer.empty() ? "it gives other bytes back" : answer));
    });
  }

  Result<SecretBytes> unwrap(const std::string& kek, const Wrapped& wrapped) override {
    return on_kek(Right::keys_unwrap, "unwrap with key", kek, [&](TokenSession& session) -> Result<SecretBytes> {
      CAIRN_TRY(const std::vector<TokenKey> versions, versions_of(session, kek));
      CAIRN_TRY(const TokenKey* key, the_one(versions, wrapped.version));
      return unwrap_with(session, *key, wrapped);
    });
  }

  Result<KekBackup> backup_kek(const std::string& kek, const std::string& /*version*/,
                               std::span<const EscrowOwner> /*owners*/) override {
    CAIRN_CHECK(beside_->authorise(Right::keys_backup, subject(kek)));
    return fail(ErrorCode::not_supported_yet, "back up key", path_of(kek), "the key never leaves the HSM",
                "back the HSM up with its own tools; recovery points have the BEKs sealed for the store's owners");
  }
  Result<Restored> restore_kek(const KekBackup& backup, const EscrowKeys& /*owner*/) override {
    CAIRN_CHECK(beside_->authorise(Right::keys_restore, subject(backup.name)));
    return fail(ErrorCode::not_supported_yet, "restore key", path_of(backup.name), "Cairn puts no key into an HSM",
                "restore into a local vault, or import it into the HSM with its own tools");
  }

  // The secrets are in the local vault.
  Result<std::vector<SecretFacts>> list_secrets() override { return beside_->list_secrets(); }
  Result<StoredBek> get_secret(const std::string& secret) override { return beside_->get_secret(secret); }
  Result<std::string> set_secret(const std::string& secret, const WrappedBek& bek) override {
    return beside_->set_secret(secret, bek);
  }
  Result<Restored> restore_secret(const std::string& secret, const StoredBek& bek) override {
    return beside_->restore_secret(secret, bek);
  }
  Result<void> delete_secret(const std::string& secret) override { return beside_->delete_secret(secret); }

 private:
  [[nodiscard]] std::string path_of(const std::string& kek) const { return name() + "/" + kek; }
  [[nodiscard]] std::string subject(const std::string& kek) const { return "key " + path_of(kek); }

  // use(session), once more in a new session when the old one turns out to be gone (the HSM was unplugged and is back,
  // its service was started again).
  template <class Use>
  auto on_token(const std::string& doing, const std::string& object, const Use& use)
      -> decltype(use(std::declval<TokenSession&>())) {
    // Held while the HSM works: a session does one thing at a time.
    const auto locked = session_.lock();
    std::unique_ptr<TokenSession>& session = *locked;
    const bool was_open = session != nullptr;
    for (bool again = was_open;; again = false) {
      if (!session) {
        CAIRN_TRY(session, TokenSession::open(settings_));
      }
      session->begin(doing, object);
      auto result = use(*session);
      const bool lost = session->lost();
      if (lost) session.reset();
      if (!lost || !again) return result;
    }
  }
  template <class Use>
  auto on_kek(Right right, const std::string& doing, const std::string& kek, const Use& use)
      -> decltype(use(std::declval<TokenSession&>())) {
    CAIRN_CHECK(beside_->authorise(right, subject(kek)));
    return on_token(doing, path_of(kek), use);
  }

  // Not empty. Errors: kek_missing.
  Result<std::vector<TokenKey>> versions_of(TokenSession& session, const std::string& kek) const {
    CAIRN_TRY(std::vector<TokenKey> versions, list_token_keys(session, &kek));
    if (!versions.empty()) return versions;
    CAIRN_TRY(const std::vector<TokenKey> all, list_token_keys(session));
    return no_such_kek(name(), kek, facts_of_all(all));
  }

  // Errors: kek_missing (the version), hsm_failed (there are two).
  Result<const TokenKey*> the_one(const std::vector<TokenKey>& versions, const std::string& version) const {
    const auto found =
        std::find_if(versions.begin(), versions.end(), [&](const TokenKey& key) { return key.version == version; });
    if (found == versions.end()) return no_such_kek_version(name(), facts_of(versions), version);
    if (found->twin)
      return fail(ErrorCode::hsm_failed, "use key", path_of(found->name),
                  fmt::format("the token has two private keys of this label and CKA_ID (version {})", version),
                  "give one of them another CKA_ID or label with the HSM's own tool");
    return &*found;
  }

  static Result<KekFacts> make_version(TokenSession& session, const std::string& kek,
                                       const std::vector<TokenKey>& there, unsigned bits) {
    std::vector<std::string> versions;
    for (const TokenKey& key : there) versions.push_back(key.version);
    CAIRN_CHECK(generate_token_key(session, kek, next_key_version(versions), bits));
    CAIRN_TRY(const std::vector<TokenKey> now, list_token_keys(session, &kek));
    return facts_of(now);
  }

  // Nothing: the token does not give it back.
  static Result<std::optional<Wrapped>> wrap_and_prove(TokenSession& session, const TokenKey& key, rsa_key::Hash hash,
                                                       const SecretBytes& bek) {
    const bool hybrid = bek.size() > rsa_key::most_plain_bytes(key.bits, hash);
    const auto algorithm = std::find_if(kAlgorithms.begin(), kAlgorithms.end(), [&](const Algorithm& known) {
      return known.hash == hash && known.hybrid == hybrid;
    });
    const SecretBytes data_key = hybrid ? SecretBytes::random(kDataKeyBytes) : SecretBytes();
    const SecretBytes& plain = hybrid ? data_key : bek;
    const auto sealed = encrypt_for(key, hash, plain);
    if (!sealed) return std::nullopt;
    CAIRN_TRY(const auto back, token_decrypt(session, key, hash, *sealed));
    if (!back || !same(*back, plain)) return std::nullopt;
    Wrapped wrapped{key.version, std::string(algorithm->name), *sealed};
    if (hybrid) append(wrapped.bytes, seal_bytes(data_key, bek.reveal(), as_bytes(algorithm->name)));
    return wrapped;
  }

  Result<SecretBytes> unwrap_with(TokenSession& session, const TokenKey& key, const Wrapped& wrapped) const {
    const auto algorithm = std::find_if(kAlgorithms.begin(), kAlgorithms.end(),
                                        [&](const Algorithm& known) { return known.name == wrapped.algorithm; });
    if (algorithm == kAlgorithms.end())
      return fail(
          ErrorCode::kek_wrong_type, "unwrap with key", path_of(key.name),
          fmt::format("it is of type RSA-{} in an HSM, and the BEK was wrapped by {}", key.bits, wrapped.algorithm));
    const auto failed = [&](std::string because) {
      return fail(ErrorCode::unwrap_failed, "unwrap with key", path_of(key.name),
                  fmt::format("version {}: {}", key.version, because));
    };
    const ByteView bytes = wrapped.bytes;
    const std::size_t tail = algorithm->hybrid ? kSealedBytesOverhead + 1 : 0;
    if (bytes.size() < key.modulus.size() + tail || (!algorithm->hybrid && bytes.size() != key.modulus.size()))
      return failed(fmt::format("{} wrapped bytes cannot be of this key", bytes.size()));
    CAIRN_TRY(std::optional<SecretBytes> plain,
              token_decrypt(session, key, algorithm->hash, bytes.first(key.modulus.size())));
    if (!plain) {
      // Some tokens say the same of bytes that are not theirs and of trouble of their own. A try tells.
      const std::string answer = session.last_failure();
      CAIRN_TRY(const bool works, key_works(session, key, algorithm->hash));
      if (works) return failed("the BEK was wrapped by another key, or what was wrapped is damaged");
      return fail(ErrorCode::hsm_failed, "unwrap with key", path_of(key.name), answer);
    }
    if (algorithm->hybrid) {
      const ByteView sealed = bytes.subspan(key.modulus.size());
      SecretBytes bek(sealed.size() - kSealedBytesOverhead);
      if (plain->size() != kDataKeyBytes || !open_bytes(*plain, sealed, as_bytes(algorithm->name), bek.reveal()))
        return failed("what was wrapped is damaged");
      plain = std::move(bek);
    }
    if (plain->empty() || plain->size() > kMaxBekBytes) return failed("what was wrapped is no BEK");
    return *std::move(plain);
  }

  const std::unique_ptr<LocalVault> beside_;
  const TokenSettings settings_;
  Guarded<std::unique_ptr<TokenSession>> session_;  // none: it was lost
};

}  // namespace

Result<std::unique_ptr<KeyVault>> open_pkcs11_vault(std::unique_ptr<LocalVault> beside,
                                                    const KeyVaultSettings& settings) {
  auto vault = std::make_unique<Pkcs11Vault>(std::move(beside), settings);
  CAIRN_CHECK(vault->log_in());
  return vault;
}

}  // namespace cairn
