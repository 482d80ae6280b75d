// SPDX-License-Identifier: GPL-3.0-or-later
// Settings: every key of cairn.yaml as checked values. Keys, units, defaults and ranges: config/REFERENCE.md.
// Paths are absolute (relative ones have been resolved against the file's directory). Constant after loading.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "config/base/units.h"
#include "config/disk_source.h"
#include "config/guest_settings.h"
#include "config/retention.h"
#include "config/schedule.h"

namespace cairn {

inline constexpr const char* kDefaultSettingsPath = "/etc/cairn/cairn.yaml";

// How a store or a key vault is unlocked. Exactly one is given.
struct KeySettings {
  std::optional<std::filesystem::path> key_file;
  std::optional<std::filesystem::path> passphrase_file;
  std::vector<std::string> passphrase_command;  // argv; its standard output, less one newline, is the passphrase
};

struct StoreSettings {
  std::filesystem::path path;
  KeySettings key;
};

struct MountSettings {
  std::filesystem::path path = "/srv/recovery-points";
  bool allow_other = false;
};

// The commands of a vault with provider `command`, as argv; "{name}" and "{version}" in a word are replaced. What goes
// in and out of each: crypto/vault/command/COMMAND.md.
struct VaultCommands {
  std::vector<std::string> list;
  std::vector<std::string> get_secret;
  std::vector<std::string> wrap;
  std::vector<std::string> unwrap;
  std::vector<std::string> backup;      // empty: the vault makes no backups of its keys
  std::vector<std::string> set_secret;  // empty: secrets are put there by other means
};

struct KeyVaultSettings {
  enum class Provider { local, pkcs11, command };
  Provider provider = Provider::local;
  std::filesystem::path path;        // local: the vault's directory; pkcs11: that of the secrets beside the HSM
  KeySettings key;                   // local, pkcs11: opens that directory
  std::filesystem::path module;      // pkcs11: the library that speaks to the HSM
  std::string token;                 // pkcs11: the token's label
  std::filesystem::path pin_file;    // pkcs11
  VaultCommands commands;            // command
  std::chrono::seconds timeout{30};  // command: what each may take
  bool escrow_beks = true;           // pkcs11, command: points hold the BEK itself too, sealed for the store's owners
  std::string principal = "cairn-backup";
};

// What a backup does with an encrypted disk whose keys are missing or do not open it. fail: there is no point,
// the job fails. warn: the point is taken, unproved, and the job ends with warnings.
enum class OnMissingKeys { fail, warn };
enum class OnCostlierKeys { warn, fail };

// What a backup of a running guest is to be: see Consistency in fs/store/point/point_labels.h. It has to be had from
// the guest; less is warned about.
enum class WantedConsistency { crash, filesystem, application };

// When machines are backed up, and how long their recovery points are kept.
struct Policy {
  std::string name;
  Schedule schedule;               // carries its time zone
  std::chrono::seconds jitter{0};  // each start is put off by 0 to this
  RetentionRule retention;
  OnMissingKeys on_missing_keys = OnMissingKeys::fail;
  OnCostlierKeys on_costlier_keys = OnCostlierKeys::warn;         // key derivation of a disk that jumped
  WantedConsistency consistency = WantedConsistency::filesystem;  // of machines whose guest the settings name
  std::chrono::seconds longest_hold{10};                          // a guest is frozen or paused for no longer
  // How long a deleted point can be brought back. Nothing: off, it is removed at once.
  std::optional<std::chrono::seconds> soft_delete = std::chrono::days{14};
  // How long after its time nothing removes a point. Nothing: off.
  std::optional<std::chrono::seconds> immutable;
  // How often all of a disk is read although change tracking knows what changed.
  std::chrono::seconds full_read = std::chrono::days{30};
};

// A secret or key in a vault: "main/web-01-root".
struct VaultReference {
  std::string vault;
  std::string name;
  [[nodiscard]] std::string text() const { return vault + "/" + name; }
  bool operator==(const VaultReference&) const = default;
};

// A detached header that lies as a file in a file system of the disk itself.
struct HeaderInside {
  unsigned partition = 0;  // its number, as blkid counts, from 1
  std::string path;        // from the top of that file system, "/luks/header"; no part of it is ".."
  // "partition:1/luks/header", as in the settings.
  [[nodiscard]] std::string text() const;
};
// `text` as HeaderInside::text() writes it. Nothing: it is no such place.
std::optional<HeaderInside> parse_header_inside(std::string_view text);

// A disk of a machine. `beks` and `kek` are both there for an encrypted disk, and neither for another.
struct DiskSettings {
  std::string name;
  DiskSource image;
  std::vector<VaultReference> beks = {};  // more than one: for disks with several encrypted volumes
  std::optional<VaultReference> kek = {};
  // Where the disk's detached LUKS header is, if it has one: a file of this host, or one on the disk. At most one.
  std::filesystem::path header = {};  // empty: none
  std::optional<HeaderInside> header_inside = {};
};

struct MachineSettings {
  std::string name;
  std::string policy = "default";
  std::optional<std::filesystem::path> definition;  // libvirt XML, kept with each point
  GuestSettings guest = {};                         // none: only its disks are known
  std::string definition_of_guest = {};             // its libvirt XML as it is now, where somebody has asked for it
  std::vector<DiskSettings> disks;                  // in the file's order
  // What is not backed up on purpose: disks of earlier points by name, disks of the definition by target or path.
  std::vector<std::string> left_out = {};
  [[nodiscard]] bool leaves_out(std::string_view disk) const {
    return std::ranges::find(left_out, disk) != left_out.end();
  }
};

struct ChangeTrackingSettings {
  bool enabled = true;
  // Where clones are kept. A name: a folder of that name beside each image; absolute: that folder.
  std::filesystem::path clones = ".cairn-clones";
};

struct DaemonSettings {
  unsigned max_jobs = 2;  // jobs running at once
};

// Work that the daemon does on its own, beside backups.
struct MaintenanceSettings {
  std::optional<std::chrono::seconds> verify_every = std::chrono::days{30};  // nothing: off
  std::uint64_t rate = 100 * kMiB;                                           // bytes a second; 0: no limit
};

// What is said of guests of libvirt that no machine of the settings backs up.
enum class Unprotected { warn, ignore };

// All of cairn.yaml.
struct Settings {
  std::filesystem::path file;  // where they were read from
  StoreSettings store;
  std::filesystem::path state_dir = "/var/lib/cairn";       // journal, locks, records of change tracking
  std::filesystem::path socket = "/run/cairn/cairnd.sock";  // of the control API
  MountSettings mount;
  DaemonSettings daemon;
  MaintenanceSettings maintenance;
  Unprotected unprotected = Unprotected::warn;
  ChangeTrackingSettings change_tracking;
  std::map<std::string, KeyVaultSettings> key_vaults;
  std::map<std::string, Policy> policies;  // "default" is always there
  std::map<std::string, MachineSettings> machines;

