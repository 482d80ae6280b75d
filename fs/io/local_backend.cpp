// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/io/local_backend.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "config/base/unique_fd.h"
#include "fs/file/direct_io.h"
#include "fs/file/folder.h"

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
  TemporaryFile(const Folder& folder, std::string leaf) : folder_(folder), leaf_(std::move(leaf)) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!leaf_.empty()) static_cast<void>(folder_.remove_file(leaf_).has_value());
  }
  void renamed() { leaf_.clear(); }

 private:
  const Folder& folder_;
  std::string leaf_;
};

// Names are made of valid machine names, times and hexadecimal; a component ".." is none of them.
std::string checked(std::string_view name) {
  CAIRN_ASSERT(!name.empty() && name.front() != '/');
  for (const auto& step : std::filesystem::path(name)) CAIRN_ASSERT(step != "..");
  return std::string(name);
}

struct ObjectPlace {
  std::string folder;  // "." where it is the store itself
  std::string leaf;
};
ObjectPlace place_of(std::string_view name) {
  const std::string all = checked(name);
  const std::size_t slash = all.rfind('/');
  return slash == std::string::npos ? ObjectPlace{".", all} : ObjectPlace{all.substr(0, slash), all.substr(slash + 1)};
}

// A link, pipe or device in an object's own place means that the object is not there. In the place of a folder that
// has objects it is no sign of their state.
Error as_object(Error error, const std::string& path) {
  if (error.code == ErrorCode::wrong_file_type && error.object == path) error.code = ErrorCode::object_missing;
  if (error.code == ErrorCode::object_missing && error.sys_errno != 0) {
    error.sys_errno = 0;
    error.because = "the file is not there";
  }
  return error;
}

bool is_missing(const Error& error) {
  return error.code == ErrorCode::object_missing;
}

// The folders of objects lie in one another no deeper than that.
constexpr unsigned kDeepestList = 4;

// "ab"
bool is_pack_folder(std::string_view name) {
  return name.size() == 2 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<void> list_into(std::vector<std::string>& names, const Folder& folder, const std::string& prefix,
                       unsigned depth) {
  CAIRN_TRY(const auto entries, folder.entries());
  for (const Folder::Entry& entry : entries) {
    if (entry.kind == Folder::Entry::Kind::file) names.push_back(prefix + entry.name);
    // Skipped in silence, all packs below it would seem lost.
    if (entry.kind == Folder::Entry::Kind::other && prefix == "packs/" && is_pack_folder(entry.name))
      return fail(ErrorCode::wrong_file_type, "list", folder.path_of(entry.name), "it is no folder");
    if (entry.kind != Folder::Entry::Kind::folder || depth == kDeepestList) continue;
    const auto below = folder.folder(entry.name);
    // One that vanishes meanwhile is no problem: it is simply not listed.
    if (!below && is_missing(below.error())) continue;
    if (!below) return pass_on(below.error());
    CAIRN_CHECK(list_into(names, *below, prefix + entry.name + "/", depth + 1));
  }
  return {};
}

Result<void> sync_tree(const Folder& folder, unsigned depth) {
  CAIRN_TRY(const auto entries, folder.entries());
  for (const Folder::Entry& entry : entries) {
    if (entry.kind != Folder::Entry::Kind::folder || depth == 0) continue;
    CAIRN_TRY(const Folder below, folder.folder(entry.name));
    CAIRN_CHECK(sync_tree(below, depth - 1));
  }
  return folder.sync();
}

}  // namespace

Result<Folder> LocalBackend::root() const {
  return Folder::open(directory_);
}

Result<std::optional<Folder>> LocalBackend::folder_of(std::string_view prefix) const {
  auto root = this->root();
  if (!root && is_missing(root.error())) return std::optional<Folder>();
  if (!root) return pass_on(std::move(root).error());
  auto folder = root->folder(checked(prefix.substr(0, prefix.size() - 1)));
  if (!folder && is_missing(folder.error())) return std::optional<Folder>();
  if (!folder) return pass_on(std::move(folder).error());
  return std::optional(*std::move(folder));
}

std::string LocalBackend::path_of(std::string_view name) const {
  return (directory_ / name).string();
}

Result<void> LocalBackend::put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) {
  const ObjectPlace place = place_of(name);
  CAIRN_TRY(const Folder root, this->root());
  auto temporary_folder = root.folder("tmp");
  if (!temporary_folder && is_missing(temporary_folder.error())) temporary_folder = root.make_folder("tmp");
  if (!temporary_folder) return pass_on(std::move(temporary_folder).error());
  const std::string temporary = random_name();
  CAIRN_TRY(const UniqueFd file, temporary_folder->create_file(temporary));
  TemporaryFile guard(*temporary_folder, temporary);
  CAIRN_CHECK(write_parts(file.get(), parts, path_of(name)));
  if (::fsync(file.get()) != 0) return fail_errno(errno, "sync", path_of(name));

  auto target = root.folder(place.folder);
  if (!target && is_missing(target.error())) target = root.make_folder(place.folder);
  if (!target) return pass_on(std::move(target).error());
  if (auto renamed = temporary_folder->rename(temporary, *target, place.leaf, if_exists); !renamed) {
    const auto there = target->look_at(place.leaf);
    if (there && *there && !S_ISREG((*there)->st_mode))
      return fail(ErrorCode::wrong_file_type, "write", path_of(name),
                  std::string("it is ") + kind_of_file(**there) + ", not a file");
    if (renamed.error().code == ErrorCode::object_exists)
      return fail(ErrorCode::object_exists, "write", path_of(name), "there is an object of that name");
    return renamed;
  }
  guard.renamed();
  auto synced = target->sync();
  // It was not there before and shall not be now: whoever met it could not know that it may vanish.
  if (!synced && if_exists == IfExists::fail) static_cast<void>(target->remove_file(place.leaf).has_value());
  return synced;
}

