// SPDX-License-Identifier: GPL-3.0-or-later
// Vaults with a command line: a whole one (the script of crypto/vault/command/COMMAND.md), and every way in which a
// command can fail.
#include "crypto/vault/command/command_vault.h"
#include "crypto/vault/open/open_key_vault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "crypto/vault/command/vault_answers.h"
#include "tests/crypto/vault/contract.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string text_of(const SecretBytes& secret) {
  return std::string(as_text(secret.reveal()));
}
SecretBytes secret_of(std::string_view text) {
  return SecretBytes::copy_of(as_bytes(text));
}

WrappedBek some_bek(const std::string& kek = "backup") {
  WrappedBek bek;
  bek.type = BekType::luks_key_file;
  bek.kek = kek;
  bek.wrapped = {"1", "command", Buffer{1, 2, 3}};
  bek.created = test_time();
  return bek;
}

class CommandVaultTest : public testing::Test {
 protected:
  void SetUp() override {
    start_crypto();
    settings_.provider = KeyVaultSettings::Provider::command;
    settings_.timeout = std::chrono::seconds(60);
  }
  // A command that runs `script`; $1 is the name, $2 the version.
  static std::vector<std::string> shell(const std::string& script) {
    return {"sh", "-c", script, "sh", "{name}", "{version}"};
  }
  // A vault whose list is `list`; its other commands are set by the tests.
  void list_is(const std::string& list) { settings_.commands.list = {"printf", "%s", list}; }
  static std::string one_key() {
    return R"({"keys":[{"name":"backup","type":"RSA-3072","versions":[{"version":"1"},{"version":"2"}]}],"secrets":[]})";
  }
  [[nodiscard]] std::unique_ptr<KeyVault> vault() const { return make_command_vault("main", settings_); }
  // What listing with this output fails with.
  std::string list_error(const std::string& output) {
    list_is(output);
    const auto result = vault()->list_keks();
    if (result) return "none";
    EXPECT_EQ(result.error().code, ErrorCode::vault_command_failed) << result.error().message();
    EXPECT_EQ(result.error().doing, "run list command of key vault");
    EXPECT_EQ(result.error().object, "main (printf)");
    return result.error().because;
  }
  [[nodiscard]] std::string in(const std::string& name) const { return (directory_.path() / name).string(); }
  static std::string content_of(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  TemporaryDirectory directory_;
  KeyVaultSettings settings_;
};

// A vault in `directory` that is the script of COMMAND.md, taken from the page.
VaultCommands example_vault(const std::filesystem::path& directory) {
  std::ostringstream page;
  page << std::ifstream(std::string(CAIRN_SOURCE_DIR) + "/crypto/vault/command/COMMAND.md").rdbuf();
  const std::string text = page.str();
  const std::size_t begin = text.find("```sh\n") + 6;
  const std::string script = text.substr(begin, text.find("```", begin) - begin);
  EXPECT_EQ(script.substr(0, 9), "#!/bin/sh");
  const std::string program = directory / "openssl-vault";
  std::ofstream(program) << script;
  chmod(program.c_str(), 0700);
  const auto command = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {program, directory / "keys"});
    return words;
  };
  VaultCommands commands;
  commands.list = command({"list"});
  commands.get_secret = command({"get_secret", "{name}"});
  commands.wrap = command({"wrap", "{name}", "{version}"});
  commands.unwrap = command({"unwrap", "{name}", "{version}"});
  commands.backup = command({"backup", "{name}", "{version}"});
  commands.set_secret = command({"set_secret", "{name}"});
  return commands;
}
// As its administrator does.
bool create_key_by_hand(const std::filesystem::path& directory, const std::string& name) {
  const std::string at = directory.string();
  return std::system((at + "/openssl-vault " + at + "/keys create " + name + " 2>/dev/null").c_str()) == 0;
}
bool has_openssl() {
  return std::system("openssl version >/dev/null 2>&1") == 0;
}

