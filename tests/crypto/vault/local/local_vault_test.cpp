// SPDX-License-Identifier: GPL-3.0-or-later
// What is the local vault's own: making and opening one, permissions, principals, limits, several at once.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "crypto/vault/local/vault_directory.h"
#include "crypto/vault/local/vault_file.h"
#include "tests/crypto/vault/vault_place.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

ErrorCode code_of(const Result<std::unique_ptr<LocalVault>>& opened) {
  return opened ? ErrorCode::unknown_error_name : opened.error().code;
}

TEST(LocalVaultMade, IsClosedToOthersAndHasTwoPrincipals) {
  const VaultPlace place;
  place.create();
  EXPECT_EQ(fs::status(place.path()).permissions(), fs::perms::owner_all);
  for (const auto& file : fs::directory_iterator(place.path()))
    EXPECT_EQ(file.status().permissions(), fs::perms::owner_read | fs::perms::owner_write) << file.path();
  const auto vault = place.open();
  const auto policy = vault->policy();
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->principals().at("admin"), rights_of(RightsTemplate::admin));
  EXPECT_EQ(policy->principals().at("cairn-backup"), rights_of(RightsTemplate::backup));
  EXPECT_EQ(policy->principals().size(), 2U);
  EXPECT_TRUE(vault->list_keks().value().empty());
  EXPECT_TRUE(vault->list_secrets().value().empty());
  EXPECT_TRUE(vault->keks_are_portable());
}

TEST(LocalVaultMade, NeverInADirectoryThatHoldsSomething) {
  const VaultPlace place;
  place.create();
  const Buffer before = content_of(place.file());
  EXPECT_EQ(place.try_create().error().code, ErrorCode::vault_exists);
  EXPECT_EQ(content_of(place.file()), before);

  const VaultPlace other;
  fs::create_directory(other.path());
  fs::permissions(other.path(), fs::perms::owner_all);
  cairn::testing::write_at(other.path() / "letters", 0, as_bytes("dear"));
  const auto refused = other.try_create();
  EXPECT_EQ(refused.error().code, ErrorCode::vault_exists);
  EXPECT_THAT(refused.error().message(), HasSubstr("letters"));
  EXPECT_EQ(std::distance(fs::directory_iterator(other.path()), fs::directory_iterator()), 1);

  const VaultPlace file;
  cairn::testing::write_at(file.path(), 0, as_bytes("a file"));
  EXPECT_EQ(file.try_create().error().code, ErrorCode::vault_exists);
}

TEST(LocalVaultMade, InAnEmptyDirectoryThatIsThere) {
  const VaultPlace place;
  fs::create_directory(place.path());
  fs::permissions(place.path(), fs::perms::owner_all);
  place.create();
  EXPECT_NE(place.open(), nullptr);
}

TEST(LocalVaultMade, NothingStaysOfOneThatCannotBe) {
  const VaultPlace place;
  NewKeySlot tiny;
  tiny.secret = SecretBytes(4);
  EXPECT_EQ(LocalVault::create(place.path(), tiny, "admin", "s").error().code, ErrorCode::key_file_invalid);
  EXPECT_FALSE(fs::exists(place.path()));
  EXPECT_EQ(LocalVault::create(place.path() / "below", test_slot(), "admin", "s").error().code,
            ErrorCode::target_missing);
  EXPECT_EQ(LocalVault::create(place.path(), test_slot(), "no name", "s").error().code, ErrorCode::used_wrongly);
  EXPECT_EQ(LocalVault::create(place.path(), test_slot(), "admin", "").error().code, ErrorCode::used_wrongly);
  EXPECT_FALSE(fs::exists(place.path()));
}

