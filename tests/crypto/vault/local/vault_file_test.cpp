// SPDX-License-Identifier: GPL-3.0-or-later
// The file of a local vault: every byte of it counts, and a vault of each format version opens for ever.
// The golden vault was made by  CAIRN_MAKE_GOLDEN=tests/crypto/vault/golden test_vault --gtest_filter=VaultGolden.*
#include "crypto/vault/local/vault_file.h"

#include <sodium.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/crypto/vault/vault_place.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// BLAKE2b-256, as VAULT.md says.
void repair_checksum(Buffer& file) {
  const std::size_t covered = file.size() - 32;
  crypto_generichash(file.data() + covered, 32, file.data(), covered, nullptr, 0);
}

// A small vault with a key and a secret.
class VaultFile : public ::testing::Test {
 protected:
  void SetUp() override {
    place_.create();
    vault_ = place_.open();
    ASSERT_TRUE(vault_->create_kek("backup", KekType::x25519));
    wrapped_ = vault_->wrap("backup", test_key()).value();
    ASSERT_TRUE(vault_->set_secret("web-01-root", some_bek()));
    good_ = content_of(place_.file());
  }

  // What opening and using the vault comes to with these bytes; unknown_error_name: all went well.
  ErrorCode outcome_of(const Buffer& bytes) {
    put_content(place_.file(), bytes);
    const auto opened = place_.try_open();
    const auto called = vault_->unwrap("backup", wrapped_);  // in the vault that is open already
    EXPECT_EQ(opened.has_value(), called.has_value());
    if (called) {
      EXPECT_EQ(as_text(called->reveal()), as_text(test_key().reveal()));
    }
    if (!opened) {
      EXPECT_THAT(opened.error().message(), HasSubstr(place_.file().string()));
    }
    return opened ? ErrorCode::unknown_error_name : opened.error().code;
  }

  VaultPlace place_;
  std::unique_ptr<LocalVault> vault_;
  Wrapped wrapped_;
  Buffer good_;
};