class ExampleVaultTest : public CommandVaultTest {
 protected:
  void SetUp() override {
    CommandVaultTest::SetUp();
    if (!has_openssl()) GTEST_SKIP() << "there is no openssl command";
    settings_.commands = example_vault(directory_.path());
  }
  void create_key(const std::string& name) { ASSERT_TRUE(create_key_by_hand(directory_.path(), name)); }
};

TEST_F(ExampleVaultTest, WrapsAndUnwrapsSecretsOfAnyLength) {
  create_key("backup");
  const auto vault = this->vault();
  for (const std::size_t size : {std::size_t{1}, std::size_t{32}, std::size_t{4096}, kMaxBekBytes}) {
    SCOPED_TRACE(size);
    const SecretBytes bek = SecretBytes::random(size);
    const Wrapped wrapped = value_of(vault->wrap("backup", bek));
    EXPECT_EQ(wrapped.version, "1");
    EXPECT_EQ(wrapped.algorithm, "command");
    EXPECT_GT(wrapped.bytes.size(), size);
    EXPECT_EQ(text_of(value_of(vault->unwrap("backup", wrapped))), text_of(bek));
  }
}

TEST_F(ExampleVaultTest, OldVersionsUnwrapAfterARotation) {
  create_key("backup");
  const auto vault = this->vault();
  const Wrapped old = value_of(vault->wrap("backup", secret_of("correct horse\n")));
  create_key("backup");
  const KekFacts facts = value_of(vault->get_kek("backup"));
  ASSERT_EQ(facts.versions.size(), 2U);
  EXPECT_EQ(facts.type, "RSA-3072");
  EXPECT_EQ(value_of(vault->wrap("backup", secret_of("x"))).version, "2");
  EXPECT_EQ(text_of(value_of(vault->unwrap("backup", old))), "correct horse\n");
  Wrapped moved = old;
  moved.version = "2";
  EXPECT_EQ(vault->unwrap("backup", moved).error().code, ErrorCode::unwrap_failed);
  moved.version = "3";
  EXPECT_EQ(vault->unwrap("backup", moved).error().code, ErrorCode::kek_missing);
}

TEST_F(ExampleVaultTest, KeepsSecretsByVersion) {
  create_key("backup");
  const auto vault = this->vault();
  WrappedBek bek = some_bek();
  EXPECT_EQ(value_of(vault->set_secret("web-01-root", bek)), "1");
  bek.wrapped.bytes = {4, 5};
  bek.file_name = "4381F759-C4F8-4DE0-BB61-FC33A831BDA5.BEK";
  bek.type = BekType::bitlocker_startup_key;
  EXPECT_EQ(value_of(vault->set_secret("web-01-root", bek)), "2");
  const StoredBek stored = value_of(vault->get_secret("web-01-root"));
  EXPECT_EQ(stored.version, "2");
  EXPECT_TRUE(stored.bek == bek);
  const std::vector<SecretFacts> all = value_of(vault->list_secrets());
  ASSERT_EQ(all.size(), 1U);
  ASSERT_EQ(all[0].versions.size(), 1U);
  EXPECT_EQ(all[0].versions[0].version, "2");
  EXPECT_EQ(all[0].versions[0].type, BekType::bitlocker_startup_key);
  EXPECT_EQ(all[0].versions[0].kek, "backup");
  EXPECT_EQ(all[0].versions[0].kek_version, "1");

  const auto missing = vault->get_secret("web-01-rot");
  EXPECT_EQ(missing.error().code, ErrorCode::secret_missing);
  EXPECT_THAT(missing.error().message(), HasSubstr("did you mean main/web-01-root?"));
}

TEST_F(ExampleVaultTest, BackupsAreSealedForTheOwnersOfTheStore) {
  create_key("backup");
  const auto vault = this->vault();
  const EscrowKeys owner = escrow_keys_of(SecretBytes::random(32));
  const KekBackup backup = value_of(vault->backup_kek("backup", "1", {&owner.public_half, 1}));
  EXPECT_FALSE(backup.portable);
  EXPECT_FALSE(vault->keks_are_portable());
  EXPECT_EQ(backup.type, "RSA-3072");
  EXPECT_THAT(std::string(as_text(backup.sealed)), Not(HasSubstr("PRIVATE KEY")));
  EXPECT_THAT(text_of(value_of(open_escrow(backup.sealed, owner, backup.escrow_context(), "test"))),
              HasSubstr("BEGIN PRIVATE KEY"));
  EXPECT_EQ(vault->backup_kek("backup", "2", {&owner.public_half, 1}).error().code, ErrorCode::kek_missing);
}

