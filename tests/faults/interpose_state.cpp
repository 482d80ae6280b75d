// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/interpose_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "tests/support/sandbox.h"

namespace cairn::faults {
namespace {

std::atomic<bool> g_watching{false};

bool applies(Flavour flavour, unsigned to) {
  switch (flavour) {
    case Flavour::none:
      return false;
    case Flavour::io_error:
      return (to & (kReads | kWrites | kSyncs | kNames)) != 0;
    case Flavour::no_space:
      return (to & (kWrites | kMakes)) != 0;
    case Flavour::no_descriptors:
      return (to & kOpens) != 0;
    case Flavour::interrupted:
    case Flavour::half:
      return (to & (kReads | kWrites)) != 0;
    case Flavour::no_memory:
      return (to & kMaps) != 0;
    case Flavour::sync_failed:
      return (to & kSyncs) != 0;
  }
  return false;
}

int error_of(Flavour flavour) {
  switch (flavour) {
    case Flavour::no_space:
      return ENOSPC;
    case Flavour::no_descriptors:
      return EMFILE;
    case Flavour::interrupted:
      return EINTR;
    case Flavour::no_memory:
      return ENOMEM;
    default:
      return EIO;
  }
}

void learn(const std::filesystem::path& path, ObjectId folder, bool is_root) {
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) != 0) std::abort();
  const ObjectId id = state().next++;
  state().objects[{facts.st_dev, facts.st_ino}] = id;
  const bool is_folder = S_ISDIR(facts.st_mode);
  state().start.push_back({id, folder, is_root ? "" : path.filename().string(), is_folder, nullptr});
  if (!is_folder) state().start.back().data = std::make_shared<const Buffer>(testing::read_all(path));
  if (!is_folder) return;
  for (const auto& entry : std::filesystem::directory_iterator(path)) learn(entry.path(), id, false);
}

}  // namespace

State& state() {
  static State the_state;
  return the_state;
}

bool is_watched(int fd) {
  return fd >= 0 && fd < kMostDescriptors && state().object_of[fd] != kNotWatched;
}

std::optional<ObjectId> object_at(const struct stat& facts) {
  const auto found = state().objects.find({facts.st_dev, facts.st_ino});
  if (found == state().objects.end()) return std::nullopt;
  return found->second;
}

std::optional<Place> place_of(int folder_fd, const char* path) {
  if (path == nullptr) return std::nullopt;
  std::string full = path;
  if (full.empty()) return std::nullopt;
  if (full.front() != '/') {
    if (folder_fd == AT_FDCWD) return std::nullopt;  // we only use absolute names
    char folder[4096];
    const std::string link = "/proc/self/fd/" + std::to_string(folder_fd);
    const ssize_t size = ::readlink(link.c_str(), folder, sizeof(folder));
    if (size <= 0) return std::nullopt;
    full = std::string(folder, static_cast<std::size_t>(size)) + "/" + full;
  }
  while (full.size() > 1 && full.back() == '/') full.pop_back();
  if (!full.starts_with(state().root)) return std::nullopt;
  const std::size_t slash = full.rfind('/');
  struct stat facts{};
  if (::stat(full.substr(0, slash).c_str(), &facts) != 0) return std::nullopt;
  const auto folder = object_at(facts);
  if (!folder) return std::nullopt;
  Place place{full, *folder, full.substr(slash + 1), std::nullopt};
  if (::lstat(full.c_str(), &facts) == 0) place.facts = facts;
  return place;
}

std::optional<int> fault_at(unsigned to) {
  State& now = state();
  bool strikes = false;
  for (const Flavour flavour : kAllFlavours) {
    if (!applies(flavour, to)) continue;
    const std::uint64_t number = now.calls[static_cast<std::size_t>(flavour)]++;
    if (flavour == now.fault.flavour) strikes = number == now.fault.at || (number > now.fault.at && now.fault.lasting);
  }
  if (!strikes) return std::nullopt;
  now.struck = true;
  if (now.fault.flavour == Flavour::half) return 0;
  return error_of(now.fault.flavour);
}

Operation& record(Change change) {
  state().log.emplace_back();
  state().log.back().change = change;
  return state().log.back();
}

void record_entry(Change change, const Place& place, ObjectId object) {
  Operation& operation = record(change);
  operation.folder = place.folder;
  operation.name = place.name;
  operation.object = object;
}

ObjectId made(const Place& place, Change change) {
  struct stat facts{};
  if (::lstat(place.path.c_str(), &facts) != 0) std::abort();
  const ObjectId id = state().next++;
  state().objects[{facts.st_dev, facts.st_ino}] = id;
  record_entry(change, place, id);
  return id;
}

std::optional<Guard> guard() {
  if (!g_watching.load(std::memory_order_acquire)) return std::nullopt;
  Guard lock(state().mutex);
  if (!g_watching.load(std::memory_order_relaxed)) return std::nullopt;
  return lock;
}

const char* to_string(Flavour flavour) {
  switch (flavour) {
    case Flavour::none:
      return "none";
    case Flavour::io_error:
      return "EIO";
    case Flavour::no_space:
      return "ENOSPC";
    case Flavour::no_descriptors:
      return "EMFILE";
    case Flavour::interrupted:
      return "EINTR";
    case Flavour::half:
      return "half";
    case Flavour::no_memory:
      return "ENOMEM";
    case Flavour::sync_failed:
      return "fsync";
  }
  return "";
}

Watch::Watch(const std::filesystem::path& root, const Fault& fault) {
  State& now = state();
  now.root = root.string() + "/";
  now.objects.clear();
  now.next = kWatchedRoot;
  now.start.clear();
  now.log.clear();
  now.fault = fault;
  now.struck = false;
  now.calls.fill(0);
  now.object_of.fill(kNotWatched);
  now.durable.fill(false);
  learn(root, 0, true);
  g_watching.store(true, std::memory_order_release);
}

Watch::~Watch() {
  g_watching.store(false, std::memory_order_release);
}

const std::vector<StartObject>& Watch::start() const {
  return state().start;
}

std::size_t Watch::position() const {
  const std::lock_guard lock(state().mutex);
  return state().log.size();
}

std::uint64_t Watch::calls(Flavour flavour) const {
  const std::lock_guard lock(state().mutex);
  return state().calls[static_cast<std::size_t>(flavour)];
}

bool Watch::struck() const {
  const std::lock_guard lock(state().mutex);
  return state().struck;
}

void Watch::disarm() {
  const std::lock_guard lock(state().mutex);
  state().fault.flavour = Flavour::none;
}

std::vector<Operation> Watch::take_log() {
  g_watching.store(false, std::memory_order_release);
  const std::lock_guard lock(state().mutex);
  return std::move(state().log);
}

}  // namespace cairn::faults
