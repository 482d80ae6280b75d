// SPDX-License-Identifier: GPL-3.0-or-later
// Settings: what a correct file becomes.
#include "config/settings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "config/settings_fields.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

namespace fs = std::filesystem;

constexpr const char* kFile = "/etc/cairn/cairn.yaml";

Settings parsed(std::string_view text, const fs::path& file = kFile) {
  SettingsReport report = parse_settings(text, file);
  for (const SettingsProblem& problem : report.problems) ADD_FAILURE() << describe(problem, file);
  return report.settings.value_or(Settings{});
}

// The file of the design, section 6.
constexpr const char* kDesign = R"(store:
  path: /srv/cairn/store
  key_file: /etc/cairn/store.key          # or passphrase_file, or passphrase_command
state_dir: /var/lib/cairn                 # journal, locks
socket: /run/cairn/cairnd.sock
mount: { path: /srv/recovery-points, allow_other: false }

key_vaults:
  main: { provider: local, path: /etc/cairn/keyvault, key_file: /etc/cairn/keyvault.key, principal: cairn-backup }

policies:
  nightly:
    schedule: "0 2 * * *"                 # five-field cron, "@daily", or "every 6h"
    timezone: Europe/Stockholm            # IANA name; daylight saving handled; default is the host's
    jitter: 10m
    retention: { last: 3, daily: 30, weekly: 12, monthly: 12, yearly: 7 }
    on_missing_keys: fail                 # or warn: take the point, completed with warnings, marked unproved
    soft_delete: 14d                      # 14d to 180d, or off
    immutable: 30d                        # left out: not immutable
    full_read: 30d                        # how often change tracking is checked by reading everything

machines:
  web-01:
    policy: nightly                       # "default" when left out; policies: { default: {...} } changes it
    definition: /etc/libvirt/qemu/web-01.xml
    disks:
      root: { image: /var/lib/libvirt/images/web-01.img, bek: main/web-01-root, kek: main/backup }
      scratch: { image: /var/lib/libvirt/images/web-01-scratch.img, format: raw, header: scratch.header }   # not encrypted: no keys
)";

TEST(Settings, ReadsEveryKeyOfTheDesign) {
  const Settings settings = parsed(kDesign);
  EXPECT_EQ(settings.file, kFile);
  EXPECT_EQ(settings.store.path, "/srv/cairn/store");
  EXPECT_EQ(settings.store.key.key_file, "/etc/cairn/store.key");
  EXPECT_FALSE(settings.store.key.passphrase_file);
  EXPECT_EQ(settings.state_dir, "/var/lib/cairn");
  EXPECT_EQ(settings.socket, "/run/cairn/cairnd.sock");
  EXPECT_EQ(settings.mount.path, "/srv/recovery-points");
  EXPECT_FALSE(settings.mount.allow_other);
  ASSERT_EQ(settings.key_vaults.size(), 1U);
  const KeyVaultSettings& vault = settings.key_vaults.at("main");
  EXPECT_EQ(vault.provider, KeyVaultSettings::Provider::local);
  EXPECT_EQ(vault.path, "/etc/cairn/keyvault");
  EXPECT_EQ(vault.key.key_file, "/etc/cairn/keyvault.key");
  EXPECT_EQ(vault.principal, "cairn-backup");
  ASSERT_EQ(settings.policies.size(), 2U);
  const Policy& nightly = settings.policies.at("nightly");
  EXPECT_EQ(nightly.name, "nightly");
  EXPECT_EQ(nightly.schedule.text(), "0 2 * * *");
  EXPECT_EQ(nightly.schedule.zone(), "Europe/Stockholm");
  EXPECT_EQ(nightly.jitter, minutes{10});
  EXPECT_EQ(nightly.retention.last, 3U);
  EXPECT_EQ(nightly.retention.hourly, 0U);
  EXPECT_EQ(nightly.retention.daily, 30U);
  EXPECT_EQ(nightly.retention.weekly, 12U);
  EXPECT_EQ(nightly.retention.monthly, 12U);
  EXPECT_EQ(nightly.retention.yearly, 7U);
  EXPECT_EQ(nightly.on_missing_keys, OnMissingKeys::fail);
  EXPECT_EQ(nightly.soft_delete, days{14});
  EXPECT_EQ(nightly.immutable, days{30});
  EXPECT_EQ(nightly.full_read, days{30});
  const auto machine = settings.machine("web-01");
  ASSERT_TRUE(machine);
  EXPECT_EQ((*machine)->name, "web-01");
  EXPECT_EQ((*machine)->definition, "/etc/libvirt/qemu/web-01.xml");
  EXPECT_EQ(settings.policy_of(**machine).name, "nightly");
  ASSERT_EQ((*machine)->disks.size(), 2U);
  const DiskSettings& root = (*machine)->disks[0];
  EXPECT_EQ(root.name, "root");
  EXPECT_EQ(root.image.path, "/var/lib/libvirt/images/web-01.img");
  EXPECT_THAT(root.beks, ElementsAre(VaultReference{"main", "web-01-root"}));
  EXPECT_EQ(root.kek, (VaultReference{"main", "backup"}));
  EXPECT_EQ(root.image.format, DiskFormat::not_said);
  EXPECT_TRUE(root.header.empty());
  EXPECT_EQ((*machine)->disks[1].image.format, DiskFormat::raw);
  EXPECT_EQ((*machine)->disks[1].header.filename(), "scratch.header");
  EXPECT_THAT((*machine)->disks[1].beks, IsEmpty());
  EXPECT_FALSE((*machine)->disks[1].kek);
}