TEST_F(CommandVaultTest, ListsKeysOldestFirst) {
  list_is(R"({"keys":[{"name":"backup","type":"aes256","versions":[{"version":"v:1","created":"2026-11-21T02:00:00Z"},
              {"version":12,"created":null}],"owner":"x"},{"name":"not a name","type":7}],"secrets":[]})");
  const std::vector<KekFacts> keks = value_of(vault()->list_keks());
  ASSERT_EQ(keks.size(), 1U) << "an entry that cannot stand in the settings is left out";
  EXPECT_EQ(keks[0].name, "backup");
  EXPECT_EQ(keks[0].type, "aes256");
  ASSERT_EQ(keks[0].versions.size(), 2U);
  EXPECT_EQ(keks[0].versions[0].version, "v:1");
  EXPECT_EQ(keks[0].versions[0].created, parse_iso_time("2026-11-21T02:00:00Z"));
  EXPECT_EQ(keks[0].versions[1].version, "12");
  EXPECT_FALSE(keks[0].versions[1].created);
  EXPECT_EQ(value_of(vault()->missing_rights(all_rights())).size(), 0U);
}

TEST_F(CommandVaultTest, RubbishInTheListIsToldExactly) {
  EXPECT_EQ(list_error(""), "it printed nothing");
  EXPECT_EQ(list_error(" \n"), "it printed nothing");
  EXPECT_EQ(list_error("backup RSA-3072"), "what it printed is not JSON");
  EXPECT_EQ(list_error("[]"), "what it printed is JSON and no object");
  EXPECT_EQ(list_error(R"({"keys":[]})"), R"(the list has no "secrets")");
  EXPECT_EQ(list_error(R"({"keys":{},"secrets":[]})"), R"("keys" of the list is no array)");
  EXPECT_EQ(list_error(R"({"keys":[7],"secrets":[]})"), R"(an entry of "keys" has no "name")");
  EXPECT_EQ(list_error(R"({"keys":[{"name":7}],"secrets":[]})"), R"("name" of an entry of "keys" is no text)");
  EXPECT_EQ(list_error(R"({"keys":[{"name":"a"}],"secrets":[]})"), R"(key a has no "type")");
  EXPECT_EQ(list_error(R"({"keys":[{"name":"a","type":"a b"}],"secrets":[]})"),
            R"("type" of key a is not a word like RSA-3072)");
  EXPECT_EQ(list_error(R"({"keys":[{"name":"a","type":"t","versions":[]}],"secrets":[]})"), "key a has no version");
  for (const char* version : {R"("-rf")", R"("")", R"("a/b")", R"("a b")", "-1", "1.5", "null", R"("..")"})
    EXPECT_THAT(list_error(std::string(R"({"keys":[{"name":"a","type":"t","versions":[{"version":)") + version +
                           "}]}],\"secrets\":[]}"),
                HasSubstr("\"version\" of key a is not"));
  EXPECT_EQ(list_error(R"({"keys":[{"name":"a","type":"t","versions":[{"version":"1"},{"version":1}]}],"secrets":[]})"),
            "key a has version 1 twice");
  EXPECT_EQ(
      list_error(R"({"keys":[{"name":"a","type":"t","versions":[{"version":"1","created":"today"}]}],"secrets":[]})"),
      "\"created\" of key a is not a time like 2026-11-21T02:00:00Z");
  EXPECT_EQ(list_error(R"({"keys":[],"secrets":[{"name":"a"},{"name":"a"}]})"), R"("secrets" has a twice)");
  EXPECT_EQ(list_error(one_key()), "none");
}

