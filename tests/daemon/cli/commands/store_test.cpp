// SPDX-License-Identifier: GPL-3.0-or-later
// The program on a store: init, keys, backup, points, restore, mount; as text and as JSON, with exact exit codes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/daemon/cli/program.h"

namespace cairn::cli {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace files = std::filesystem;

class StoreInit : public ProgramTest {
 protected:
  files::perms mode_of(const std::string& name) { return files::status(path(name)).permissions(); }
};

TEST_F(StoreInit, MakesStoreKeyFileAndRecoveryKey) {
  write_settings();
  const Ended ended = cairn({"store", "init", "--create-key-file", "--recovery-key-out", path("recovery")});
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(mode_of("store.key"), files::perms(0600));
  EXPECT_EQ(mode_of("recovery"), files::perms(0600));
  EXPECT_THAT(read(path("recovery")), HasSubstr("CAIRN-RECOVERY-"));
  const json slots = json_of(cairn({"store", "keys", "list", "--json"}));
  ASSERT_EQ(slots.size(), 2U);
  EXPECT_EQ(slots[0]["type"], "key-file");
  EXPECT_EQ(slots[1]["type"], "recovery");
  const Ended again = cairn({"store", "init"});
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("[store-exists]"));
}

TEST_F(StoreInit, PrintsTheRecoveryKeyWhenAskedTo) {
  write_settings();
  const Ended ended = cairn({"store", "init", "--create-key-file", "--recovery-key-out", "-"});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const auto at = ended.out.find("CAIRN-RECOVERY-");
  ASSERT_NE(at, std::string::npos);
  // The printed key opens the store; through standard input too.
  const Ended opened = cairn({"--recovery-key", "-", "store", "info", "--json"}, ended.out.substr(at));
  EXPECT_EQ(opened.code, 0);
  EXPECT_EQ(json_of(opened)["chunk_size"].get<unsigned>() % 65536, 0U);
}

TEST_F(StoreInit, WithoutARecoveryKeySaysHowToAddOne) {
  write_settings();
  const Ended ended = cairn({"store", "init", "--create-key-file"});
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.err, HasSubstr("cairn store keys add --recovery"));
}

TEST_F(StoreInit, ARecoveryKeyIsNeverPutIntoADocument) {
  write_settings();
  const Ended ended = cairn({"store", "init", "--create-key-file", "--recovery-key-out", "-", "--json"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_EQ(json_of(ended)["error"]["name"], "used-wrongly");
  EXPECT_FALSE(files::exists(path("store.key")));
}

TEST_F(StoreInit, TheChunkSizeIsThatOfTheOption) {
  write_settings();
  for (const char* size : {"3MiB", "32KiB", "8MiB", "100000"}) {
    const Ended refused = cairn({"store", "init", "--create-key-file", "--chunk-size", size});
    EXPECT_EQ(refused.code, 2) << size;
    EXPECT_FALSE(files::exists(path("store.key")));
  }
  ASSERT_EQ(cairn({"store", "init", "--create-key-file", "--chunk-size", "1MiB"}).code, 0);
  EXPECT_EQ(json_of(cairn({"store", "info", "--json"}))["chunk_size"], 1024 * 1024);
}

TEST_F(StoreInit, LeavesNothingHalfMadeWhenItFails) {
  write_settings();
  write("recovery", "is here already");
  const Ended exists = cairn({"store", "init", "--create-key-file", "--recovery-key-out", path("recovery")});
  EXPECT_EQ(exists.code, 1);
  EXPECT_THAT(exists.err, HasSubstr("[target-exists]"));
  EXPECT_EQ(read(path("recovery")), "is here already");
  EXPECT_FALSE(files::exists(path("store.key")));
  EXPECT_FALSE(files::exists(path("store")));

  files::create_directory(path("store"));
  write("store/mine", "keep");  // somebody's directory: refused, and left as it is
  const Ended full = cairn({"store", "init", "--create-key-file", "--recovery-key-out", path("other")});
  EXPECT_EQ(full.code, 1) << full.err;
  EXPECT_THAT(full.err, HasSubstr("[store-exists]"));
  EXPECT_EQ(read(path("store/mine")), "keep");
  EXPECT_FALSE(files::exists(path("store.key")));
  EXPECT_FALSE(files::exists(path("other")));
}

TEST_F(StoreInit, AMissingKeyFileIsSaidAndNothingIsMade) {
  write_settings();
  const Ended ended = cairn({"store", "init"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("[key-file-missing]"));
  EXPECT_THAT(ended.err, HasSubstr("\"cairn store init --create-key-file\" makes one"));
  EXPECT_FALSE(files::exists(path("store")));
}

// Before anything exists there is nothing to put back.
TEST_F(StoreInit, BeforeAnyStoreExistsEveryCommandSaysHowToMakeIt) {
  write("root.img", std::string(4096, 'r'));
  write_settings("web-01: { disks: { root: { image: root.img } } }");
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"points"}, {"backup", "web-01"}, {"store", "info"}, {"config", "check"}}) {
    const Ended ended = cairn(arguments);
    EXPECT_EQ(ended.code, 1);
    EXPECT_THAT(ended.err, HasSubstr("[store-missing]"));
    EXPECT_THAT(ended.err + ended.out, HasSubstr("\"cairn store init --create-key-file\" makes both"));
  }
  ASSERT_EQ(cairn({"store", "init", "--create-key-file"}).code, 0);
  files::remove(path("store.key"));
  EXPECT_THAT(cairn({"points"}).err, HasSubstr("[key-file-missing]"));  // lost, now
}

