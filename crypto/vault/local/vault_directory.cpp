// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/local/vault_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <thread>

#include "crypto/vault/local/vault_contents.h"

namespace cairn {
namespace {

std::string octal(mode_t mode) {
  char text[16];
  std::snprintf(text, sizeof(text), "%04o", static_cast<unsigned>(mode & 07777U));
  return text;
}

std::unexpected<Error> loose(const std::string& object, std::string because, std::string resolution = {}) {
  return fail(ErrorCode::vault_permissions, "use key vault", object, std::move(because), std::move(resolution));
}

// `most`: every permission that it may have.
Result<void> check_access(const struct stat& facts, mode_t most, const std::string& object) {
  if ((facts.st_mode & 07777U & ~most) != 0)
    return loose(object, "it has mode " + octal(facts.st_mode) + ", at most " + octal(most) + " is allowed",
                 "chmod " + octal(most) + " " + object);
  if (facts.st_uid != 0 && facts.st_uid != ::geteuid())
    return loose(object, "it belongs to user " + std::to_string(facts.st_uid) + ", who is neither root nor this user",
                 "chown it to the user that runs Cairn");
  return {};
}

// Who holds the lock, as far as its file tells: a number and a newline.
std::string describe_holder(int file) {
  char text[32];
  const ssize_t got = ::pread(file, text, sizeof(text), 0);
  std::string_view pid(text, got > 0 ? static_cast<std::size_t>(got) : 0);
  pid = pid.substr(0, pid.find('\n'));
  if (!parse_version(pid)) return "another process is writing to it";
  return "process " + std::string(pid) + " is writing to it";
}

void write_holder(int file) {
  const std::string text = std::to_string(::getpid()) + "\n";
  // Only a courtesy to whoever is locked out: a full disk must not keep anybody from the lock.
  if (::pwrite(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()))
    static_cast<void>(::ftruncate(file, static_cast<off_t>(text.size())) != 0);
}

// Somebody may have removed the file while we waited for its lock; then the lock says nothing.
bool is_still_there(int directory, int file) {
  struct stat there{};
  struct stat ours{};
  return ::fstatat(directory, kVaultLockName, &there, AT_SYMLINK_NOFOLLOW) == 0 && ::fstat(file, &ours) == 0 &&
         there.st_ino == ours.st_ino && there.st_dev == ours.st_dev;
}

}  // namespace

Result<void> write_all(VaultSystem& system, int file, ByteView bytes, const std::string& object) {
  while (!bytes.empty()) {
    const ssize_t written = system.write(file, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno(errno, "write", object);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<VaultDirectory> VaultDirectory::open(const std::filesystem::path& path, VaultSystem& system) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) {
    const int problem = errno;
    struct stat facts{};
    if (::lstat(path.c_str(), &facts) == 0 && S_ISLNK(facts.st_mode))
      return loose(path.string(), "it is a symbolic link", "name the directory itself");
    if (problem == ENOENT) return fail(ErrorCode::vault_missing, "open key vault", path.string());
    if (problem == ENOTDIR)
      return fail(ErrorCode::vault_missing, "open key vault", path.string(), "it is not a directory");
    return fail_errno(problem, "open key vault", path.string());
  }
  struct stat facts{};
  if (::fstat(fd.get(), &facts) != 0) return fail_errno(errno, "look at", path.string());
  CAIRN_CHECK(check_access(facts, 0700, path.string()));
  return VaultDirectory(path, std::move(fd), system);
}

Result<std::vector<std::string>> VaultDirectory::names() const {
  const int own = ::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(own < 0 ? nullptr : ::fdopendir(own), ::closedir);
  if (!listing) return fail_errno(errno, "list", path_.string());
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* const entry = ::readdir(listing.get());
    if (entry == nullptr && errno != 0) return fail_errno(errno, "list", path_.string());
    if (entry == nullptr) return names;
    const std::string name = static_cast<const char*>(entry->d_name);
    if (name != "." && name != "..") names.push_back(name);
  }
}

Result<VaultLock> VaultDirectory::lock() const {
  using namespace std::chrono_literals;
  const auto deadline = std::chrono::steady_clock::now() + system_->lock_wait();
  auto pause = 1ms;
  while (true) {
    CAIRN_TRY(auto file, open_file(kVaultLockName, O_RDWR | O_CREAT));
    if (!file) return fail_errno(ENOENT, "lock key vault", path_.string());
    const int outcome = ::flock(file->get(), LOCK_EX | LOCK_NB);
    if (outcome == 0 && is_still_there(fd_.get(), file->get())) {
      write_holder(file->get());
      return VaultLock(*std::move(file));
    }
    if (outcome != 0 && errno != EWOULDBLOCK && errno != EINTR)
      return fail_errno(errno, "lock key vault", path_of(kVaultLockName));
    if (std::chrono::steady_clock::now() >= deadline)
      return fail(ErrorCode::vault_locked, "use key vault", path_.string(), describe_holder(file->get()));
    // flock(2) can wait for ever or not at all: so it is asked again, less and less often.
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(50));
  }
}