TEST_F(CommandVaultTest, ACommandThatGoesWrongIsNamedWithWhatItWrote) {
  list_is(one_key());
  settings_.timeout = std::chrono::seconds(1);
  struct Case {
    const char* script;
    const char* because;
  };
  for (const Case& one :
       {Case{"echo 'no token' >&2; exit 3", "it ended with exit status 3; it wrote: no token"},
        Case{"kill -KILL $$", "it was ended by signal 9"}, Case{"exec sleep 600", "it took longer than 1 s"},
        Case{"yes", "it wrote more than 12582912 bytes"},
        Case{"echo 'not today' >&2", "it printed nothing; it wrote: not today"}}) {
    settings_.commands.wrap = shell(one.script);
    const auto result = vault()->wrap("backup", secret_of("x"));
    ASSERT_FALSE(result) << one.script;
    EXPECT_EQ(result.error().code, ErrorCode::vault_command_failed);
    EXPECT_EQ(result.error().because, one.because);
    EXPECT_THAT(result.error().message(), HasSubstr("cannot run wrap command of key vault main (sh) for backup: "));
  }
  settings_.commands.wrap = {"/no/such/program"};
  EXPECT_THAT(vault()->wrap("backup", secret_of("x")).error().message(),
              HasSubstr("key vault main (/no/such/program) for backup: No such file or directory"));
  settings_.commands.list = shell("head -c 1048600 /dev/zero");
  EXPECT_EQ(vault()->list_keks().error().because, "it wrote more than 1048576 bytes");
}

TEST_F(CommandVaultTest, NamesAndVersionsStandInArgvAndSecretsDoNot) {
  list_is(one_key());
  const std::string script = "tr '\\0' ' ' </proc/$$/cmdline >" + in("argv") + "; env >" + in("env") + "; cat";
  settings_.commands.wrap = {"sh", "-c", script, "{name}", "key={name}/{version}", "{version}{version}", "{other}"};
  const Wrapped wrapped = value_of(vault()->wrap("backup", secret_of("verysecret")));
  EXPECT_EQ(as_text(wrapped.bytes), "verysecret");
  EXPECT_EQ(wrapped.version, "2");
  EXPECT_THAT(content_of(in("argv")), HasSubstr(" backup key=backup/2 22 {other} "));
  EXPECT_THAT(content_of(in("argv")), Not(HasSubstr("verysecret")));
  EXPECT_THAT(content_of(in("env")), HasSubstr("PATH="));
  EXPECT_THAT(content_of(in("env")), Not(HasSubstr("verysecret")));
}

TEST_F(CommandVaultTest, WhatCannotStandInArgvReachesNoCommand) {
  list_is(one_key());
  settings_.commands.unwrap = shell("touch " + in("ran"));
  settings_.commands.get_secret = settings_.commands.set_secret = settings_.commands.unwrap;
  for (const char* version : {"", "-x", "a b", "../1", "a/b", "a\nb"})
    EXPECT_EQ(vault()->unwrap("backup", {version, "command", {1}}).error().code, ErrorCode::kek_missing) << version;
  for (const char* name : {"", "-x", "a b", "../1", "a/b"}) {
    EXPECT_EQ(vault()->unwrap(name, {"1", "command", {1}}).error().code, ErrorCode::kek_missing) << name;
    EXPECT_EQ(vault()->get_secret(name).error().code, ErrorCode::secret_missing) << name;
    EXPECT_EQ(vault()->set_secret(name, some_bek()).error().code, ErrorCode::used_wrongly) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(in("ran")));
}

TEST_F(CommandVaultTest, WhatAnotherKindOfVaultWrappedIsRefused) {
  list_is(one_key());
  settings_.commands.unwrap = {"cat"};
  EXPECT_EQ(vault()->unwrap("backup", {"1", "RSA-OAEP-256", {1}}).error().code, ErrorCode::kek_wrong_type);
  EXPECT_EQ(text_of(value_of(vault()->unwrap("backup", {"1", "command", {0x61}}))), "a");
}