class WithStore : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    if (IsSkipped()) return;
    write("root.img", std::string(300'000, 'r'));
    write("data.img", std::string(100'000, 'd') + std::string(500'000, '\0'));
    write_settings("web-01: { disks: { root: { image: root.img }, data: { image: data.img } } }");
    ASSERT_EQ(cairn({"store", "init", "--create-key-file", "--recovery-key-out", path("recovery")}).code, 0);
  }
  void TearDown() override {
    if (!directory_.empty()) (void)execute({"umount", "-l", path("mnt")});
    ProgramTest::TearDown();
  }
};

TEST_F(WithStore, AWrongKeySaysSoAndTouchesNothing) {
  const std::string before = read(path("store/store.json"));
  write("store.key", std::string(64, 'a') + "\n", files::perms(0600));
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"points"}, {"store", "info"}, {"store", "keys", "list"}, {"backup", "web-01"}, {"mount", path("mnt")}}) {
    files::create_directories(path("mnt"));
    const Ended ended = cairn(arguments);
    EXPECT_EQ(ended.code, 1);
    EXPECT_THAT(ended.err, HasSubstr("[wrong-key]"));
    EXPECT_EQ(ended.out, "");
  }
  EXPECT_EQ(read(path("store/store.json")), before);
}

TEST_F(WithStore, KeysAreAddedAndRemovedButNotTheLast) {
  write("pass", "a long enough passphrase\n", files::perms(0600));
  const Ended added = cairn({"store", "keys", "add", "--passphrase-file", path("pass"), "--label", "admin", "--json"});
  ASSERT_EQ(added.code, 0) << added.out;
  EXPECT_EQ(json_of(added)["slot"]["label"], "admin");
  EXPECT_EQ(json_of(added)["slot"]["type"], "passphrase");
  const Ended twice = cairn({"store", "keys", "add", "--passphrase-file", path("pass"), "--label", "admin"});
  EXPECT_EQ(twice.code, 1);
  EXPECT_THAT(twice.err, HasSubstr("[key-slot-exists]"));
  EXPECT_EQ(cairn({"store", "keys", "remove", "admin", "--yes"}).code, 0);
  const Ended gone = cairn({"store", "keys", "remove", "admin", "--yes"});
  EXPECT_THAT(gone.err, HasSubstr("[no-such-key-slot]"));
  EXPECT_EQ(gone.code, 1);
  const Ended asks = cairn({"store", "keys", "remove", "recovery"});
  EXPECT_EQ(asks.code, 2);
  EXPECT_THAT(asks.err, HasSubstr("there is no terminal to ask on; give --yes"));
  const Ended paper = cairn({"store", "keys", "remove", "recovery", "--yes"});
  EXPECT_EQ(paper.code, 3);
  EXPECT_THAT(paper.out, HasSubstr("warning: no recovery key is left"));
  const Ended last = cairn({"store", "keys", "remove", "settings", "--yes", "--force"});
  EXPECT_EQ(last.code, 1);
  EXPECT_THAT(last.err, HasSubstr("[last-key-slot]"));
}