TEST(LocalVaultOpened, ByItsKeyOnly) {
  const VaultPlace place;
  place.create();
  const auto open_with = [&](UnlockKey key) { return LocalVault::open("main", place.path(), key, "admin"); };
  EXPECT_TRUE(open_with({KeySlotType::key_file, test_key(), "k"}));
  const auto wrong = open_with({KeySlotType::key_file, test_key(1), "/etc/cairn/other.key"});
  EXPECT_EQ(code_of(wrong), ErrorCode::vault_wrong_key);
  EXPECT_THAT(wrong.error().message(), HasSubstr("cannot unlock key vault " + place.path().string()));
  EXPECT_THAT(wrong.error().message(), HasSubstr("/etc/cairn/other.key"));
  EXPECT_EQ(code_of(open_with({KeySlotType::passphrase, test_key(), "k"})), ErrorCode::vault_wrong_key);
}

TEST(LocalVaultOpened, ByAPassphrase) {
  const VaultPlace place;
  NewKeySlot slot;
  slot.type = KeySlotType::passphrase;
  slot.secret = SecretBytes::copy_of(as_bytes("correct horse"));
  slot.cost = {1, 8192ULL * 1024};
  ASSERT_TRUE(LocalVault::create(place.path(), slot, "admin", "s"));
  const auto open_with = [&](std::string_view words) {
    return LocalVault::open("main", place.path(),
                            {KeySlotType::passphrase, SecretBytes::copy_of(as_bytes(words)), "typed"}, "admin");
  };
  EXPECT_TRUE(open_with("correct horse"));
  EXPECT_EQ(code_of(open_with("correct horsf")), ErrorCode::vault_wrong_key);
}

TEST(LocalVaultOpened, OnlyWhereThereIsOne) {
  const VaultPlace place;
  EXPECT_EQ(code_of(place.try_open()), ErrorCode::vault_missing);
  fs::create_directory(place.path());
  fs::permissions(place.path(), fs::perms::owner_all);
  EXPECT_EQ(code_of(place.try_open()), ErrorCode::vault_missing);
  const VaultPlace file;
  cairn::testing::write_at(file.path(), 0, as_bytes("a file"));
  EXPECT_EQ(code_of(file.try_open()), ErrorCode::vault_missing);
}

TEST(LocalVaultPermissions, LooseOnesAreRefusedAndNamed) {
  const VaultPlace place;
  place.create();
  const auto vault = place.open();
  const auto refuses = [&](const fs::path& what, fs::perms good, bool opening) {
    for (const unsigned bit : {0040U, 0020U, 0010U, 0004U, 0002U, 0001U, 04000U, 02000U}) {
      fs::permissions(what, good | static_cast<fs::perms>(bit));
      SCOPED_TRACE(::testing::Message() << what << " " << std::oct << bit);
      const auto called = vault->list_keks();
      ASSERT_FALSE(called);
      EXPECT_EQ(called.error().code, ErrorCode::vault_permissions);
      EXPECT_THAT(called.error().message(), HasSubstr(what.string()));
      if (opening) {
        EXPECT_EQ(code_of(place.try_open()), ErrorCode::vault_permissions);
      }
    }
    fs::permissions(what, good);
    EXPECT_TRUE(vault->list_keks());
  };
  refuses(place.path(), fs::perms::owner_all, true);
  refuses(place.file(), fs::perms::owner_read | fs::perms::owner_write, true);
  refuses(place.log(), fs::perms::owner_read | fs::perms::owner_write, false);
  refuses(place.path() / "lock", fs::perms::owner_read | fs::perms::owner_write, false);
}

TEST(LocalVaultPermissions, AnotherUsersFilesAreRefused) {
  if (!cairn::testing::is_root()) GTEST_SKIP() << "only root can give files away";
  const VaultPlace place;
  place.create();
  for (const auto& what : {place.path(), place.file(), place.log()}) {
    SCOPED_TRACE(what);
    ASSERT_EQ(::chown(what.c_str(), 4711, 4711), 0);
    const auto opened = place.try_open();
    const ErrorCode code = opened ? (*opened)->list_keks().error().code : opened.error().code;
    EXPECT_EQ(code, ErrorCode::vault_permissions);
    ASSERT_EQ(::chown(what.c_str(), 0, 0), 0);
  }
}

