// SPDX-License-Identifier: GPL-3.0-or-later
// Descriptors are told by the mount's number in fdinfo, mapped files by the device in maps: a stat(2) of either would
// ask the server.
#include "fs/mount/mount_users.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "config/base/unique_fd.h"
#include "fs/mount/mount_point.h"

namespace cairn {
namespace {

constexpr const char* kFuseControl = "/sys/fs/fuse/connections";

using Folder = std::unique_ptr<DIR, int (*)(DIR*)>;

// The entries of a folder of /proc that are numbers.
std::vector<std::string> numbers_in(const std::string& path) {
  std::vector<std::string> numbers;
  const Folder folder(opendir(path.c_str()), closedir);
  if (!folder) return numbers;
  while (const dirent* entry = readdir(folder.get()))
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') numbers.emplace_back(entry->d_name);
  return numbers;
}

std::string link_of(const std::string& path) {
  char text[4096];
  const ssize_t got = readlink(path.c_str(), text, sizeof text);
  return got > 0 ? std::string(text, static_cast<std::size_t>(got)) : std::string();
}

// "mnt_id:\t29" in fdinfo.
std::string_view mount_number(std::string_view fdinfo) {
  constexpr std::string_view kLabel = "mnt_id:";
  auto at = fdinfo.find(kLabel);
  if (at == std::string_view::npos) return {};
  at = fdinfo.find_first_not_of(" \t", at + kLabel.size());
  return at == std::string_view::npos ? std::string_view() : fdinfo.substr(at, fdinfo.find('\n', at) - at);
}

bool is_below(const std::string& path, const std::string& mount_point) {
  return path == mount_point || path.starts_with(mount_point == "/" ? "/" : mount_point + "/");
}

std::optional<std::string> use_of(const std::string& process, dev_t device, LookAt look) {
  const std::string mountinfo = proc_text(process + "/mountinfo");
  const std::vector<std::string> mounts = mounts_of_device(mountinfo, device);
  // A descriptor keeps a mount that is in no namespace any more: it is told by what its other end says alone.
  for (const std::string& fd : numbers_in(process + "/fd"))
    if (!mounts.empty() &&
        std::ranges::find(mounts, mount_number(proc_text(process + "/fdinfo/" + fd))) != mounts.end())
      return link_of(process + "/fd/" + fd);
  for (const MountEntry& mount : parse_mountinfo(mountinfo)) {
    if (mount.device != device) continue;
    if (is_below(link_of(process + "/cwd"), mount.path)) return "its working directory";
    if (is_below(link_of(process + "/root"), mount.path)) return "its root";
  }
  if (look == LookAt::all_but_maps) return std::nullopt;
  const std::string mapped = fmt::format(" {:02x}:{:02x} ", major(device), minor(device));
  if (proc_text(process + "/maps").find(mapped) != std::string::npos) return "a mapped file";
  return std::nullopt;
}

}  // namespace

std::vector<std::string> mounts_of_device(std::string_view mountinfo, dev_t device) {
  const std::string wanted = fmt::format("{}:{}", major(device), minor(device));
  std::vector<std::string> numbers;
  while (!mountinfo.empty()) {
    const std::string_view line = mountinfo.substr(0, mountinfo.find('\n'));
    mountinfo.remove_prefix(std::min(line.size() + 1, mountinfo.size()));
    // 36 35 98:0 /mnt1 /mnt2 ...
    const auto first = line.find(' ');
    const auto second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view number = line.substr(second + 1, line.find(' ', second + 1) - second - 1);
    if (number == wanted) numbers.emplace_back(line.substr(0, first));
  }
  return numbers;
}

std::vector<MountUser> users_of_mount(dev_t device, LookAt look, std::size_t at_most) {
  std::vector<MountUser> users;
  for (const std::string& pid : numbers_in("/proc")) {
    if (users.size() == at_most) break;
    const std::string process = "/proc/" + pid;
    auto what = use_of(process, device, look);
    if (!what) continue;
    std::string name = proc_text(process + "/comm");
    if (name.ends_with('\n')) name.pop_back();
    MountUser user{0, std::move(name), *std::move(what)};
    (void)std::from_chars(pid.data(), pid.data() + pid.size(), user.pid);
    users.push_back(std::move(user));
  }
  return users;
}

std::string in_words(const std::vector<MountUser>& users) {
  std::string text;
  for (const MountUser& user : users)
    text += fmt::format("{}{} (pid {}: {})", text.empty() ? "in use by " : ", ", user.name, user.pid, user.what);
  return text;
}

bool is_mounted_somewhere(dev_t device) {
  return std::ranges::any_of(numbers_in("/proc"), [&](const std::string& pid) {
    const auto mounts = parse_mountinfo(proc_text("/proc/" + pid + "/mountinfo"));
    return std::ranges::any_of(
        mounts, [&](const MountEntry& mount) { return mount.device == device && mount.type == kMountType; });
  });
}

bool abort_connection(dev_t device) {
  const std::string place = fmt::format("{}/{}/abort", kFuseControl, minor(device));
  const auto abort = [&] {
    const UniqueFd file(::open(place.c_str(), O_WRONLY | O_CLOEXEC));
    return file && ::write(file.get(), "1", 1) == 1;
  };
  if (abort()) return true;
  // Where fusectl is not mounted root has it for a moment, in a mount namespace of a thread's own that nobody else
  // sees.
  bool done = false;
  std::thread([&] {
    done = unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("none", kFuseControl, "fusectl", 0, nullptr) == 0 && abort();
  }).join();
  return done;
}

}  // namespace cairn