TEST(Settings, AHeaderInsideOfTheDiskIsReadAsItIsWritten) {
  const auto place = parse_header_inside("partition:12/luks/os header");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->partition, 12U);
  EXPECT_EQ(place->path, "/luks/os header");
  EXPECT_EQ(place->text(), "partition:12/luks/os header");
  EXPECT_FALSE(parse_header_inside("/etc/cairn/partition:1/luks/header"));
  EXPECT_FALSE(parse_header_inside(std::string_view("partition:1/a\0b", 15)));
}

TEST(Settings, NeedOnlyTheStore) {
  const Settings settings = parsed("store: { path: s, key_file: k }");
  EXPECT_EQ(settings.store.path, "/etc/cairn/s");
  EXPECT_EQ(settings.state_dir, "/var/lib/cairn");
  EXPECT_EQ(settings.socket, "/run/cairn/cairnd.sock");
  EXPECT_EQ(settings.mount.path, "/srv/recovery-points");
  EXPECT_FALSE(settings.mount.allow_other);
  EXPECT_EQ(settings.daemon.max_jobs, 2U);
  EXPECT_EQ(settings.maintenance.verify_every, std::chrono::days(30));
  EXPECT_EQ(settings.maintenance.rate, 100 * kMiB);
  EXPECT_TRUE(settings.machines.empty());
}

TEST(Settings, ChangeTrackingIsOnUnlessItIsSaid) {
  const std::string store = "store: { path: s, key_file: k }\n";
  EXPECT_TRUE(parsed(store).change_tracking.enabled);
  EXPECT_EQ(parsed(store).change_tracking.clones, ".cairn-clones");
  EXPECT_FALSE(parsed(store + "change_tracking: { enabled: false }").change_tracking.enabled);
  // A name is one beside each image, not beside the settings.
  EXPECT_EQ(parsed(store + "change_tracking: { clones: kept }").change_tracking.clones, "kept");
  EXPECT_EQ(parsed(store + "change_tracking: { clones: /srv/images/kept/ }").change_tracking.clones,
            "/srv/images/kept");
}

TEST(Settings, TheDefaultPolicyIsThereUnwritten) {
  const Settings settings = parsed("store: { path: s, key_file: k }\nmachines: { m: { disks: { d: { image: i } } } }");
  const Policy& policy = settings.policy_of(settings.machines.at("m"));
  EXPECT_EQ(policy.name, "default");
  EXPECT_EQ(policy.schedule.text(), "@daily");
  EXPECT_EQ(policy.retention.daily, 30U);
  EXPECT_EQ(policy.retention.last, 0U);
  EXPECT_EQ(policy.jitter.count(), 0);
  EXPECT_EQ(policy.soft_delete, days{14});
  EXPECT_FALSE(policy.immutable);
  EXPECT_EQ(policy.full_read, days{30});
}

TEST(Settings, TheDefaultPolicyCanBeChangedInPart) {
  const Settings settings = parsed("store: { path: s, key_file: k }\npolicies: { default: { schedule: every 6h } }");
  const Policy& policy = settings.policies.at("default");
  EXPECT_EQ(policy.name, "default");
  EXPECT_EQ(policy.schedule.text(), "every 6h");
  EXPECT_EQ(policy.retention.daily, 30U);
}

