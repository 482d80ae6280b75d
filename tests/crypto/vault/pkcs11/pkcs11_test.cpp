// SPDX-License-Identifier: GPL-3.0-or-later
// KEKs in an HSM: a real SoftHSM token, the same behind a library that behaves like other HSMs (pkcs11_shim.h), and the
// tools of others as witnesses.
#include "crypto/vault/open/open_key_vault.h"
#include "crypto/vault/pkcs11/pkcs11_vault.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <fstream>
#include <thread>

#include "crypto/vault/pkcs11/pkcs11_session.h"
#include "tests/crypto/vault/contract.h"
#include "tests/crypto/vault/pkcs11/pkcs11_shim.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using testing::HasSubstr;

constexpr const char* kLabel = "cairn test";
constexpr const char* kPin = "correct-horse-17";

bool run(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

// Tokens in a directory of their own. SoftHSM looks for tokens when it starts, so all are made before.
class SoftHsm {
 public:
  static SoftHsm& instance() {
    static SoftHsm one;
    return one;
  }
  // Empty: it is there.
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  [[nodiscard]] const std::filesystem::path& path() const { return directory_.path(); }
  [[nodiscard]] std::string pin_file() const { return path() / "pin"; }
  static ShimControls& shim() {
    void* const library = dlopen(CAIRN_PKCS11_SHIM, RTLD_NOW | RTLD_LOCAL);
    const auto controls = reinterpret_cast<ShimControls* (*)()>(dlsym(library, "pkcs11_shim_controls"));
    return *controls();
  }
  void write_pin(const std::string& text, mode_t mode = 0600) const {
    std::filesystem::remove(pin_file());
    std::ofstream(pin_file()) << text;
    chmod(pin_file().c_str(), mode);
  }

 private:
  SoftHsm() {
    start_crypto();
    if (!std::filesystem::exists(kSoftHsm)) {
      why_not_ = std::string("there is no ") + kSoftHsm + " (package softhsm2)";
      return;
    }
    std::filesystem::create_directory(path() / "tokens");
    std::ofstream(path() / "softhsm2.conf") << "directories.tokendir = " << (path() / "tokens").string()
                                            << "\nobjectstore.backend = file\nlog.level = ERROR\n";
    setenv("SOFTHSM2_CONF", (path() / "softhsm2.conf").c_str(), 1);
    for (const char* label : {kLabel, "twin", "twin"})
      if (!run(std::string("softhsm2-util --init-token --free --label '") + label + "' --so-pin 12345678 --pin " +
               kPin))
        why_not_ = "softhsm2-util makes no token (package softhsm2)";
  }

  TemporaryDirectory directory_;
  std::string why_not_;
};

// A local vault for the secrets, and settings for an HSM with it.
struct Place {
  Place() {
    const std::string key = directory.path() / "vault.key";
    expect_ok(create_key_file(key));
    settings.key.key_file = key;
    settings.provider = KeyVaultSettings::Provider::pkcs11;
    settings.path = directory.path() / "vault";
    settings.token = kLabel;
    settings.pin_file = SoftHsm::instance().pin_file();
    NewKeySlot slot;
    slot.secret = value_of(read_key_file(key));
    expect_ok(LocalVault::create(settings.path, slot, "admin", "cairn-backup"));
  }
  [[nodiscard]] Result<std::unique_ptr<KeyVault>> open(const std::string& principal = "admin") const {
    return open_key_vault("main", settings, principal);
  }
  TemporaryDirectory directory;
  KeyVaultSettings settings;
};

// Takes every key from the token, as a new one has none.
void clear_token() {
  const auto session = value_of(TokenSession::open({kSoftHsm, kLabel, SoftHsm::instance().pin_file()}));
  CK_FUNCTION_LIST& api = session->api();
  std::array<CK_OBJECT_HANDLE, 256> found{};
  CK_ULONG count = 0;
  ASSERT_EQ(api.C_FindObjectsInit(session->handle(), nullptr, 0), CKR_OK);
  ASSERT_EQ(api.C_FindObjects(session->handle(), found.data(), found.size(), &count), CKR_OK);
  ASSERT_EQ(api.C_FindObjectsFinal(session->handle()), CKR_OK);
  for (CK_ULONG i = 0; i < count; ++i) ASSERT_EQ(api.C_DestroyObject(session->handle(), found[i]), CKR_OK);
}

void reset_shim() {
  ShimControls& shim = SoftHsm::shim();
  shim.token_flags = 0;
  shim.login_answer = shim.decrypt_answer = shim.generate_answer = CKR_OK;
  shim.logins = shim.losses = 0;
  shim.knows_sha256 = false;
}

class Pkcs11Test : public testing::Test {
 protected:
  void SetUp() override {
    SoftHsm& hsm = SoftHsm::instance();
    if (!hsm.why_not().empty()) GTEST_SKIP() << hsm.why_not();
    hsm.write_pin(std::string(kPin) + "\n");
    reset_shim();
    clear_token();
    place_ = std::make_unique<Place>();
    place_->settings.module = kSoftHsm;
  }
  void TearDown() override {
    if (SoftHsm::instance().why_not().empty()) reset_shim();
  }
  void use_shim() { place_->settings.module = CAIRN_PKCS11_SHIM; }
  static ShimControls& shim() { return SoftHsm::shim(); }
  [[nodiscard]] std::unique_ptr<KeyVault> vault() const { return value_of(place_->open()); }
  [[nodiscard]] Error error_of_open() const {
    auto opened = place_->open();
    return opened ? Error{} : opened.error();
  }
  static bool same(const SecretBytes& a, const SecretBytes& b) { return as_text(a.reveal()) == as_text(b.reveal()); }

  // A key that some other program makes: with CKA_ID `id`.
  struct Foreign {
    std::string label;
    std::string id;
    bool decrypts = true;
    bool unwraps = false;
    bool signs = false;
  };
  void make_foreign(const Foreign& key) const {
    const auto session = value_of(TokenSession::open({kSoftHsm, kLabel, SoftHsm::instance().pin_file()}));
    const auto flag = [](CK_ATTRIBUTE_TYPE type, bool on) {
      static CK_BBOOL yes = CK_TRUE;
      static CK_BBOOL no = CK_FALSE;
      return CK_ATTRIBUTE{type, on ? &yes : &no, sizeof(CK_BBOOL)};
    };
    std::string label = key.label;
    std::string id = key.id;
    CK_ULONG bits = 2048;
    std::vector<CK_ATTRIBUTE> public_half = {{CKA_LABEL, label.data(), label.size()},
                                             {CKA_MODULUS_BITS, &bits, sizeof(bits)},
                                             flag(CKA_TOKEN, true),
                                             flag(CKA_ENCRYPT, key.decrypts),
                                             flag(CKA_WRAP, key.unwraps),
                                             flag(CKA_VERIFY, key.signs)};
    std::vector<CK_ATTRIBUTE> private_half = {
        {CKA_LABEL, label.data(), label.size()}, flag(CKA_TOKEN, true),         flag(CKA_PRIVATE, true),
        flag(CKA_DECRYPT, key.decrypts),         flag(CKA_UNWRAP, key.unwraps), flag(CKA_SIGN, key.signs)};
    if (!id.empty()) {
      public_half.push_back({CKA_ID, id.data(), id.size()});
      private_half.push_back({CKA_ID, id.data(), id.size()});
    }
    CK_MECHANISM mechanism{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
    CK_OBJECT_HANDLE made_public = 0;
    CK_OBJECT_HANDLE made_private = 0;
    ASSERT_EQ(session->api().C_GenerateKeyPair(session->handle(), &mechanism, public_half.data(), public_half.size(),
                                               private_half.data(), private_half.size(), &made_public, &made_private),
              CKR_OK);
  }
  // The objects of a class and label on the token.
  [[nodiscard]] std::vector<CK_OBJECT_HANDLE> objects(TokenSession& session, CK_OBJECT_CLASS of_class,
                                                      std::string label) const {
    std::array<CK_ATTRIBUTE, 2> wanted = {CK_ATTRIBUTE{CKA_CLASS, &of_class, sizeof(of_class)},
                                          CK_ATTRIBUTE{CKA_LABEL, label.data(), label.size()}};
    std::vector<CK_OBJECT_HANDLE> found(64);
    CK_ULONG count = 0;
    EXPECT_EQ(session.api().C_FindObjectsInit(session.handle(), wanted.data(), wanted.size()), CKR_OK);
    EXPECT_EQ(session.api().C_FindObjects(session.handle(), found.data(), found.size(), &count), CKR_OK);
    EXPECT_EQ(session.api().C_FindObjectsFinal(session.handle()), CKR_OK);
    found.resize(count);
    return found;
  }
  [[nodiscard]] std::string in(const std::string& name) const { return (place_->directory.path() / name).string(); }
  static std::string tool() {
    return std::string("pkcs11-tool --module ") + kSoftHsm + " --token-label '" + kLabel + "' --login --pin " + kPin +
           " ";
  }

  std::unique_ptr<Place> place_;
};

TEST_F(Pkcs11Test, WrapsWithTheHashThatTheTokenTakes) {
  ASSERT_TRUE(vault()->create_kek("backup", KekType::rsa_3072));
  const SecretBytes key_file = SecretBytes::random(4096);
  EXPECT_EQ(value_of(vault()->wrap("backup", SecretBytes::random(342))).algorithm, "RSA-OAEP");
  EXPECT_EQ(value_of(vault()->wrap("backup", SecretBytes::random(343))).algorithm, "RSA-OAEP+XChaCha20-Poly1305");
  const Wrapped sha1 = value_of(vault()->wrap("backup", key_file));
  use_shim();
  shim().knows_sha256 = true;
  EXPECT_EQ(value_of(vault()->wrap("backup", SecretBytes::random(318))).algorithm, "RSA-OAEP-256");
  EXPECT_EQ(value_of(vault()->wrap("backup", SecretBytes::random(319))).algorithm, "RSA-OAEP-256+XChaCha20-Poly1305");
  const Wrapped sha256 = value_of(vault()->wrap("backup", key_file));
  EXPECT_TRUE(same(value_of(vault()->unwrap("backup", sha1)), key_file)) << "wrapped before the token learnt it";
  EXPECT_TRUE(same(value_of(vault()->unwrap("backup", sha256)), key_file));
  // A token that has forgotten it cannot be told from damage by the answer alone.
  shim().knows_sha256 = false;
  const auto forgotten = vault()->unwrap("backup", sha256);
  EXPECT_EQ(forgotten.error().code, ErrorCode::hsm_failed);
  EXPECT_THAT(forgotten.error().message(), HasSubstr("CKR_"));
}

TEST_F(Pkcs11Test, KeysNeverLeaveTheToken) {
  ASSERT_TRUE(vault()->create_kek("backup", KekType::rsa_4096));
  ASSERT_TRUE(vault()->rotate_kek("backup"));
  const auto session = value_of(TokenSession::open({kSoftHsm, kLabel, SoftHsm::instance().pin_file()}));
  const auto private_halves = objects(*session, CKO_PRIVATE_KEY, "backup");
  ASSERT_EQ(private_halves.size(), 2U);
  EXPECT_EQ(objects(*session, CKO_PUBLIC_KEY, "backup").size(), 2U);
  std::set<std::string> ids;
  for (const CK_OBJECT_HANDLE key : private_halves) {
    CK_BBOOL sensitive = CK_FALSE;
    CK_BBOOL extractable = CK_TRUE;
    CK_BBOOL is_private = CK_FALSE;
    std::array<char, 16> id{};
    std::array<CK_ATTRIBUTE, 4> asked = {
        CK_ATTRIBUTE{CKA_SENSITIVE, &sensitive, 1}, CK_ATTRIBUTE{CKA_EXTRACTABLE, &extractable, 1},
        CK_ATTRIBUTE{CKA_PRIVATE, &is_private, 1}, CK_ATTRIBUTE{CKA_ID, id.data(), id.size()}};
    ASSERT_EQ(session->api().C_GetAttributeValue(session->handle(), key, asked.data(), asked.size()), CKR_OK);
    EXPECT_EQ(sensitive, CK_TRUE);
    EXPECT_EQ(extractable, CK_FALSE);
    EXPECT_EQ(is_private, CK_TRUE);
    ids.emplace(id.data(), asked[3].ulValueLen);
    std::array<char, 1024> exponent{};
    CK_ATTRIBUTE secret{CKA_PRIVATE_EXPONENT, exponent.data(), exponent.size()};
    EXPECT_EQ(session->api().C_GetAttributeValue(session->handle(), key, &secret, 1), CKR_ATTRIBUTE_SENSITIVE);
  }
  EXPECT_EQ(ids, (std::set<std::string>{"1", "2"})) << "the versions, as decimal text";
  EXPECT_EQ(value_of(vault()->get_kek("backup")).type, "RSA-4096");
}

TEST_F(Pkcs11Test, OtherToolsUnwrapWhatItWrapsAndTheOtherWayRound) {
  if (!run("command -v pkcs11-tool") || !run("command -v openssl"))
    GTEST_SKIP() << "pkcs11-tool or openssl is missing (package opensc)";
  ASSERT_TRUE(vault()->create_kek("backup", KekType::rsa_3072));
  const std::string plain = "a LUKS passphrase";
  const SecretBytes bek = SecretBytes::copy_of(as_bytes(plain));
  const Wrapped wrapped = value_of(vault()->wrap("backup", bek));
  std::ofstream(in("wrapped")) << as_text(wrapped.bytes);
  ASSERT_TRUE(run(tool() + "--decrypt -m RSA-PKCS-OAEP --hash-algorithm SHA-1 --mgf MGF1-SHA1 --id 31 -i " +
                  in("wrapped") + " -o " + in("plain")));
  std::ifstream file(in("plain"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), plain);

  ASSERT_TRUE(run(tool() + "--read-object --type pubkey --id 31 -o " + in("public.der")));
  std::ofstream(in("plain")) << plain;
  ASSERT_TRUE(run("openssl pkeyutl -encrypt -pubin -keyform DER -inkey " + in("public.der") +
                  " -pkeyopt rsa_padding_mode:oaep -in " + in("plain") + " -out " + in("sealed")));
  std::ifstream sealed(in("sealed"));
  const std::string bytes(std::istreambuf_iterator<char>(sealed), {});
  const Wrapped theirs{"1", "RSA-OAEP", Buffer(bytes.begin(), bytes.end())};
  EXPECT_TRUE(same(value_of(vault()->unwrap("backup", theirs)), bek));
}

TEST_F(Pkcs11Test, KeysThatOthersMadeCanBeUsed) {
  make_foreign({.label = "old", .id = ""});
  make_foreign({.label = "cards", .id = "\xab\x01"});
  make_foreign({.label = "cards", .id = "7"});
  make_foreign({.label = "unwrapper", .id = "1", .decrypts = false, .unwraps = true});
  make_foreign({.label = "signer", .id = "1", .decrypts = false, .signs = true});
  make_foreign({.label = "not a name", .id = "1"});
  const auto vault = this->vault();
  std::string seen;
  for (const KekFacts& kek : value_of(vault->list_keks())) {
    seen += kek.name + " " + kek.type;
    for (const VersionFacts& version : kek.versions) seen += " " + version.version;
    seen += "; ";
  }
  EXPECT_EQ(seen, "cards RSA-2048 0xab01 7; old RSA-2048 1; unwrapper RSA-2048 1; ");
  for (const char* kek : {"old", "cards", "unwrapper"}) {
    for (const std::size_t size : {32, 4096}) {
      const SecretBytes bek = SecretBytes::random(size);
      const Wrapped wrapped = value_of(vault->wrap(kek, bek));
      EXPECT_TRUE(same(value_of(vault->unwrap(kek, wrapped)), bek)) << kek << " " << size;
    }
  }
  EXPECT_EQ(value_of(vault->rotate_kek("cards")).versions.back().version, "8");
  EXPECT_EQ(value_of(vault->rotate_kek("old")).versions.back().version, "2");
  EXPECT_EQ(vault->get_kek("signer").error().code, ErrorCode::kek_missing);
}

TEST_F(Pkcs11Test, TwoKeysOfOneVersionAreNotGuessedAt) {
  make_foreign({.label = "backup", .id = "1"});
  make_foreign({.label = "backup", .id = "1"});
  EXPECT_EQ(value_of(vault()->get_kek("backup")).versions.size(), 1U);
  const auto wrapped = vault()->wrap("backup", SecretBytes::random(32));
  EXPECT_EQ(wrapped.error().code, ErrorCode::hsm_failed);
  EXPECT_THAT(wrapped.error().message(), HasSubstr("two private keys of this label and CKA_ID"));
}

TEST_F(Pkcs11Test, DeletingTakesBothHalvesAndNothingElse) {
  make_foreign({.label = "backup", .id = "9", .decrypts = false, .signs = true});
  ASSERT_TRUE(vault()->create_kek("backup", KekType::rsa_3072));
  ASSERT_TRUE(vault()->create_kek("other", KekType::rsa_3072));
  expect_ok(vault()->delete_kek("backup"));
  const auto session = value_of(TokenSession::open({kSoftHsm, kLabel, SoftHsm::instance().pin_file()}));
  EXPECT_EQ(objects(*session, CKO_PRIVATE_KEY, "backup").size(), 1U) << "the signing key";
  EXPECT_EQ(objects(*session, CKO_PUBLIC_KEY, "backup").size(), 1U);
  EXPECT_EQ(objects(*session, CKO_PRIVATE_KEY, "other").size(), 1U);
}

TEST_F(Pkcs11Test, KindsOfKeysThatItDoesNotMakeAreRefused) {
  EXPECT_EQ(vault()->create_kek("backup", KekType::x25519).error().code, ErrorCode::kek_wrong_type);
  use_shim();
  shim().generate_answer = CKR_KEY_SIZE_RANGE;
  EXPECT_EQ(vault()->create_kek("backup", KekType::rsa_4096).error().code, ErrorCode::kek_wrong_type);
  shim().generate_answer = CKR_DEVICE_MEMORY;
  const auto full = vault()->create_kek("backup", KekType::rsa_4096);
  EXPECT_EQ(full.error().code, ErrorCode::hsm_failed);
  EXPECT_THAT(full.error().message(), HasSubstr("C_GenerateKeyPair: CKR_DEVICE_MEMORY (0x31)"));
}

TEST_F(Pkcs11Test, KeysAreNeitherBackedUpNorRestored) {
  const auto vault = this->vault();
  EXPECT_FALSE(vault->keks_are_portable());
  const EscrowKeys owner = escrow_keys_of(SecretBytes::random(32));
  const auto backup = vault->backup_kek("backup", "1", {&owner.public_half, 1});
  EXPECT_EQ(backup.error().code, ErrorCode::not_supported_yet);
  EXPECT_THAT(backup.error().message(), HasSubstr("never leaves the HSM"));
  const auto restored = vault->restore_kek({}, owner);
  EXPECT_EQ(restored.error().code, ErrorCode::not_supported_yet);
  EXPECT_THAT(restored.error().message(), HasSubstr("restore into a local vault"));
}

TEST_F(Pkcs11Test, AWrongPinIsTriedOnceAndNeverAgain) {
  use_shim();
  SoftHsm::instance().write_pin("wrong-pin\n");
  Error error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_pin_wrong);
  EXPECT_THAT(error.because, HasSubstr("CKR_PIN_INCORRECT"));
  EXPECT_THAT(error.message(), testing::Not(HasSubstr("wrong-pin")));
  EXPECT_EQ(shim().logins, 1U);
  error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_pin_wrong);
  EXPECT_THAT(error.because, HasSubstr("was not tried again"));
  EXPECT_EQ(shim().logins, 1U);
  SoftHsm::instance().write_pin(kPin);
  EXPECT_TRUE(place_->open());
  EXPECT_EQ(shim().logins, 2U);
}