Result<std::optional<UniqueFd>> VaultDirectory::open_file(const char* name, int flags) const {
  UniqueFd file(system_->open_at(fd_.get(), name, flags));
  const std::string object = path_of(name);
  if (!file) {
    if (errno == ENOENT) return std::optional<UniqueFd>();
    if (errno == ELOOP) return loose(object, "it is a symbolic link", "put the file itself in its place");
    if (errno == ENXIO || errno == EISDIR)
      return loose(object, "it is not a regular file", "put the file itself in its place");
    return fail_errno(errno, "open", object);
  }
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) return fail_errno(errno, "look at", object);
  if (!S_ISREG(facts.st_mode)) return loose(object, "it is not a regular file", "put the file itself in its place");
  CAIRN_CHECK(check_access(facts, 0600, object));
  return std::optional(std::move(file));
}

Result<std::optional<Buffer>> VaultDirectory::read(const char* name, std::size_t at_most) const {
  CAIRN_TRY(const auto file, open_file(name, O_RDONLY));
  if (!file) return std::optional<Buffer>();
  struct stat facts{};
  if (::fstat(file->get(), &facts) != 0) return fail_errno(errno, "look at", path_of(name));
  if (static_cast<std::uint64_t>(facts.st_size) > at_most)
    return fail(
        ErrorCode::vault_damaged, "read key vault", path_of(name),
        "it has " + std::to_string(facts.st_size) + " bytes, at most " + std::to_string(at_most) + " are allowed");
  Buffer bytes(static_cast<std::size_t>(facts.st_size));
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = ::pread(file->get(), bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read", path_of(name));
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  bytes.resize(have);
  return std::optional(std::move(bytes));
}

Result<void> VaultDirectory::write_new(const char* name, ByteView bytes) const {
  const std::string object = path_of(name);
  if (system_->unlink_at(fd_.get(), name) != 0 && errno != ENOENT) return fail_errno(errno, "remove", object);
  const UniqueFd file(system_->open_at(fd_.get(), name, O_WRONLY | O_CREAT | O_EXCL));
  if (!file) return fail_errno(errno, "create", object);
  auto written = write_all(*system_, file.get(), bytes, object);
  if (written && system_->sync(file.get()) != 0) written = fail_errno(errno, "sync", object);
  if (!written) remove(name);
  return written;
}

Result<void> VaultDirectory::publish(const char* temporary, const char* name) const {
  if (system_->rename_at(fd_.get(), temporary, name) != 0) {
    const int problem = errno;
    remove(temporary);
    return fail_errno(problem, "put in place", path_of(name));
  }
  if (system_->sync(fd_.get()) != 0) return fail_errno(errno, "sync folder", path_.string());
  return {};
}

void VaultDirectory::remove(const char* name) const {
  static_cast<void>(system_->unlink_at(fd_.get(), name));
}

}  // namespace cairn
