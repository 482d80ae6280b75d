// SPDX-License-Identifier: GPL-3.0-or-later
// SettingsReader: from the tree of cairn.yaml to Settings, section by section; every problem goes to the list, and
// reading goes on. For parse_settings() only; the sections are in settings_reader.cpp, settings_vaults.cpp,
// settings_policies.cpp and settings_machines.cpp. One thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.h"
#include "config/settings_fields.h"
#include "config/yaml_reader.h"

namespace cairn {

class SettingsReader {
 public:
  // `file` is where relative paths begin. `problems` must outlive this.
  SettingsReader(const std::filesystem::path& file, ProblemList& problems);
  // To be used only when no problem was found. Once.
  Settings read(const YamlNode* root);

 private:
  // A path of the settings, kept until all are known: the mount must not hide the others.
  struct NamedPath {
    std::string key;
    YamlPosition at;  // line 0: a default
    std::filesystem::path path;
  };

  // What sections share.
  std::optional<std::filesystem::path> named_path(MapReader& map, std::string_view key,
                                                  std::filesystem::path otherwise = {});
  // The three ways to name a key, of which exactly one is given.
  void read_key(MapReader& map, KeySettings& key);

  void read_store(MapReader& top);
  void read_places(MapReader& top);
  void read_maintenance(MapReader& top);
  void read_change_tracking(MapReader& top);

  void read_key_vaults(MapReader& top);
  KeyVaultSettings read_key_vault(MapReader& map);

  void read_policies(MapReader& top);
  static Policy read_policy(MapReader& map);

  // After vaults and policies, whose names they may use.
  void read_machines(MapReader& top);
  void read_guest(MapReader& map, MachineSettings& machine);
  void read_disks(MapReader& machine_map, MachineSettings& machine);
  // Where the disk is read from; of the other disks of the machine none may be read from the same place.
  void read_source(MapReader& map, const MachineSettings& machine, DiskSource& source);
  std::optional<DiskSource> read_nbd(MapReader& map, std::string_view key);
  // VAULT/NAME; for a bek also a list of them. False when the key is not there or wrong.
  bool read_references(MapReader& map, std::string_view key, std::vector<VaultReference>& to);
  std::optional<VaultReference> reference_from(MapReader& map, const YamlEntry& entry, const std::string& text);

  // Mounting over a directory hides what is in it; mounting inside the store would put recovery points into themselves.
  void check_paths();

  ProblemList& problems_;
  Settings settings_;
  std::filesystem::path directory_;
  std::vector<NamedPath> paths_;
  std::vector<std::string> vault_names_;
  std::vector<std::string> policy_names_;
};

}  // namespace cairn
