// SPDX-License-Identifier: GPL-3.0-or-later
// cairn config check: settings, disks, store, key vaults, keys and mount point, without changing anything.
// Document:
// {"settings":FILE,"checks":[{"check","object","state":"ok"|"note"|"warning"|"error","detail","error":Error|null}],
// "warnings":[TEXT],"error":Error (the first, when there is one)}; disks have "size", "format", "format_from",
// "volumes", "encryption", "seen" and "not_known" too. Settings that are not right:
// {"error":Error,"problems":[{"line","column","key","found","expected"}]}.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "crypto/key_slots.h"
#include "daemon/backup/disk_labels.h"
#include "daemon/cli/commands/check_guest.h"
#include "daemon/cli/commands/check_rows.h"
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/keys/disk_look.h"
#include "daemon/keys/machine_keys.h"
#include "daemon/keys/vault_set.h"
#include "daemon/queue/job_record.h"
#include "daemon/source/definition_disks.h"
#include "daemon/source/disk_format.h"
#include "fs/image/clone/kept_clone.h"
#include "fs/image/open_image.h"
#include "fs/mount/mount_point.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

struct ConfigCheckCommand {};

nlohmann::json check_store(const Result<std::unique_ptr<Store>>& store, const Settings& settings) {
  const std::string object = settings.store.path.string();
  if (!store) return bad("store", object, store.error());
  const auto points = (*store)->points().list();
  if (!points) return bad("store", object, points.error());
  nlohmann::json check = good("store", object, "opens, " + count_of(points->size(), "recovery point"));
  check["points"] = points->size();
  return check;
}

// Whether readers can rely on the index.
nlohmann::json check_index(Store& store) {
  const std::string object = store.index().folder().string();
  const auto trouble = index_trouble(store);
  if (!trouble) return bad("index", object, trouble.error());
  if (*trouble) return doubtful("index", object, **trouble);
  return good("index", object, "knows every pack");
}

Result<void> look_at_mount_point(const std::filesystem::path& path) {
  CAIRN_CHECK(check_fuse());
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status))
    return fail(ErrorCode::mount_point_missing, "mount recovery points at", path.string(),
                "there is no such directory, and cairnd makes it only in a directory that is there");
  if (!std::filesystem::is_directory(status))
    return fail(ErrorCode::mount_point_missing, "mount recovery points at", path.string(), "it is not a directory");
  if (!std::filesystem::is_empty(path, error) && !error)
    return fail(ErrorCode::mount_point_not_empty, "mount recovery points at", path.string(),
                "the directory is not empty");
  return {};
}

nlohmann::json check_mount(const Settings& settings) {
  const std::filesystem::path path = settle_path(settings.mount.path);
  const auto mounted = mounted_at(path);
  if (mounted && *mounted && (*mounted)->type == kMountType) return good("mount", path.string(), "mounted");
  std::error_code error;
  // A link that leads nowhere is something: the daemon could not make a directory there.
  if (!std::filesystem::exists(std::filesystem::symlink_status(path, error)) && check_fuse() &&
      std::filesystem::is_directory(path.parent_path(), error))
    return good("mount", path.string(), "is not there yet; cairnd makes it");
  // Commands work without it, and so does the daemon; only the view of the points is missing.
  if (const auto looked = look_at_mount_point(path); !looked) return doubtful("mount", path.string(), looked.error());
  return good("mount", path.string(), "can be mounted on");
}

nlohmann::json document_of(const VolumeFacts& volume) {
  return {{"type", to_string(volume.type)}, {"partition", volume.partition}, {"within", volume.within},
          {"detached", volume.detached},    {"uuid", volume.uuid},           {"cipher", volume.cipher},
          {"damage", volume.damage}};
}

// The machine's newest point, whose disks these are compared with.
std::optional<RecoveryPoint> newest_point(const Result<std::unique_ptr<Store>>& store, const std::string& machine) {
  if (!store) return std::nullopt;
  const auto newest = (*store)->points().find(machine + "@latest");
  if (!newest) return std::nullopt;
  auto point = (*store)->points().load(*newest);
  if (!point) return std::nullopt;
  return *std::move(point);
}