TEST_F(VaultFile, EveryByteThatIsDamagedIsTold) {
  ASSERT_EQ(outcome_of(good_), ErrorCode::unknown_error_name);
  for (std::size_t at = 0; at < good_.size(); ++at) {
    SCOPED_TRACE(at);
    Buffer damaged = good_;
    damaged[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
    EXPECT_EQ(outcome_of(damaged), ErrorCode::vault_damaged);
  }
  EXPECT_EQ(outcome_of(good_), ErrorCode::unknown_error_name);
}

TEST_F(VaultFile, EveryLengthItCanBeCutToIsTold) {
  for (std::size_t size = 0; size < good_.size(); ++size) {
    SCOPED_TRACE(size);
    EXPECT_EQ(outcome_of(Buffer(good_.begin(), good_.begin() + static_cast<std::ptrdiff_t>(size))),
              ErrorCode::vault_damaged);
  }
  Buffer longer = good_;
  longer.push_back(0);
  EXPECT_EQ(outcome_of(longer), ErrorCode::vault_damaged);
}

// Whoever repairs the checksum still cannot change anything: all of it is authenticated.
TEST_F(VaultFile, AlteredBytesUnderAMendedChecksumAreRefused) {
  const VaultHeader header = read_vault_header(good_, "it").value();
  const VaultKeys keys(open_key_slots(header.slots, {KeySlotType::key_file, test_key(), "k"}, "it").value());
  for (std::size_t at = 0; at + 32 < good_.size(); ++at) {
    SCOPED_TRACE(at);
    Buffer altered = good_;
    altered[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
    repair_checksum(altered);
    const auto opened = open_vault_file(altered, keys, "it");
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, at > 8 && at < 12 ? ErrorCode::vault_too_new : ErrorCode::vault_damaged);
    put_content(place_.file(), altered);
    EXPECT_FALSE(place_.try_open());
    EXPECT_FALSE(vault_->unwrap("backup", wrapped_));
  }
}

TEST_F(VaultFile, ANewerFormatIsToldFromDamage) {
  Buffer newer = good_;
  newer[8] = 2;
  repair_checksum(newer);
  EXPECT_EQ(outcome_of(newer), ErrorCode::vault_too_new);
}

TEST_F(VaultFile, HoldsNoPrivateHalfOutsideOfItsSecondSeal) {
  const VaultHeader header = read_vault_header(good_, "it").value();
  const VaultKeys keys(open_key_slots(header.slots, {KeySlotType::key_file, test_key(), "k"}, "it").value());
  const VaultContents contents = open_vault_file(good_, keys, "it").value();
  const KeptKek& kept = contents.keks.at("backup");
  const Kek kek = open_kek(kept.versions.at(1).sealed, keys, header, "backup", 1, "it").value();
  const SecretBytes encoded = kek.encode();
  const std::string_view secret = as_text(encoded.reveal().subspan(1));
  EXPECT_EQ(as_text(kept.versions.at(1).sealed).find(secret), std::string_view::npos);
  // It is bound to its name, its version and its vault.
  EXPECT_FALSE(open_kek(kept.versions.at(1).sealed, keys, header, "backup2", 1, "it"));
  EXPECT_FALSE(open_kek(kept.versions.at(1).sealed, keys, header, "backup", 2, "it"));
  VaultHeader other = header;
  other.id[0] ^= 1U;
  EXPECT_FALSE(open_kek(kept.versions.at(1).sealed, keys, other, "backup", 1, "it"));
}

TEST_F(VaultFile, DocumentsThatNoVaultHasAreRefused) {
  const VaultHeader header = read_vault_header(good_, "it").value();
  const VaultKeys keys(open_key_slots(header.slots, {KeySlotType::key_file, test_key(), "k"}, "it").value());
  const nlohmann::json good = to_json(open_vault_file(good_, keys, "it").value());
  ASSERT_TRUE(vault_contents_from_json(good, "it"));
  const auto refused = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json document = good;
    document[nlohmann::json::json_pointer(pointer)] = value;
    const auto read = vault_contents_from_json(document, "it");
    return !read && read.error().code == ErrorCode::vault_damaged;
  };
  EXPECT_TRUE(refused("/created", "today"));
  EXPECT_TRUE(refused("/more", 1));
  EXPECT_TRUE(refused("/policy/admin/0", "keys:eat"));
  EXPECT_TRUE(refused("/policy/no name", nlohmann::json::array({"keys:get"})));
  EXPECT_TRUE(refused("/policy/nobody", nlohmann::json::array()));
  EXPECT_TRUE(refused("/keys/backup/type", "RSA-1024"));
  EXPECT_TRUE(refused("/keys/backup/type", "x25519"));
  EXPECT_TRUE(refused("/keys/backup/versions", nlohmann::json::array()));
  EXPECT_TRUE(refused("/keys/backup/versions/0/version", 0));
  EXPECT_TRUE(refused("/keys/backup/versions/0/version", -1));
  EXPECT_TRUE(refused("/keys/backup/versions/0/version", 1'000'000'000));
  EXPECT_TRUE(refused("/keys/backup/versions/0/sealed", "x"));
  EXPECT_TRUE(refused("/keys/backup/versions/1", good["keys"]["backup"]["versions"][0]));
  EXPECT_TRUE(refused("/keys/no name", good["keys"]["backup"]));
  EXPECT_TRUE(refused("/secrets/web-01-root/versions/0/bek/version", 2));
  EXPECT_TRUE(refused("/secrets/web-01-root/versions/0/version", 4.5));
  EXPECT_TRUE(refused("/audit/mac", "00"));
  EXPECT_TRUE(refused("/audit/number", -1));
  for (const auto& none : {nlohmann::json(), nlohmann::json::array(), nlohmann::json(5)})
    EXPECT_FALSE(vault_contents_from_json(none, "it"));
}

const fs::path kGolden = CAIRN_VAULT_GOLDEN_DIR;

SecretBytes golden_bek() {
  return SecretBytes::copy_of(as_bytes("the golden BEK"));
}

class VaultGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    start_crypto();
    if (const char* make = std::getenv("CAIRN_MAKE_GOLDEN")) write_golden(fs::path(make) / "v1");
  }
  static void write_golden(const fs::path& path) {
    const StoppedClock clock;
    ASSERT_TRUE(LocalVault::create(path, test_slot(), "admin", "cairn-backup", clock));
    const auto vault =
        LocalVault::open("main", path, {KeySlotType::key_file, test_key(), "golden"}, "admin", clock).value();
    for (const auto& [name, type] : {std::pair{"backup", KekType::x25519}, std::pair{"rsa", KekType::rsa_3072}}) {
      ASSERT_TRUE(vault->create_kek(name, type));
      WrappedBek bek = some_bek();
      bek.kek = name;
      bek.wrapped = vault->wrap(name, golden_bek()).value();
      ASSERT_TRUE(vault->set_secret(std::string("by-") + name, bek));
    }
    ASSERT_TRUE(vault->rotate_kek("backup"));
    fs::remove(path / "lock");
  }
};