TEST_F(Pkcs11Test, ALockedTokenSaysSo) {
  use_shim();
  shim().login_answer = CKR_PIN_LOCKED;
  EXPECT_EQ(error_of_open().code, ErrorCode::hsm_token_locked);
  EXPECT_EQ(shim().logins, 1U);
  shim().token_flags = CKF_USER_PIN_LOCKED;
  EXPECT_EQ(error_of_open().code, ErrorCode::hsm_token_locked);
  EXPECT_EQ(shim().logins, 1U) << "the token has said it already";
}

TEST_F(Pkcs11Test, TheLastTryIsLeftToPeople) {
  use_shim();
  shim().token_flags = CKF_USER_PIN_FINAL_TRY;
  const Error error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_pin_wrong);
  EXPECT_THAT(error.message(), HasSubstr("one more wrong PIN locks the token, so none was tried; log in by hand once"));
  EXPECT_EQ(shim().logins, 0U);
}

TEST_F(Pkcs11Test, AnAbsentTokenIsToldWithThoseThatArePresent) {
  place_->settings.token = "cairn tset";
  Error error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_unavailable);
  EXPECT_THAT(error.message(), HasSubstr("\"cairn test\""));
  place_->settings.token = "twin";
  error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_unavailable);
  EXPECT_THAT(error.message(), HasSubstr("2 tokens have that label"));
}

