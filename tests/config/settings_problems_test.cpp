// SPDX-License-Identifier: GPL-3.0-or-later
// Settings problems: each kind with its exact place, and all of them at once.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "config/broken_settings.h"
#include "config/settings.h"

namespace cairn {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr const char* kStore = "store: { path: /s, key_file: /k }\n";  // one line

// Each problem as it is shown, without the file's name.
std::vector<std::string> problems(const std::string& text) {
  const SettingsReport report = parse_settings(text, "/f");
  EXPECT_EQ(report.settings.has_value(), report.problems.empty());
  std::vector<std::string> result;
  for (const SettingsProblem& problem : report.problems) {
    const std::string shown = describe(problem, "/f");
    EXPECT_EQ(shown.find('\n'), std::string::npos);
    result.push_back(shown.substr(problem.line == 0 ? 4 : 3));
  }
  return result;
}
// The same for a file whose first line is a correct store.
std::vector<std::string> problems_after_store(const std::string& text) {
  return problems(kStore + text);
}

TEST(SettingsProblems, AnEmptyFile) {
  for (const char* text : {"", "\n\n", "# nothing\n", "---\n", "~\n"})
    EXPECT_THAT(problems(text),
                ElementsAre("found an empty file, expected settings, at least store: { path: ..., key_file: ... }"))
        << text;
}

TEST(SettingsProblems, AFileThatIsNoMap) {
  EXPECT_THAT(problems("hello\n"), ElementsAre("1:1: found \"hello\", expected a map (keys and values)"));
  EXPECT_THAT(problems("- a\n"), ElementsAre("1:1: found a list, expected a map (keys and values)"));
}

TEST(SettingsProblems, AMissingStore) {
  EXPECT_THAT(
      problems("daemon: {}\n"),
      ElementsAre(
          "store.path: found nothing, expected the store's directory",
          "store.key_file: found nothing, expected exactly one of key_file, passphrase_file, passphrase_command"));
  EXPECT_THAT(problems("store:\n"),
              ElementsAre(HasSubstr("1:1: store.path: found nothing"), HasSubstr("1:1: store.key_file")));
  EXPECT_THAT(problems("store: /srv\n"), ElementsAre("1:8: store: found \"/srv\", expected a map (keys and values)"));
}

TEST(SettingsProblems, UnknownKeysWithTheNearest) {
  EXPECT_THAT(problems_after_store("mount: { allow_others: true }\n"),
              ElementsAre("2:10: mount.allow_others: found the unknown key \"allow_others\", expected one of path, "
                          "allow_other; did you "
                          "mean \"allow_other\"?"));
  EXPECT_THAT(problems_after_store("policies:\n  p:\n    shcedule: x\n"),
              ElementsAre(HasSubstr("4:5: policies.p.shcedule: ")));
  EXPECT_THAT(problems_after_store("Machines: {}\n"), ElementsAre(HasSubstr("did you mean \"machines\"?")));
  EXPECT_THAT(problems_after_store("colour: red\n"), ElementsAre(testing::Not(HasSubstr("did you mean"))));
  EXPECT_THAT(problems_after_store("\"a b\\n\": 1\n"),
              ElementsAre(HasSubstr("2:1: \"a b\\n\": found the unknown key \"a b\\n\"")));
}

TEST(SettingsProblems, MergeKeysAreNamed) {
  EXPECT_THAT(problems_after_store("policies:\n  a: &a { jitter: 1m }\n  b: { <<: *a }\n"),
              ElementsAre(HasSubstr("merge keys are not YAML 1.2")));
}

TEST(SettingsProblems, WrongTypes) {
  EXPECT_THAT(problems_after_store("state_dir: [a]\n"), ElementsAre("2:12: state_dir: found a list, expected a path"));
  EXPECT_THAT(problems_after_store("state_dir: {a: b}\n"),
              ElementsAre("2:12: state_dir: found a map, expected a path"));
  EXPECT_THAT(problems_after_store("state_dir:\n"), ElementsAre("2:1: state_dir: found nothing, expected a path"));
  EXPECT_THAT(problems_after_store("state_dir: ''\n"), ElementsAre("2:12: state_dir: found \"\", expected a path"));
  EXPECT_THAT(problems_after_store("state_dir: 12\n"),
              ElementsAre(HasSubstr("found \"12\", expected a path, not a number")));
  EXPECT_THAT(problems_after_store("state_dir: yes\n"),
              ElementsAre(HasSubstr("found \"yes\", expected a path, not true or false")));
  EXPECT_THAT(problems_after_store("state_dir: ~/x\n"), ElementsAre(HasSubstr("\"~\" is not expanded here")));
  EXPECT_THAT(problems_after_store("state_dir: \"a\\0b\"\n"), ElementsAre(HasSubstr("without control characters")));
  EXPECT_THAT(problems_after_store("mount: { allow_other: 1 }\n"),
              ElementsAre("2:23: mount.allow_other: found \"1\", expected true or false"));
  EXPECT_THAT(problems_after_store("mount: { allow_other: \"true\" }\n"),
              ElementsAre("2:23: mount.allow_other: found the quoted text \"true\", expected true or false"));
  EXPECT_THAT(problems_after_store("machines: [a]\n"),
              ElementsAre("2:11: machines: found a list, expected a map (keys and values)"));
}

TEST(SettingsProblems, MaintenanceOutOfRange) {
  for (const char* every : {"12h", "366d", "often", "30", "[1d]"})
    EXPECT_THAT(problems_after_store(fmt::format("maintenance: {{ verify_every: {} }}\n", every)),
                ElementsAre(AllOf(HasSubstr("maintenance.verify_every: found "),
                                  HasSubstr("expected a duration from 1d to 365d, or off"))))
        << every;
  for (const char* rate : {"1KiB", "2TiB", "fast", "0", "{ }"})
    EXPECT_THAT(problems_after_store(fmt::format("maintenance: {{ rate: {} }}\n", rate)),
                ElementsAre(AllOf(HasSubstr("maintenance.rate: found "),
                                  HasSubstr("expected a size (a second) from 1MiB to 1TiB, or off"))))
        << rate;
}

TEST(SettingsProblems, NumbersOutOfRange) {
  for (const char* number : {"0", "65", "-1", "+1", "1.5", "two", "010", "0x2", "99999999999999999999", "1e1", "\"2\""})
    EXPECT_THAT(problems_after_store(fmt::format("daemon: {{ max_jobs: {} }}\n", number)),
                ElementsAre(HasSubstr("2:21: daemon.max_jobs: found ")))
        << number;
  EXPECT_THAT(problems_after_store("daemon: { max_jobs: 65 }\n"),
              ElementsAre("2:21: daemon.max_jobs: found \"65\", expected a whole number from 1 to 64"));
}

TEST(SettingsProblems, ExactlyOneWayToUnlockTheStore) {
  EXPECT_THAT(
      problems("store:\n  path: /s\n  passphrase_file: /p\n  key_file: /k\n  passphrase_command: pass\n"),
      ElementsAre(
          "4:3: store.key_file: found key_file beside passphrase_file, expected exactly one of key_file, "
          "passphrase_file, passphrase_command",
          "5:3: store.passphrase_command: found passphrase_command beside passphrase_file, expected exactly one of "
          "key_file, passphrase_file, passphrase_command"));
  EXPECT_THAT(problems("store: { path: /s }\n"),
              ElementsAre(HasSubstr("1:1: store.key_file: found nothing, expected exactly one of")));
}

TEST(SettingsProblems, CommandsThatNeedAShell) {
  EXPECT_THAT(problems("store: { path: /s, passphrase_command: pass show x | head -1 }\n"),
              ElementsAre("1:40: store.passphrase_command: found the shell's \"|\" in \"pass show x | head -1\", "
                          "expected a command and its "
                          "arguments, which no shell expands; for a shell: [sh, -c, \"...\"]"));
  EXPECT_THAT(problems("store: { path: /s, passphrase_command: [] }\n"), ElementsAre(HasSubstr("found an empty list")));
  EXPECT_THAT(problems("store: { path: /s, passphrase_command: [a, [b]] }\n"),
              ElementsAre(HasSubstr("1:44: store.passphrase_command: found a list")));
  EXPECT_THAT(problems("store: { path: /s, passphrase_command: {a: b} }\n"),
              ElementsAre(HasSubstr("found a map, expected a command")));
}

TEST(SettingsProblems, ASocketPathThatIsTooLong) {
  EXPECT_THAT(problems_after_store("socket: /" + std::string(106, 'x') + "\n"), IsEmpty());
  EXPECT_THAT(
      problems_after_store("socket: /" + std::string(107, 'x') + "\n"),
      ElementsAre("2:9: socket: found a path of 108 bytes, expected at most 107 bytes, the limit for Unix sockets"));
}

TEST(SettingsProblems, VaultProvidersAndTheirKeys) {
  EXPECT_THAT(problems_after_store("key_vaults:\n  v: { provider: lokal }\n"),
              ElementsAre("3:18: key_vaults.v.provider: found \"lokal\", expected one of local, pkcs11, command; did "
                          "you mean \"local\"?"));
  EXPECT_THAT(problems_after_store("key_vaults:\n  v:\n"),
              ElementsAre("3:3: key_vaults.v.provider: found nothing, expected local, pkcs11 or command"));
  EXPECT_THAT(
      problems_after_store("key_vaults:\n  v: { provider: local, module: m }\n"),
      ElementsAre(
          "3:3: key_vaults.v.path: found nothing, expected the vault's directory",
          "3:3: key_vaults.v.key_file: found nothing, expected exactly one of key_file, passphrase_file, "
          "passphrase_command",
          "3:25: key_vaults.v.module: found module with provider local, expected it only with provider pkcs11"));
  EXPECT_THAT(problems_after_store("key_vaults: { v: { provider: local, path: /v, key_file: /k, commands: {} } }\n"),
              ElementsAre(HasSubstr("commands with provider local, expected it only with provider command")));
  EXPECT_THAT(problems_after_store("key_vaults: { v: { provider: command } }\n"),
              ElementsAre(HasSubstr("key_vaults.v.commands: found nothing")));
  EXPECT_THAT(
      problems_after_store("key_vaults: { v: { provider: command, commands: { list: a, wrap: b, put: c } } }\n"),
      UnorderedElementsAre(HasSubstr("commands.get_secret: found nothing"), HasSubstr("commands.unwrap: found nothing"),
                           HasSubstr("commands.put: found the unknown key")));
  EXPECT_THAT(problems_after_store("key_vaults: { v: { provider: lokal, path: /v, commands: {} } }\n"),
              ElementsAre(HasSubstr("key_vaults.v.provider")));
  EXPECT_THAT(
      problems_after_store("key_vaults: { v: { provider: local, path: /v, key_file: /k, principal: \"a b\" } }\n"),
      ElementsAre(HasSubstr("key_vaults.v.principal: found \"a b\", expected a name")));
  EXPECT_THAT(problems_after_store("key_vaults: { v: { provider: pkcs11 } }\n"),
              ElementsAre(HasSubstr(".path: found nothing"), HasSubstr(".module: found nothing"),
                          HasSubstr(".token: found nothing"), HasSubstr(".pin_file: found nothing"),
                          HasSubstr(".key_file: found nothing")));
}

TEST(SettingsProblems, SchedulesAndTimeZones) {
  EXPECT_THAT(problems_after_store("policies:\n  p:\n    schedule: \"0 25 * * *\"\n    timezone: Europe/Stokholm\n"),
              ElementsAre("4:15: policies.p.schedule: found hour \"25\", expected 0 to 23",
                          "5:15: policies.p.timezone: found \"Europe/Stokholm\", expected an IANA time zone, such as "
                          "Europe/Stockholm; did "
                          "you mean \"Europe/Stockholm\"?"));
  EXPECT_THAT(problems_after_store("policies: { p: { schedule: 0 0 30 2 * } }\n"),
              ElementsAre("2:28: policies.p.schedule: found \"0 0 30 2 *\", which never comes, expected a day that the "
                          "named months have"));
  EXPECT_THAT(problems_after_store("policies: { p: { schedule: daily } }\n"),
              ElementsAre(HasSubstr("2:28: policies.p.schedule: found \"daily\"")));
  EXPECT_THAT(problems_after_store("policies: { p: { schedule: } }\n"),
              ElementsAre(HasSubstr("policies.p.schedule: found nothing")));
  // YAML makes an alias of a star at the start of a plain text.
  EXPECT_THAT(problems_after_store("policies: { p: { schedule: */5 * * * * } }\n"), testing::SizeIs(1));
}

TEST(SettingsProblems, DurationsOutOfRange) {
  const struct {
    const char* key;
    const char* value;
  } kWrong[] = {{"soft_delete", "13d"}, {"soft_delete", "181d"}, {"soft_delete", "on"},   {"soft_delete", "1209600"},
                {"jitter", "1d"},       {"jitter", "24h"},       {"jitter", "10"},        {"jitter", "-5m"},
                {"jitter", "off"},      {"immutable", "0s"},     {"immutable", "37000d"}, {"immutable", "forever"},
                {"full_read", "0s"},    {"full_read", "3651d"},  {"full_read", "[1d]"}};
  for (const auto& [key, value] : kWrong) {
    const std::string text = fmt::format("policies:\n  p:\n    {}: {}\n", key, value);
    EXPECT_THAT(
        problems_after_store(text),
        ElementsAre(HasSubstr(fmt::format("4:{}: policies.p.{}: found ", std::string_view(key).size() + 7, key))))
        << text;
  }
  EXPECT_THAT(problems_after_store("policies: { p: { soft_delete: 13d } }\n"),
              ElementsAre("2:31: policies.p.soft_delete: found \"13d\", expected a duration from 14d to 180d, or off"));
  EXPECT_THAT(problems_after_store("policies: { p: { jitter: 10 } }\n"),
              ElementsAre("2:26: policies.p.jitter: found \"10\", expected a duration below 1d, such as 10m; a number "
                          "needs its unit: s, m, "
                          "h, d or w"));
}

TEST(SettingsProblems, ChangeTracking) {
  EXPECT_THAT(problems_after_store("change_tracking: { enable: true }\n"), ElementsAre(HasSubstr("\"enabled\"")));
  EXPECT_THAT(problems_after_store("change_tracking: { enabled: 5 }\n"),
              ElementsAre(HasSubstr("change_tracking.enabled: found")));
  for (const char* wrong : {"a/b", "..", ".", "./x"})
    EXPECT_THAT(problems_after_store(fmt::format("change_tracking: {{ clones: {} }}\n", wrong)),
                ElementsAre(HasSubstr("expected the name of a folder beside each image, such as .cairn-clones, or an "
                                      "absolute path")));
  // The mount would hide the clones.
  EXPECT_THAT(problems_after_store("mount: { path: /srv/points }\nchange_tracking: { clones: /srv/points/c }\n"),
              ElementsAre(HasSubstr("which the mount on /srv/points would hide")));
}

TEST(SettingsProblems, ARetentionThatKeepsNothing) {
  for (const char* rule : {"{}", "{ last: 0, daily: 0 }", ""})
    EXPECT_THAT(problems_after_store(fmt::format("policies:\n  p:\n    retention: {}\n", rule)),
                ElementsAre("4:5: policies.p.retention: found a rule that keeps nothing, expected at least one of "
                            "last, hourly, daily, weekly, "
                            "monthly, yearly above 0"))
        << rule;
  EXPECT_THAT(problems_after_store("policies: { p: { retention: { last: x } } }\n"),
              ElementsAre(HasSubstr("2:37: policies.p.retention.last: found \"x\"")));
  EXPECT_THAT(problems_after_store("policies: { p: { retention: 30d } }\n"),
              ElementsAre(HasSubstr("2:29: policies.p.retention: found \"30d\"")));
}

TEST(SettingsProblems, ChoicesWithTheNearest) {
  EXPECT_THAT(
      problems_after_store("policies: { p: { on_missing_keys: wran } }\n"),
      ElementsAre("2:35: policies.p.on_missing_keys: found \"wran\", expected fail or warn; did you mean \"warn\"?"));
  EXPECT_THAT(problems_after_store("policies: { p: { on_missing_keys: WARN } }\n"),
              ElementsAre(HasSubstr("did you mean \"warn\"?")));
}

TEST(SettingsProblems, NamesThatCannotBeFileNames) {
  for (const char* name : {"a/b", ".hidden", "-x", "_x", "a b", "é", "\"\"", "a@b", "'..'"})
    EXPECT_THAT(problems_after_store(fmt::format("machines:\n  {}: {{ disks: {{ d: {{ image: i }} }} }}\n", name)),
                ElementsAre(HasSubstr("3:3: machines.")))
        << name;
  EXPECT_THAT(problems_after_store("machines:\n  " + std::string(65, 'm') + ": { disks: { d: { image: i } } }\n"),
              ElementsAre(HasSubstr("expected a name of 1 to 64 letters")));
  EXPECT_THAT(problems_after_store("machines:\n  " + std::string(64, 'm') + ": { disks: { 0._-Z: { image: i } } }\n"),
              IsEmpty());
  EXPECT_THAT(problems_after_store("machines:\n  m:\n    disks: { a/b: { image: i } }\n"),
              ElementsAre("4:14: machines.m.disks.a/b: found the disk name \"a/b\", expected a name of 1 to 64 letters "
                          "a-z A-Z, digits and . _ "
                          "-, beginning with a letter or digit"));
}

TEST(SettingsProblems, MachinesWithoutDisks) {
  for (const char* machine : {"", "{}", "{ disks: {} }", "{ disks: }"})
    EXPECT_THAT(problems_after_store(fmt::format("machines:\n  m: {}\n", machine)),
                ElementsAre("3:3: machines.m.disks: found nothing, expected at least one disk (or libvirt: NAME, whose "
                            "disks are found)"))
        << machine;
  EXPECT_THAT(problems_after_store("machines: { m: { disks: [a] } }\n"),
              ElementsAre(HasSubstr("2:25: machines.m.disks: found a list")));
  EXPECT_THAT(
      problems_after_store("machines: { m: { disks: { d: } } }\n"),
      ElementsAre("2:27: machines.m.disks.d.image: found nothing, expected the image file or block device of the disk "
                  "(or nbd: an export of an NBD server)"));
}

TEST(SettingsProblems, TwoDisksWithOneImage) {
  EXPECT_THAT(
      problems_after_store("machines:\n  m:\n    disks:\n      a: { image: /x/i }\n      b: { image: /x/../x//i }\n"),
      ElementsAre(
          "6:19: machines.m.disks.b.image: found the image of disk \"a\" again, expected an image for each disk"));
}

TEST(SettingsProblems, PoliciesThatAreNotThere) {
  EXPECT_THAT(
      problems_after_store(
          "policies: { nightly: {} }\nmachines:\n  m: { policy: nigthly, disks: { d: { image: i } } }\n"),
      ElementsAre(
          "4:16: machines.m.policy: found \"nigthly\", expected a policy that is declared under policies; did you mean "
          "\"nightly\"?"));
  EXPECT_THAT(
      problems_after_store("machines:\n  m: { policy: hourly, disks: { d: { image: i } } }\n"),
      ElementsAre(
          "3:16: machines.m.policy: found \"hourly\", expected a policy that is declared under policies (default)"));
}

TEST(SettingsProblems, KeysOfDisks) {
  const auto disk = [](const char* keys) {
    return problems_after_store(
        fmt::format("key_vaults: {{ main: {{ provider: local, path: /v, key_file: /vk }} }}\nmachines:\n  m:\n    "
                    "disks:\n      d: {{ image: i, {} }}\n",
                    keys));
  };
  EXPECT_THAT(disk("bek: main/b, kek: main/k"), IsEmpty());
  // No problem of the whole file: an error of its own (bek-without-kek) that stops this machine only.
  EXPECT_THAT(disk("bek: main/b"), IsEmpty());
  EXPECT_THAT(disk("bek: [main/a, main/b], kek: main/k"), IsEmpty());
  EXPECT_THAT(disk("bek: [], kek: main/k"), ElementsAre(HasSubstr("bek: found an empty list")));
  EXPECT_THAT(disk("bek: main/a, kek: [main/k]"), ElementsAre(HasSubstr("kek: found ")));
  EXPECT_THAT(disk("kek: main/k"), ElementsAre("6:22: machines.m.disks.d.kek: found a kek without a bek, expected the "
                                               "bek that it wraps too (or neither, for a disk "
                                               "that is not encrypted)"));
  EXPECT_THAT(disk("format: raw, header: /etc/cairn/root.header"), IsEmpty());
  EXPECT_THAT(disk("header: 'partition:1/luks/header'"), IsEmpty());
  for (const char* wrong :
       {"partition:", "partition:1", "partition:0/h", "partition:01/h", "partition:x/h", "partition:1/",
        "partition:-1/h", "partition:1/a//h", "partition:1/../h", "partition:1/a/./h", "partition:99999999999/h"})
    EXPECT_THAT(disk(fmt::format("header: '{}'", wrong).c_str()),
                ElementsAre(HasSubstr("expected partition:N/PATH, such as partition:1/luks/header")))
        << wrong;
  EXPECT_THAT(disk("format: qed"), ElementsAre(HasSubstr("format: found \"qed\", expected raw, qcow2, ")));
  EXPECT_THAT(disk("bek: mian/b, kek: main/k"),
              ElementsAre("6:27: machines.m.disks.d.bek: found the vault \"mian\", expected a vault that is declared "
                          "under key_vaults; did you "
                          "mean \"main\"?"));
  for (const char* wrong : {"b", "/b", "main/", "main/a/b", "main/a b", "[main, b]", "[main/a, [main/b]]"})
    EXPECT_THAT(disk(fmt::format("bek: {}, kek: main/k", wrong).c_str()),
                ElementsAre(HasSubstr("6:27: machines.m.disks.d.bek: found ")))
        << wrong;
}

TEST(SettingsProblems, PathsThatTheMountWouldHide) {
  EXPECT_THAT(problems("store: { path: /srv/points/store, key_file: /k }\nmount: { path: /srv/points }\n"),
              ElementsAre("1:16: store.path: found \"/srv/points/store\", which the mount on /srv/points would hide, "
                          "expected a path outside "
                          "mount.path"));
  EXPECT_THAT(problems("store: { path: /srv, key_file: /k }\n"),
              ElementsAre("1:16: mount.path: found \"/srv/recovery-points\" inside store.path, expected a path outside "
                          "store.path (/srv)"));
  EXPECT_THAT(
      problems_after_store("state_dir: /s/state\n"),
      ElementsAre(
          "2:12: state_dir: found \"/s/state\" inside store.path, expected a directory of its own, outside the store"));
  EXPECT_THAT(
      problems_after_store("mount: { path: /images }\nmachines: { m: { disks: { d: { image: /images/i } } } }\n"),
      ElementsAre(HasSubstr("3:39: machines.m.disks.d.image: found \"/images/i\", which the mount")));
  EXPECT_THAT(
      problems_after_store("mount: { path: /image }\nmachines: { m: { disks: { d: { image: /images/i } } } }\n"),
      IsEmpty());
}

TEST(SettingsProblems, ASyntaxErrorIsReportedAlone) {
  EXPECT_THAT(problems("store: { path: 12 }\nmachines: [\n"), ElementsAre(HasSubstr("found a YAML syntax error")));
}

TEST(SettingsProblems, AllAtOnceInTheFilesOrder) {
  EXPECT_THAT(
      problems(R"(machines:
  web 1:
    policy: nigtly
    disks:
      root: { image: a.img, bek: mian/x, kek: main/y }
      root: { image: b.img }
      more: { image: ./a.img, bek: main/x }
policies:
  nightly: { schedule: "61 * * * *", retention: { dayly: 3, last: 1 }, soft_delete: 1d }
store:
  path: 7
  keyfile: /k
  passphrase_file: p
mount: yes
)"),
      ElementsAre(HasSubstr("2:3: machines.\"web 1\": found the machine name"),
                  HasSubstr("3:13: machines.\"web 1\".policy: found \"nigtly\""),
                  HasSubstr("5:34: machines.\"web 1\".disks.root.bek: found the vault \"mian\""),
                  HasSubstr("5:47: machines.\"web 1\".disks.root.kek: found the vault \"main\""),
                  HasSubstr("6:7: machines.\"web 1\".disks.root: found the key \"root\" a second time"),
                  HasSubstr("7:22: machines.\"web 1\".disks.more.image: found the image of disk \"root\" again"),
                  HasSubstr("7:36: machines.\"web 1\".disks.more.bek: found the vault \"main\""),
                  HasSubstr("9:24: policies.nightly.schedule: found minute \"61\""),
                  HasSubstr("9:51: policies.nightly.retention.dayly: found the unknown key \"dayly\""),
                  HasSubstr("9:85: policies.nightly.soft_delete: found \"1d\""),
                  HasSubstr("11:9: store.path: found \"7\""), HasSubstr("12:3: store.keyfile: found the unknown key"),
                  HasSubstr("14:8: mount: found \"yes\"")));
}

TEST(BrokenSettings, TellWhereTheDaemonListens) {
  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "broken-settings.yaml";
  const auto socket_of = [&](const std::string& text) {
    std::ofstream(file) << text;
    return socket_named_in(file).string();
  };
  EXPECT_EQ(socket_of("store: { path: \"\nsocket: /run/a.sock\n"), "/run/a.sock");
  EXPECT_EQ(socket_of("polices: {}\nsocket:   '/run/b.sock'  # mine\n"), "/run/b.sock");
  EXPECT_EQ(socket_of("socket: \"c.sock\"\r\n"), (file.parent_path() / "c.sock").lexically_normal().string());
  EXPECT_EQ(socket_of("machines:\n  socket: /of/something/else\n"), Settings().socket.string());
  EXPECT_EQ(socket_of("socket:\n"), Settings().socket.string());
  EXPECT_EQ(socket_of(""), Settings().socket.string());
  std::filesystem::remove(file);
  EXPECT_EQ(socket_named_in(file), Settings().socket);
}

}  // namespace
}  // namespace cairn
