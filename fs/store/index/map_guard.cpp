// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/index/map_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

namespace cairn {
namespace {

// What is watched, for the signal handler: it takes no lock and no memory. A slot is taken while `broken` is not null.
struct WatchedMap {
  std::atomic<std::uintptr_t> begin = 0;
  std::atomic<std::uintptr_t> end = 0;
  std::atomic<bool> writable = false;
  std::atomic<std::atomic<bool>*> broken = nullptr;
};
constexpr std::size_t kWatchedMaps = 256;
std::array<WatchedMap, kWatchedMaps> g_watched_maps;
std::mutex g_watched_mutex;  // taking slots and giving them back

struct sigaction g_before_bus = {};
struct sigaction g_before_segv = {};

thread_local GuardFrame* t_guard_frame = nullptr;

// True: the map that the address is in reads as zeros from now on.
bool make_zeros(std::uintptr_t address) {
  for (WatchedMap& map : g_watched_maps) {
    std::atomic<bool>* const broken = map.broken.load(std::memory_order_acquire);
    if (broken == nullptr) continue;
    const std::uintptr_t begin = map.begin.load(std::memory_order_acquire);
    const std::uintptr_t end = map.end.load(std::memory_order_acquire);
    if (address < begin || address >= end) continue;
    broken->store(true);  // before anybody can see the zeros
    const int access = map.writable.load() ? PROT_READ | PROT_WRITE : PROT_READ;
    return ::mmap(reinterpret_cast<void*>(begin), end - begin, access,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
  }
  return false;
}

// As if this handler were not there.
void pass_signal_on(int number, siginfo_t* info, void* context, const struct sigaction& before) {
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(number, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(number);
  if (info->si_code <= 0 && before.sa_handler == SIG_IGN) return;
  // The same fault comes again when this returns.
  struct sigaction ending = {};
  ending.sa_handler = SIG_DFL;
  ::sigaction(number, &ending, nullptr);
  if (info->si_code <= 0) ::raise(number);  // somebody sent it
}

void on_unreadable_page(int number, siginfo_t* info, void* context) {
  const int code = errno;
  const bool ours = info->si_code > 0 && make_zeros(reinterpret_cast<std::uintptr_t>(info->si_addr));
  errno = code;
  if (ours) return;
  // While LMDB opens the files they are not watched yet.
  if (info->si_code > 0 && t_guard_frame != nullptr) ::siglongjmp(t_guard_frame->place, 1);
  pass_signal_on(number, info, context, g_before_bus);
}

void on_wild_pointer(int number, siginfo_t* info, void* context) {
  if (info->si_code > 0 && t_guard_frame != nullptr) ::siglongjmp(t_guard_frame->place, 1);
  pass_signal_on(number, info, context, g_before_segv);
}

void on_lmdb_assertion(MDB_env*, const char*) {
  if (t_guard_frame != nullptr) ::siglongjmp(t_guard_frame->place, 1);
}

void install_handlers() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    sigemptyset(&action.sa_mask);
    // Not blocked while it is handled, for the handler may be left by a jump.
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    action.sa_sigaction = on_unreadable_page;
    ::sigaction(SIGBUS, &action, &g_before_bus);
    action.sa_sigaction = on_wild_pointer;
    ::sigaction(SIGSEGV, &action, &g_before_segv);
  });
}

// A line of /proc/self/maps: "7f0000000000-7f0000001000 r--s 00000000 08:01 1234    /srv/store/index/data.mdb".
struct MapLine {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::string access;
  std::string inode;
  std::string path;
};

std::optional<MapLine> find_map(const std::function<bool(const MapLine&)>& wanted) {
  std::ifstream maps("/proc/self/maps");
  for (std::string text; std::getline(maps, text);) {
    std::istringstream words(text);
    MapLine line;
    std::string addresses;
    std::string offset;
    std::string device;
    words >> addresses >> line.access >> offset >> device >> line.inode >> line.path;
    const std::size_t dash = addresses.find('-');
    if (dash == std::string::npos) continue;
    line.begin = std::strtoull(addresses.c_str(), nullptr, 16);
    line.end = std::strtoull(addresses.c_str() + dash + 1, nullptr, 16);
    if (wanted(line)) return line;
  }
  return std::nullopt;
}

bool is_watched(std::uintptr_t begin) {
  return std::ranges::any_of(
      g_watched_maps, [&](const WatchedMap& map) { return map.broken.load() != nullptr && map.begin.load() == begin; });
}

// The slot; -1: it is not watched, for all are taken.
int take_slot(const MapLine& line, bool writable, std::atomic<bool>& broken) {
  for (std::size_t slot = 0; slot < g_watched_maps.size(); ++slot) {
    WatchedMap& map = g_watched_maps[slot];
    if (map.broken.load() != nullptr) continue;
    map.begin.store(line.begin);
    map.end.store(line.end);
    map.writable.store(writable);
    map.broken.store(&broken, std::memory_order_release);
    return static_cast<int>(slot);
  }
  return -1;
}

}  // namespace

GuardFrame*& guard_frame() {
  return t_guard_frame;
}

void MapGuard::attach(MDB_env* env) {
  install_handlers();
  mdb_env_set_userctx(env, this);
  mdb_env_set_assert(env, on_lmdb_assertion);
}

void MapGuard::watch(const void* page, const struct stat* lock) {
  const std::lock_guard one(g_watched_mutex);
  const auto address = reinterpret_cast<std::uintptr_t>(page);
  const auto data = find_map([&](const MapLine& line) { return line.begin <= address && address < line.end; });
  if (data && data->access.ends_with('s')) slots_[0] = take_slot(*data, false, broken_);
  if (lock == nullptr) return;
  // Nothing of it is known but its file; another file system's file may have the same number.
  const std::string inode = std::to_string(lock->st_ino);
  const auto locks = find_map([&](const MapLine& line) {
    return line.access == "rw-s" && line.inode == inode && line.path.ends_with("/lock.mdb") && !is_watched(line.begin);
  });
  if (locks) slots_[1] = take_slot(*locks, true, broken_);
}

void MapGuard::forget() {
  const std::lock_guard one(g_watched_mutex);
  for (int& slot : slots_) {
    if (slot >= 0) g_watched_maps[static_cast<std::size_t>(slot)].broken.store(nullptr);
    slot = -1;
  }
}

MapGuard::~MapGuard() {
  forget();
}

}  // namespace cairn
