// SPDX-License-Identifier: GPL-3.0-or-later
// ChangeWatch for files and block devices.
#include "fs/image/clone/change_watch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>

#include "fs/image/clone/file_times.h"

namespace cairn {

namespace {

bool same_time(const struct statx_timestamp& a, const struct statx_timestamp& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

Result<struct statx> look_at(int fd, const std::filesystem::path& image) {
  struct statx now{};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &now) != 0)
    return fail_errno(errno, "read image", image.string(), ErrorCode::image_unreadable);
  return now;
}

ImageChange torn(std::string words) {
  return {ImageChange::Kind::torn, std::move(words)};
}
ImageChange not_known(std::string words) {
  return {ImageChange::Kind::not_known, std::move(words)};
}
ImageChange untouched(std::string words) {
  return {ImageChange::Kind::untouched, std::move(words)};
}

class FileWatch : public ChangeWatch {
 public:
  FileWatch(int fd, std::filesystem::path image, const struct statx& before)
      : fd_(fd), image_(std::move(image)), before_(before) {}

  Result<std::optional<ImageChange>> look() override {
    CAIRN_TRY(const struct statx now, look_at(fd_, image_));
    if (now.stx_size != before_.stx_size)
      return torn(
          fmt::format("its size changed from {} to {} bytes while it was read", before_.stx_size, now.stx_size));
    if (!same_time(now.stx_mtime, before_.stx_mtime)) return torn("it was written to while it was read");
    struct stat named{};
    if (::stat(image_.c_str(), &named) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return untouched("it was removed while it was read");
      return fail_errno(errno, "read image", image_.string(), ErrorCode::image_unreadable);
    }
    if (named.st_ino != before_.stx_ino || named.st_dev != makedev(before_.stx_dev_major, before_.stx_dev_minor))
      return untouched("another file took its place while it was read; the earlier one was backed up");
    if (!same_time(now.stx_ctime, before_.stx_ctime))
      return not_known("its attributes changed while it was read, and its contents may have as well");
    return std::nullopt;
  }

 private:
  int fd_;
  std::filesystem::path image_;
  struct statx before_;
};

// What was written and discarded so far, in sectors of 512 bytes. Fields of /sys/dev/block/M:N/stat, from 0: 6 sectors
// written, 13 sectors discarded (since Linux 4.18). Requests would not do: a flush, ours included, counts as a write of
// nothing.
std::optional<std::uint64_t> read_written(const std::filesystem::path& directory) {
  std::ifstream file(directory / "stat");
  std::array<std::uint64_t, 14> fields{};
  std::size_t count = 0;
  while (count < fields.size() && file >> fields[count]) ++count;
  if (count < 7) return std::nullopt;
  return fields[6] + (count == fields.size() ? fields[13] : 0);
}

bool counts_at_all(const std::filesystem::path& disk) {
  std::ifstream file(disk / "queue" / "iostats");
  int on = 1;
  file >> on;
  return !file || on != 0;
}

struct DeviceWrites {
  std::uint64_t own = 0;
  // Partitions only: what went to the whole disk that belong to none of its partitions. They may lie anywhere.
  std::uint64_t past_partitions = 0;
};

// Devices whose bytes lie on another host, or can be reached by others: what those write is counted there and not here.
// `device`: its folder in /sys/devices. What a device is made of (LVM, md, dm-crypt) counts too.
bool others_can_write(const std::filesystem::path& device, int depth = 0) {
  constexpr int kDeepest = 8;
  const std::string place = device.string();
  // iSCSI; Fibre Channel; nbd, Ceph and DRBD by their names.
  for (const char* part : {"/session", "/rport-", "/block/nbd", "/rbd/", "/block/rbd", "/block/drbd"})
    if (place.find(part) != std::string::npos) return true;
  std::error_code none;
  std::string transport;
  if (std::ifstream file(device / "device" / "transport"); file >> transport && transport != "pcie") return true;
  if (depth == kDeepest) return false;
  for (const auto& below : std::filesystem::directory_iterator(device / "slaves", none)) {
    const std::filesystem::path real = std::filesystem::canonical(below.path(), none);
    if (!none && others_can_write(real, depth + 1)) return true;
  }
  return std::filesystem::exists(device / "partition", none) && others_can_write(device.parent_path(), depth + 1);
}

class BlockDeviceWatch : public ChangeWatch {
 public:
  BlockDeviceWatch(int fd, dev_t device)
      : fd_(fd), own_(fmt::format("/sys/dev/block/{}:{}", major(device), minor(device))) {
    std::error_code none;
    const std::filesystem::path real = std::filesystem::canonical(own_, none);
    if (none) return;
    own_ = real;
    if (std::filesystem::exists(own_ / "partition", none)) whole_ = own_.parent_path();
    before_ = count();
  }

  Result<std::optional<ImageChange>> look() override {
    const auto now = count();
    if (!before_ || !now)
      return not_known(
          "whether it was written to while it was read is not known: the kernel keeps no write counters for it");
    if (now->own != before_->own) {
      return torn(fmt::format("it was written to while it was read ({} bytes)", (now->own - before_->own) * 512));
    }
    if (now->past_partitions != before_->past_partitions)
      return not_known(
          "the disk that it is a partition of was written to directly while it was read, perhaps this partition too");
    if (others_can_write(own_))
      return not_known("it is reached over a network: what this host wrote is seen, and what others wrote is not");
    return std::nullopt;
  }

 private:
  [[nodiscard]] std::optional<DeviceWrites> count() const {
    // Others' writes can wait in the device's page cache, where our reads see them already: have them written and
    // counted. On a descriptor open for reading this is allowed; when it fails the counters say what they can.
    static_cast<void>(::fsync(fd_));
    if (!counts_at_all(whole_.empty() ? own_ : whole_)) return std::nullopt;
    const auto own = read_written(own_);
    if (!own) return std::nullopt;
    DeviceWrites writes{*own, 0};
    if (whole_.empty()) return writes;
    const auto whole = read_written(whole_);
    if (!whole) return std::nullopt;
    std::uint64_t in_partitions = 0;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(whole_, none)) {
      if (!std::filesystem::exists(entry.path() / "partition", none)) continue;
      if (const auto part = read_written(entry.path())) in_partitions += *part;
    }
    writes.past_partitions = *whole - in_partitions;
    return writes;
  }

  int fd_;
  std::filesystem::path own_;
  std::filesystem::path whole_;  // empty: it is no partition
  std::optional<DeviceWrites> before_;
};

}  // namespace

Result<std::unique_ptr<ChangeWatch>> watch_file(int fd, const std::filesystem::path& image) {
  CAIRN_TRY(const struct statx before, look_at(fd, image));
  leave_behind(nanoseconds(before.stx_mtime));
  return std::make_unique<FileWatch>(fd, image, before);
}

Result<std::unique_ptr<ChangeWatch>> watch_block_device(int fd, const std::filesystem::path& image) {
  struct stat facts{};
  if (::fstat(fd, &facts) != 0) return fail_errno(errno, "read image", image.string(), ErrorCode::image_unreadable);
  return std::make_unique<BlockDeviceWatch>(fd, facts.st_rdev);
}

}  // namespace cairn