TEST(Settings, AWrittenRetentionSaysEverything) {
  const Settings settings = parsed("store: { path: s, key_file: k }\npolicies: { p: { retention: { last: 3 } } }");
  EXPECT_EQ(settings.policies.at("p").retention.last, 3U);
  EXPECT_EQ(settings.policies.at("p").retention.daily, 0U);
}

TEST(Settings, SoftDeleteAndImmutableCanBeOff) {
  const Settings settings =
      parsed("store: { path: s, key_file: k }\npolicies: { p: { soft_delete: off, immutable: Off } }");
  EXPECT_FALSE(settings.policies.at("p").soft_delete);
  EXPECT_FALSE(settings.policies.at("p").immutable);
}

TEST(Settings, MaintenanceCanBeTurnedOffAndUnlimited) {
  const Settings off = parsed("store: { path: s, key_file: k }\nmaintenance: { verify_every: off, rate: off }\n");
  EXPECT_FALSE(off.maintenance.verify_every);
  EXPECT_EQ(off.maintenance.rate, 0U);
  const Settings set = parsed("store: { path: s, key_file: k }\nmaintenance: { verify_every: 7d, rate: 20 MiB }\n");
  EXPECT_EQ(set.maintenance.verify_every, days{7});
  EXPECT_EQ(set.maintenance.rate, 20 * kMiB);
}

TEST(Settings, LimitsThemselvesAreAllowed) {
  const Settings settings = parsed(
      "store: { path: s, key_file: k }\npolicies:\n  a: { soft_delete: 14d, jitter: 0s }\n  b: { soft_delete: 180d, "
      "jitter: 23h }\n"
      "daemon: { max_jobs: 64 }\n");
  EXPECT_EQ(settings.policies.at("b").soft_delete, days{180});
  EXPECT_EQ(settings.policies.at("b").jitter, hours{23});
  EXPECT_EQ(settings.daemon.max_jobs, 64U);
}

TEST(Settings, RelativePathsAreRelativeToTheFile) {
  const Settings settings =
      parsed("store: { path: ../data//store/, key_file: ./keys/../store.key }\nsocket: cairnd.sock\n",
             "/home/a/conf/cairn.yaml");
  EXPECT_EQ(settings.store.path, "/home/a/data/store");
  EXPECT_EQ(settings.store.key.key_file, "/home/a/conf/store.key");
  EXPECT_EQ(settings.socket, "/home/a/conf/cairnd.sock");
}

TEST(Settings, PathsOfAFileInTheWorkingDirectoryAreAbsolute) {
  const Settings settings = parsed("store: { path: s, key_file: k }", "cairn.yaml");
  EXPECT_EQ(settings.store.path, fs::current_path() / "s");
}

TEST(Settings, QuotedPathsMayLookLikeNumbers) {
  EXPECT_EQ(parsed("store: { path: \"2026\", key_file: 'true' }").store.path, "/etc/cairn/2026");
}

TEST(Settings, PassphraseCommandIsAListOrOneLine) {
  EXPECT_THAT(parsed("store: { path: s, passphrase_command: [pass, show, 'a b', 7] }").store.key.passphrase_command,
              ElementsAre("pass", "show", "a b", "7"));
  EXPECT_THAT(
      parsed("store: { path: s, passphrase_command: pass show \"a b\" 'c d'\\ e }").store.key.passphrase_command,
      ElementsAre("pass", "show", "a b", "c d e"));
  EXPECT_THAT(parsed("store: { path: s, passphrase_command: bin/get x/y }").store.key.passphrase_command,
              ElementsAre("/etc/cairn/bin/get", "x/y"));
}

