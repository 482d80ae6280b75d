// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/io/local_backend.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>

#include "config/base/unique_fd.h"
#include "fs/file/direct_io.h"
#include "fs/file/folder.h"
#include "fs/file/rename.h"

namespace cairn {
namespace {

class FileReader final : public ObjectReader {
 public:
  FileReader(UniqueFd file, std::uint64_t size, std::string path)
      : file_(std::move(file)), size_(size), path_(std::move(path)) {}

  [[nodiscard]] std::uint64_t size() const override { return size_; }

  [[nodiscard]] bool is_removed() const override {
    struct stat facts{};
    return ::fstat(file_.get(), &facts) == 0 && facts.st_nlink == 0;
  }

  Result<void> read(std::uint64_t offset, MutableBytes to) const override {
    while (!to.empty()) {
      const ssize_t got = ::pread(file_.get(), to.data(), to.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno(errno, "read", path_);
      if (got == 0) return fail(ErrorCode::object_missing, "read", path_, "the file is shorter than it was written");
      offset += static_cast<std::uint64_t>(got);
      to = to.subspan(static_cast<std::size_t>(got));
    }
    return {};
  }

  Result<ByteView> read_run(ByteOffset offset, ByteCount size, BulkBuffer& buffer) const override {
    const std::size_t bytes = size.in_memory();
    const std::uint64_t from = direct_floor(offset.from_start());
    const auto before = static_cast<std::size_t>(offset.from_start() - from);
    const MutableBytes room = room_in(buffer, direct_ceiling(before + bytes));
    // Opened for each run: it costs little beside the run, and only half as many descriptors stay open.
    DirectReads file(file_.get());
    ssize_t got = 0;
    do got = file.read(from, room);
    while (got < 0 && errno == EINTR);
    if (got < 0) return fail_errno(errno, "read", path_);
    // A short answer: by a signal, or at the end of the file. Going on need not be aligned any more.
    const MutableBytes wanted = room.subspan(before, bytes);
    const std::size_t have = static_cast<std::size_t>(got) > before ? static_cast<std::size_t>(got) - before : 0;
    if (have < bytes) CAIRN_CHECK(read(offset.from_start() + have, wanted.subspan(have)));
    return ByteView(wanted);
  }

 private:
  UniqueFd file_;
  std::uint64_t size_;
  std::string path_;
};

std::string random_name() {
  std::uint8_t bytes[12];
  if (::getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) std::abort();
  return to_hex(bytes);
}

// Removes the temporary file unless it has been renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path path) : path_(std::move(path)) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  void renamed() { path_.clear(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

std::filesystem::path LocalBackend::path_of(std::string_view name) const {
  // Names are made of valid machine names, times and hexadecimal; a component ".." is none of them.
  CAIRN_ASSERT(!name.empty() && name.front() != '/');
  for (const auto& step : std::filesystem::path(name)) CAIRN_ASSERT(step != "..");
  return directory_ / name;
}

Result<void> LocalBackend::put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) {
  const std::filesystem::path target = path_of(name);
  const std::filesystem::path temporary_folder = directory_ / "tmp";
  const std::filesystem::path temporary = temporary_folder / random_name();
  UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file && errno == ENOENT) {
    CAIRN_CHECK(make_folder(temporary_folder));
    file = UniqueFd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  }
  if (!file) return fail_errno(errno, "create", temporary.string());
  TemporaryFile guard(temporary);
  CAIRN_CHECK(write_parts(file.get(), parts, target.string()));
  if (::fsync(file.get()) != 0) return fail_errno(errno, "sync", target.string());

