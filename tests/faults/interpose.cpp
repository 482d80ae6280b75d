// SPDX-License-Identifier: GPL-3.0-or-later
// Here open() is to be open() and not open64() by another name: both are defined.
#undef _FILE_OFFSET_BITS
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/faults/interpose_state.h"

namespace cairn::faults {
namespace {

// The C library's own.
template <class Function>
Function real(const char* name) {
  void* found = ::dlsym(RTLD_NEXT, name);
  if (found == nullptr) std::abort();
  Function function = nullptr;
  std::memcpy(&function, &found, sizeof(function));
  return function;
}
#define REAL(name)                                                              \
  (*[] {                                                                        \
    static const auto function = cairn::faults::real<decltype(&::name)>(#name); \
    return function;                                                            \
  }())

template <class Open>
int open_watched(int folder_fd, const char* path, int flags, Open open_it) {
  const auto lock = guard();
  if (!lock) return open_it();
  const auto place = place_of(folder_fd, path);
  struct stat facts{};
  bool through_link = false;  // /proc/self/fd/N: the same object again
  if (!place && path != nullptr && std::strncmp(path, "/proc/self/fd/", 14) == 0)
    through_link = is_watched(std::atoi(path + 14));
  if (!place && !through_link) {
    const int fd = open_it();
    // The watched directory itself.
    if (fd >= 0 && fd < kMostDescriptors) {
      const auto object = ::fstat(fd, &facts) == 0 ? object_at(facts) : std::nullopt;
      state().object_of[fd] = object ? static_cast<std::int32_t>(*object) : kNotWatched;
      state().durable[fd] = (flags & O_DSYNC) != 0;
    }
    return fd;
  }
  const bool makes = place && !place->facts && (flags & O_CREAT) != 0;
  if (const auto error = fault_at(kOpens | (makes ? kMakes : 0U))) {
    errno = *error;
    return -1;
  }
  const int fd = open_it();
  if (fd < 0 || fd >= kMostDescriptors) return fd;
  ObjectId object = 0;
  if (makes) {
    object = made(*place, Change::make_file);
  } else {
    if (::fstat(fd, &facts) != 0) std::abort();
    const auto known = object_at(facts);
    object = known ? *known : static_cast<ObjectId>(through_link ? state().object_of[std::atoi(path + 14)] : 0);
    if ((flags & O_TRUNC) != 0) record(Change::truncate).object = object;
  }
  state().object_of[fd] = static_cast<std::int32_t>(object);
  state().durable[fd] = (flags & O_DSYNC) != 0;  // a bit of O_SYNC too
  return fd;
}

// `at`: nothing: where the descriptor stands.
template <class Write>
ssize_t write_watched(int fd, const iovec* parts, int count, std::optional<off_t> at, Write write_it) {
  const auto lock = guard();
  if (!lock || !is_watched(fd)) return write_it(parts, count);
  std::vector<iovec> fewer(parts, parts + count);
  if (const auto error = fault_at(kWrites | (state().durable[fd] ? kSyncs : 0U))) {
    if (*error != 0) {
      errno = *error;
      return -1;
    }
    std::size_t bytes = 0;
    for (const iovec& part : fewer) bytes += part.iov_len;
    std::size_t left = bytes > 1 ? bytes / 2 : bytes;
    for (iovec& part : fewer) {
      part.iov_len = std::min(part.iov_len, left);
      left -= part.iov_len;
    }
  }
  const off_t from = at ? *at : ::lseek(fd, 0, SEEK_CUR);
  const ssize_t put = write_it(fewer.data(), count);
  if (put <= 0) return put;
  Operation& operation = record(Change::write);
  operation.object = static_cast<ObjectId>(state().object_of[fd]);
  operation.offset = static_cast<std::uint64_t>(from);
  operation.durable = state().durable[fd];
  for (const iovec& part : fewer) {
    const auto room = static_cast<std::size_t>(put) - operation.data.size();
    const auto* bytes = static_cast<const std::uint8_t*>(part.iov_base);
    operation.data.insert(operation.data.end(), bytes, bytes + std::min(room, part.iov_len));
  }
  return put;
}

template <class Read>
ssize_t read_watched(int fd, std::size_t bytes, Read read_it) {
  {
    const auto lock = guard();
    if (lock && is_watched(fd)) {
      if (const auto error = fault_at(kReads)) {
        if (*error != 0) {
          errno = *error;
          return -1;
        }
        if (bytes > 1) bytes /= 2;
      }
    }
  }
  return read_it(bytes);
}

template <class Sync>
int sync_watched(int fd, Sync sync_it) {
  const auto lock = guard();
  if (!lock || !is_watched(fd)) return sync_it();
  if (const auto error = fault_at(kSyncs)) {
    errno = *error != 0 ? *error : EIO;
    return -1;
  }
  record(Change::sync).object = static_cast<ObjectId>(state().object_of[fd]);
  return sync_it();
}

template <class Truncate>
int truncate_watched(int fd, off_t size, Truncate truncate_it) {
  const auto lock = guard();
  if (!lock || !is_watched(fd)) return truncate_it();
  if (const auto error = fault_at(kWrites)) {
    errno = *error != 0 ? *error : EIO;
    return -1;
  }
  const int outcome = truncate_it();
  if (outcome != 0) return outcome;
  Operation& operation = record(Change::truncate);
  operation.object = static_cast<ObjectId>(state().object_of[fd]);
  operation.offset = static_cast<std::uint64_t>(size);
  return 0;
}

// For calls that change one name. `done` records it.
template <class Call, class Done>
int change_name(int folder_fd, const char* path, unsigned to, Call call, Done done) {
  const auto lock = guard();
  if (!lock) return call();
  const auto place = place_of(folder_fd, path);
  if (!place) return call();
  if (const auto error = fault_at(to)) {
    errno = *error != 0 ? *error : EIO;
    return -1;
  }
  const int outcome = call();
  if (outcome == 0) done(*place);
  return outcome;
}

template <class Call>
int remove_name(int folder_fd, const char* path, Call call) {
  return change_name(folder_fd, path, kNames, call, [](const Place& place) { record_entry(Change::remove, place, 0); });
}

template <class Call>
int rename_watched(int from_fd, const char* from, int to_fd, const char* to, unsigned flags, Call call) {
  const auto lock = guard();
  if (!lock) return call();
  const auto source = place_of(from_fd, from);
  const auto target = place_of(to_fd, to);
  if (!source || !target) return call();
  if (const auto error = fault_at(kNames | kMakes)) {
    errno = *error != 0 ? *error : EIO;
    return -1;
  }
  const int outcome = call();
  if (outcome != 0 || !source->facts) return outcome;
  const auto object = object_at(*source->facts);
  const auto other = target->facts ? object_at(*target->facts) : std::nullopt;
  if (!object) std::abort();  // made by a call that we do not see
  Operation& operation = record((flags & RENAME_EXCHANGE) != 0 ? Change::exchange : Change::rename);
  operation.object = *object;
  operation.object2 = other.value_or(0);
  operation.folder = source->folder;
  operation.name = source->name;
  operation.folder2 = target->folder;
  operation.name2 = target->name;
  return 0;
}

template <class Call>
int make_folder(int folder_fd, const char* path, Call call) {
  return change_name(folder_fd, path, kNames | kMakes, call,
                     [](const Place& place) { made(place, Change::make_folder); });
}

template <class Call>
int link_watched(int from_folder, const char* from, int folder, const char* to, Call call) {
  return change_name(folder, to, kNames | kMakes, call, [&](const Place& place) {
    struct stat facts{};
    const auto object = ::fstatat(from_folder, from, &facts, 0) == 0 ? object_at(facts) : std::nullopt;
    if (object) record_entry(Change::link, place, *object);
  });
}

bool may_open_folder(const char* path) {
  const auto lock = guard();
  if (!lock || (!place_of(AT_FDCWD, path) && std::string(path) + "/" != state().root)) return true;
  const auto error = fault_at(kOpens);
  if (error) errno = *error != 0 ? *error : EIO;
  return !error;
}

bool may_map(int fd) {
  if (fd < 0) return true;  // memory: the allocator's own calls come here before anything is set up
  const auto lock = guard();
  if (!lock || !is_watched(fd)) return true;
  const auto error = fault_at(kMaps);
  if (error) errno = ENOMEM;
  return !error;
}

void forget_descriptor(int fd) {
  const auto lock = guard();
  if (lock && fd >= 0 && fd < kMostDescriptors) state().object_of[fd] = kNotWatched;
}

}  // namespace
}  // namespace cairn::faults

// --- the calls themselves
// ------------------------------------------------------------------------------------------------------------
// Visible to the shared libraries; declared by the system's headers, whose attributes must not be repeated.
namespace faults = cairn::faults;
#define SEEN extern "C" __attribute__((visibility("default")))

namespace {
mode_t mode_of(int flags, va_list& rest) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
}
}  // namespace