TEST_F(Pkcs11Test, AnAbsentModuleAndOneThatIsNoneAreTold) {
  place_->settings.module = "/no/such/module.so";
  Error error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_unavailable);
  EXPECT_THAT(error.message(), HasSubstr("/no/such/module.so"));
  place_->settings.module = "libm.so.6";
  error = error_of_open();
  EXPECT_EQ(error.code, ErrorCode::hsm_unavailable);
  EXPECT_THAT(error.message(), HasSubstr("no PKCS #11 library"));
}

TEST_F(Pkcs11Test, ThePinFileIsReadAsKeyFilesAre) {
  SoftHsm::instance().write_pin(kPin, 0644);
  EXPECT_EQ(error_of_open().code, ErrorCode::key_file_permissions);
  SoftHsm::instance().write_pin("\n");
  EXPECT_EQ(error_of_open().code, ErrorCode::key_file_invalid);
  place_->settings.pin_file = "/no/such/file";
  EXPECT_EQ(error_of_open().code, ErrorCode::key_file_missing);
}

TEST_F(Pkcs11Test, VaultsOfOneProcessShareTheLogin) {
  use_shim();
  auto first = vault();
  const auto second = vault();
  EXPECT_EQ(shim().logins, 1U);
  ASSERT_TRUE(first->create_kek("backup", KekType::rsa_3072));
  first.reset();
  const SecretBytes bek = SecretBytes::random(32);
  EXPECT_TRUE(same(value_of(second->unwrap("backup", value_of(second->wrap("backup", bek)))), bek));
}