TEST(Settings, CommandsSplitAsAShellWould) {
  const auto words = [](std::string_view text) {
    return split_command(text).value_or(std::vector<std::string>{"refused"});
  };
  EXPECT_THAT(words("a  b\tc"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(words("a '' \"\""), ElementsAre("a", "", ""));
  EXPECT_THAT(words("a 'b|c$d\\e' \"f\\\"g\\\\h\\i\""), ElementsAre("a", "b|c$d\\e", "f\"g\\h\\i"));
  EXPECT_THAT(words("a\\ b c\\|d"), ElementsAre("a b", "c|d"));
  for (const char* text : {"", "  ", "''", "a 'b", "a \"b", "a\\", "a | b", "a > b", "a $HOME", "\"$HOME\"", "a `b`",
                           "a; b", "a *", "~/a"})
    EXPECT_FALSE(split_command(text)) << text;
}

TEST(Settings, OtherVaultProvidersHaveKeysOfTheirOwn) {
  const Settings settings = parsed(R"(store: { path: s, key_file: k }
key_vaults:
  hsm: { provider: pkcs11, module: /usr/lib/softhsm/libsofthsm2.so, token: cairn, pin_file: pin, path: v,
         passphrase_file: p, escrow_beks: false }
  cloud:
    provider: command
    commands:
      list: vault-tool list
      get_secret: [vault-tool, get, "{name}"]
      wrap: vault-tool wrap {name} {version}
      unwrap: vault-tool unwrap {name} {version}
    timeout: 5s
    principal: backup
)");
  const KeyVaultSettings& hsm = settings.key_vaults.at("hsm");
  EXPECT_EQ(hsm.provider, KeyVaultSettings::Provider::pkcs11);
  EXPECT_EQ(hsm.module, "/usr/lib/softhsm/libsofthsm2.so");
  EXPECT_EQ(hsm.token, "cairn");
  EXPECT_EQ(hsm.pin_file, "/etc/cairn/pin");
  EXPECT_EQ(hsm.path, "/etc/cairn/v");
  EXPECT_EQ(hsm.key.passphrase_file, "/etc/cairn/p");
  EXPECT_FALSE(hsm.escrow_beks);
  const KeyVaultSettings& cloud = settings.key_vaults.at("cloud");
  EXPECT_EQ(cloud.provider, KeyVaultSettings::Provider::command);
  EXPECT_THAT(cloud.commands.get_secret, ElementsAre("vault-tool", "get", "{name}"));
  EXPECT_THAT(cloud.commands.unwrap, ElementsAre("vault-tool", "unwrap", "{name}", "{version}"));
  EXPECT_THAT(cloud.commands.backup, IsEmpty());
  EXPECT_EQ(cloud.timeout, std::chrono::seconds(5));
  EXPECT_TRUE(cloud.escrow_beks);
  EXPECT_EQ(cloud.principal, "backup");
}

TEST(Settings, AliasesShareAValue) {
  const Settings settings = parsed(R"(store: { path: s, key_file: k }
policies:
  a: { retention: &long { daily: 90 } }
  b: { retention: *long }
)");
  EXPECT_EQ(settings.policies.at("b").retention.daily, 90U);
}

TEST(Settings, DisksKeepTheFilesOrder) {
  const Settings settings = parsed(
      "store: { path: s, key_file: k }\nmachines: { m: { disks: { z: {image: 1.img}, a: {image: 2.img}, m: {image: "
      "3.img} } } }");
  std::vector<std::string> names;
  for (const DiskSettings& disk : settings.machines.at("m").disks) names.push_back(disk.name);
  EXPECT_THAT(names, ElementsAre("z", "a", "m"));
}

TEST(Settings, NameTheNearestMachine) {
  const auto machine = parsed(kDesign).machine("web-1");
  ASSERT_FALSE(machine);
  EXPECT_EQ(machine.error().code, ErrorCode::no_such_machine);
  EXPECT_THAT(machine.error().message(),
              HasSubstr("web-1: it is not in the settings /etc/cairn/cairn.yaml; did you mean \"web-01\"?"));
}

// The commented example is what people start from.
TEST(SettingsExample, ParsesWithoutAProblem) {
  const fs::path file = CAIRN_EXAMPLE_SETTINGS;
  std::ifstream stream(file);
  ASSERT_TRUE(stream) << file;
  std::stringstream text;
  text << stream.rdbuf();
  const Settings settings = parsed(text.str(), kFile);
  EXPECT_FALSE(settings.machines.empty());
}

// ... and so it does when every line that is commented out with "#" at once before a key is used.
TEST(SettingsExample, ParsesWithEveryOptionSwitchedOn) {
  std::ifstream stream(CAIRN_EXAMPLE_SETTINGS);
  ASSERT_TRUE(stream);
  std::string text;
  int switched_on = 0;
  for (std::string line; std::getline(stream, line);) {
    const std::size_t hash = line.find_first_not_of(' ');
    const bool is_option = hash != std::string::npos && line[hash] == '#' && hash + 1 < line.size() &&
                           line[hash + 1] != ' ' && line[hash + 1] != '#';
    if (is_option) {
      line.erase(hash, 1);
      ++switched_on;
    }
    text += line + '\n';
  }
  EXPECT_GT(switched_on, 5);
  parsed(text);
}

// The examples of the reference are correct settings.
TEST(SettingsReference, ItsExampleParses) {
  std::ifstream stream(CAIRN_SETTINGS_REFERENCE);
  ASSERT_TRUE(stream);
  std::stringstream buffer;
  buffer << stream.rdbuf();
  const std::string text = buffer.str();
  const std::size_t begin = text.find("```yaml\n");
  ASSERT_NE(begin, std::string::npos);
  parsed(std::string_view(text).substr(begin + 8, text.find("```", begin + 8) - begin - 8));
}

class SettingsFile : public testing::Test {
 protected:
  SettingsFile() {
    std::string pattern = (fs::temp_directory_path() / "cairn-settings-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) directory_ = pattern;
  }
  ~SettingsFile() override {
    std::error_code ignored;
    if (!directory_.empty()) fs::remove_all(directory_, ignored);
  }
  SettingsFile(const SettingsFile&) = delete;
  SettingsFile& operator=(const SettingsFile&) = delete;

  fs::path write(std::string_view text) {
    const fs::path file = directory_ / "cairn.yaml";
    std::ofstream(file) << text;
    return file;
  }
  fs::path directory_;
};

TEST_F(SettingsFile, IsRead) {
  const auto settings = load_settings(write("store: { path: s, key_file: k }\n"));
  ASSERT_TRUE(settings) << settings.error().message();
  EXPECT_EQ(settings->store.path, directory_ / "s");
}

TEST_F(SettingsFile, MissingOnesAreSaidToBeMissing) {
  const auto settings = load_settings(directory_ / "none.yaml");
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().code, ErrorCode::settings_missing);
  EXPECT_THAT(settings.error().message(), HasSubstr("none.yaml"));
}

TEST_F(SettingsFile, DirectoriesAndFifosAreUnreadable) {
  const auto directory = load_settings(directory_);
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().code, ErrorCode::settings_unreadable);
  EXPECT_THAT(directory.error().message(), HasSubstr("it is a directory; name the file in it, such as"));
  const fs::path fifo = directory_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const auto settings = load_settings(fifo);
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().code, ErrorCode::settings_unreadable);
}

