// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/clone/kept_clone.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fiemap.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fs/file/folder.h"
#include "fs/file/link_file.h"
#include "fs/image/clone/extent_map.h"
#include "fs/image/clone/file_times.h"

namespace cairn {

namespace {

constexpr long kXfsMagic = 0x58465342;  // fs/xfs/libxfs/xfs_format.h XFS_SB_MAGIC
constexpr std::uint64_t kLeastFreePercent = 5;

// XFS_IOC_FSGEOMETRY_V1 (fs/xfs/libxfs/xfs_fs.h): the one place where XFS says whether it was made with reflinks.
struct XfsGeometry {
  std::uint32_t before[8];
  std::uint64_t counts[4];
  std::uint8_t uuid[16];
  std::uint32_t sunit, swidth, version, flags, logsectsize, rtsectsize, dirblocksize;
};
static_assert(sizeof(XfsGeometry) == 112);
constexpr unsigned long kXfsGetGeometry = _IOR('X', 100, XfsGeometry);
constexpr std::uint32_t kXfsReflink = 1U << 20U;

// Nothing: its extents can be trusted, and it has reflinks.
std::optional<std::string> why_not_this_file_system(int fd) {
  struct statfs facts{};
  if (::fstatfs(fd, &facts) != 0) return fmt::format("its file system cannot be looked at: {}", std::strerror(errno));
  if (facts.f_type == static_cast<long>(BTRFS_SUPER_MAGIC)) return std::nullopt;
  if (facts.f_type != kXfsMagic) return "it lies neither on XFS nor on btrfs, the file systems with reflinks";
  XfsGeometry geometry{};
  if (::ioctl(fd, kXfsGetGeometry, &geometry) == 0 && (geometry.flags & kXfsReflink) == 0)
    return "its XFS was made without reflinks (mkfs.xfs -m reflink=1)";
  return std::nullopt;
}

// What guests overwrite while a clone is kept takes new space. On a file system that is nearly full that could stop
// them.
std::optional<std::string> why_too_full(int fd) {
  struct statfs facts{};
  if (::fstatfs(fd, &facts) != 0 || facts.f_blocks == 0) return std::nullopt;
  if (facts.f_bavail * 100 >= facts.f_blocks * kLeastFreePercent) return std::nullopt;
  return fmt::format("less than {} % of its file system is free, and a clone keeps what guests overwrite",
                     kLeastFreePercent);
}

struct OpenFolder {
  std::optional<Folder> folder;
  std::string why_not;
};

// The directory of an image may be somebody else's, who can put anything in the place of the clone folder: so it must
// be a folder of ours that nobody else may write to, and all that is done in it is done below what was looked at.
OpenFolder open_folder(const std::filesystem::path& folder) {
  const auto no = [&](std::string_view because) {
    return OpenFolder{std::nullopt, fmt::format("the clone folder {} {}", folder.string(), because)};
  };
  auto opened = Folder::open_itself(folder);
  if (!opened && opened.error().code == ErrorCode::wrong_file_type) return no("is a link, or no directory");
  if (!opened) return no(fmt::format("cannot be opened: {}", std::strerror(opened.error().sys_errno)));
  struct stat facts{};
  if (::fstat(opened->fd(), &facts) != 0) return no(fmt::format("cannot be looked at: {}", std::strerror(errno)));
  if (facts.st_uid != ::geteuid()) return no("belongs to another user");
  if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) return no("can be written to by other users");
  return {*std::move(opened), {}};
}

std::optional<CloneIdentity> identity_of(int fd) {
  struct statx facts{};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS | STATX_BTIME, &facts) != 0)
    return std::nullopt;
  return CloneIdentity{facts.stx_ino, facts.stx_size, nanoseconds(facts.stx_mtime), nanoseconds(facts.stx_ctime),
                       (facts.stx_mask & STATX_BTIME) != 0 ? nanoseconds(facts.stx_btime) : 0};
}

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

}  // namespace

std::filesystem::path clone_folder_of(const std::filesystem::path& image, const std::filesystem::path& clones) {
  if (clones.is_absolute()) return clones;
  std::error_code ignored;
  std::filesystem::path real = std::filesystem::canonical(image, ignored);
  if (ignored) real = image;
  return directory_of(real) / clones;
}

std::optional<std::string> prepare_clone_folder(int source, const std::filesystem::path& folder) {
  if (auto why = why_not_this_file_system(source)) return why;
  const auto cannot_be_made = [&](const Error& error) {
    return fmt::format("the clone folder {} cannot be made: {}", folder.string(),
                       error.sys_errno != 0 ? std::strerror(error.sys_errno) : error.because);
  };
  const auto above = Folder::open(directory_of(folder));
  if (!above) return cannot_be_made(above.error());
  const auto there = above->look_at(folder.filename().string());
  const bool make = there && !*there;
  if (make)
    if (const auto made = above->make_folder(folder.filename().string()); !made) return cannot_be_made(made.error());
  const OpenFolder opened = open_folder(folder);
  if (!opened.folder) return opened.why_not;
  auto why = why_too_full(opened.folder->fd());
  if (why && make) remove_clone_folder(folder);
  return why;
}