#define OPEN_MODE                           \
  va_list rest;                             \
  va_start(rest, flags);                    \
  const mode_t mode = mode_of(flags, rest); \
  va_end(rest)

SEEN int open(const char* path, int flags, ...) {
  OPEN_MODE;
  return faults::open_watched(AT_FDCWD, path, flags, [&] { return REAL(open)(path, flags, mode); });
}
SEEN int open64(const char* path, int flags, ...) {
  OPEN_MODE;
  return faults::open_watched(AT_FDCWD, path, flags, [&] { return REAL(open64)(path, flags, mode); });
}
SEEN int openat(int folder, const char* path, int flags, ...) {
  OPEN_MODE;
  return faults::open_watched(folder, path, flags, [&] { return REAL(openat)(folder, path, flags, mode); });
}
SEEN int openat64(int folder, const char* path, int flags, ...) {
  OPEN_MODE;
  return faults::open_watched(folder, path, flags, [&] { return REAL(openat64)(folder, path, flags, mode); });
}
// openat2(2) has no function of its own.
SEEN long syscall(long number, ...) noexcept {
  va_list rest;
  va_start(rest, number);
  std::array<long, 6> words{};
  for (long& word : words) word = va_arg(rest, long);
  va_end(rest);
  const auto call = [&] { return REAL(syscall)(number, words[0], words[1], words[2], words[3], words[4], words[5]); };
  if (number != SYS_openat2) return call();
  const auto* path = reinterpret_cast<const char*>(words[1]);
  const auto* how = reinterpret_cast<const open_how*>(words[2]);
  return faults::open_watched(static_cast<int>(words[0]), path, static_cast<int>(how->flags),
                              [&] { return static_cast<int>(call()); });
}
SEEN int creat(const char* path, mode_t mode) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
  return faults::open_watched(AT_FDCWD, path, kFlags, [&] { return REAL(creat)(path, mode); });
}
SEEN DIR* opendir(const char* path) {
  if (!faults::may_open_folder(path)) return nullptr;
  return REAL(opendir)(path);
}
SEEN int close(int fd) {
  faults::forget_descriptor(fd);
  return REAL(close)(fd);
}