TEST_F(SettingsFile, WithoutPermissionIsUnreadable) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
  const fs::path file = write("store: {}\n");
  fs::permissions(file, fs::perms::none);
  const auto settings = load_settings(file);
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().code, ErrorCode::settings_unreadable);
}

TEST_F(SettingsFile, ProblemsAreListedALineEach) {
  const fs::path file = write("store: { path: s, keyfile: k }\nsockets: x\n");
  const auto settings = load_settings(file);
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().code, ErrorCode::settings_invalid);
  const std::string f = file.string();
  EXPECT_EQ(settings.error().message(),
            fmt::format("cannot use settings {0}: there are problems in it:\n"
                        "{0}:1:1: store.key_file: found nothing, expected exactly one of "
                        "key_file, passphrase_file, passphrase_command\n"
                        "{0}:1:19: store.keyfile: found the unknown key \"keyfile\", "
                        "expected one of path, key_file, passphrase_file, "
                        "passphrase_command; did you mean \"key_file\"?\n"
                        "{0}:2:1: sockets: found the unknown key \"sockets\", expected one "
                        "of store, state_dir, socket, unprotected, mount, daemon, maintenance, "
                        "change_tracking, key_vaults, policies, machines; did you mean \"socket\"?\n"
                        "3 problems; correct it and run \"cairn config check\"",
                        f));
}

TEST_F(SettingsFile, OverAMebibyteIsRefused) {
  const auto settings = load_settings(write("store: { path: s, key_file: k }\n" + std::string(2 * 1024 * 1024, '#')));
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().code, ErrorCode::settings_invalid);
  EXPECT_THAT(settings.error().message(), HasSubstr("more than 1.00 MiB, expected at most 1.00 MiB"));
}

}  // namespace
}  // namespace cairn
