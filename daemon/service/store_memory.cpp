// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/store_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "config/base/json.h"
#include "config/base/log.h"
#include "config/base/unique_fd.h"
#include "daemon/process/state_lock.h"
#include "daemon/queue/job_record.h"
#include "fs/io/open_backend.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr std::string_view kMemoryFormat = "cairn-store-memory";
constexpr int kMemoryVersion = 1;
constexpr std::uint64_t kMostMemoryBytes = 256ULL * 1024 * 1024;
constexpr std::size_t kMostTold = 3;  // findings of a machine in one message
// A writer may be in the middle of a change. It is over in milliseconds.
constexpr int kMoreLooks = 2;
constexpr std::chrono::milliseconds kBetweenLooks{30};

json memory_json(const MachineMemory& memory) {
  json points = json::object();
  for (const auto& [name, point] : memory.points) points[name] = {point.hash, point.previous};
  json protections = json::object();
  for (const auto& [name, protection] : memory.protections)
    protections[name] = {protection.hash, time_or_null(protection.until)};
  return {{"changes", memory.changes},   {"change", memory.change},
          {"older", memory.older},       {"points", std::move(points)},
          {"gone", memory.gone},         {"deletions", memory.deletions},
          {"replaced", memory.replaced}, {"protections", std::move(protections)}};
}

std::optional<UtcTime> until_from(const json& value) {
  if (value.is_null()) return std::nullopt;
  const auto time = parse_iso_time(value.get<std::string>());
  if (!time) throw BadDocument{"a time in it is not one"};
  return time;
}

MachineMemory memory_from(const json& document) {
  MachineMemory memory;
  memory.changes = whole_number<std::uint64_t>(document.at("changes"));
  memory.change = document.at("change").get<std::string>();
  memory.older = document.at("older").get<bool>();
  for (const auto& [name, point] : document.at("points").items())
    memory.points[name] = {point.at(0).get<std::string>(), point.at(1).get<std::string>()};
  memory.gone = document.at("gone").get<std::map<std::string, std::string>>();
  memory.deletions = document.at("deletions").get<std::map<std::string, std::string>>();
  for (const auto& [name, protection] : document.at("protections").items())
    memory.protections[name] = {protection.at(0).get<std::string>(), until_from(protection.at(1))};
  memory.replaced = document.at("replaced").get<std::map<std::string, std::vector<std::string>>>();
  return memory;
}

// Waits for its turn with the lock of that name: whoever has it needs milliseconds.
Result<UniqueFd> take_turn(const std::filesystem::path& state_dir, const std::filesystem::path& folder,
                           const std::string& name) {
  CAIRN_CHECK(make_state_dir(state_dir));
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "make folder", folder.string());
  const std::string path = (folder / name).string();
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!file && errno == EROFS)
    return fail(ErrorCode::permission_denied, "open lock file", path, "its file system is read-only",
                "make state_dir writable, or what this host sees of the store is not remembered");
  if (!file) return fail_errno(errno, "open lock file", path);
  // Whoever has it reads the store, which may hang: nobody waits for that.
  constexpr int kTries = 200;
  for (int tries = 0; ::flock(file.get(), LOCK_EX | LOCK_NB) != 0; ++tries) {
    if (errno != EINTR && errno != EWOULDBLOCK) return fail_errno(errno, "lock", path);
    if (tries == kTries) return fail(ErrorCode::io_error, "lock", path, "another process has had it for 2 s");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return file;
}

std::filesystem::path memory_folder(const std::filesystem::path& state_dir) {
  return state_dir / "seen";
}

// Held while the store is compared: other stores are not waited for.
std::string lock_of(const Store& store) {
  return store.info().id + ".lock";
}

}  // namespace

std::optional<Error> StoreAge::error(const std::string& store, const std::string& machine) const {
  std::string because;
  for (const auto& [name, sentences] : findings) {
    if (!machine.empty() && machine != name) continue;
    std::string told;
    for (std::size_t i = 0; i < std::min(sentences.size(), kMostTold); ++i) told += (i == 0 ? "" : "; ") + sentences[i];
    if (sentences.size() > kMostTold) told += fmt::format("; and {} more", sentences.size() - kMostTold);
    because += fmt::format("{}{}: {}", because.empty() ? "" : "; ", name, told);
  }
  if (because.empty()) return std::nullopt;
  return fail(ErrorCode::store_rolled_back, "trust store", store, "it is older than it was: " + because).error();
}

json to_json(const StoreAge& age, const std::string& store) {
  json machines = json::array();
  for (const auto& [name, sentences] : age.findings) machines.push_back({{"machine", name}, {"findings", sentences}});
  const auto error = age.error(store);
  const char* state = age.older() ? "older" : age.unknown_because.empty() ? "as-known" : "unknown";
  return {{"state", state},
          {"because", age.unknown_because},
          {"since", time_or_null(age.since)},
          {"machines", std::move(machines)},
          {"error", error ? to_json(*error) : json(nullptr)}};
}

StoreMemory::StoreMemory(std::filesystem::path state_dir, Store& store, const Clock& clock)
    : state_dir_(std::move(state_dir)), store_(store), clock_(clock) {}