TEST_F(WithStore, ALabelThatIsRefusedLeavesNoRecoveryKeyBehind) {
  for (const std::string& label : {std::string("a\xff"), std::string("a\x1b"), std::string(65, 'x')}) {
    const Ended ended =
        cairn({"store", "keys", "add", "--recovery", "--recovery-key-out", path("second"), "--label", label});
    EXPECT_EQ(ended.code, 2) << ended.err;
    EXPECT_FALSE(files::exists(path("second")));
  }
  const Ended taken =
      cairn({"store", "keys", "add", "--recovery", "--recovery-key-out", path("second"), "--label", "recovery"});
  EXPECT_EQ(taken.code, 1);
  EXPECT_THAT(taken.err, HasSubstr("[key-slot-exists]"));
  EXPECT_FALSE(files::exists(path("second")));
  // The label that is made from a file's name is no better for that.
  const std::string name = "key\xff";
  write(name, std::string(40, 'k'), files::perms(0600));
  const Ended file = cairn({"store", "keys", "add", "--key-file", path(name)});
  EXPECT_EQ(file.code, 2) << file.err;
  EXPECT_THAT(file.err, HasSubstr("give --label"));
  EXPECT_EQ(cairn({"store", "keys", "add", "--key-file", path(name), "--label", "odd"}).code, 0);
  EXPECT_EQ(json_of(cairn({"store", "keys", "list", "--json"})).size(), 3U);
}

TEST_F(WithStore, ARecoveryKeyThatCannotBePrintedIsTakenOutAgain) {
  if (!files::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  const Ended ended = execute({"sh", "-c", "\"$1\" --config \"$2\" store keys add --recovery --label paper >/dev/full",
                               "sh", program_, path("cairn.yaml")});
  EXPECT_EQ(ended.code, 1) << ended.err;
  EXPECT_EQ(json_of(cairn({"store", "keys", "list", "--json"})).size(), 2U);
}

TEST_F(WithStore, RemovingTheSettingsKeyIsRefusedAndForcedACompletionWithWarnings) {
  const Ended refused = cairn({"store", "keys", "remove", "settings", "--yes"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("[key-in-use]"));
  const Ended ended = cairn({"store", "keys", "remove", "settings", "--yes", "--force", "--json"});
  EXPECT_EQ(ended.code, 3);
  EXPECT_EQ(json_of(ended)["warnings"].size(), 1U);
  EXPECT_EQ(cairn({"points"}).code, 1);
  EXPECT_EQ(cairn({"--recovery-key", path("recovery"), "points"}).code, 0);
}

TEST_F(WithStore, ARecoveryKeyWithATypingErrorIsRefused) {
  std::string text = read(path("recovery"));
  char& letter = text[text.size() - 4];
  letter = letter == 'A' ? 'B' : 'A';
  write("typo", text, files::perms(0600));
  const Ended ended = cairn({"--recovery-key", path("typo"), "points"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("[key-file-invalid]"));
}

TEST_F(WithStore, BackupPointsAndRestoreAgree) {
  const Ended backup = cairn({"backup", "web-01", "--json"});
  ASSERT_EQ(backup.code, 0) << backup.out << backup.err;
  const json job = json_of(backup)["jobs"][0];
  EXPECT_EQ(job["state"], "Completed");
  const json rows = json_of(cairn({"points", "--json"}));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0]["machine"], "web-01");
  EXPECT_EQ(rows[0]["name"], job["point"]);
  EXPECT_THAT(cairn({"points"}).out, HasSubstr(job["point"].get<std::string>()));
  EXPECT_THAT(cairn({"points", "web-01@latest"}).out, HasSubstr("disk root: "));
  files::create_directory(path("out"));
  const Ended restored = cairn({"restore", "web-01@latest", "--to", path("out")});
  ASSERT_EQ(restored.code, 0) << restored.err;
  EXPECT_EQ(read(path("out/root.img")), read(path("root.img")));
  EXPECT_EQ(read(path("out/data.img")), read(path("data.img")));
  const Ended again = cairn({"restore", "web-01@latest", "--to", path("out")});
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("[target-exists]"));
  EXPECT_EQ(cairn({"restore", "web-01@latest", "--to", path("out"), "--force", "--disk", "data"}).code, 0);
  const json status = json_of(cairn({"status", "--json"}));
  EXPECT_EQ(status["daemon"]["running"], false);
  EXPECT_EQ(status["machines"][0]["last_point"], job["point"]);
  EXPECT_TRUE(status["warnings"].is_array());
}