TEST_F(VaultGolden, OfVersionOneStillOpens) {
  const VaultPlace place;
  fs::copy(kGolden / "v1", place.path());
  fs::permissions(place.path(), fs::perms::owner_all);
  for (const auto& file : fs::directory_iterator(place.path()))
    fs::permissions(file.path(), fs::perms::owner_read | fs::perms::owner_write);
  const auto vault = place.open("cairn-backup");
  ASSERT_NE(vault, nullptr);
  const auto keks = vault->list_keks();
  ASSERT_TRUE(keks) << keks.error().message();
  ASSERT_EQ(keks->size(), 2U);
  EXPECT_EQ(keks->at(0).versions.size(), 2U);
  EXPECT_EQ(keks->at(1).type, "RSA-3072");
  for (const char* name : {"by-backup", "by-rsa"}) {
    const auto stored = vault->get_secret(name);
    ASSERT_TRUE(stored) << stored.error().message();
    const auto bek = vault->unwrap(stored->bek.kek, stored->bek.wrapped);
    ASSERT_TRUE(bek) << bek.error().message();
    EXPECT_EQ(as_text(bek->reveal()), as_text(golden_bek().reveal()));
  }
  const auto entries = place.open()->audit(1000);
  ASSERT_TRUE(entries) << entries.error().message();
  EXPECT_EQ(entries->front().operation, "vault:init");
  EXPECT_EQ(entries->at(1).operation, "keys:create");
}

// VAULT.md "Example" quotes these bytes; they must be the file's.
TEST_F(VaultGolden, TheExampleInTheDocumentIsItsBytes) {
  const Buffer file = content_of(kGolden / "v1" / "vault");
  std::ifstream document(CAIRN_VAULT_DOCUMENT);
  ASSERT_TRUE(document);
  unsigned compared = 0;
  for (std::string line; std::getline(document, line);) {
    // "16      bf32bbb2f792b528  meaning"
    const std::size_t bytes_at = line.find_first_not_of("0123456789");
    if (bytes_at == 0 || bytes_at == std::string::npos || line[bytes_at] != ' ') continue;
    const std::size_t hex_at = line.find_first_not_of(' ', bytes_at);
    if (hex_at == std::string::npos || hex_at < 8) continue;
    const auto bytes = from_hex(line.substr(hex_at, line.find(' ', hex_at) - hex_at));
    if (!bytes || bytes->size() < 4) continue;
    const std::size_t offset = std::stoul(line);
    ASSERT_LE(offset + bytes->size(), file.size()) << line;
    EXPECT_TRUE(std::equal(bytes->begin(), bytes->end(), file.begin() + static_cast<std::ptrdiff_t>(offset))) << line;
    ++compared;
  }
  EXPECT_GE(compared, 5U);
}

}  // namespace
}  // namespace cairn
