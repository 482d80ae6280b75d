// SPDX-License-Identifier: GPL-3.0-or-later
// parse_settings: the sections of cairn.yaml, key by key, and what must hold between them.
// Keys, defaults and ranges: config/REFERENCE.md.
#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "config/base/text.h"
#include "config/settings.h"
#include "config/settings_fields.h"
#include "config/time_zone.h"
#include "config/yaml_reader.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
namespace fs = std::filesystem;

constexpr unsigned kMostJobs = 64;
constexpr unsigned kMostKept = 100'000;
constexpr std::size_t kLongestSocketPath = sizeof(sockaddr_un::sun_path) - 1;

constexpr DurationLimits kJitter = {seconds{0}, days{1} - seconds{1}, "a duration below 1d, such as 10m"};
constexpr DurationLimits kSoftDelete = {days{14}, days{180}, "a duration from 14d to 180d"};
constexpr DurationLimits kImmutable = {minutes{1}, days{36500}, "a duration from 1m to 36500d, such as 30d"};
constexpr DurationLimits kVaultTimeout = {seconds{1}, hours{1}, "a duration from 1s to 1h, such as 30s"};
constexpr const char* kReference = "VAULT/NAME, such as main/web-01-root";
constexpr const char* kName = "a name: 1 to 64 of a-z A-Z 0-9 . _ -, beginning with a letter or digit";
constexpr DurationLimits kFullRead = {minutes{1}, days{3650}, "a duration from 1m to 3650d, such as 30d"};

// A path of the settings, kept until all are known: the mount must not hide the others.
struct NamedPath {
  std::string key;
  YamlPosition at;  // line 0: a default
  fs::path path;
};

bool is_inside(const fs::path& path, const fs::path& directory) {
  const auto [end, rest] = std::ranges::mismatch(directory, path);
  return end == directory.end();
}

class SettingsReader {
 public:
  SettingsReader(const fs::path& file, ProblemList& problems) : problems_(problems) {
    settings_.file = fs::absolute(file).lexically_normal();
    directory_ = settings_.file.parent_path();
  }

  Settings read(const YamlNode* root) {
    MapReader top(problems_, root, {}, "", directory_);
    read_store(top);
    read_places(top);
    MapReader daemon = top.map("daemon");
    if (const auto jobs = daemon.number("max_jobs", 1, kMostJobs)) settings_.daemon.max_jobs = *jobs;
    daemon.finish();
    read_maintenance(top);
    read_change_tracking(top);
    read_key_vaults(top);
    read_policies(top);
    read_machines(top);
    top.finish();
    check_paths();
    return std::move(settings_);
  }

 private:
  std::optional<fs::path> named_path(MapReader& map, std::string_view key, fs::path otherwise = {}) {
    const YamlEntry* entry = map.take(key);
    auto path = map.path(key);
    if (!path && entry == nullptr && !otherwise.empty()) path = std::move(otherwise);
    if (path) paths_.push_back({map.key_path(key), entry != nullptr ? entry->value->at : YamlPosition{}, *path});
    return path;
  }

  void read_maintenance(MapReader& top) {
    MapReader map = top.map("maintenance");
    static constexpr DurationLimits kVerifyEvery{std::chrono::days{1}, std::chrono::days{365},
                                                 "a duration from 1d to 365d"};
    if (const auto every = map.duration_or_off("verify_every", kVerifyEvery))
      settings_.maintenance.verify_every = *every;
    if (const auto rate = map.size_or_off("rate", kMiB, 1024 * kGiB, "a size (a second) from 1MiB to 1TiB"))
      settings_.maintenance.rate = rate->value_or(0);
    map.finish();
  }

  void read_store(MapReader& top) {
    MapReader store = top.map("store");
    if (const auto path = named_path(store, "path"))
      settings_.store.path = *path;
    else if (store.take("path") == nullptr)
      store.missing("path", "the store's directory");

    read_key(store, settings_.store.key);
    store.finish();
  }