TEST_F(Pkcs11Test, ATokenThatIsBackIsUsedAgain) {
  use_shim();
  const auto vault = this->vault();
  ASSERT_TRUE(vault->create_kek("backup", KekType::rsa_3072));
  const SecretBytes bek = SecretBytes::random(32);
  const Wrapped wrapped = value_of(vault->wrap("backup", bek));
  shim().losses = 1;
  EXPECT_TRUE(same(value_of(vault->unwrap("backup", wrapped)), bek));
  EXPECT_EQ(shim().logins, 2U);
  shim().losses = 2;
  const auto gone = vault->unwrap("backup", wrapped);
  EXPECT_EQ(gone.error().code, ErrorCode::hsm_unavailable);
  EXPECT_THAT(gone.error().message(), HasSubstr("CKR_DEVICE_REMOVED"));
  EXPECT_TRUE(same(value_of(vault->unwrap("backup", wrapped)), bek)) << "and when it is back later";

  // The PIN was changed while it was away.
  SoftHsm::instance().write_pin("another-pin");
  shim().losses = 1;
  shim().logins = 0;
  EXPECT_EQ(vault->unwrap("backup", wrapped).error().code, ErrorCode::hsm_pin_wrong);
  EXPECT_EQ(vault->unwrap("backup", wrapped).error().code, ErrorCode::hsm_pin_wrong);
  EXPECT_EQ(shim().logins, 1U);
}