SEEN ssize_t write(int fd, const void* bytes, size_t size) {
  const iovec part{const_cast<void*>(bytes), size};
  return faults::write_watched(fd, &part, 1, std::nullopt, [&](const iovec* parts, int) {
    return REAL(write)(fd, parts->iov_base, parts->iov_len);
  });
}
SEEN ssize_t writev(int fd, const iovec* all, int count) {
  return faults::write_watched(fd, all, count, std::nullopt,
                               [&](const iovec* parts, int number) { return REAL(writev)(fd, parts, number); });
}
SEEN ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  const iovec part{const_cast<void*>(bytes), size};
  return faults::write_watched(fd, &part, 1, offset, [&](const iovec* parts, int) {
    return REAL(pwrite)(fd, parts->iov_base, parts->iov_len, offset);
  });
}
SEEN ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  return pwrite(fd, bytes, size, offset);
}
SEEN ssize_t pwritev(int fd, const iovec* all, int count, off_t offset) {
  return faults::write_watched(
      fd, all, count, offset, [&](const iovec* parts, int number) { return REAL(pwritev)(fd, parts, number, offset); });
}
SEEN ssize_t pwritev64(int fd, const iovec* all, int count, off64_t offset) {
  return pwritev(fd, all, count, offset);
}
SEEN ssize_t read(int fd, void* to, size_t size) {
  return faults::read_watched(fd, size, [&](size_t bytes) { return REAL(read)(fd, to, bytes); });
}
SEEN ssize_t pread(int fd, void* to, size_t size, off_t offset) {
  return faults::read_watched(fd, size, [&](size_t bytes) { return REAL(pread)(fd, to, bytes, offset); });
}
SEEN ssize_t pread64(int fd, void* to, size_t size, off64_t offset) {
  return pread(fd, to, size, offset);
}