  // The three ways to name a key, of which exactly one is given.
  void read_key(MapReader& map, KeySettings& key) {
    static constexpr std::array<std::string_view, 3> kWays = {"key_file", "passphrase_file", "passphrase_command"};
    key.key_file = named_path(map, kWays[0]);
    key.passphrase_file = named_path(map, kWays[1]);
    key.passphrase_command = map.command(kWays[2]).value_or(std::vector<std::string>{});
    std::vector<const YamlEntry*> given;
    for (const std::string_view way : kWays)
      if (const YamlEntry* entry = map.take(way)) given.push_back(entry);
    static constexpr const char* kExactlyOne = "exactly one of key_file, passphrase_file, passphrase_command";
    if (given.empty()) map.missing("key_file", kExactlyOne);
    std::ranges::sort(given, {},
                      [](const YamlEntry* entry) { return std::pair(entry->key_at.line, entry->key_at.column); });
    for (std::size_t i = 1; i < given.size(); ++i)
      map.key_problem(*given[i], fmt::format("{} beside {}", given[i]->key, given[0]->key), kExactlyOne);
  }

  void read_places(MapReader& top) {
    if (const auto path = named_path(top, "state_dir", settings_.state_dir)) settings_.state_dir = *path;
    if (const auto path = named_path(top, "socket", settings_.socket)) {
      settings_.socket = *path;
      if (path->native().size() > kLongestSocketPath)
        top.problem(*top.take("socket"), fmt::format("a path of {} bytes", path->native().size()),
                    fmt::format("at most {} bytes, the limit for Unix sockets", kLongestSocketPath));
    }
    MapReader mount = top.map("mount");
    if (const auto path = named_path(mount, "path", settings_.mount.path)) settings_.mount.path = *path;
    if (const auto allow = mount.boolean("allow_other")) settings_.mount.allow_other = *allow;
    mount.finish();
  }

  void read_change_tracking(MapReader& top) {
    static constexpr const char* kExpected =
        "the name of a folder beside each image, such as .cairn-clones, or an absolute path";
    MapReader map = top.map("change_tracking");
    if (const auto enabled = map.boolean("enabled")) settings_.change_tracking.enabled = *enabled;
    if (const auto clones = map.text("clones", kExpected)) {
      const fs::path path = fs::path(*clones).lexically_normal();
      const YamlEntry& entry = *map.take("clones");
      if (path.is_absolute()) {
        settings_.change_tracking.clones = path.has_filename() ? path : path.parent_path();
        paths_.push_back({map.key_path("clones"), entry.value->at, settings_.change_tracking.clones});
      } else if (clones->find('/') != std::string::npos || *clones == "." || *clones == "..") {
        map.problem(entry, in_quotes(*clones), kExpected);
      } else {
        settings_.change_tracking.clones = path;
      }
    }
    map.finish();
  }

  void read_key_vaults(MapReader& top) {
    MapReader vaults = top.map("key_vaults");
    for (const YamlEntry& entry : vaults.named_entries("vault")) {
      vault_names_.push_back(entry.key);
      MapReader map = vaults.map(entry);
      settings_.key_vaults.emplace(entry.key, read_key_vault(map));
    }
  }

  KeyVaultSettings read_key_vault(MapReader& map) {
    using Provider = KeyVaultSettings::Provider;
    static const std::vector<std::string> kProviders = {"local", "pkcs11", "command"};
    KeyVaultSettings vault;
    const bool provider_given = map.take("provider") != nullptr;
    const auto provider = map.choice("provider", kProviders);
    if (provider) vault.provider = static_cast<Provider>(*provider);
    if (!provider_given) map.missing("provider", "local, pkcs11 or command");
    check_vault_keys(map, provider ? std::optional(vault.provider) : std::nullopt, kProviders);

    if (const auto path = named_path(map, "path")) vault.path = *path;
    if (provider && vault.provider != Provider::command) read_key(map, vault.key);
    if (const auto path = map.path("module")) vault.module = *path;
    if (const auto token = map.text("token", "the token's label")) vault.token = *token;
    if (const auto path = map.path("pin_file")) vault.pin_file = *path;
    if (provider && vault.provider == Provider::command && map.take("commands") != nullptr)
      read_vault_commands(map, vault.commands);
    if (const auto timeout = map.duration("timeout", kVaultTimeout)) vault.timeout = *timeout;
    if (const auto escrow = map.boolean("escrow_beks")) vault.escrow_beks = *escrow;
    if (const auto principal = map.text("principal", kName)) {
      vault.principal = *principal;
      if (!is_valid_name(*principal)) map.problem(*map.take("principal"), in_quotes(*principal), kName);
    }
    map.finish();
    return vault;
  }

