// SPDX-License-Identifier: GPL-3.0-or-later
// cairn store recover: lists and extracts recovery points when only the store's directory is left, also on read-only
// media. Documents:
// {"store","points":[{"name","machine","time","deleted":BOOL,"disks":[{"name","size"}],"error":Error}]} and,
// extracting, {"store","packs","damaged_packs":[NAME],"restored":[RESULT of a restore job],"failed":[{"name",
// "error"}],"warnings":[TEXT]}; a point of which a disk was salvaged and another is lost is in both lists.
#include <fmt/core.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "crypto/unlock_key.h"
#include "daemon/cli/commands/render.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/finish_jobs.h"
#include "daemon/queue/job.h"
#include "daemon/queue/job_record.h"
#include "daemon/restore/restore.h"
#include "fs/store/store.h"
#include "fs/store/verify/rebuild_index.h"

namespace cairn::cli {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// Works on the directory alone: without settings, index and journal, also on read-only media.
struct StoreRecoverCommand : RestoreFlags {
  std::vector<std::string> points;  // MACHINE@POINT; empty: list all
  std::string to;                   // where to write their disks; empty: list
  std::string key_file;
  std::string passphrase_file;
  std::string work;  // where the index is built; empty: $TMPDIR
};

Result<UnlockKey> key_of(Context& context, const StoreRecoverCommand& command) {
  KeySettings key;
  if (!command.key_file.empty()) key.key_file = command.key_file;
  if (!command.passphrase_file.empty()) key.passphrase_file = command.passphrase_file;
  if (key.key_file || key.passphrase_file) return read_unlock_key(key);
  if (context.globals().recovery_key.empty() && !context.globals().store.empty())
    return fail(ErrorCode::used_wrongly, "recover", context.globals().store.string(), "no key is named",
                "give --key-file FILE, --passphrase-file FILE or --recovery-key FILE");
  return context.unlock_key();
}

// The folder for the index; it goes with this.
class WorkFolder {
 public:
  static Result<WorkFolder> make(const std::string& where) {
    const char* const tmp = std::getenv("TMPDIR");
    const fs::path above = !where.empty() ? fs::path(where) : tmp != nullptr && *tmp != '\0' ? tmp : "/tmp";
    std::string path = (above / "cairn-recover-XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) return fail_errno(errno, "make folder in", above.string());
    return WorkFolder(path);
  }
  WorkFolder(WorkFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  WorkFolder& operator=(WorkFolder&&) = delete;
  ~WorkFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  explicit WorkFolder(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

json row_of(Store& store, const PointName& name) {
  json row{{"name", name.text()}, {"machine", name.machine}, {"time", iso_time(name.time)}, {"deleted", false}};
  row["deleted"] = store.points().deletion_of(name).has_value();
  row["disks"] = json::array();
  row["error"] = nullptr;
  const auto point = store.points().load(name);
  if (!point) {
    row["error"] = cairn::to_json(point.error());
    return row;
  }
  for (const DiskRecord& disk : point->disks) row["disks"].push_back({{"name", disk.name}, {"size", disk.map.size}});
  return row;
}

// As PointCatalog::find takes it, but deleted points too.
Result<PointName> find_stored(Store& store, const std::string& text) {
  const auto exact = PointName::parse(text);
  if (exact) {
    CAIRN_TRY(const auto stored, store.points().list_stored());
    if (std::ranges::find(stored, *exact) != stored.end()) return *exact;
  }
  return store.points().find(text);
}

Result<ExitCode> list(Context& context, Store& store) {
  CAIRN_TRY(const auto names, store.points().list_stored());
  json document{{"store", store.path().string()}, {"points", json::array()}};
  for (const PointName& name : names) document["points"].push_back(row_of(store, name));
  CAIRN_CHECK(context.output().answer(document, render_recoverable(document)));
  return ExitCode::done;
}

Result<json> extract_one(Store& store, const StoreRecoverCommand& command, const PointName& name, JobContext& job) {
  RestoreTask task{name, fs::absolute(command.to).lexically_normal(), std::nullopt,
                   static_cast<const RestoreFlags&>(command)};
  if (command.points.size() > 1) {
    task.to /= name.text();
    std::error_code problem;
    fs::create_directory(task.to, problem);
    if (problem) return fail_errno(problem.value(), "make folder", task.to.string());
  }
  return run_restore(store, task, job);
}

Result<ExitCode> extract(Context& context, Store& store, const StoreRecoverCommand& command) {
  std::vector<PointName> names;
  for (const std::string& text : command.points) {
    CAIRN_TRY(PointName name, find_stored(store, text));
    names.push_back(std::move(name));
  }
  CAIRN_TRY(const WorkFolder work, WorkFolder::make(command.work));
  context.output().note("reading the packs' footers into " + work.path().string());
  CAIRN_TRY(const RebuildReport index, use_private_index(store, work.path() / "index"));
  json document{{"store", store.path().string()}, {"packs", index.packs},    {"damaged_packs", index.damaged_packs},
                {"restored", json::array()},      {"failed", json::array()}, {"warnings", json::array()}};
  std::string text;
  std::optional<Error> first;
  for (const std::string& pack : index.damaged_packs)
    text += "warning: pack " + pack + " has no footer that can be read, and was left out\n";
  for (const PointName& name : names) {
    JobContext job;
    const auto restored = extract_one(store, command, name, job);
    if (!restored) {
      document["failed"].push_back({{"name", name.text()}, {"error", error_document(restored.error())}});
      if (!first) first = restored.error();
      text += "FAILED  " + name.text() + ": " + restored.error().message() + "\n";
    }
    // Of a point that fails for one disk there may be others.
    const json result = restored ? *restored : parse_json(job.kept_result()).value_or(nullptr);
    for (const auto& file : member(result, "files"))
      text += fmt::format("{}  {}\n", text_of(file, "path"), size_of(file, "size")) + render_zeros(file);
    text += render_keys_at_hand(member(result, "keys"));
    for (const std::string& warning : job.view().warnings) {
      document["warnings"].push_back(warning);
      text += "warning: " + warning + "\n";
    }
    if (result.is_object()) document["restored"].push_back(result);
  }
  if (first) document["error"] = error_document(*first);
  CAIRN_CHECK(context.output().answer(document, printable(text, Lines::keep)));
  if (first && context.output().format() == Format::text) context.output().error_text(*first);
  if (first) return ExitCode::failed;
  return document["warnings"].empty() ? ExitCode::done : ExitCode::warnings;
}

Result<void> check(StoreRecoverCommand& command, const GlobalOptions& globals) {
  if (!command.points.empty() && command.to.empty())
    return misuse("recover", "points are named, and no directory to write them to", "add --to DIR");
  if (command.points.empty() && !command.to.empty())
    return misuse("recover", "no point is named", "name MACHINE@POINT; \"cairn store recover\" alone lists them");
  if (command.points.empty() && command.salvage)
    return misuse("recover", "--salvage goes with points to extract", "name MACHINE@POINT, and add --to DIR");
  const int keys = (command.key_file.empty() ? 0 : 1) + (command.passphrase_file.empty() ? 0 : 1) +
                   (globals.recovery_key.empty() ? 0 : 1);
  if (keys > 1) return misuse("recover", "more than one key is named");
  return {};
}

Result<ExitCode> run(Context& context, const StoreRecoverCommand& command) {
  CAIRN_TRY(const fs::path directory, context.store_directory());
  CAIRN_TRY(const UnlockKey key, key_of(context, command));
  CAIRN_TRY(const auto store, Store::open(directory, key));
  return command.points.empty() ? list(context, *store) : extract(context, *store, command);
}

}  // namespace

std::string render_recoverable(const json& document) {
  Table table({{"POINT"}, {"TIME"}, {"DISKS"}, {"STATE"}});
  for (const auto& row : member(document, "points")) {
    std::string disks;
    for (const auto& disk : member(row, "disks"))
      disks += (disks.empty() ? "" : ", ") + text_of(disk, "name") + " " + size_of(disk, "size");
    const json& error = member(row, "error");
    std::string state = flag_of(row, "deleted") ? "deleted" : "";
    if (error.is_object()) state = "cannot be read [" + text_of(error, "name") + "]";
    table.add({printable(text_of(row, "name")), time_of(row, "time"), printable(disks), state});
  }
  if (table.empty()) return "no points in " + text_of(document, "store") + "\n";
  return table.text();
}

CommandSpec store_recover_command() {
  CommandSpec spec;
  spec.words = "store recover";
  spec.summary = "List and extract points when only the store's directory is left";
  spec.examples = {
      "cairn store recover --store /mnt/store --key-file /root/store.key",
      "cairn store recover --store /mnt/store --recovery-key paper.txt --to /srv/images web-01@latest",
      "cairn store recover --store /mnt/store --key-file store.key --to /srv/images --salvage web-01@latest"};
  spec.notes =
      "Needs no settings, no index, no journal and no write permission: packs/, points/ and store.json (or\n"
      "store.json.copy) are enough. Deleted points that are still there are listed too. To extract, an index is built\n"
      "in $TMPDIR or in --work DIR: about 100 bytes for each chunk. A disk becomes DIR/DISK.img; with several points\n"
      "DIR/MACHINE@POINT/DISK.img. With --salvage what is damaged becomes zeros and is listed, byte for byte; the\n"
      "command ends with exit code 3 then. Without it a damaged disk is not extracted.";
  spec.options = {
      value("points", "MACHINE@POINT", "The points to extract", &StoreRecoverCommand::points),
      value("--to", "DIR", "An existing directory", &StoreRecoverCommand::to, Completes::files),
      value("--key-file", "FILE", "The store's key file", &StoreRecoverCommand::key_file, Completes::files),
      value("--passphrase-file", "FILE", "A file with the store's passphrase", &StoreRecoverCommand::passphrase_file,
            Completes::files),
      value("--work", "DIR", "Where the index is built (default: $TMPDIR, or /tmp)", &StoreRecoverCommand::work,
            Completes::files),
      flag<StoreRecoverCommand>("--force", "Replace existing files", &RestoreFlags::force),
      flag<StoreRecoverCommand>("--salvage", "Zeros for what is damaged, instead of giving up", &RestoreFlags::salvage),
  };
  set_action<StoreRecoverCommand>(spec, run, check);
  return spec;
}

}  // namespace cairn::cli