Result<std::unique_ptr<ObjectReader>> LocalBackend::open(std::string_view name) {
  const std::string path = path_of(checked(name));
  auto root = this->root();
  if (!root) return pass_on(as_object(std::move(root).error(), path));
  auto file = root->open_file(std::string(name), O_RDONLY);
  if (!file) return pass_on(as_object(std::move(file).error(), path));
  struct stat facts{};
  if (::fstat(file->get(), &facts) != 0) return fail_errno(errno, "open", path);
  // What is read in sequence is read in runs past the page cache; the rest is here and there.
  static_cast<void>(::posix_fadvise(file->get(), 0, 0, POSIX_FADV_RANDOM));
  return std::make_unique<FileReader>(*std::move(file), static_cast<std::uint64_t>(facts.st_size), path);
}

Result<std::vector<std::string>> LocalBackend::list(std::string_view prefix) {
  CAIRN_ASSERT(prefix.ends_with('/'));
  std::vector<std::string> names;
  CAIRN_TRY(const auto folder, folder_of(prefix));
  if (!folder) return names;
  CAIRN_CHECK(list_into(names, *folder, std::string(prefix), 1));
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
  const ObjectPlace place = place_of(name);
  const auto in_folder = [&]() -> Result<void> {
    CAIRN_TRY(const Folder root, this->root());
    CAIRN_TRY(const Folder folder, root.folder(place.folder));
    CAIRN_CHECK(folder.remove_file(place.leaf));
    return folder.sync();
  };
  auto removed = in_folder();
  if (!removed && is_missing(removed.error()))
    return fail(ErrorCode::object_missing, "remove", path_of(name), "the file is not there");
  return removed;
}

// Locks the object without waiting; nothing: somebody else has a lock that excludes this one. `operation`: flock(2)'s.
Result<std::optional<UniqueFd>> LocalBackend::lock_object(const std::string& name, int operation) const {
  const std::string path = path_of(checked(name));
  auto root = this->root();
  if (!root) return pass_on(as_object(std::move(root).error(), path));
  auto opened = root->open_file(name, O_RDONLY);
  if (!opened) return pass_on(as_object(std::move(opened).error(), path));
  UniqueFd file = *std::move(opened);
  while (::flock(file.get(), operation | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return std::optional<UniqueFd>();
    return fail_errno(errno, "lock", path);
  }
  // It may have been removed, or replaced, between opening and locking.
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) return fail_errno(errno, "lock", path);
  const auto named = root->look_at(name);
  if (!named || !*named || (*named)->st_ino != facts.st_ino || (*named)->st_dev != facts.st_dev)
    return fail(ErrorCode::object_missing, "lock", path, "the file was just removed");
  return std::optional(std::move(file));
}

Result<std::unique_ptr<ObjectHold>> LocalBackend::hold(std::string_view name) {
  struct Locked final : ObjectHold {
    UniqueFd file;
  };
  CAIRN_TRY(auto file, lock_object(std::string(name), LOCK_SH));
  // Only who removes it has a lock that excludes this.
  if (!file) return fail(ErrorCode::object_missing, "lock", path_of(name), "the file is just being removed");
  auto held = std::make_unique<Locked>();
  held->file = *std::move(file);
  return std::unique_ptr<ObjectHold>(std::move(held));
}

Result<bool> LocalBackend::remove_unless_held(std::string_view name) {
  CAIRN_TRY(const auto locked, lock_object(std::string(name), LOCK_EX));
  if (!locked) return false;
  CAIRN_CHECK(remove(name));
  return true;
}

Result<std::optional<Backend::Space>> LocalBackend::space() {
  CAIRN_TRY(const Folder root, this->root());
  struct statvfs facts{};
  if (::fstatvfs(root.fd(), &facts) != 0) return fail_errno(errno, "look at", directory_.string());
  return std::optional(Space{facts.f_bavail * facts.f_frsize, facts.f_blocks * facts.f_frsize});
}

Result<std::optional<std::uint64_t>> LocalBackend::change_token(std::string_view prefix) {
  CAIRN_TRY(const auto folder, folder_of(prefix));
  if (!folder) return std::optional<std::uint64_t>(0);
  struct stat facts{};
  if (::fstat(folder->fd(), &facts) != 0) return fail_errno(errno, "look at", folder->path().string());
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
  if (prefix.empty()) {
    CAIRN_TRY(const Folder root, this->root());
    return sync_tree(root, 1);
  }
  CAIRN_TRY(const auto folder, folder_of(prefix));
  if (!folder) return {};
  return sync_tree(*folder, kDeepestList);
}

Result<void> LocalBackend::remove_leftovers() {
  CAIRN_TRY(const auto temporary_folder, folder_of("tmp/"));
  if (!temporary_folder) return {};
  CAIRN_TRY(const auto entries, temporary_folder->entries());
  for (const Folder::Entry& entry : entries) {
    if (entry.kind == Folder::Entry::Kind::folder) continue;
    static_cast<void>(temporary_folder->remove_file(entry.name).has_value());
  }
  return {};
}

}  // namespace cairn