  static void read_vault_commands(MapReader& vault_map, VaultCommands& commands) {
    struct CommandOf {
      std::string_view key;
      std::vector<std::string> VaultCommands::* words;
      bool needed;
    };
    static constexpr CommandOf kCommands[] = {
        {"list", &VaultCommands::list, true},      {"get_secret", &VaultCommands::get_secret, true},
        {"wrap", &VaultCommands::wrap, true},      {"unwrap", &VaultCommands::unwrap, true},
        {"backup", &VaultCommands::backup, false}, {"set_secret", &VaultCommands::set_secret, false}};
    MapReader map = vault_map.map("commands");
    for (const CommandOf& known : kCommands) {
      if (auto words = map.command(known.key)) commands.*known.words = *std::move(words);
      if (known.needed && map.take(known.key) == nullptr && map.is_readable())
        map.missing(known.key, "the command that does it");
    }
    map.finish();
  }

  // Each provider needs its own keys and knows no other's. Of a provider that is not known nothing can be said.
  static void check_vault_keys(MapReader& map, std::optional<KeyVaultSettings::Provider> provider,
                               const std::vector<std::string>& provider_names) {
    struct KeyOf {
      std::string_view key;
      std::vector<KeyVaultSettings::Provider> providers;
      bool needed;
      std::string_view meaning;
    };
    using enum KeyVaultSettings::Provider;
    static const KeyOf kKeys[] = {{"path", {local, pkcs11}, true, "the vault's directory"},
                                  {"key_file", {local, pkcs11}, false, ""},
                                  {"passphrase_file", {local, pkcs11}, false, ""},
                                  {"passphrase_command", {local, pkcs11}, false, ""},
                                  {"module", {pkcs11}, true, "the PKCS #11 library of the HSM"},
                                  {"token", {pkcs11}, true, "the token's label"},
                                  {"pin_file", {pkcs11}, true, "the file with the token's PIN"},
                                  {"escrow_beks", {pkcs11, command}, false, ""},
                                  {"commands", {command}, true, "the commands that speak for the vault"},
                                  {"timeout", {command}, false, ""}};
    const auto name_of = [&](KeyVaultSettings::Provider which) {
      return provider_names[static_cast<std::size_t>(which)];
    };
    for (const KeyOf& known : kKeys) {
      const YamlEntry* entry = map.take(known.key);
      if (!provider) continue;
      const bool fits = std::ranges::find(known.providers, *provider) != known.providers.end();
      if (fits && known.needed && entry == nullptr) map.missing(known.key, std::string(known.meaning));
      if (fits || entry == nullptr) continue;
      std::string others = name_of(known.providers.front());
      for (std::size_t i = 1; i < known.providers.size(); ++i) others += " or " + name_of(known.providers[i]);
      map.key_problem(*entry, fmt::format("{} with provider {}", known.key, name_of(*provider)),
                      fmt::format("it only with provider {}", others));
    }
  }

  void read_policies(MapReader& top) {
    MapReader policies = top.map("policies");
    policy_names_.emplace_back("default");
    settings_.policies["default"].name = "default";
    for (const YamlEntry& entry : policies.named_entries("policy")) {
      if (entry.key != "default") policy_names_.push_back(entry.key);
      MapReader map = policies.map(entry);
      Policy policy = read_policy(map);
      policy.name = entry.key;
      settings_.policies[entry.key] = std::move(policy);
    }
  }

  Policy read_policy(MapReader& map) {
    Policy policy;
    read_schedule(map, policy);
    if (const auto jitter = map.duration("jitter", kJitter)) policy.jitter = *jitter;
    read_retention(map, policy);
    static const std::vector<std::string> kOnMissingKeys = {"fail", "warn"};
    if (const auto choice = map.choice("on_missing_keys", kOnMissingKeys))
      policy.on_missing_keys = static_cast<OnMissingKeys>(*choice);
    if (const auto kept = map.duration_or_off("soft_delete", kSoftDelete)) policy.soft_delete = *kept;
    if (const auto kept = map.duration_or_off("immutable", kImmutable)) policy.immutable = *kept;
    if (const auto every = map.duration("full_read", kFullRead)) policy.full_read = *every;
    map.finish();
    return policy;
  }