TEST_F(WithStore, AFailedJobIsExitOneAndItsErrorIsInTheDocument) {
  files::remove(path("data.img"));
  const Ended ended = cairn({"backup", "--all", "--json"});
  EXPECT_EQ(ended.code, 1);
  const json document = json_of(ended);
  EXPECT_EQ(document["error"]["name"], "image-missing");
  EXPECT_EQ(document["jobs"][0]["state"], "Failed");
  const Ended text = cairn({"backup", "--all"});
  EXPECT_EQ(text.code, 1);
  EXPECT_THAT(text.err, HasSubstr("[image-missing]"));
}

TEST_F(WithStore, UnknownMachinesAndPointsAreAnsweredWithTheNearest) {
  const Ended machine = cairn({"backup", "web-10"});
  EXPECT_EQ(machine.code, 1);
  EXPECT_THAT(machine.err, HasSubstr("[no-such-machine]"));
  EXPECT_THAT(machine.err, HasSubstr("web-01"));
  files::create_directory(path("out"));
  const Ended point = cairn({"restore", "web-01@2026", "--to", path("out")});
  EXPECT_EQ(point.code, 1);
  EXPECT_THAT(point.err, HasSubstr("[no-such-"));
  ASSERT_EQ(cairn({"backup", "web-01"}).code, 0);
  EXPECT_THAT(cairn({"points", "web-01@lates"}).err, HasSubstr("did you mean web-01@latest?"));
}

TEST_F(WithStore, ATargetThatIsNotUtf8IsRefusedAndNotRenamed) {
  ASSERT_EQ(cairn({"backup", "web-01"}).code, 0);
  const std::string name = "out\xff";
  files::create_directory(path(name));
  const Ended ended = cairn({"restore", "web-01@latest", "--to", path(name), "--json"});
  EXPECT_EQ(ended.code, 2);
  EXPECT_EQ(json_of(ended)["error"]["name"], "used-wrongly");
  EXPECT_TRUE(files::is_empty(path(name)));
  files::create_symlink(path(name), path("link"));
  EXPECT_EQ(cairn({"restore", "web-01@latest", "--to", path("link")}).code, 0);
  EXPECT_EQ(read(path(name) / "root.img"), read(path("root.img")));
}