  const auto publish = [&] {
    if (if_exists == IfExists::fail) return rename_no_replace(temporary.c_str(), target.c_str());
    return ::rename(temporary.c_str(), target.c_str()) == 0 ? 0 : errno;
  };
  int outcome = publish();
  if (outcome == ENOENT && target.parent_path() != directory_) {
    for (std::filesystem::path missing = directory_; const auto& step : std::filesystem::path(name).parent_path())
      CAIRN_CHECK(make_folder(missing /= step));
    outcome = publish();
  }
  if (outcome == EEXIST)
    return fail(ErrorCode::object_exists, "write", target.string(), "there is an object of that name");
  if (outcome != 0) return fail_errno(outcome, "publish", target.string());
  guard.renamed();
  auto synced = sync_folder(target.parent_path());
  // It was not there before and shall not be now: whoever met it could not know that it may vanish.
  if (!synced && if_exists == IfExists::fail) ::unlink(target.c_str());
  return synced;
}

Result<std::unique_ptr<ObjectReader>> LocalBackend::open(std::string_view name) {
  const std::filesystem::path path = path_of(name);
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR)
      return fail(ErrorCode::object_missing, "open", path.string(), "the file is not there");
    return fail_errno(errno, "open", path.string());
  }
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) return fail_errno(errno, "open", path.string());
  if (!S_ISREG(facts.st_mode))
    return fail(ErrorCode::object_missing, "open", path.string(), "it is not a regular file");
  // What is read in sequence is read in runs past the page cache; the rest is here and there.
  static_cast<void>(::posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM));
  return std::make_unique<FileReader>(std::move(file), static_cast<std::uint64_t>(facts.st_size), path.string());
}

Result<std::vector<std::string>> LocalBackend::list(std::string_view prefix) {
  CAIRN_ASSERT(prefix.ends_with('/'));
  const std::filesystem::path folder = path_of(prefix);
  std::vector<std::string> names;
  std::error_code problem;
  std::filesystem::recursive_directory_iterator entry(folder, problem);
  const std::filesystem::recursive_directory_iterator end;
  while (!problem && entry != end) {
    // A file that vanishes meanwhile is no problem: it is simply not listed.
    std::error_code ignored;
    if (entry->is_regular_file(ignored)) names.push_back(entry->path().string().substr(directory_.string().size() + 1));
    entry.increment(problem);
  }
  if (problem == std::errc::no_such_file_or_directory) return names;
  if (problem) return fail_errno(problem.value(), "list", folder.string());
  return names;
}

Result<std::vector<ListedObject>> LocalBackend::list_sizes(std::string_view prefix) {
  CAIRN_TRY(std::vector<std::string> names, list(prefix));
  std::vector<ListedObject> listed;
  listed.reserve(names.size());
  for (std::string& name : names) {
    const std::filesystem::path path = path_of(name);
    struct stat facts{};
    if (::lstat(path.c_str(), &facts) == 0) {
      // What is no regular file has no bytes for whoever opens it.
      listed.push_back({std::move(name), S_ISREG(facts.st_mode) ? static_cast<std::uint64_t>(facts.st_size) : 0});
    } else if (errno != ENOENT && errno != ENOTDIR) {
      return fail_errno(errno, "look at", path.string());
    }
  }
  return listed;
}

Result<void> LocalBackend::remove(std::string_view name) {
  const std::filesystem::path path = path_of(name);
  if (::unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return fail(ErrorCode::object_missing, "remove", path.string(), "the file is not there");
    return fail_errno(errno, "remove", path.string());
  }
  return sync_folder(path.parent_path());
}

namespace {
// Locks the object without waiting; nothing: somebody else has a lock that excludes this one. `operation`: flock(2)'s.
Result<std::optional<UniqueFd>> lock_object(const std::filesystem::path& path, int operation) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno == ENOENT) return fail(ErrorCode::object_missing, "lock", path.string(), "the file is not there");
  if (!file) return fail_errno(errno, "lock", path.string());
  while (::flock(file.get(), operation | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return std::optional<UniqueFd>();
    return fail_errno(errno, "lock", path.string());
  }
  // It may have been removed, or replaced, between opening and locking.
  struct stat facts{};
  struct stat named{};
  if (::fstat(file.get(), &facts) != 0) return fail_errno(errno, "lock", path.string());
  if (::stat(path.c_str(), &named) != 0 || named.st_ino != facts.st_ino || named.st_dev != facts.st_dev)
    return fail(ErrorCode::object_missing, "lock", path.string(), "the file was just removed");
  return std::optional(std::move(file));
}
}  // namespace