// False when it cannot be read at all.
bool check_disk(const std::string& object, const SettledDisk& settled, nlohmann::json& checks) {
  const DiskSettings& disk = settled.disk;
  // The image itself is looked at, not a clone: a clone would be a change, if a short one.
  const auto image = open_image(disk.image, CloneMode::never);
  if (!image) {
    checks.push_back(bad("disk", object, image.error()));
    return false;
  }
  std::string detail = disk.image.text() + ", " + (*image)->how() + ", " + format_size((*image)->size());
  if (settled.from == FormatFrom::found || settled.format != DiskFormat::raw)
    detail += ", format " + format_in_words(settled);
  nlohmann::json volumes = nlohmann::json::array();
  std::string remarks;
  auto facts = look_at_disk(disk, **image, object);
  if (!facts) {
    checks.push_back(bad("disk", object, facts.error()));
    return false;
  }
  if (settled.warning) remarks = settled.warning->message();
  for (const VolumeFacts& volume : facts->volumes) {
    volumes.push_back(document_of(volume));
    detail += std::string(", ") + to_string(volume.type);
    if (const std::string name = volume_name(volume.partition, volume.within); !name.empty()) detail += " on " + name;
    if (!volume.damage.empty()) remarks += (remarks.empty() ? "" : "; ") + volume.damage;
  }
  if (const std::string words = encryption_in_words(*facts); !words.empty()) detail += ", " + words;
  if (!settled.stored_as.empty()) detail += ", stored as it is: a file of the format " + settled.stored_as;
  if (!disk.image.is_raw() && !(*image)->note().empty()) detail += ", " + (*image)->note();
  const auto unknown = encryption_unknown(disk, *facts, nullptr, object);
  for (const std::string& remark : facts->remarks) remarks += (remarks.empty() ? "" : "; ") + remark;
  if (!remarks.empty()) detail += ": " + remarks;
  nlohmann::json check = good("disk", object, detail);
  if (!remarks.empty() || unknown)
    check = doubtful("disk", object, detail);
  else if (facts->encryption() == DiskEncryption::unknown)
    check = remark("disk", object, detail);
  check["format"] = to_string(settled.format);
  check["format_from"] = to_string(settled.from);
  check["encryption"] = to_string(facts->encryption());
  check["seen"] = facts->seen;
  check["not_known"] = facts->not_known;
  check["size"] = (*image)->size();
  check["volumes"] = std::move(volumes);
  checks.push_back(std::move(check));
  return true;
}

void check_tracking(const std::string& object, const DiskSettings& disk, const ChangeTrackingSettings& tracking,
                    nlohmann::json& checks) {
  if (!tracking.enabled) return;
  if (const auto why = why_not_tracked(disk.image)) {
    checks.push_back(remark("tracking", object, "every backup reads all data of the disk: " + *why));
    return;
  }
  const std::filesystem::path folder = clone_folder_of(disk.image.path, tracking.clones);
  if (const auto why = why_no_clones(disk.image.path, folder))
    checks.push_back(remark("tracking", object, "every backup reads all of the disk: " + *why));
  else
    checks.push_back(good("tracking", object, "backups read what changed; a clone is kept in " + folder.string()));
}

// Whether a write while the disk is read would tear the copy, and what helps.
void check_consistency(const std::string& object, const DiskSettings& disk, nlohmann::json& checks) {
  if (disk.image.kind == DiskSource::Kind::nbd) {
    checks.push_back(remark("consistency", object,
                            "whether it is written to while it is read cannot be seen through NBD: its points are of "
                            "unknown consistency"));
    return;
  }
  auto why = why_not_cloned(disk.image.path);
  if (!disk.image.is_raw())
    for (const BackingFile& file : disk.image.backing)
      if (!why) why = why_not_cloned(file.path);
  if (!why)
    checks.push_back(good("consistency", object, "is read from a clone: what a power cut would have left"));
  else
    checks.push_back(remark("consistency", object,
                            "a write while it is read makes the point torn: " + *why +
                                "; what helps: the image on XFS or btrfs, an LVM snapshot of the device, or backups "
                                "while the machine is off"));
}