TEST_F(WithStore, ConfigCheckKnowsWhatTheDaemonMakes) {
  if (!files::exists("/dev/fuse")) GTEST_SKIP() << "no /dev/fuse";
  const Ended absent = cairn({"config", "check"});
  EXPECT_EQ(absent.code, 0) << absent.out;
  EXPECT_THAT(absent.out, HasSubstr("points: is not there yet; cairnd makes it"));
  EXPECT_FALSE(files::exists(path("points")));
  files::create_symlink(path("nowhere"), path("points"));
  EXPECT_EQ(cairn({"config", "check"}).code, 3);  // a directory cannot be made there
}

TEST_F(WithStore, ConfigCheckRefusesEncryptedDisksWithoutKeysOrWarns) {
  if (!files::exists("/dev/fuse")) GTEST_SKIP() << "no /dev/fuse";
  // A LUKS1 header with eight free key slots: all that tells an encrypted disk from another.
  std::string image(4 * 1024 * 1024, '\0');
  const auto put = [&](std::size_t at, const std::string& bytes) { image.replace(at, bytes.size(), bytes); };
  const auto put_number = [&](std::size_t at, std::uint32_t number) {
    for (int i = 0; i < 4; ++i) image[at + i] = static_cast<char>(number >> (24 - 8 * i));
  };
  put(0, std::string("LUKS\xba\xbe\0\1", 8));
  put(8, "aes");
  put(40, "xts-plain64");
  put(72, "sha256");
  put_number(104, 4096);  // the payload, in sectors
  put_number(108, 32);    // key bytes
  put_number(164, 1000);
  put(168, "11111111-2222-3333-4444-555555555555");
  for (std::uint32_t slot = 0; slot < 8; ++slot) {
    put_number(208 + slot * 48, 0xDEAD);
    put_number(208 + slot * 48 + 40, 8 + slot * 256);
    put_number(208 + slot * 48 + 44, 4000);
  }
  write("root.img", image);
  const auto keys_row = [](const json& document) {
    for (const auto& check : document["checks"])
      if (check["check"] == "keys") return check;
    return json();
  };
  const Ended ended = cairn({"config", "check", "--json"});
  EXPECT_EQ(ended.code, 1) << ended.out << ended.err;
  const json row = keys_row(json_of(ended));
  ASSERT_TRUE(row.is_object()) << ended.out;
  EXPECT_EQ(row["state"], "error");
  EXPECT_EQ(row["object"], "web-01/root");
  EXPECT_EQ(row["error"]["name"], "keys-missing");

  write_settings(
      "web-01: { disks: { root: { image: root.img } } }}\n"
      "policies: { default: { on_missing_keys: warn }");
  const Ended warned = cairn({"config", "check", "--json"});
  EXPECT_EQ(warned.code, 3) << warned.out << warned.err;
  EXPECT_EQ(keys_row(json_of(warned))["state"], "warning");
}