TEST_F(Pkcs11Test, TroubleOfTheTokenIsNotCalledDamage) {
  use_shim();
  const auto vault = this->vault();
  ASSERT_TRUE(vault->create_kek("backup", KekType::rsa_3072));
  const Wrapped wrapped = value_of(vault->wrap("backup", SecretBytes::random(32)));
  shim().decrypt_answer = CKR_GENERAL_ERROR;
  const auto failed = vault->unwrap("backup", wrapped);
  EXPECT_EQ(failed.error().code, ErrorCode::hsm_failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("C_Decrypt: CKR_GENERAL_ERROR (0x5)"));
  EXPECT_EQ(vault->wrap("backup", SecretBytes::random(32)).error().code, ErrorCode::hsm_failed)
      << "what the token cannot unwrap is not handed out";
}

TEST_F(Pkcs11Test, ItsUseIsInTheAuditLogBesideIt) {
  ASSERT_TRUE(vault()->create_kek("backup", KekType::rsa_3072));
  EXPECT_EQ(value_of(place_->open("cairn-backup"))->create_kek("other", KekType::rsa_3072).error().code,
            ErrorCode::vault_denied);
  const UnlockKey key{KeySlotType::key_file, value_of(read_key_file(*place_->settings.key.key_file)), "test"};
  const auto entries = value_of(value_of(LocalVault::open("main", place_->settings.path, key, "admin"))->audit(3));
  std::string seen;
  for (const AuditEntry& entry : entries)
    seen += entry.principal + " " + entry.operation + " " + entry.object + " " + entry.outcome + "; ";
  EXPECT_THAT(seen, HasSubstr("admin keys:create key main/backup done; "));
  EXPECT_THAT(seen, HasSubstr("cairn-backup keys:create key main/other refused; "));
}