// What earlier points have, and the definition names, and the settings do not.
void check_disk_set(const MachineSettings& machine, Store* store, nlohmann::json& checks) {
  if (store != nullptr) {
    const auto latest = store->points().latest(machine.name);
    const auto point = latest && *latest ? store->points().load(**latest)
                                         : Result<RecoveryPoint>(fail(ErrorCode::point_missing, "read", machine.name));
    if (point)
      for (const LeftOutDisk& disk : left_out_disks(*point, machine))
        checks.push_back(doubtful("disks", machine.name, left_out_error(machine.name, disk)));
  }
  if (!machine.definition) return;
  const std::string path = machine.definition->string();
  const auto text = read_definition(*machine.definition);
  if (!text) {
    checks.push_back(doubtful("definition", machine.name, text.error()));
    return;
  }
  if (!looks_like_xml(*text)) {
    checks.push_back(
        remark("definition", machine.name, path + ": it is not XML; whether it has disks more is not known"));
    return;
  }
  const auto disks = disks_of_definition(*text, path);
  if (!disks) {
    checks.push_back(doubtful("definition", machine.name, disks.error()));
    return;
  }
  checks.push_back(good("definition", machine.name, path));
  for (const Error& missing : disks_not_backed_up(machine, *disks))
    checks.push_back(doubtful("definition", machine.name, missing));
}

// Each vault that is declared: whether it opens as the principal that backups have.
void check_vaults(const Settings& settings, VaultSet& vaults, nlohmann::json& checks) {
  for (const auto& [name, vault] : settings.key_vaults) {
    if (const auto opened = vaults.open(name); !opened)
      checks.push_back(bad("vault", name, opened.error()));
    else
      checks.push_back(good("vault", name, "opens; backups act as " + (*opened)->vault->principal()));
  }
}

void check_keys(const MachineSettings& machine, const Policy& policy, VaultSet& vaults, Store& store,
                nlohmann::json& checks) {
  for (const KeyFinding& finding : check_machine_keys(machine, policy, vaults, store)) {
    const std::string object = machine.name + "/" + finding.disk;
    switch (finding.kind) {
      case KeyFinding::Kind::good:
        checks.push_back(good("keys", object, finding.detail));
        break;
      case KeyFinding::Kind::warning:
        checks.push_back(doubtful("keys", object, *finding.error));
        break;
      case KeyFinding::Kind::error:
        checks.push_back(bad("keys", object, *finding.error));
        break;
    }
  }
}

// `machine` with all disks that it has.
void check_machine(const MachineSettings& machine, const ChangeTrackingSettings& tracking, Store* store,
                   const std::optional<RecoveryPoint>& previous, nlohmann::json& checks) {
  if (machine.disks.empty()) checks.push_back(doubtful("machine", machine.name, "it has no disks"));
  const std::vector<DefinedDisk> defined = defined_disks(machine);
  for (const DiskSettings& disk : machine.disks) {
    const std::string object = machine.name + "/" + disk.name;
    const auto settled = settle_disk(disk, defined, previous ? previous->disk(disk.name) : nullptr, object);
    if (!settled) {
      checks.push_back(bad("disk", object, settled.error()));
      continue;
    }
    if (!check_disk(object, *settled, checks)) continue;
    check_consistency(object, settled->disk, checks);
    check_tracking(object, settled->disk, tracking, checks);
  }
  check_disk_set(machine, store, checks);
}

// For --json: load_settings puts all problems into one message.
nlohmann::json problems_in(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  nlohmann::json rows = nlohmann::json::array();
  for (const SettingsProblem& problem : parse_settings(text.str(), file).problems)
    rows.push_back({{"line", problem.line},
                    {"column", problem.column},
                    {"key", problem.key},
                    {"found", problem.found},
                    {"expected", problem.expected}});
  return rows;
}

// "cairn: 2 checks found errors, see above [key-vault-missing] [image-missing]"
std::string summary_of(const nlohmann::json& checks) {
  std::size_t count = 0;
  std::string names;
  for (const auto& check : checks) {
    if (!found_in(check, Verdict::error)) continue;
    ++count;
    const std::string name = " [" + text_of(member(check, "error"), "name") + "]";
    if (!names.contains(name)) names += name;
  }
  return "cairn: " + count_of(count, "check") + " found errors, which stand above:" + names;
}

bool is_same_cause(const nlohmann::json& one, const nlohmann::json& other) {
  const nlohmann::json& error = member(one, "error");
  return error.is_object() && member(one, "state") == member(other, "state") &&
         std::ranges::all_of(std::array{"name", "doing", "object", "because"}, [&](const char* part) {
           return member(error, part) == member(member(other, "error"), part);
         });
}

