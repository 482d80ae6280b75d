// SPDX-License-Identifier: GPL-3.0-or-later
// cairn config check: settings, disks, store, key vaults, keys and mount point, without changing anything.
// Document:
// {"settings":FILE,"checks":[{"check","object","state":"ok"|"note"|"warning"|"error","detail","error":Error|null}],
// "warnings":[TEXT],"error":Error (the first, when there is one)}; disks have "size" and "volumes" too. Settings that
// are not right: {"error":Error,"problems":[{"line","column","key","found","expected"}]}.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/base/enum_words.h"
#include "config/base/unique_fd.h"
#include "crypto/key_slots.h"
#include "crypto/volume/volume.h"
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/keys/machine_keys.h"
#include "daemon/keys/vault_set.h"
#include "daemon/queue/job_record.h"
#include "fs/image/clone/kept_clone.h"
#include "fs/image/open_image.h"
#include "fs/mount/mount_point.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

struct ConfigCheckCommand {};

// What a check has found.
enum class Verdict { ok, note, warning, error };
constexpr EnumWords<Verdict, 4> kVerdicts{
    {{Verdict::ok, "ok"}, {Verdict::note, "note"}, {Verdict::warning, "warning"}, {Verdict::error, "error"}}};

nlohmann::json check_row(const char* check, const std::string& object, Verdict verdict, const std::string& detail,
                         nlohmann::json error) {
  return {{"check", check},
          {"object", object},
          {"state", word_of(kVerdicts, verdict)},
          {"detail", detail},
          {"error", std::move(error)}};
}
nlohmann::json good(const char* check, const std::string& object, const std::string& detail) {
  return check_row(check, object, Verdict::ok, detail, nullptr);
}
// Worth knowing, and nothing to repair: the exit code does not change.
nlohmann::json remark(const char* check, const std::string& object, const std::string& detail) {
  return check_row(check, object, Verdict::note, detail, nullptr);
}
nlohmann::json doubtful(const char* check, const std::string& object, const std::string& detail) {
  return check_row(check, object, Verdict::warning, detail, nullptr);
}
nlohmann::json doubtful(const char* check, const std::string& object, const Error& error) {
  return check_row(check, object, Verdict::warning, error.message(), error_document(error));
}
nlohmann::json bad(const char* check, const std::string& object, const Error& error) {
  return check_row(check, object, Verdict::error, error.message(), error_document(error));
}
bool found_in(const nlohmann::json& check, Verdict verdict) {
  return value_of_word(kVerdicts, text_of(check, "state")) == verdict;
}

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
  return {{"type", to_string(volume.type)},
          {"partition", volume.partition},
          {"uuid", volume.uuid},
          {"cipher", volume.cipher},
          {"damage", volume.damage}};
}

// False when it cannot be read at all.
bool check_disk(const std::string& object, const DiskSettings& disk, nlohmann::json& checks) {
  // The image itself is looked at, not a clone: a clone would be a change, if a short one.
  const auto image = open_image(disk.image, CloneMode::never);
  if (!image) {
    checks.push_back(bad("disk", object, image.error()));
    return false;
  }
  std::string detail = disk.image.text() + ", " + (*image)->how() + ", " + format_size((*image)->size());
  nlohmann::json volumes = nlohmann::json::array();
  std::string remarks;
  const auto facts = probe_disk(**image, object);
  if (!facts) {
    checks.push_back(bad("disk", object, facts.error()));
    return false;
  }
  for (const VolumeFacts& volume : facts->volumes) {
    volumes.push_back(document_of(volume));
    detail += std::string(", ") + to_string(volume.type);
    if (volume.partition != 0) detail += " on partition " + std::to_string(volume.partition);
    if (!volume.damage.empty()) remarks += (remarks.empty() ? "" : "; ") + volume.damage;
  }
  if (!facts->encrypted()) detail += ", not encrypted";
  for (const std::string& remark : facts->remarks) remarks += (remarks.empty() ? "" : "; ") + remark;
  nlohmann::json check =
      remarks.empty() ? good("disk", object, detail) : doubtful("disk", object, detail + ": " + remarks);
  check["size"] = (*image)->size();
  check["volumes"] = std::move(volumes);
  checks.push_back(std::move(check));
  return true;
}

void check_tracking(const std::string& object, const DiskSettings& disk, const ChangeTrackingSettings& tracking,
                    nlohmann::json& checks) {
  if (!tracking.enabled) return;
  const std::filesystem::path folder = clone_folder_of(disk.image.path, tracking.clones);
  if (const auto why = why_no_clones(disk.image.path, folder))
    checks.push_back(remark("tracking", object, "every backup reads all of the disk: " + *why));
  else
    checks.push_back(good("tracking", object, "backups read what changed; a clone is kept in " + folder.string()));
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

void check_keys(const MachineSettings& machine, OnMissingKeys on_missing_keys, VaultSet& vaults, Store& store,
                nlohmann::json& checks) {
  for (const KeyFinding& finding : check_machine_keys(machine, on_missing_keys, vaults, store)) {
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

void check_machine(const MachineSettings& machine, const ChangeTrackingSettings& tracking, nlohmann::json& checks) {
  if (machine.disks.empty()) checks.push_back(doubtful("machine", machine.name, "it has no disks"));
  for (const DiskSettings& disk : machine.disks) {
    const std::string object = machine.name + "/" + disk.name;
    if (check_disk(object, disk, checks)) check_tracking(object, disk, tracking, checks);
  }
  if (!machine.definition) return;
  const std::string path = machine.definition->string();
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) {
    const Error error = fail_errno(errno, "read definition of " + machine.name, path).error();
    checks.push_back(doubtful("definition", machine.name, error));
  } else {
    checks.push_back(good("definition", machine.name, path));
  }
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
  for (const auto& [name, machine] : (*settings)->machines) {
    check_machine(machine, (*settings)->change_tracking, checks);
    if (store) check_keys(machine, (*settings)->policy_of(machine).on_missing_keys, vaults, **store, checks);
  }

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
  if (context.output().format() == Format::text) {
    for (const auto& check : document["checks"]) {
      if (found_in(check, Verdict::error)) context.output().error_text(error_from_json(check["error"]));
    }
  }
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