std::optional<std::string> why_not_cloned(const std::filesystem::path& image) {
  struct stat facts{};
  if (::stat(image.c_str(), &facts) != 0) return fmt::format("the image cannot be read: {}", std::strerror(errno));
  if (S_ISBLK(facts.st_mode)) return "it is a block device, which cannot be cloned by reflinks";
  const UniqueFd source(::open(image.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!source) return fmt::format("the image cannot be read: {}", std::strerror(errno));
  return why_not_this_file_system(source.get());
}

std::optional<std::string> why_no_clones(const std::filesystem::path& image, const std::filesystem::path& folder) {
  struct stat facts{};
  if (::stat(image.c_str(), &facts) != 0) return fmt::format("the image cannot be read: {}", std::strerror(errno));
  if (S_ISBLK(facts.st_mode)) return "it is a block device, which cannot be cloned by reflinks";
  const UniqueFd source(::open(image.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!source) return fmt::format("the image cannot be read: {}", std::strerror(errno));
  if (auto why = why_not_this_file_system(source.get())) return why;

  struct stat at{};
  const bool there = ::lstat(folder.c_str(), &at) == 0;
  const std::filesystem::path place = there ? folder : folder.parent_path();
  if (there) {
    const OpenFolder opened = open_folder(folder);
    if (!opened.folder) return opened.why_not;
  } else if (::access(place.c_str(), W_OK | X_OK) != 0) {
    return fmt::format("the clone folder {} cannot be made: {}", folder.string(), std::strerror(errno));
  }
  const UniqueFd directory(::open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return fmt::format("{} cannot be opened: {}", place.string(), std::strerror(errno));
  if (auto why = why_too_full(directory.get())) return why;
  // Subvolumes of one btrfs have different device numbers, and share extents all the same: only trying would tell.
  struct statfs image_system{};
  struct statfs clone_system{};
  if (::fstatfs(source.get(), &image_system) != 0 || ::fstatfs(directory.get(), &clone_system) != 0 ||
      ::fstat(directory.get(), &at) != 0)
    return fmt::format("{} cannot be looked at: {}", place.string(), std::strerror(errno));
  if (clone_system.f_type != image_system.f_type || (image_system.f_type == kXfsMagic && at.st_dev != facts.st_dev))
    return fmt::format("the clone folder {} lies on another file system than the image", folder.string());
  return std::nullopt;
}

void remove_clone_folder(const std::filesystem::path& folder) {
  const auto above = Folder::open(directory_of(folder));
  // Fails, as it should, when something is in it.
  if (above) static_cast<void>(above->remove_folder(folder.filename().string()).has_value());
}

Result<KeptClone> keep_clone(int fd, const std::filesystem::path& folder, const std::string& name) {
  KeptClone kept;
  kept.path = folder / name;
  const auto cannot = [&](int error) {
    return fail_errno(error, "keep clone", kept.path.string(),
                      error == ENOSPC || error == EDQUOT ? ErrorCode::no_space : ErrorCode::clone_not_kept);
  };
  const OpenFolder opened = open_folder(folder);
  if (!opened.folder) return fail(ErrorCode::clone_not_kept, "keep clone", kept.path.string(), opened.why_not);
  // Not only the name must be durable: the clone says where bytes lie that the disk's own cache may still hold back.
  // fsync(2) of the file flushes that as well.
  if (const int error = link_open_file(fd, opened.folder->fd(), name.c_str()); error != 0) return cannot(error);
  const auto identity = ::fsync(fd) == 0 && opened.folder->sync() ? identity_of(fd) : std::nullopt;
  if (!identity) {
    const int error = errno;
    static_cast<void>(opened.folder->remove_file(name).has_value());
    return cannot(error);
  }
  kept.identity = *identity;
  leave_behind(identity->changed_ns);
  return kept;
}

FileBelow look_below(const std::filesystem::path& path, int clone) {
  const auto no = [&](const char* why) { return FileBelow{{path, {}}, path.string() + " " + why}; };
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat facts{};
  struct stat clone_facts{};
  if (!file || ::fstat(file.get(), &facts) != 0 || ::fstat(clone, &clone_facts) != 0) return no("cannot be looked at");
  if (!S_ISREG(facts.st_mode)) return no("is no file");
  if (facts.st_dev != clone_facts.st_dev) return no("lies on another file system than the image");
  const auto identity = identity_of(file.get());
  const auto made = identity_of(clone);
  if (!identity || !made || made->born_ns == 0) return no("has no times that can be compared");
  if (identity->changed_ns >= made->born_ns || identity->modified_ns >= made->born_ns)
    return no("was written to just now");
  return {{path, *identity}, {}};
}

namespace {

Result<UniqueFd> open_clone(const std::filesystem::path& path) {
  CAIRN_TRY(const Folder folder, Folder::open_itself(path.parent_path()));
  return folder.open_file(path.filename().string(), O_RDONLY);
}

OpenedClone open_as_kept(const KeptClone& kept) {
  const auto no = [](std::string why) { return OpenedClone{UniqueFd(), std::move(why)}; };
  auto opened = open_clone(kept.path);
  if (!opened && opened.error().code == ErrorCode::object_missing)
    return no(fmt::format("the reference snapshot {} is gone", kept.path.string()));
  if (!opened)
    return no(
        fmt::format("the reference snapshot {} cannot be opened: {}", kept.path.string(),
                    opened.error().sys_errno != 0 ? std::strerror(opened.error().sys_errno) : opened.error().because));
  UniqueFd fd = *std::move(opened);
  const auto identity = identity_of(fd.get());
  if (!identity) return no(fmt::format("the reference snapshot {} cannot be looked at", kept.path.string()));
  if (identity->inode != kept.identity.inode || identity->born_ns != kept.identity.born_ns)
    return no(fmt::format("another file is where the reference snapshot {} was", kept.path.string()));
  if (*identity != kept.identity)
    return no(fmt::format("the reference snapshot {} was changed since it was kept", kept.path.string()));
  return {std::move(fd), {}};
}

}  // namespace

std::optional<std::string> why_not_as_kept(const KeptClone& kept) {
  OpenedClone opened = open_as_kept(kept);
  if (opened.fd) return std::nullopt;
  return std::move(opened.why_not);
}

OpenedClone open_kept_clone(const KeptClone& kept, int now) {
  const auto no = [](std::string why) { return OpenedClone{UniqueFd(), std::move(why)}; };
  OpenedClone opened = open_as_kept(kept);
  if (!opened.fd) return opened;
  const UniqueFd& fd = opened.fd;
  struct stat before_facts{};
  struct stat now_facts{};
  if (::fstat(fd.get(), &before_facts) != 0 || ::fstat(now, &now_facts) != 0 || !S_ISREG(before_facts.st_mode))
    return no(fmt::format("the reference snapshot {} cannot be looked at", kept.path.string()));
  // The new clone shares the image's extents, so it lies on the image's file system; the same number now is the same
  // file system now.
  if (before_facts.st_dev != now_facts.st_dev)
    return no(
        fmt::format("the reference snapshot {} lies on another file system than the new one", kept.path.string()));
  if (auto why = why_not_this_file_system(fd.get())) return no(*std::move(why));
  return opened;
}

bool remove_kept_clone(const KeptClone& kept) {
  const auto folder = Folder::open_itself(kept.path.parent_path());
  const std::string name = kept.path.filename().string();
  const auto fd = folder ? folder->open_file(name, O_RDONLY) : Result<UniqueFd>(pass_on(folder.error()));
  if (!fd) return fd.error().code == ErrorCode::object_missing;
  const auto identity = identity_of(fd->get());
  // One that somebody wrote to is ours all the same.
  if (!identity || identity->inode != kept.identity.inode || identity->born_ns != kept.identity.born_ns) return false;
  return folder->remove_file(name).has_value();
}

void remove_other_clones(const std::filesystem::path& folder, const std::string& prefix,
                         const std::filesystem::path& but) {
  const OpenFolder opened = open_folder(folder);
  if (!opened.folder) return;
  const auto entries = opened.folder->entries();
  if (!entries) return;
  for (const auto& [name, kind] : *entries)
    if (kind != Folder::Entry::Kind::folder && name.starts_with(prefix) && folder / name != but)
      static_cast<void>(opened.folder->remove_file(name).has_value());
}

Result<CloneSpace> space_of(const std::filesystem::path& clone) {
  constexpr std::size_t kBatch = 2048;
  constexpr std::size_t kMostExtents = 100'000;  // for each the file system looks who shares it
  const UniqueFd fd(::open(clone.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return fail_errno(errno, "look at clone", clone.string(), ErrorCode::image_missing);
  CloneSpace space;
  std::size_t seen = 0;
  for (std::uint64_t at = 0; at != UINT64_MAX;) {
    CAIRN_TRY(const ExtentBatch batch, read_extents(fd.get(), at, kBatch, FlushFirst::no));
    for (const MappedExtent& extent : batch.extents)
      if ((extent.flags & FIEMAP_EXTENT_SHARED) == 0) space.own_bytes += extent.length;
    seen += batch.extents.size();
    at = batch.end;
    if (seen >= kMostExtents && at != UINT64_MAX) {
      space.complete = false;
      break;
    }
  }
  return space;
}

}  // namespace cairn