  // Errors: no_such_machine, with the nearest name. The pointer lives as long as these settings.
  [[nodiscard]] Result<const MachineSettings*> machine(std::string_view name) const;
  // A policy that is not there is a broken promise: loading has checked the names.
  [[nodiscard]] const Policy& policy_of(const MachineSettings& machine) const;
};

// One thing wrong (or doubtful) in the settings file.
struct SettingsProblem {
  std::size_t line = 0;    // from 1; 0: the file as a whole
  std::size_t column = 0;  // from 1
  std::string key;         // "policies.nightly.schedule"; empty: the file as a whole
  std::string found;       // what stands there
  std::string expected;    // what may stand there; with "did you mean" where a name is near
};

struct SettingsReport {
  std::optional<Settings> settings;       // nothing when there are problems
  std::vector<SettingsProblem> problems;  // all of them, in the file's order
};

// `FILE:LINE:COLUMN: KEY: found X, expected Y`. One line.
std::string describe(const SettingsProblem& problem, const std::filesystem::path& file);

// Reads and checks `text` as the settings file `file`. Never touches the system except for time zone data.
SettingsReport parse_settings(std::string_view text, const std::filesystem::path& file);

// Reads the file. Errors: settings_missing, settings_unreadable, settings_invalid (message: every problem as described
// above, a line each).
Result<Settings> load_settings(const std::filesystem::path& file);

}  // namespace cairn
