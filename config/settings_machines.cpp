// SPDX-License-Identifier: GPL-3.0-or-later
// The section machines. Keys, defaults and ranges: config/REFERENCE.md.
#include <fmt/format.h>

#include <algorithm>

#include "config/base/text.h"
#include "config/settings_reader.h"

namespace cairn {
namespace {

constexpr const char* kHeaderInside =
    "partition:N/PATH, such as partition:1/luks/header (N: the partition's number; PATH: from the top of its file "
    "system, without links and ..), or the path of a file on this host";
constexpr const char* kReference = "VAULT/NAME, such as main/web-01-root";

// The nearest name, or the names when they are few.
std::string suggestion(std::string_view wanted, const std::vector<std::string>& names) {
  if (std::string nearest = did_you_mean(wanted, names); !nearest.empty()) return nearest;
  if (names.empty()) return " (there are none)";
  if (names.size() <= 5) return fmt::format(" ({})", fmt::join(names, ", "));
  return "";
}

// A name or a list of them: disks that are left out on purpose.
std::vector<std::string> left_out_of(MapReader& map) {
  constexpr const char* kKey = "left_out";
  constexpr const char* kExpected = "names of disks, targets such as vdb, or paths";
  const YamlEntry* const entry = map.take(kKey);
  if (entry == nullptr) return {};
  if (entry->value->kind != YamlNode::Kind::sequence) {
    const auto text = map.text(kKey, kExpected);
    return text ? std::vector{*text} : std::vector<std::string>();
  }
  std::vector<std::string> names;
  for (const auto& item : entry->value->items)
    if (item->kind == YamlNode::Kind::scalar && !item->text.empty())
      names.push_back(item->text);
    else
      map.problem(*entry, describe(*item), kExpected);
  return names;
}

}  // namespace

void SettingsReader::read_machines(MapReader& top) {
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
    read_guest(map, machine);
    read_disks(map, machine);
    machine.left_out = left_out_of(map);
    map.finish();
    settings_.machines.emplace(entry.key, std::move(machine));
  }
}

// libvirt: NAME with uri:, or qmp: with agent:.
void SettingsReader::read_guest(MapReader& map, MachineSettings& machine) {
  const YamlEntry* const libvirt = map.take("libvirt");
  const YamlEntry* const monitor = map.take("qmp");
  if (const auto domain = map.text("libvirt", "the name of a libvirt domain")) {
    machine.guest.kind = GuestSettings::Kind::libvirt;
    machine.guest.domain = *domain;
  }
  if (const auto uri = map.text("uri", "a libvirt URI, such as qemu:///system")) {
    machine.guest.uri = *uri;
    if (libvirt == nullptr)
      map.key_problem(*map.take("uri"), "a uri without libvirt", "the domain too, as libvirt: NAME");
  }
  if (const auto path = named_path(map, "qmp")) {
    machine.guest.kind = GuestSettings::Kind::qmp;
    machine.guest.monitor = *path;
  }
  if (const auto path = named_path(map, "agent")) {
    machine.guest.agent = *path;
    if (monitor == nullptr)
      map.key_problem(*map.take("agent"), "an agent without qmp",
                      "the socket of QEMU's monitor too, as qmp: PATH (libvirt finds the agent itself)");
  }
  if (libvirt != nullptr && monitor != nullptr)
    map.key_problem(*monitor, "qmp beside libvirt",
                    "one of them: libvirt for a domain of libvirt's, qmp for another QEMU");
}

void SettingsReader::read_disks(MapReader& machine_map, MachineSettings& machine) {
  MapReader disks = machine_map.map("disks");
  const auto& entries = disks.named_entries("disk");
  const bool found_by_libvirt = machine.guest.kind == GuestSettings::Kind::libvirt;
  if (entries.empty() && disks.is_readable() && !found_by_libvirt)
    machine_map.missing("disks", "at least one disk (or libvirt: NAME, whose disks are found)");
  for (const YamlEntry& entry : entries) {
    MapReader map = disks.map(entry);
    DiskSettings disk;
    disk.name = entry.key;
    read_source(map, machine, disk.image);
    if (const YamlEntry* header = map.take("header"); header != nullptr &&
                                                      header->value->kind == YamlNode::Kind::scalar &&
                                                      header->value->text.starts_with("partition:")) {
      disk.header_inside = parse_header_inside(header->value->text);
      if (!disk.header_inside) map.problem(*header, in_quotes(header->value->text), kHeaderInside);
    } else if (const auto path = named_path(map, "header")) {
      disk.header = *path;
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

bool SettingsReader::read_references(MapReader& map, std::string_view key, std::vector<VaultReference>& to) {
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

std::optional<VaultReference> SettingsReader::reference_from(MapReader& map, const YamlEntry& entry,
                                                             const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string::npos || slash == 0 || !is_vault_name(std::string_view(text).substr(slash + 1))) {
    map.problem(entry, in_quotes(text), kReference);
    return std::nullopt;
  }
  VaultReference reference{text.substr(0, slash), text.substr(slash + 1)};
  if (std::ranges::find(vault_names_, reference.vault) == vault_names_.end()) {
    map.problem(entry, fmt::format("the vault {}", in_quotes(reference.vault)),
                fmt::format("a vault that is declared under key_vaults{}", suggestion(reference.vault, vault_names_)));
    return std::nullopt;
  }
  return reference;
}

}  // namespace cairn