TEST_F(WithStore, AnImageThatIsALinkToNowhereIsNotItsOwnNearestName) {
  files::remove(path("data.img"));
  files::create_symlink(path("nowhere"), path("data.img"));
  const Ended ended = cairn({"config", "check"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("[image-missing]"));
  EXPECT_THAT(ended.err, ::testing::Not(HasSubstr("did you mean " + path("data.img").string())));
}

TEST_F(WithStore, ConfigCheckLooksAtEverythingAndChangesNothing) {
  files::create_directory(path("points"));
  if (!files::exists("/dev/fuse")) GTEST_SKIP() << "no /dev/fuse";
  const Ended sound = cairn({"config", "check", "--json"});
  EXPECT_EQ(sound.code, 0) << sound.out;
  const json document = json_of(sound);
  std::vector<std::string> objects;
  for (const auto& check : document["checks"]) objects.push_back(check["check"].get<std::string>());
  EXPECT_THAT(objects, ElementsAre("store", "index", "mount", "disk", "consistency", "tracking", "disk", "consistency",
                                   "tracking"));
  EXPECT_TRUE(files::is_empty(path("points")));
  EXPECT_FALSE(files::exists(path("state")));

  files::resize_file(path("root.img"), 0);
  files::resize_file(path("root.img"), 1 << 20);
  write_settings(
      "web-01: { disks: { root: { image: root.img, bek: v/a, kek: v/b } } }}\n"
      "key_vaults: {v: { provider: local, path: vault, key_file: store.key }");
  const Ended no_vault = cairn({"config", "check"});
  EXPECT_EQ(no_vault.code, 1) << no_vault.out << no_vault.err;
  EXPECT_THAT(no_vault.out, HasSubstr("[key-vault-missing]"));
  EXPECT_THAT(no_vault.out, HasSubstr("[keys-not-needed]"));
  EXPECT_FALSE(files::exists(path("vault")));

  write_settings("web-01: { disks: { root: { image: . } } }");
  const Ended directory = cairn({"config", "check"});
  EXPECT_EQ(directory.code, 1);
  EXPECT_THAT(directory.err, HasSubstr("[image-not-a-disk]"));
  files::permissions(path("store.key"), files::perms(0644));
  const Ended open_key = cairn({"config", "check", "--json"});
  EXPECT_EQ(open_key.code, 1);
  EXPECT_EQ(json_of(open_key)["error"]["name"], "key-file-permissions");
}

TEST_F(WithStore, MountInTheBackgroundServesUntilUmount) {
  if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/fuse";
  ASSERT_EQ(cairn({"backup", "web-01"}).code, 0);
  const Ended missing = cairn({"mount", path("mnt")});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("[mount-point-missing]"));
  files::create_directory(path("mnt"));
  const Ended mounted = cairn({"mount", path("mnt"), "--json"});
  ASSERT_EQ(mounted.code, 0) << mounted.out << mounted.err;
  EXPECT_EQ(json_of(mounted)["mounted"], path("mnt").string());
  EXPECT_EQ(read(path("mnt/web-01/latest/disks/root.img")), read(path("root.img")));
  EXPECT_THAT(cairn({"mount", path("mnt")}).err, HasSubstr("[mount-point-busy]"));
  EXPECT_EQ(cairn({"umount", path("mnt") / ""}).code, 0);
  const Ended gone = cairn({"umount", path("mnt")});
  EXPECT_EQ(gone.code, 1);
  EXPECT_THAT(gone.err, HasSubstr("[not-mounted]"));
}

TEST_F(WithStore, MountInTheForegroundEndsWithASignal) {
  if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/fuse";
  files::create_directory(path("mnt"));
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const std::string config = path("cairn.yaml"), directory = path("mnt");
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl(program_.c_str(), "cairn", "--config", config.c_str(), "mount", "--foreground", directory.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  char first = 0;
  EXPECT_EQ(::read(ends[0], &first, 1), 1);  // it speaks once it is mounted
  EXPECT_EQ(::kill(child, SIGTERM), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ::close(ends[0]);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_THAT(cairn({"umount", path("mnt")}).err, HasSubstr("[not-mounted]"));
}

TEST_F(WithStore, CompletionKnowsThePoints) {
  ASSERT_EQ(cairn({"backup", "web-01"}).code, 0);
  const std::string config = path("cairn.yaml");
  const Ended ended = execute({program_, "__complete", "--config", config, "restore", "web"});
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.out, HasSubstr("web-01@2"));
  EXPECT_THAT(ended.out, HasSubstr("web-01@latest\n"));
  EXPECT_EQ(execute({program_, "__complete", "--config", config, "points", "web"}).out, "web-01\n");
}

TEST_F(WithStore, RebuildIndexCountsWhatItFound) {
  ASSERT_EQ(cairn({"backup", "web-01"}).code, 0);
  const Ended ended = cairn({"store", "rebuild-index", "--json"});
  EXPECT_EQ(ended.code, 0) << ended.out;
  EXPECT_GE(json_of(ended)["packs"].get<int>(), 1);
  EXPECT_THAT(cairn({"store", "info"}).out, HasSubstr("points:"));
}

}  // namespace
}  // namespace cairn::cli
