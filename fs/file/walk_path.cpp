// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/file/walk_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <deque>

namespace cairn {
namespace {

constexpr const char* kOpenFolder = "open folder";
constexpr unsigned kMostLinks = 40;  // as the kernel's own

enum class Last { folder, anything };

std::unexpected<Error> walk_failed(int sys_errno, const std::filesystem::path& path) {
  if (sys_errno == ENOTDIR)
    return fail(ErrorCode::wrong_file_type, kOpenFolder, path.string(), "it, or a step on the way, is no folder");
  return fail_errno(sys_errno, kOpenFolder, path.string(),
                    sys_errno == ENOENT ? ErrorCode::object_missing : ErrorCode::io_error);
}

void put_first(std::deque<std::string>& steps, const std::filesystem::path& path) {
  std::deque<std::string> more;
  for (const auto& step : path.relative_path())
    if (!step.empty() && step != ".") more.push_back(step.string());
  steps.insert(steps.begin(), more.begin(), more.end());
}

Result<UniqueFd> walk_by_own_links(const std::filesystem::path& path, Last last) {
  std::deque<std::string> steps;
  put_first(steps, path);
  UniqueFd at(::open(path.is_absolute() ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (unsigned links = 0; at && !steps.empty();) {
    const std::string step = steps.front();
    steps.pop_front();
    UniqueFd next(::openat(at.get(), step.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat facts{};
    if (!next || ::fstat(next.get(), &facts) != 0) return walk_failed(errno, path);
    if (S_ISDIR(facts.st_mode)) {
      at = std::move(next);
      continue;
    }
    if (!S_ISLNK(facts.st_mode)) {
      if (last == Last::anything && steps.empty()) return next;
      return walk_failed(ENOTDIR, path);
    }
    if (facts.st_uid != 0 && facts.st_uid != ::geteuid())
      return fail(
          ErrorCode::wrong_file_type, kOpenFolder, path.string(),
          "\"" + step + "\" on the way is a symbolic link of user " + std::to_string(facts.st_uid) +
              ", who could lead it elsewhere",
          std::string("name the ") + (last == Last::folder ? "directory" : "file or device") + " that it leads to");
    if (++links > kMostLinks) return walk_failed(ELOOP, path);
    std::array<char, PATH_MAX> text{};
    const ssize_t size = ::readlinkat(next.get(), "", text.data(), text.size());
    if (size <= 0 || static_cast<std::size_t>(size) == text.size()) return walk_failed(size < 0 ? errno : ELOOP, path);
    const std::filesystem::path target(std::string(text.data(), static_cast<std::size_t>(size)));
    put_first(steps, target);
    if (target.is_absolute()) at = UniqueFd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  if (!at) return walk_failed(errno, path);
  return at;
}

}  // namespace

Result<UniqueFd> walk_path(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return walk_failed(errno, path);
  return fd;
}

Result<UniqueFd> walk_path_by_own_links(const std::filesystem::path& path) {
  return walk_by_own_links(path, Last::folder);
}

Result<UniqueFd> walk_to_file_by_own_links(const std::filesystem::path& path) {
  return walk_by_own_links(path, Last::anything);
}

}  // namespace cairn