Result<std::unique_ptr<ObjectHold>> LocalBackend::hold(std::string_view name) {
  struct Locked final : ObjectHold {
    UniqueFd file;
  };
  CAIRN_TRY(auto file, lock_object(path_of(name), LOCK_SH));
  // Only who removes it has a lock that excludes this.
  if (!file) return fail(ErrorCode::object_missing, "lock", path_of(name).string(), "the file is just being removed");
  auto held = std::make_unique<Locked>();
  held->file = *std::move(file);
  return std::unique_ptr<ObjectHold>(std::move(held));
}

Result<bool> LocalBackend::remove_unless_held(std::string_view name) {
  CAIRN_TRY(const auto locked, lock_object(path_of(name), LOCK_EX));
  if (!locked) return false;
  CAIRN_CHECK(remove(name));
  return true;
}

Result<std::optional<Backend::Space>> LocalBackend::space() {
  struct statvfs facts{};
  if (::statvfs(directory_.c_str(), &facts) != 0) return fail_errno(errno, "look at", directory_.string());
  return std::optional(Space{facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize});
}

Result<std::optional<std::uint64_t>> LocalBackend::change_token(std::string_view prefix) {
  const std::filesystem::path folder = path_of(prefix);
  struct stat facts{};
  if (::stat(folder.c_str(), &facts) != 0) {
    if (errno == ENOENT) return std::optional<std::uint64_t>(0);
    return fail_errno(errno, "look at", folder.string());
  }
  const std::uint64_t changed_ns = static_cast<std::uint64_t>(facts.st_mtim.tv_sec) * 1'000'000'000 +
                                   static_cast<std::uint64_t>(facts.st_mtim.tv_nsec);
  const auto now_ns = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
  // Times of files tick coarsely (up to 10 ms): a second change within the tick would not show.
  static constexpr std::uint64_t kTickNs = 50'000'000;
  if (now_ns < changed_ns + kTickNs) return std::optional<std::uint64_t>();
  return std::optional(changed_ns);
}

Result<void> LocalBackend::settle(std::string_view prefix) {
  std::error_code problem;
  if (prefix.empty()) {
    std::filesystem::directory_iterator folder(directory_, problem);
    for (; !problem && folder != std::filesystem::directory_iterator(); folder.increment(problem))
      if (folder->is_directory(problem)) CAIRN_CHECK(sync_folder(folder->path()));
    if (problem) return fail_errno(problem.value(), "sync folder", directory_.string());
    return sync_folder(directory_);
  }
  const std::filesystem::path top = path_of(prefix);
  std::filesystem::recursive_directory_iterator entry(top, problem);
  if (problem == std::errc::no_such_file_or_directory) return {};
  for (; !problem && entry != std::filesystem::recursive_directory_iterator(); entry.increment(problem))
    if (entry->is_directory(problem)) CAIRN_CHECK(sync_folder(entry->path()));
  if (problem) return fail_errno(problem.value(), "sync folder", top.string());
  return sync_folder(top);
}

Result<void> LocalBackend::remove_leftovers() {
  std::error_code problem;
  std::filesystem::directory_iterator entry(directory_ / "tmp", problem);
  while (!problem && entry != std::filesystem::directory_iterator()) {
    std::error_code ignored;
    std::filesystem::remove(entry->path(), ignored);
    entry.increment(problem);
  }
  if (problem && problem != std::errc::no_such_file_or_directory)
    return fail_errno(problem.value(), "empty folder", (directory_ / "tmp").string());
  return {};
}

}  // namespace cairn