TEST_F(CommandVaultTest, AMissingKeyIsToldFromAFailingCommand) {
  list_is(one_key());
  settings_.commands.wrap = {"cat"};
  settings_.commands.unwrap = shell("exit 1");
  EXPECT_EQ(vault()->unwrap("backup", {"2", "command", {1}}).error().code, ErrorCode::vault_command_failed);
  const auto version = vault()->unwrap("backup", {"7", "command", {1}});
  EXPECT_EQ(version.error().code, ErrorCode::kek_missing);
  EXPECT_EQ(version.error().because, "it has no version 7, only 1, 2");
  const auto key = vault()->unwrap("bakcup", {"1", "command", {1}});
  EXPECT_EQ(key.error().code, ErrorCode::kek_missing);
  EXPECT_EQ(key.error().resolution, "did you mean main/backup? See \"cairn key list --vault main\"");
  EXPECT_EQ(vault()->wrap("bakcup", secret_of("x")).error().code, ErrorCode::kek_missing);
  EXPECT_EQ(vault()->get_kek("bakcup").error().code, ErrorCode::kek_missing);
}

TEST_F(CommandVaultTest, AFailureThatPassesIsNoDamage) {
  list_is(one_key());
  settings_.commands.wrap = {"cat"};
  settings_.commands.unwrap = shell("[ -e " + in("up") + " ] || { touch " + in("up") + "; exit 1; }; cat");
  EXPECT_EQ(text_of(value_of(vault()->unwrap("backup", {"2", "command", {0x61}}))), "a");
  // One that takes everything but these bytes.
  settings_.commands.unwrap = shell("cat >" + in("x") + "; ! grep -qx bad " + in("x") + " && cat " + in("x"));
  const auto damaged = vault()->unwrap("backup", {"2", "command", {'b', 'a', 'd'}});
  EXPECT_EQ(damaged.error().code, ErrorCode::unwrap_failed);
  EXPECT_THAT(damaged.error().message(), HasSubstr("key vault main (sh) for backup: it unwraps other bytes"));
}

TEST_F(CommandVaultTest, ASecretWithoutAVersionIsCalledByItsHash) {
  std::ofstream(in("bek")) << to_json(some_bek()).dump();
  std::ofstream(in("pretty")) << to_json(some_bek()).dump(4) << "\n";
  settings_.commands.get_secret = {"cat", in("bek")};
  const StoredBek stored = value_of(vault()->get_secret("web"));
  EXPECT_EQ(stored.version.size(), 16U);
  EXPECT_TRUE(stored.bek == some_bek());
  settings_.commands.get_secret = {"cat", in("pretty")};
  EXPECT_EQ(value_of(vault()->get_secret("web")).version, stored.version) << "white space is no change";
  std::ofstream(in("bek")) << to_json(some_bek("other")).dump();
  settings_.commands.get_secret = {"cat", in("bek")};
  EXPECT_NE(value_of(vault()->get_secret("web")).version, stored.version);
}

TEST_F(CommandVaultTest, WhatIsNoWrappedBekIsRefused) {
  list_is(R"({"keys":[],"secrets":[{"name":"web"},{"name":"password-of-the-mail-server"}]})");
  settings_.commands.get_secret = {"echo", "swordfish"};
  EXPECT_EQ(vault()->get_secret("web").error().because, "what it printed is not JSON");
  settings_.commands.get_secret = {"echo", R"({"password":"swordfish"})"};
  const auto damaged = vault()->get_secret("web");
  EXPECT_EQ(damaged.error().code, ErrorCode::secret_damaged);
  EXPECT_THAT(damaged.error().message(), Not(HasSubstr("swordfish")));
  EXPECT_EQ(value_of(vault()->list_secrets()).size(), 0U) << "other people's secrets are not listed";
  settings_.commands.get_secret = {"echo", R"({"version":"a b","bek":)" + to_json(some_bek()).dump() + "}"};
  EXPECT_THAT(vault()->get_secret("web").error().because, HasSubstr("\"version\" of secret main/web is not"));
}

