// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/file/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "config/base/open_beneath.h"
#include "fs/file/walk_path.h"

namespace cairn {
namespace {

constexpr unsigned kDeepest = 16;
constexpr std::size_t kMostEntries = std::size_t{2} << 20U;

std::unexpected<Error> wrong_type(const char* doing, const std::string& object, const struct stat& facts,
                                  const char* wanted) {
  return fail(ErrorCode::wrong_file_type, doing, object,
              std::string("it is ") + kind_of_file(facts) + ", not " + wanted);
}

bool is_leaf(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos;
}

}  // namespace

const char* kind_of_file(const struct stat& facts) {
  switch (facts.st_mode & S_IFMT) {
    case S_IFREG:
      return "a file";
    case S_IFDIR:
      return "a folder";
    case S_IFLNK:
      return "a symbolic link";
    case S_IFIFO:
      return "a pipe";
    case S_IFSOCK:
      return "a socket";
    default:
      return "a device";
  }
}

// After a failed call: finds what is in the way of `name`.
std::unexpected<Error> Folder::problem(int sys_errno, const char* doing, const std::string& name,
                                       Entry::Kind wanted) const {
  if (sys_errno == ENOENT) return fail_errno(sys_errno, doing, path_of(name), ErrorCode::object_missing);
  if (sys_errno != ELOOP && sys_errno != ENOTDIR && sys_errno != ENXIO && sys_errno != EISDIR)
    return fail_errno(sys_errno, doing, path_of(name));
  UniqueFd within;
  int at = fd();
  std::filesystem::path so_far = path_;
  const std::filesystem::path whole(name);
  for (auto step = whole.begin(); step != whole.end(); ++step) {
    so_far /= *step;
    struct stat facts{};
    if (::fstatat(at, step->c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) break;
    const bool is_last = std::next(step) == whole.end() || std::next(step)->empty();
    if (is_last && wanted == Entry::Kind::file) return wrong_type(doing, so_far.string(), facts, "a file");
    if (is_last || S_ISLNK(facts.st_mode)) return wrong_type(doing, so_far.string(), facts, "a folder");
    if (!S_ISDIR(facts.st_mode)) break;
    UniqueFd next(open_beneath(at, step->c_str(), O_PATH | O_DIRECTORY));
    if (!next) break;
    within = std::move(next);
    at = within.get();
  }
  // A folder on the way is none: then the name is not there either.
  return fail_errno(sys_errno, doing, path_of(name),
                    sys_errno == ENOTDIR ? ErrorCode::object_missing : ErrorCode::io_error);
}

Result<Folder> Folder::open(const std::filesystem::path& path, Links links) {
  CAIRN_TRY(UniqueFd fd, links == Links::any ? walk_path(path) : walk_path_by_own_links(path));
  return Folder(path, std::move(fd));
}

Result<Folder> Folder::open_itself(const std::filesystem::path& path) {
  std::filesystem::path parent = path.parent_path();
  if (parent.empty()) parent = ".";
  CAIRN_TRY(const Folder above, open(parent));
  return above.folder(path.filename().string());
}

Result<Folder> Folder::folder(const std::string& name) const {
  UniqueFd fd(open_beneath(this->fd(), name.c_str(), O_PATH | O_DIRECTORY));
  if (!fd) return problem(errno, "open folder", name, Entry::Kind::folder);
  return Folder(path_ / name, std::move(fd));
}

Result<Folder> Folder::make_folder(const std::string& name) const {
  CAIRN_TRY(Folder at, Folder::folder("."));
  at.path_ = path_;
  for (const auto& step : std::filesystem::path(name)) {
    const std::string leaf = step.string();
    if (leaf.empty()) continue;
    // One that is there may have been made by somebody who was killed before he could sync it.
    if (::mkdirat(at.fd(), leaf.c_str(), 0700) != 0 && errno != EEXIST)
      return at.problem(errno, "make folder", leaf, Entry::Kind::folder);
    CAIRN_CHECK(at.sync());
    CAIRN_TRY(at, at.folder(leaf));
  }
  return at;
}

Result<UniqueFd> Folder::open_file(const std::string& name, int access) const {
  UniqueFd file(open_beneath(fd(), name.c_str(), access));
  if (!file) return problem(errno, "open", name);
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) return fail_errno(errno, "open", path_of(name));
  if (!S_ISREG(facts.st_mode)) return wrong_type("open", path_of(name), facts, "a file");
  return file;
}

Result<UniqueFd> Folder::create_file(const std::string& leaf) const {
  CAIRN_ASSERT(is_leaf(leaf));
  UniqueFd file(open_beneath(fd(), leaf.c_str(), O_RDWR | O_CREAT | O_EXCL));
  if (!file && errno == EEXIST) return fail_errno(EEXIST, "create", path_of(leaf), ErrorCode::object_exists);
  if (!file) return problem(errno, "create", leaf);
  return file;
}

Result<UniqueFd> Folder::create_unnamed() const {
  UniqueFd file(open_beneath(fd(), ".", O_TMPFILE | O_RDWR));
  if (!file) return fail_errno(errno, "create file in", path_.string());
  return file;
}

Result<std::optional<struct stat>> Folder::look_at(const std::string& name) const {
  const UniqueFd found(open_beneath(fd(), name.c_str(), O_PATH | O_NOFOLLOW));
  if (!found && (errno == ENOENT || errno == ENOTDIR)) return std::optional<struct stat>();
  struct stat facts{};
  if (!found || ::fstat(found.get(), &facts) != 0) return problem(errno, "look at", name);
  return std::optional(facts);
}

Result<void> Folder::rename(const std::string& leaf, const Folder& to, const std::string& to_leaf,
                            IfExists if_exists) const {
  CAIRN_ASSERT(is_leaf(leaf) && is_leaf(to_leaf));
  const auto failed = [&](int error) -> Result<void> {
    if (error == EEXIST) return fail_errno(error, "rename to", to.path_of(to_leaf), ErrorCode::object_exists);
    return fail_errno(error, "rename to", to.path_of(to_leaf));
  };
  if (if_exists == IfExists::replace) {
    if (::renameat(fd(), leaf.c_str(), to.fd(), to_leaf.c_str()) != 0) return failed(errno);
    return {};
  }
  if (::renameat2(fd(), leaf.c_str(), to.fd(), to_leaf.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno != EINVAL && errno != ENOSYS) return failed(errno);
  // Some file systems lack RENAME_NOREPLACE; link(2) does the same there.
  if (::linkat(fd(), leaf.c_str(), to.fd(), to_leaf.c_str(), 0) != 0) return failed(errno);
  return remove_file(leaf);
}

Result<void> Folder::exchange(const std::string& leaf, const std::string& other_leaf) const {
  CAIRN_ASSERT(is_leaf(leaf) && is_leaf(other_leaf));
  if (::renameat2(fd(), leaf.c_str(), fd(), other_leaf.c_str(), RENAME_EXCHANGE) == 0) return {};
  if (errno == EINVAL || errno == ENOSYS)
    return fail_errno(errno, "exchange", path_of(other_leaf), ErrorCode::not_supported_yet);
  return problem(errno, "exchange", other_leaf);
}

Result<void> Folder::remove_file(const std::string& leaf) const {
  CAIRN_ASSERT(is_leaf(leaf));
  if (::unlinkat(fd(), leaf.c_str(), 0) != 0) return problem(errno, "remove", leaf);
  return {};
}

Result<void> Folder::remove_folder(const std::string& leaf) const {
  CAIRN_ASSERT(is_leaf(leaf));
  if (::unlinkat(fd(), leaf.c_str(), AT_REMOVEDIR) != 0)
    return problem(errno, "remove folder", leaf, Entry::Kind::folder);
  return {};
}

Result<void> Folder::remove_all(const std::string& leaf) const {
  CAIRN_ASSERT(is_leaf(leaf));
  if (::unlinkat(fd(), leaf.c_str(), 0) == 0 || errno == ENOENT) return {};
  // Linux says EISDIR of a folder, POSIX EPERM.
  if (errno != EISDIR && errno != EPERM) return fail_errno(errno, "remove", path_of(leaf));
  CAIRN_TRY(const Folder below, folder(leaf));
  CAIRN_CHECK(below.empty(1));
  if (::unlinkat(fd(), leaf.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    return fail_errno(errno, "remove folder", path_of(leaf));
  return {};
}

Result<void> Folder::empty(unsigned depth) const {
  if (depth > kDeepest)
    return fail(ErrorCode::wrong_file_type, "remove", path_.string(), "it lies in more folders than Cairn ever makes");
  CAIRN_TRY(const auto all, entries());
  for (const Entry& entry : all) {
    if (entry.kind != Entry::Kind::folder) {
      if (::unlinkat(fd(), entry.name.c_str(), 0) != 0 && errno != ENOENT)
        return fail_errno(errno, "remove", path_of(entry.name));
      continue;
    }
    CAIRN_TRY(const Folder below, folder(entry.name));
    CAIRN_CHECK(below.empty(depth + 1));
    if (::unlinkat(fd(), entry.name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
      return fail_errno(errno, "remove folder", path_of(entry.name));
  }
  return {};
}

Result<std::vector<Folder::Entry>> Folder::entries() const {
  const int own = open_beneath(fd(), ".", O_RDONLY | O_DIRECTORY);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(own < 0 ? nullptr : ::fdopendir(own), ::closedir);
  if (!listing) {
    const int problem_of_opening = errno;
    if (own >= 0) ::close(own);
    return fail_errno(problem_of_opening, "list", path_.string());
  }
  std::vector<Entry> found;
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(listing.get());
    if (entry == nullptr && errno != 0) return fail_errno(errno, "list", path_.string());
    if (entry == nullptr) return found;
    std::string name = static_cast<const char*>(entry->d_name);
    if (name == "." || name == "..") continue;
    unsigned char type = entry->d_type;
    if (struct stat facts{}; type == DT_UNKNOWN) {
      // One that vanishes meanwhile is simply not listed.
      if (::fstatat(fd(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
      type = static_cast<unsigned char>(IFTODT(facts.st_mode));
    }
    if (found.size() == kMostEntries)
      return fail(ErrorCode::wrong_file_type, "list", path_.string(), "it holds more files than Cairn ever makes");
    const auto kind = type == DT_REG ? Entry::Kind::file : type == DT_DIR ? Entry::Kind::folder : Entry::Kind::other;
    found.push_back({std::move(name), kind});
  }
}

Result<void> Folder::sync() const {
  const UniqueFd own(open_beneath(fd(), ".", O_RDONLY | O_DIRECTORY));
  if (!own || ::fsync(own.get()) != 0) return fail_errno(errno, "sync folder", path_.string());
  return {};
}

}  // namespace cairn