  static void read_schedule(MapReader& map, Policy& policy) {
    static constexpr const char* kExpected = "a schedule, such as \"0 2 * * *\", \"@daily\" or \"every 6h\"";
    const auto text = map.text("schedule", kExpected);
    const auto zone_name = map.text("timezone", "an IANA time zone, such as Europe/Stockholm");
    TimeZone zone = TimeZone::host();
    if (zone_name) {
      if (auto named = TimeZone::find(*zone_name)) {
        zone = *named;
      } else {
        const auto nearest = nearest_zone_name(*zone_name);
        map.problem(*map.take("timezone"), in_quotes(*zone_name),
                    "an IANA time zone, such as Europe/Stockholm" +
                        (nearest ? fmt::format("; did you mean \"{}\"?", *nearest) : ""));
      }
    }
    auto schedule = Schedule::parse_in(text.value_or(policy.schedule.text()), zone);
    if (schedule)
      policy.schedule = *std::move(schedule);
    else
      map.problem(*map.take("schedule"), schedule.error().found, schedule.error().expected);
  }

  // A retention that is written says everything: what it leaves out is 0, not the default.
  static void read_retention(MapReader& policy_map, Policy& policy) {
    const YamlEntry* entry = policy_map.take("retention");
    if (entry == nullptr) return;
    MapReader map = policy_map.map(*entry);
    RetentionRule rule{.last = 0, .hourly = 0, .daily = 0, .weekly = 0, .monthly = 0, .yearly = 0};
    struct Kind {
      std::string_view key;
      unsigned RetentionRule::* count;
    };
    static constexpr Kind kKinds[] = {{"last", &RetentionRule::last},       {"hourly", &RetentionRule::hourly},
                                      {"daily", &RetentionRule::daily},     {"weekly", &RetentionRule::weekly},
                                      {"monthly", &RetentionRule::monthly}, {"yearly", &RetentionRule::yearly}};
    bool all_zero = map.is_readable();
    for (const Kind& kind : kKinds) {
      const bool given = map.take(kind.key) != nullptr;
      const auto count = map.number(kind.key, 0, kMostKept);
      if (count) rule.*kind.count = *count;
      if (given && count != 0U) all_zero = false;  // a wrong value has its own problem
    }
    if (all_zero)
      policy_map.key_problem(*entry, "a rule that keeps nothing",
                             "at least one of last, hourly, daily, weekly, monthly, yearly above 0");
    map.finish();
    policy.retention = rule;
  }

  void read_machines(MapReader& top) {
    MapReader machines = top.map("machines");
    for (const YamlEntry& entry : machines.named_entries("machine")) {
      MapReader map = machines.map(entry);
      MachineSettings machine;
      machine.name = entry.key;
      if (const auto policy = map.text("policy", "the name of a policy")) {
        machine.policy = *policy;
        if (std::ranges::find(policy_names_, *policy) == policy_names_.end())
          map.problem(*map.take("policy"), in_quotes(*policy),
                      fmt::format("a policy that is declared under policies{}", suggestion(*policy, policy_names_)));
      }
      machine.definition = named_path(map, "definition");
      read_disks(map, machine);
      map.finish();
      settings_.machines.emplace(entry.key, std::move(machine));
    }
  }

  void read_disks(MapReader& machine_map, MachineSettings& machine) {
    MapReader disks = machine_map.map("disks");
    const auto& entries = disks.named_entries("disk");
    if (entries.empty() && disks.is_readable()) machine_map.missing("disks", "at least one disk");
    for (const YamlEntry& entry : entries) {
      MapReader map = disks.map(entry);
      DiskSettings disk;
      disk.name = entry.key;
      const YamlEntry* image = map.take("image");
      if (const auto path = named_path(map, "image")) {
        disk.image = *path;
        const auto same = std::ranges::find(machine.disks, disk.image, &DiskSettings::image);
        if (same != machine.disks.end())
          map.problem(*image, fmt::format("the image of disk {} again", in_quotes(same->name)),
                      "an image for each disk");
      } else if (image == nullptr) {
        map.missing("image", "the image file or block device of the disk");
      }
      read_references(map, "bek", disk.beks);
      if (std::vector<VaultReference> keks; read_references(map, "kek", keks) && keks.size() == 1)
        disk.kek = keks.front();
      // A bek without a kek is not refused here: it stops the backups of this machine, with an error of its own, and
      // not those of all the others.
      if (const YamlEntry* kek = map.take("kek"); kek != nullptr && map.take("bek") == nullptr)
        map.key_problem(*kek, "a kek without a bek",
                        "the bek that it wraps too (or neither, for a disk that is not encrypted)");
      map.finish();
      machine.disks.push_back(std::move(disk));
    }
  }

