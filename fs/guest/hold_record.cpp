// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/guest/hold_record.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "config/base/text.h"
#include "fs/file/folder.h"
#include "fs/guest/helper_protocol.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr const char* kSuffix = ".json";
constexpr const char* kNote = "note the hold of";
constexpr std::size_t kLongestNote = 64UL * 1024;

std::string file_of(const std::string& machine) {
  return machine + kSuffix;
}

// Opened and locked, and still the file of that name. Nothing: somebody else has it.
Result<std::optional<UniqueFd>> lock_note(const Folder& folder, const std::string& machine, int create) {
  const std::string name = file_of(machine);
  while (true) {
    CAIRN_TRY(UniqueFd fd, folder.open_file(name, O_RDWR | create));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return std::nullopt;
      return fail_errno(errno, kNote, folder.path_of(name));
    }
    struct stat ours{};
    if (::fstat(fd.get(), &ours) != 0) return fail_errno(errno, kNote, folder.path_of(name));
    CAIRN_TRY(const auto there, folder.look_at(name));
    if (there && there->st_ino == ours.st_ino && there->st_dev == ours.st_dev) return fd;
    // It was removed after we opened it.
    if (create == 0) return std::nullopt;
  }
}

HoldNote note_from(const std::string& text, const std::string& machine) {
  HoldNote note;
  note.machine = machine;
  const auto document = parse_json(text, {kLongestNote, 8});
  if (!document) return note;
  // What cannot be read is a hold of which only the machine is known.
  (void)problem_of_reading([&] {
    HoldNote read = note;
    read.guest = guest_from_json(document->at("guest"));
    read.freeze = document->at("freeze").get<bool>();
    read.pause = document->at("pause").get<bool>();
    read.since = parse_iso_time(document->at("since").get<std::string>()).value_or(UtcTime{});
    note = read;
  });
  return note;
}

}  // namespace

Result<HoldRecord> HoldRecord::write(const std::filesystem::path& folder, const HoldNote& note) {
  CAIRN_TRY(const Folder above, Folder::open(folder.parent_path()));
  CAIRN_TRY(const Folder notes, above.make_folder(folder.filename().string()));
  CAIRN_TRY(auto fd, lock_note(notes, note.machine, O_CREAT));
  const std::string path = notes.path_of(file_of(note.machine));
  if (!fd) return fail(ErrorCode::guest_busy, kNote, note.machine, "another hold of it is not over yet: " + path);
  HoldRecord record(path, *std::move(fd));
  auto written = record.update(note);
  if (written) written = notes.sync();
  if (written) return record;
  // Nothing was done to the guest yet. A note that is left would have it thawed, whoever has frozen it.
  static_cast<void>(record.remove().has_value());
  return pass_on(std::move(written).error());
}

Result<void> HoldRecord::update(const HoldNote& note) {
  const std::string text = json_text(json{{"guest", to_json(note.guest)},
                                          {"freeze", note.freeze},
                                          {"pause", note.pause},
                                          {"since", iso_time(note.since)}},
                                     JsonForm::pretty);
  if (::ftruncate(fd_.get(), 0) != 0) return fail_errno(errno, kNote, path_.string());
  const ssize_t wrote = ::pwrite(fd_.get(), text.data(), text.size(), 0);
  // Less than all: there is no room for the rest.
  if (wrote >= 0 && wrote != static_cast<ssize_t>(text.size())) return fail_errno(ENOSPC, kNote, path_.string());
  if (wrote < 0 || ::fsync(fd_.get()) != 0) return fail_errno(errno, kNote, path_.string());
  return {};
}

Result<std::optional<HoldRecord::LeftOver>> HoldRecord::take(const std::filesystem::path& folder,
                                                             const std::string& machine) {
  auto notes = Folder::open(folder);
  if (!notes && notes.error().code == ErrorCode::object_missing) return std::nullopt;
  if (!notes) return pass_on(std::move(notes).error());
  auto fd = lock_note(*notes, machine, 0);
  if (!fd && fd.error().code == ErrorCode::object_missing) return std::nullopt;
  if (!fd) return pass_on(std::move(fd).error());
  if (!*fd) return std::nullopt;
  std::string text(kLongestNote, '\0');
  const ssize_t got = ::pread((*fd)->get(), text.data(), text.size(), 0);
  const std::string path = notes->path_of(file_of(machine));
  if (got < 0) return fail_errno(errno, "read", path);
  text.resize(static_cast<std::size_t>(got));
  return LeftOver{HoldRecord(path, **std::move(fd)), note_from(text, machine)};
}

Result<std::vector<HoldRecord::Noted>> HoldRecord::list(const std::filesystem::path& folder) {
  const auto notes = Folder::open(folder);
  if (!notes && notes.error().code == ErrorCode::object_missing) return std::vector<Noted>{};
  if (!notes) return pass_on(notes.error());
  CAIRN_TRY(const auto entries, notes->entries());
  std::vector<Noted> noted;
  for (const Folder::Entry& entry : entries) {
    if (entry.kind != Folder::Entry::Kind::file || !entry.name.ends_with(kSuffix)) continue;
    std::string machine = entry.name.substr(0, entry.name.size() - std::string_view(kSuffix).size());
    const auto facts = notes->look_at(entry.name);
    if (!facts || !*facts || !is_valid_name(machine)) continue;
    noted.push_back({std::move(machine), UtcTime(std::chrono::seconds((*facts)->st_mtim.tv_sec))});
  }
  std::ranges::sort(noted, {}, &Noted::machine);
  return noted;
}

Result<void> HoldRecord::remove() {
  CAIRN_TRY(const Folder folder, Folder::open(path_.parent_path()));
  CAIRN_CHECK(folder.remove_file(path_.filename().string()));
  return folder.sync();
}

}  // namespace cairn