SEEN int fsync(int fd) {
  return faults::sync_watched(fd, [&] { return REAL(fsync)(fd); });
}
SEEN int fdatasync(int fd) {
  return faults::sync_watched(fd, [&] { return REAL(fdatasync)(fd); });
}
SEEN int syncfs(int fd) noexcept {
  return faults::sync_watched(fd, [&] { return REAL(syncfs)(fd); });
}
SEEN int ftruncate(int fd, off_t size) noexcept {
  return faults::truncate_watched(fd, size, [&] { return REAL(ftruncate)(fd, size); });
}
SEEN int ftruncate64(int fd, off64_t size) noexcept {
  return ftruncate(fd, size);
}

SEEN int mkdir(const char* path, mode_t mode) noexcept {
  return faults::make_folder(AT_FDCWD, path, [&] { return REAL(mkdir)(path, mode); });
}
SEEN int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  return faults::make_folder(folder, path, [&] { return REAL(mkdirat)(folder, path, mode); });
}
SEEN int rmdir(const char* path) noexcept {
  return faults::remove_name(AT_FDCWD, path, [&] { return REAL(rmdir)(path); });
}
SEEN int unlink(const char* path) noexcept {
  return faults::remove_name(AT_FDCWD, path, [&] { return REAL(unlink)(path); });
}
SEEN int unlinkat(int folder, const char* path, int flags) noexcept {
  return faults::remove_name(folder, path, [&] { return REAL(unlinkat)(folder, path, flags); });
}
SEEN int remove(const char* path) noexcept {
  return faults::remove_name(AT_FDCWD, path, [&] { return REAL(remove)(path); });
}
SEEN int link(const char* from, const char* to) noexcept {
  return faults::link_watched(AT_FDCWD, from, AT_FDCWD, to, [&] { return REAL(link)(from, to); });
}
SEEN int linkat(int from_folder, const char* from, int folder, const char* to, int flags) noexcept {
  return faults::link_watched(from_folder, from, folder, to,
                              [&] { return REAL(linkat)(from_folder, from, folder, to, flags); });
}
SEEN int rename(const char* from, const char* to) noexcept {
  return faults::rename_watched(AT_FDCWD, from, AT_FDCWD, to, 0, [&] { return REAL(rename)(from, to); });
}
SEEN int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  return faults::rename_watched(from_folder, from, to_folder, to, 0,
                                [&] { return REAL(renameat)(from_folder, from, to_folder, to); });
}
SEEN int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  return faults::rename_watched(from_folder, from, to_folder, to, flags,
                                [&] { return REAL(renameat2)(from_folder, from, to_folder, to, flags); });
}
SEEN void* mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  if (!faults::may_map(fd)) return MAP_FAILED;
  return REAL(mmap)(address, size, protection, flags, fd, offset);
}
SEEN void* mmap64(void* address, size_t size, int protection, int flags, int fd, off64_t offset) noexcept {
  return mmap(address, size, protection, flags, fd, offset);
}