  // VAULT/NAME; for a bek also a list of them. False when the key is not there or wrong.
  bool read_references(MapReader& map, std::string_view key, std::vector<VaultReference>& to) {
    const YamlEntry* entry = map.take(key);
    if (entry == nullptr) return false;
    if (key == "bek" && entry->value->kind == YamlNode::Kind::sequence) {
      for (const auto& item : entry->value->items) {
        const auto reference = reference_from(map, *entry, item->kind == YamlNode::Kind::scalar ? item->text : "");
        if (!reference) return false;
        to.push_back(*reference);
      }
      if (to.empty()) map.problem(*entry, "an empty list", kReference);
      return !to.empty();
    }
    const auto text = map.text(key, kReference);
    if (!text) return false;
    const auto reference = reference_from(map, *entry, *text);
    if (reference) to.push_back(*reference);
    return reference.has_value();
  }

  std::optional<VaultReference> reference_from(MapReader& map, const YamlEntry& entry, const std::string& text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos || slash == 0 || !is_vault_name(std::string_view(text).substr(slash + 1))) {
      map.problem(entry, in_quotes(text), kReference);
      return std::nullopt;
    }
    VaultReference reference{text.substr(0, slash), text.substr(slash + 1)};
    if (std::ranges::find(vault_names_, reference.vault) == vault_names_.end()) {
      map.problem(
          entry, fmt::format("the vault {}", in_quotes(reference.vault)),
          fmt::format("a vault that is declared under key_vaults{}", suggestion(reference.vault, vault_names_)));
      return std::nullopt;
    }
    return reference;
  }

  // The nearest name, or the names when they are few.
  static std::string suggestion(std::string_view wanted, const std::vector<std::string>& names) {
    if (std::string nearest = did_you_mean(wanted, names); !nearest.empty()) return nearest;
    if (names.empty()) return " (there are none)";
    if (names.size() <= 5) return fmt::format(" ({})", fmt::join(names, ", "));
    return "";
  }

  // Mounting over a directory hides what is in it; mounting inside the store would put recovery points into themselves.
  void check_paths() {
    const auto find = [&](std::string_view key) {
      const auto found = std::ranges::find(paths_, key, &NamedPath::key);
      return found == paths_.end() ? nullptr : &*found;
    };
    const NamedPath* mount = find("mount.path");
    const NamedPath* store = find("store.path");
    const NamedPath* state = find("state_dir");
    const auto place = [](const NamedPath& first, const NamedPath& second) {
      return first.at.line != 0 ? first.at : second.at;
    };
    if (mount != nullptr) {
      for (const NamedPath& other : paths_)
        if (&other != mount && is_inside(other.path, mount->path))
          problems_.add(
              place(other, *mount), other.key,
              fmt::format("{}, which the mount on {} would hide", in_quotes(other.path.native()), mount->path.native()),
              "a path outside mount.path");
      for (const NamedPath* other : {store, state})
        if (other != nullptr && other->path != mount->path && is_inside(mount->path, other->path))
          problems_.add(place(*mount, *other), mount->key,
                        fmt::format("{} inside {}", in_quotes(mount->path.native()), other->key),
                        fmt::format("a path outside {} ({})", other->key, other->path.native()));
    }
    if (store != nullptr && state != nullptr && is_inside(state->path, store->path))
      problems_.add(place(*state, *store), state->key,
                    fmt::format("{} inside store.path", in_quotes(state->path.native())),
                    "a directory of its own, outside the store");
  }

  ProblemList& problems_;
  Settings settings_;
  fs::path directory_;
  std::vector<NamedPath> paths_;
  std::vector<std::string> vault_names_;
  std::vector<std::string> policy_names_;
};

}  // namespace

SettingsReport parse_settings(std::string_view text, const fs::path& file) {
  YamlTree tree = read_yaml(text);
  ProblemList problems(std::move(tree.problems));
  SettingsReport report;
  if (tree.root != nullptr && tree.root->kind != YamlNode::Kind::null) {
    Settings settings = SettingsReader(file, problems).read(tree.root.get());
    if (problems.empty()) report.settings = std::move(settings);
  } else if (problems.empty()) {
    problems.add({}, "", "an empty file", "settings, at least store: { path: ..., key_file: ... }");
  }
  report.problems = std::move(problems).take();
  return report;
}

}  // namespace cairn