TEST_F(Pkcs11Test, ManyThreadsMayUseIt) {
  const auto vault = this->vault();
  ASSERT_TRUE(vault->create_kek("backup", KekType::rsa_3072));
  std::atomic<unsigned> good{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (unsigned turn = 0; turn < 8; ++turn) {
        const SecretBytes bek = SecretBytes::random(64);
        const auto wrapped = vault->wrap("backup", bek);
        if (!wrapped) continue;
        const auto back = vault->unwrap("backup", *wrapped);
        if (back && same(*back, bek)) ++good;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 32U);
}

VaultUnderTest make_hsm(const std::string& module, bool sha256) {
  VaultUnderTest made;
  SoftHsm& hsm = SoftHsm::instance();
  if (!hsm.why_not().empty()) {
    made.why_not = hsm.why_not();
    return made;
  }
  hsm.write_pin(kPin);
  reset_shim();
  SoftHsm::shim().knows_sha256 = sha256;
  clear_token();
  const auto place = std::make_shared<Place>();
  place->settings.module = module;
  made.keeps = place;
  made.open_again = [place = place.get()](const std::string& principal) { return value_of(place->open(principal)); };
  made.vault = made.open_again("admin");
  return made;
}

VaultKind hsm_kind(const char* name, const char* module, bool sha256) {
  VaultKind kind;
  kind.name = name;
  kind.make = [module, sha256] { return make_hsm(module, sha256); };
  kind.principal = "admin";
  kind.type = KekType::rsa_3072;
  return kind;
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Pkcs11, KeyVaultContract,
                         testing::Values(hsm_kind("SoftHsm", kSoftHsm, false),
                                         hsm_kind("HsmWithSha256", CAIRN_PKCS11_SHIM, true)),
                         name_of_kind);

}  // namespace cairn