TEST(LocalVaultPermissions, SymbolicLinksAreRefused) {
  const VaultPlace place;
  place.create();
  const auto vault = place.open();
  for (const auto& what : {place.file(), place.log(), place.path() / "lock"}) {
    SCOPED_TRACE(what);
    const auto real = place.sandbox() / "real";
    fs::rename(what, real);
    fs::create_symlink(real, what);
    EXPECT_EQ(vault->list_keks().error().code, ErrorCode::vault_permissions);
    fs::remove(what);
    fs::create_directory(what);
    EXPECT_FALSE(vault->list_keks());
    fs::remove(what);
    fs::rename(real, what);
    EXPECT_TRUE(vault->list_keks());
  }
  const auto link = place.sandbox() / "link";
  fs::create_symlink(place.path(), link);
  EXPECT_EQ(code_of(LocalVault::open("main", link, {KeySlotType::key_file, test_key(), "k"}, "admin")),
            ErrorCode::vault_permissions);
}

TEST(LocalVaultPrincipals, HaveTheirOwnRights) {
  const VaultPlace place;
  place.create();
  const auto admin = place.open();
  const auto service = place.open("cairn-backup");
  ASSERT_TRUE(admin->create_kek("backup", KekType::x25519));
  const Wrapped wrapped = admin->wrap("backup", test_key()).value();
  EXPECT_TRUE(service->unwrap("backup", wrapped));
  EXPECT_EQ(service->wrap("backup", test_key()).error().code, ErrorCode::vault_denied);
  EXPECT_EQ(service->policy().error().code, ErrorCode::vault_denied);
  EXPECT_EQ(service->audit(1).error().code, ErrorCode::vault_denied);
  EXPECT_EQ(service->grant("cairn-backup", {Right::keys_wrap}).error().code, ErrorCode::vault_denied);
  EXPECT_EQ(service->authorise(Right::keys_wrap, "key main/backup").error().code, ErrorCode::vault_denied);
  EXPECT_TRUE(service->authorise(Right::keys_unwrap, "key main/backup"));
  const std::vector<Right> wanted = {Right::keys_get, Right::keys_wrap, Right::policy_set};
  EXPECT_EQ(service->missing_rights(wanted).value(), (std::vector<Right>{Right::keys_wrap, Right::policy_set}));

  // What is granted and revoked holds for vaults that are open.
  ASSERT_TRUE(admin->grant("cairn-backup", {Right::keys_wrap}));
  EXPECT_TRUE(service->wrap("backup", test_key()));
  ASSERT_TRUE(admin->revoke("cairn-backup", rights_of(RightsTemplate::admin)));
  EXPECT_EQ(service->unwrap("backup", wrapped).error().code, ErrorCode::vault_denied);
  EXPECT_EQ(admin->revoke("cairn-backup", {Right::keys_get}).error().code, ErrorCode::no_such_principal);
  EXPECT_EQ(admin->revoke("admin", {Right::policy_set}).error().code, ErrorCode::last_administrator);
  EXPECT_EQ(admin->grant("no name", {Right::keys_get}).error().code, ErrorCode::used_wrongly);
  EXPECT_EQ(code_of(place.try_open("no name")), ErrorCode::used_wrongly);
}

TEST(LocalVaultVersions, AreNumberedAndLimited) {
  const VaultPlace place;
  place.create();
  const auto vault = place.open();
  ASSERT_TRUE(vault->create_kek("backup", KekType::x25519));
  EXPECT_EQ(vault->rotate_kek("backup").value().versions.back().version, "2");
  EXPECT_EQ(vault->set_secret("s", some_bek()).value(), "1");
  EXPECT_EQ(vault->restore_secret("s", {"7", some_bek(7)}).value(), Restored::put_back);
  EXPECT_EQ(vault->set_secret("s", some_bek()).value(), "8");
  EXPECT_EQ(vault->restore_secret("s", {"999999999", some_bek(9)}).value(), Restored::put_back);
  EXPECT_EQ(vault->set_secret("s", some_bek()).error().code, ErrorCode::used_wrongly);
  EXPECT_EQ(vault->restore_secret("s", {"500", some_bek(5)}).value(), Restored::put_back);  // there is room in between
  for (const char* none : {"", "0", "01", "-1", "1000000000", "1 ", "99999999999999999999", "x"})
    EXPECT_EQ(vault->restore_secret("s", {none, some_bek()}).error().code, ErrorCode::used_wrongly) << none;
  WrappedBek bad = some_bek();
  bad.file_name = "../x";
  EXPECT_EQ(vault->set_secret("t", bad).error().code, ErrorCode::used_wrongly);
  EXPECT_EQ(vault->get_secret("t").error().code, ErrorCode::secret_missing);
  EXPECT_EQ(vault->wrap("backup", SecretBytes()).error().code, ErrorCode::used_wrongly);
  EXPECT_EQ(vault->wrap("backup", SecretBytes(kMaxBekBytes + 1)).error().code, ErrorCode::used_wrongly);
}