TEST_F(CommandVaultTest, ListedFactsOfSecretsSpareTheCommand) {
  list_is(R"({"keys":[],"secrets":[{"name":"web","versions":[
    {"version":1,"type":"luks-passphrase","kek":"backup","kek_version":"1"},
    {"version":2},
    {"version":3,"type":"luks-key-file","kek":"backup","kek_version":"2","created":"2026-11-21T02:00:00Z"}]}]})");
  settings_.commands.get_secret = shell("exit 1");
  const std::vector<SecretFacts> all = value_of(vault()->list_secrets());
  ASSERT_EQ(all.size(), 1U);
  ASSERT_EQ(all[0].versions.size(), 2U) << "the answer lacks the second one's facts";
  EXPECT_EQ(all[0].versions[0].type, BekType::luks_passphrase);
  EXPECT_EQ(all[0].versions[1].version, "3");
  EXPECT_EQ(all[0].versions[1].kek_version, "2");
}

TEST_F(CommandVaultTest, ASecretThatWasSetIsLookedForWhenItHasNoVersion) {
  list_is(R"({"keys":[],"secrets":[]})");
  settings_.commands.set_secret = {"sh", "-c", "cat >" + in("kept")};
  settings_.commands.get_secret = {"cat", in("kept")};
  EXPECT_EQ(value_of(vault()->set_secret("web", some_bek())), bek_version(some_bek()));
  settings_.commands.set_secret = {"sh", "-c", "cat >/dev/null"};
  const auto lost = vault()->set_secret("web", some_bek("other"));
  EXPECT_EQ(lost.error().because, "afterwards get_secret gives another document than was set");
  settings_.commands.set_secret = {"sh", "-c", "cat >/dev/null; echo 'Success! Data written'"};
  EXPECT_THAT(vault()->set_secret("web", some_bek()).error().because, HasSubstr("what it printed is no version"));
}

TEST_F(CommandVaultTest, WhatTheVaultsOwnToolsDoSaysSo) {
  list_is(one_key());
  const EscrowKeys owner = escrow_keys_of(SecretBytes::random(32));
  KekBackup backup;
  backup.name = "backup";
  const auto check = [](const auto& result, const char* words) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::not_supported_yet);
    EXPECT_THAT(result.error().message(), HasSubstr(words));
  };
  check(vault()->create_kek("backup", KekType::rsa_3072), "do it with the vault's own tools");
  check(vault()->rotate_kek("backup"), "do it with the vault's own tools");
  check(vault()->delete_kek("backup"), "do it with the vault's own tools");
  check(vault()->restore_secret("web", {"1", some_bek()}), "do it with the vault's own tools");
  check(vault()->delete_secret("web"), "do it with the vault's own tools");
  check(vault()->restore_kek(backup, owner), "do it with the vault's own tools");
  check(vault()->backup_kek("backup", "1", {&owner.public_half, 1}), "name no backup command");
  check(vault()->set_secret("web", some_bek()), "name no set_secret command");
}

VaultUnderTest make_example() {
  VaultUnderTest made;
  if (!has_openssl()) {
    made.why_not = "there is no openssl command";
    return made;
  }
  const auto directory = std::make_shared<TemporaryDirectory>();
  KeyVaultSettings settings;
  settings.provider = KeyVaultSettings::Provider::command;
  settings.timeout = std::chrono::seconds(60);
  settings.commands = example_vault(directory->path());
  EXPECT_TRUE(create_key_by_hand(directory->path(), "backup"));
  made.keeps = directory;
  made.open_again = [settings](const std::string& principal) {
    return value_of(open_key_vault("main", settings, principal));
  };
  made.vault = made.open_again("");
  return made;
}

VaultKind example_kind() {
  VaultKind kind;
  kind.name = "OpensslScript";
  kind.make = make_example;
  kind.existing_kek = "backup";
  kind.has_policy = false;
  kind.numbers_versions = false;
  return kind;
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Command, KeyVaultContract, testing::Values(example_kind()), name_of_kind);

}  // namespace cairn