// One cause that many disks suffer from (a vault that does not open) stands once, with all of them. What is known of
// the disks says best what to do: a vault that was lost comes back out of their recovery points.
nlohmann::json each_cause_once(const nlohmann::json& checks) {
  nlohmann::json kept = nlohmann::json::array();
  for (const auto& check : checks) {
    const auto same = std::ranges::find_if(kept, [&](const auto& before) { return is_same_cause(check, before); });
    if (same == kept.end()) {
      kept.push_back(check);
      continue;
    }
    const std::string objects = text_of(*same, "object");
    const bool other_kind = text_of(*same, "check") != text_of(check, "check");
    const bool first = other_kind && !objects.contains(", ");
    if (first) {
      (*same)["detail"] = check["detail"];
      (*same)["error"] = check["error"];
    }
    (*same)["object"] = objects + ", " + (first ? text_of(check, "check") + " of " : "") + text_of(check, "object");
  }
  return kept;
}

Result<ExitCode> run(Context& context, const ConfigCheckCommand&) {
  const auto settings = context.settings();
  if (!settings) {
    if (context.output().format() == Format::text || settings.error().code != ErrorCode::settings_invalid)
      return pass_on(settings.error());
    CAIRN_CHECK(context.output().answer(
        {{"error", error_document(settings.error())}, {"problems", problems_in(context.globals().settings_file)}}, {}));
    return ExitCode::failed;
  }
  nlohmann::json checks = nlohmann::json::array();
  const auto store = context.open_store();  // reads the key first: its file's permissions are part of that
  checks.push_back(check_store(store, **settings));
  if (store) checks.push_back(check_index(**store));
  checks.push_back(check_mount(**settings));
  VaultSet vaults(vaults_of(std::make_shared<const Settings>(**settings)));
  check_vaults(**settings, vaults, checks);
  if ((*settings)->machines.empty()) checks.push_back(doubtful("machines", "settings", "no machine is named"));
  check_unprotected(**settings, checks);
  for (const auto& [name, in_settings] : (*settings)->machines) {
    const auto whole = check_guest(in_settings, **settings, checks);
    if (!whole) continue;
    const MachineSettings& machine = *whole;
    check_machine(machine, (*settings)->change_tracking, store ? store->get() : nullptr, newest_point(store, name),
                  checks);
    if (store) check_keys(machine, (*settings)->policy_of(machine), vaults, **store, checks);
  }

  checks = each_cause_once(checks);
  nlohmann::json document{{"settings", (*settings)->file.string()}, {"warnings", nlohmann::json::array()}};
  for (const auto& check : checks) {
    if (found_in(check, Verdict::warning))
      document["warnings"].push_back(text_of(check, "check") + " " + text_of(check, "object") + ": " +
                                     text_of(check, "detail"));
    if (found_in(check, Verdict::error) && !document.contains("error")) document["error"] = check["error"];
  }
  document["checks"] = std::move(checks);
  CAIRN_CHECK(context.output().answer(document, render_config_check(document)));
  if (!document.contains("error")) return document["warnings"].empty() ? ExitCode::done : ExitCode::warnings;
  // What is wrong stands in the lines above: here only that something is, under the first one's name.
  if (context.output().format() == Format::text) context.output().note(summary_of(document["checks"]));
  return ExitCode::failed;
}

}  // namespace

std::string render_config_check(const nlohmann::json& document) {
  std::string text = "settings " + printable(text_of(document, "settings")) + ": read without problems\n";
  for (const auto& check : member(document, "checks")) {
    const std::string state = text_of(check, "state");
    std::string line = state + std::string(state.size() < 9 ? 9 - state.size() : 1, ' ') + text_of(check, "check") +
                       " " + text_of(check, "object") + ": " + text_of(check, "detail");
    if (const std::string name = text_of(member(check, "error"), "name"); !name.empty()) line += " [" + name + "]";
    text += printable(line) + "\n";
  }
  return text;
}

CommandSpec config_check_command() {
  CommandSpec spec;
  spec.words = "config check";
  spec.summary = "Check settings, disks, store and mount point, without changing anything";
  spec.examples = {"cairn config check", "cairn --config ./cairn.yaml config check --json"};
  spec.notes =
      "Key vaults and their rights are checked too, and that the keys open the disks. A line is ok, note, warning or\n"
      "error; a note does not change the exit code.";
  set_action<ConfigCheckCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