TEST(LocalVaultVersions, OfAKeyAreOfOneType) {
  const VaultPlace place, other;
  place.create();
  other.create();
  const auto vault = place.open();
  const auto rsa_vault = other.open();
  ASSERT_TRUE(vault->create_kek("backup", KekType::x25519));
  ASSERT_TRUE(rsa_vault->create_kek("backup", KekType::rsa_3072));
  ASSERT_TRUE(rsa_vault->rotate_kek("backup"));
  const RecoveryKeyPair pair = make_recovery_key();
  const EscrowKeys owner{SecretBytes::copy_of(pair.secret.reveal()), pair.public_half};
  const KekBackup second = rsa_vault->backup_kek("backup", "2", {&owner.public_half, 1}).value();
  EXPECT_EQ(vault->restore_kek(second, owner).error().code, ErrorCode::kek_wrong_type);
  EXPECT_EQ(vault->get_kek("backup").value().versions.size(), 1U);
  EXPECT_EQ(vault->backup_kek("backup", "1", {}).error().code, ErrorCode::used_wrongly);
}

// A vault of limits, put together without the calls that would take minutes.
TEST(LocalVaultLimits, AreToldWithBothSides) {
  const VaultPlace place;
  place.create();
  const Buffer file = content_of(place.file());
  const VaultHeader header = read_vault_header(file, "it").value();
  const VaultKeys keys(open_key_slots(header.slots, {KeySlotType::key_file, test_key(), "k"}, "it").value());
  VaultContents contents = open_vault_file(file, keys, "it").value();
  for (std::size_t i = 0; i < kMaxKeks; ++i)
    contents.keks["k" + std::to_string(i)] = {KekType::x25519, {{1, {UtcTime(), Buffer(80)}}}};
  for (VersionNumber i = 2; i <= kMaxVersions; ++i) contents.keks["k0"].versions[i] = {UtcTime(), Buffer(80)};
  for (std::size_t i = 0; i < kMaxSecrets; ++i) contents.secrets["s" + std::to_string(i)] = {{1, some_bek()}};
  for (VersionNumber i = 2; i <= kMaxVersions; ++i) contents.secrets["s0"][i] = some_bek();
  put_content(place.file(), seal_vault_file(header, contents, keys, "it").value());

  const auto vault = place.open();
  const auto refused = [](const auto& result, const char* limit) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::used_wrongly);
    EXPECT_THAT(result.error().message(), HasSubstr(limit));
  };
  refused(vault->create_kek("more", KekType::x25519), "10000");
  refused(vault->rotate_kek("k0"), "1000");
  refused(vault->set_secret("more", some_bek()), "10000");
  refused(vault->set_secret("s0", some_bek()), "1000");
  refused(vault->restore_secret("s0", {"5000", some_bek()}), "1000");
  EXPECT_TRUE(vault->set_secret("s1", some_bek()));
  ASSERT_TRUE(vault->delete_kek("k1"));
  EXPECT_TRUE(vault->create_kek("more", KekType::x25519));
}

TEST(LocalVaultFile, OverSixtyFourMebibytesIsRefused) {
  const VaultPlace place;
  place.create();
  fs::resize_file(place.file(), kMaxVaultFile + 1);
  const auto opened = place.try_open();
  EXPECT_EQ(code_of(opened), ErrorCode::vault_damaged);
  EXPECT_THAT(opened.error().message(), HasSubstr("67108865"));
}

