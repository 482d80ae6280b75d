// SPDX-License-Identifier: GPL-3.0-or-later
// cairn __complete: what can stand where the last word stands, one a line; for the bash completion. Never asks, never
// complains, and unlocks nothing but with a key file: a keystroke must not run a passphrase command.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "crypto/unlock_key.h"
#include "crypto/vault/access_policy.h"
#include "daemon/api/remote_service.h"
#include "daemon/cli/commands/registry.h"
#include "daemon/cli/grammar/completion.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/work/context.h"
#include "daemon/keys/known_disks.h"
#include "daemon/queue/job_filter.h"
#include "daemon/queue/journal.h"
#include "daemon/service/service.h"
#include "fs/store/store.h"

namespace cairn::cli {
namespace {

struct CompleteCommand {
  std::vector<std::string> words;  // after "cairn"; the last one is being typed
};

// Null: it does not open, or not without a question.
std::unique_ptr<Store> open_store(const Settings& settings) {
  if (!settings.store.key.key_file) return nullptr;
  const auto key = read_unlock_key(settings.store.key);
  if (!key) return nullptr;
  auto store = Store::open(settings.store.path, *key);
  return store ? *std::move(store) : nullptr;
}

std::vector<std::string> point_names(const Settings& settings, PointsListed listed) {
  std::vector<std::string> names;
  if (const auto daemon = connect_to_daemon(settings.socket)) {
    const auto rows = (*daemon)->points(std::nullopt, listed);
    if (!rows) return names;
    for (const auto& row : *rows) names.push_back(text_of(row, "name"));
    return names;
  }
  const auto store = open_store(settings);
  if (!store) return names;
  const auto points = listed == PointsListed::deleted ? store->points().list_deleted() : store->points().list();
  if (!points) return names;
  for (const PointName& point : *points) names.push_back(point.text());
  return names;
}

std::vector<std::string> job_ids(const Settings& settings) {
  std::vector<std::string> ids;
  JobFilter filter;
  filter.empty_prunes = false;
  if (const auto daemon = connect_to_daemon(settings.socket)) {
    const auto rows = (*daemon)->jobs(filter);
    if (!rows) return ids;
    for (const auto& row : *rows) ids.push_back(text_of(row, "id"));
  } else if (const auto journal = Journal::open(settings.state_dir / "journal.db", JournalMode::read_only)) {
    const auto records = (*journal)->jobs(filter.limit);
    if (!records) return ids;
    for (const JobRecord& record : *records)
      if (matches(record, filter)) ids.push_back(record.id);
  }
  return ids;
}

// Names of the machines' disks, each once: also of those that libvirt knows, as their newest points have them.
std::set<std::string> disks_in(const Settings& settings, Completes kind) {
  std::set<std::string> names;
  const auto add = [&](const std::string& machine, const std::string& disk) {
    names.insert(kind == Completes::disks ? machine + "/" + disk : disk);
  };
  const auto daemon = connect_to_daemon(settings.socket);
  std::unique_ptr<Store> store;
  for (const auto& [name, machine] : settings.machines) {
    for (const DiskSettings& disk : machine.disks) add(name, disk.name);
    if (machine.guest.kind != GuestSettings::Kind::libvirt) continue;
    if (daemon) {
      if (const auto newest = (*daemon)->point(name + "@latest"))
        for (const auto& disk : member(*newest, "disks")) add(name, text_of(disk, "name"));
      continue;
    }
    if (!store) store = open_store(settings);
    if (!store) continue;
    for (const DiskSettings& disk : with_known_disks(machine, *store).disks) add(name, disk.name);
  }
  return names;
}

// Names that stand in the settings, each once.
std::set<std::string> names_in(const Settings& settings, Completes kind) {
  if (kind == Completes::disks || kind == Completes::disk_names) return disks_in(settings, kind);
  std::set<std::string> names;
  if (kind == Completes::vaults)
    for (const auto& [name, vault] : settings.key_vaults) names.insert(name);
  for (const auto& [name, of] : settings.machines) {
    for (const DiskSettings& disk : of.disks) {
      if (kind == Completes::secrets || kind == Completes::keks)
        for (const VaultReference& bek : disk.beks) names.insert(bek.text());
      if (kind == Completes::keks && disk.kek) names.insert(disk.kek->text());
    }
  }
  return names;
}

Result<ExitCode> run(Context& context, const CompleteCommand& command) {
  using Kind = Completes;
  const Completion completion = completion_of(all_commands(), command.words);
  std::vector<std::string> found = completion.words;
  const std::string typed = command.words.empty() ? std::string() : command.words.back();
  const auto offer = [&](const std::string& name) {
    if (name.starts_with(typed)) found.push_back(name);
  };
  if (completion.kind == Kind::error_names)
    for (const CatalogueEntry& entry : error_catalogue()) offer(std::string(entry.name));
  const bool machines = completion.kind == Kind::machines || completion.kind == Kind::machines_or_points;
  const bool points = completion.kind == Kind::points || completion.kind == Kind::machines_or_points;
  const bool deleted = completion.kind == Kind::deleted_points;
  if (completion.kind == Kind::rights)
    for (const Right right : all_rights()) offer(std::string(to_string(right)));
  const bool named = completion.kind == Kind::vaults || completion.kind == Kind::disks ||
                     completion.kind == Kind::disk_names || completion.kind == Kind::secrets ||
                     completion.kind == Kind::keks;
  if (machines || points || deleted || named || completion.kind == Kind::jobs) {
    const char* environment = std::getenv("CAIRN_CONFIG");
    std::filesystem::path file = completion.settings_file;
    if (file.empty()) file = environment != nullptr && *environment != '\0' ? environment : kDefaultSettingsPath;
    if (const auto settings = load_settings(file)) {
      for (const std::string& name : names_in(*settings, completion.kind)) offer(name);
      if (completion.kind == Kind::jobs)
        for (const std::string& id : job_ids(*settings)) offer(id);
      if (machines)
        for (const auto& [name, machine] : settings->machines) offer(name);
      if (deleted)
        for (const std::string& name : point_names(*settings, PointsListed::deleted)) offer(name);
      // Points only once a machine is named, when a machine alone is possible too: there may be thousands.
      if (points && (!machines || typed.find('@') != std::string::npos)) {
        std::set<std::string> latest;
        for (const std::string& name : point_names(*settings, PointsListed::present)) {
          offer(name);
          latest.insert(name.substr(0, name.find('@')) + "@latest");
        }
        for (const std::string& name : latest) offer(name);
      }
    }
  }
  std::string text;
  for (const std::string& name : found) text += name + "\n";
  CAIRN_CHECK(context.output().answer(found, text));
  return ExitCode::done;
}

}  // namespace

CommandSpec complete_command() {
  CommandSpec spec;
  spec.words = "__complete";
  spec.summary = "What can stand where the last word stands, one a line";
  spec.examples = {"cairn __complete restore web"};
  spec.options = {value("words", "WORD", "Words after \"cairn\"", &CompleteCommand::words)};
  spec.hidden = true;
  set_action<CompleteCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
