// SPDX-License-Identifier: GPL-3.0-or-later
// A place for tests of the pkcs11 provider: a SoftHSM token, a local vault beside it, and the library that behaves like
// other HSMs (pkcs11_shim.h) before it.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "crypto/vault/open/open_key_vault.h"
#include "crypto/vault/pkcs11/pkcs11_session.h"
#include "crypto/vault/pkcs11/pkcs11_vault.h"
#include "tests/crypto/vault/pkcs11/pkcs11_shim.h"
#include "tests/support/temporary_store.h"

namespace cairn {

inline constexpr const char* kLabel = "cairn test";
inline constexpr const char* kPin = "correct-horse-17";

inline bool run(const std::string& command) {
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
inline void clear_token() {
  const auto session = value_of(TokenSession::open({kSoftHsm, kLabel, SoftHsm::instance().pin_file()}));
  CK_FUNCTION_LIST& api = session->api();
  std::array<CK_OBJECT_HANDLE, 256> found{};
  CK_ULONG count = 0;
  ASSERT_EQ(api.C_FindObjectsInit(session->handle(), nullptr, 0), CKR_OK);
  ASSERT_EQ(api.C_FindObjects(session->handle(), found.data(), found.size(), &count), CKR_OK);
  ASSERT_EQ(api.C_FindObjectsFinal(session->handle()), CKR_OK);
  for (CK_ULONG i = 0; i < count; ++i) ASSERT_EQ(api.C_DestroyObject(session->handle(), found[i]), CKR_OK);
}

inline void reset_shim() {
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

}  // namespace cairn