TEST(LocalVaultFile, OfAnotherVaultIsNotTakenForTheOneThatIsOpen) {
  const VaultPlace place, other;
  place.create();
  other.create();
  const auto vault = place.open();
  fs::copy_file(other.file(), place.file(), fs::copy_options::overwrite_existing);
  EXPECT_EQ(vault->list_keks().error().code, ErrorCode::vault_wrong_key);
}

class Impatient final : public VaultSystem {
 public:
  [[nodiscard]] std::chrono::milliseconds lock_wait() const override { return std::chrono::milliseconds(50); }
};

TEST(LocalVaultLock, NamesTheProcessThatHoldsItAndChangesNothing) {
  const VaultPlace place;
  place.create();
  Impatient system;
  const auto vault = place.try_open("admin", system).value();
  const auto directory = VaultDirectory::open(place.path(), system).value();
  {
    const VaultLock held = directory.lock().value();
    const auto refused = vault->create_kek("backup", KekType::x25519);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::vault_locked);
    EXPECT_THAT(refused.error().message(), HasSubstr("process " + std::to_string(::getpid()) + " "));
    EXPECT_TRUE(vault->missing_rights(all_rights()));  // needs no lock
  }
  EXPECT_TRUE(vault->list_keks().value().empty());
}

TEST(LocalVaultLock, OneWhoseFileWasRemovedIsNotBelieved) {
  const VaultPlace place;
  place.create();
  Impatient system;
  const auto directory = VaultDirectory::open(place.path(), system).value();
  const VaultLock held = directory.lock().value();
  EXPECT_EQ(directory.lock().error().code, ErrorCode::vault_locked);
  fs::remove(place.path() / "lock");
  EXPECT_TRUE(directory.lock());
}

// These tests are about what is lost, not about how fast a busy machine gives each its turn.
class Patient final : public VaultSystem {
 public:
  [[nodiscard]] std::chrono::milliseconds lock_wait() const override { return std::chrono::hours(1); }
};

TEST(LocalVaultAtOnce, TwoProcessesLoseNothing) {
  const VaultPlace place;
  place.create();
  Patient system;
  ASSERT_TRUE(place.open()->set_secret("shared", some_bek()));
  constexpr int kProcesses = 2;
  constexpr int kWrites = 25;
  std::vector<pid_t> children;
  for (int child = 0; child < kProcesses; ++child) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      const auto vault = place.try_open("admin", system).value();
      bool good = vault != nullptr;
      for (int i = 0; good && i < kWrites; ++i) {
        good = vault->set_secret("of-" + std::to_string(child) + "-" + std::to_string(i), some_bek()).has_value() &&
               vault->set_secret("shared", some_bek()).has_value();
      }
      ::_exit(good ? 0 : 1);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = -1;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  const auto vault = place.open();
  EXPECT_EQ(vault->list_secrets().value().size(), std::size_t{1} + kProcesses * kWrites);
  EXPECT_EQ(vault->get_secret("shared").value().version, std::to_string(1 + kProcesses * kWrites));
  // The log has them all, in one chain.
  const auto entries = vault->audit(10'000);
  ASSERT_TRUE(entries) << entries.error().message();
  EXPECT_EQ(std::ranges::count_if(*entries, [](const AuditEntry& entry) { return entry.operation == "secrets:set"; }),
            1 + 2 * kProcesses * kWrites);
}

TEST(LocalVaultAtOnce, ThreadsOfOneVaultLoseNothing) {
  const VaultPlace place;
  place.create();
  Patient system;
  const auto vault = place.try_open("admin", system).value();
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&] {
        for (int i = 0; i < 10; ++i)
          if (vault->set_secret("shared", some_bek()) && vault->get_secret("shared")) ++good;
      });
  }
  EXPECT_EQ(good, 40);
  EXPECT_EQ(vault->get_secret("shared").value().version, "40");
}

}  // namespace
}  // namespace cairn
