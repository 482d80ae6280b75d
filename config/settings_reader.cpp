// SPDX-License-Identifier: GPL-3.0-or-later
// parse_settings: the sections of cairn.yaml that say where things are, and what must hold between all of them.
// Keys, defaults and ranges: config/REFERENCE.md.
#include "config/settings_reader.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "config/base/text.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kMostJobs = 64;
constexpr std::size_t kLongestSocketPath = sizeof(sockaddr_un::sun_path) - 1;

bool is_inside(const fs::path& path, const fs::path& directory) {
  const auto [end, rest] = std::ranges::mismatch(directory, path);
  return end == directory.end();
}

}  // namespace

SettingsReader::SettingsReader(const fs::path& file, ProblemList& problems) : problems_(problems) {
  settings_.file = fs::absolute(file).lexically_normal();
  directory_ = settings_.file.parent_path();
}

Settings SettingsReader::read(const YamlNode* root) {
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

std::optional<fs::path> SettingsReader::named_path(MapReader& map, std::string_view key, fs::path otherwise) {
  const YamlEntry* entry = map.take(key);
  auto path = map.path(key);
  if (!path && entry == nullptr && !otherwise.empty()) path = std::move(otherwise);
  if (path) paths_.push_back({map.key_path(key), entry != nullptr ? entry->value->at : YamlPosition{}, *path});
  return path;
}

void SettingsReader::read_maintenance(MapReader& top) {
  MapReader map = top.map("maintenance");
  static constexpr DurationLimits kVerifyEvery{std::chrono::days{1}, std::chrono::days{365},
                                               "a duration from 1d to 365d"};
  if (const auto every = map.duration_or_off("verify_every", kVerifyEvery)) settings_.maintenance.verify_every = *every;
  if (const auto rate = map.size_or_off("rate", kMiB, 1024 * kGiB, "a size (a second) from 1MiB to 1TiB"))
    settings_.maintenance.rate = rate->value_or(0);
  map.finish();
}

void SettingsReader::read_store(MapReader& top) {
  MapReader store = top.map("store");
  if (const auto path = named_path(store, "path"))
    settings_.store.path = *path;
  else if (store.take("path") == nullptr)
    store.missing("path", "the store's directory");

  read_key(store, settings_.store.key);
  store.finish();
}

void SettingsReader::read_key(MapReader& map, KeySettings& key) {
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

void SettingsReader::read_places(MapReader& top) {
  if (const auto path = named_path(top, "state_dir", settings_.state_dir)) settings_.state_dir = *path;
  if (const auto path = named_path(top, "socket", settings_.socket)) {
    settings_.socket = *path;
    if (path->native().size() > kLongestSocketPath)
      top.problem(*top.take("socket"), fmt::format("a path of {} bytes", path->native().size()),
                  fmt::format("at most {} bytes, the limit for Unix sockets", kLongestSocketPath));
  }
  static const std::vector<std::string> kUnprotected = {"warn", "ignore"};
  if (const auto choice = top.choice("unprotected", kUnprotected))
    settings_.unprotected = static_cast<Unprotected>(*choice);
  MapReader mount = top.map("mount");
  if (const auto path = named_path(mount, "path", settings_.mount.path)) settings_.mount.path = *path;
  if (const auto allow = mount.boolean("allow_other")) settings_.mount.allow_other = *allow;
  mount.finish();
}

void SettingsReader::read_change_tracking(MapReader& top) {
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

void SettingsReader::check_paths() {
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