Result<StoreMemory::Remembered> StoreMemory::load() const {
  const auto folder = open_backend(memory_folder(state_dir_));
  const std::string object = store_.info().id + ".json";
  const std::string path = folder->location() + "/" + object;
  const auto text = folder->get(object, kMostMemoryBytes);
  if (!text && text.error().code == ErrorCode::object_missing) return Remembered{};
  if (!text) return pass_on(text.error());
  const auto damaged = [&](const std::string& because) {
    return fail(ErrorCode::io_error, "read what was seen of the store from", path, "it is damaged: " + because,
                "\"cairn store accept-rollback\" begins it anew");
  };
  const auto parsed = parse_json(as_text(*text));
  if (!parsed) return damaged("it " + parsed.error().text());
  const auto read = [&]() -> Result<Remembered> {
    if (parsed->at("format") != kMemoryFormat || parsed->at("version") != kMemoryVersion)
      return damaged("it has another format or version");
    Remembered remembered;
    remembered.since = until_from(parsed->at("since"));
    for (const auto& [name, memory] : parsed->at("machines").items()) remembered.machines[name] = memory_from(memory);
    return remembered;
  };
  return read_document(read, damaged);
}

Result<void> StoreMemory::save(const Remembered& remembered) const {
  json machines = json::object();
  for (const auto& [name, memory] : remembered.machines) machines[name] = memory_json(memory);
  const std::string text = json_text(json{{"format", kMemoryFormat},
                                          {"version", kMemoryVersion},
                                          {"store", store_.info().id},
                                          {"since", time_or_null(remembered.since)},
                                          {"machines", std::move(machines)}});
  // Of the folder, which all stores write to. Nothing of a store is read under it, which may hang.
  CAIRN_TRY(const auto turn, take_turn(state_dir_, memory_folder(state_dir_), "lock"));
  const auto folder = open_backend(memory_folder(state_dir_));
  static_cast<void>(folder->remove_leftovers().has_value());
  return folder->put(store_.info().id + ".json", as_bytes(text), IfExists::replace);
}

Result<std::map<std::string, std::vector<std::string>>> StoreMemory::judge(const Remembered& before, Remembered& next) {
  std::map<std::string, std::vector<std::string>> findings;
  for (int look = 0; look <= kMoreLooks; ++look) {
    if (look != 0) std::this_thread::sleep_for(kBetweenLooks);
    findings.clear();
    CAIRN_TRY(const auto views, look_at_machines(store_, before.machines));
    for (const auto& [name, view] : views) {
      const auto known = before.machines.find(name);
      RollbackJudgement judged =
          judge_rollback(known != before.machines.end() ? known->second : MachineMemory{}, view, clock_.now());
      if (!judged.findings.empty()) findings[name] = std::move(judged.findings);
      if (judged.next == MachineMemory{})
        next.machines.erase(name);
      else
        next.machines[name] = std::move(judged.next);
    }
    if (findings.empty()) break;
  }
  return findings;
}

StoreAge StoreMemory::look() {
  StoreAge age;
  if (state_dir_.empty()) {
    age.unknown_because = "there is no state_dir to remember it in";
    return age;
  }
  const auto turn = take_turn(state_dir_, memory_folder(state_dir_), lock_of(store_));
  const auto before = load();
  if (!before) {
    age.unknown_because = before.error().message();
    return age;
  }
  Remembered next = *before;
  if (!next.since) next.since = clock_.now();
  age.since = before->since;
  auto findings = judge(*before, next);
  if (!findings) {
    age.unknown_because = findings.error().message();
    return age;
  }
  age.findings = *std::move(findings);
  for (const auto& [name, sentences] : age.findings)
    log_event(LogLevel::error, "store-rolled-back", name, {{"found", sentences.front()}});
  Result<void> saved;
  if (!turn)
    saved = pass_on(turn.error());
  else if (next.since != before->since || next.machines != before->machines)
    saved = save(next);
  if (!saved) age.unknown_because = "what was seen cannot be remembered: " + saved.error().message();
  if (saved) age.since = next.since;
  return age;
}

Result<std::vector<std::string>> StoreMemory::accept(const std::optional<std::string>& machine) {
  if (state_dir_.empty())
    return fail(ErrorCode::used_wrongly, "accept the state of", store_.path().string(),
                "there is no state_dir: nothing is remembered of it");
  CAIRN_TRY(const auto turn, take_turn(state_dir_, memory_folder(state_dir_), lock_of(store_)));
  const auto before = load();
  if (!before && before.error().code != ErrorCode::io_error) return pass_on(before.error());
  Remembered known = before ? *before : Remembered{};
  if (!known.since) known.since = clock_.now();
  CAIRN_TRY(const auto views, look_at_machines(store_, known.machines));
  if (machine && !views.contains(*machine))
    return fail(ErrorCode::no_such_machine, "accept the state of", *machine,
                "neither the store nor what this host remembers of it has a machine of that name");
  std::vector<std::string> accepted;
  for (const auto& [name, view] : views) {
    if (machine && *machine != name) continue;
    if (!judge_rollback(known.machines[name], view, clock_.now()).findings.empty()) accepted.push_back(name);
    MachineMemory anew = judge_rollback({}, view, clock_.now()).next;
    if (anew == MachineMemory{})
      known.machines.erase(name);
    else
      known.machines[name] = std::move(anew);
  }
  CAIRN_CHECK(save(known));
  for (const std::string& name : accepted) log_event(LogLevel::warning, "rollback-accepted", name);
  return accepted;
}

}  // namespace cairn
