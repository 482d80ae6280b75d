// SPDX-License-Identifier: GPL-3.0-or-later
// The one reader of raw images: a descriptor (file, clone or block device), its extents by SEEK_DATA/SEEK_HOLE
// (lseek(2)), and a watch for changes. Read past the page cache, so that a backup does not push out what the guests
// use.
#include "fs/image/raw_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "config/base/unique_fd.h"
#include "fs/file/direct_io.h"
#include "fs/image/clone/change_watch.h"
#include "fs/image/clone/reflink_clone.h"

namespace cairn {

namespace {

enum class Kind { file, clone, block_device };

class FdImageReader : public ImageReader {
 public:
  FdImageReader(std::string image, UniqueFd fd, Kind kind, std::uint64_t size, std::string note)
      : image_(std::move(image)),
        fd_(std::move(fd)),
        kind_(kind),
        size_(size),
        note_(std::move(note)),
        holes_are_told_(kind != Kind::block_device),
        reads_(fd_.get()) {
    // For where direct reading is not to be had: readahead of the larger kind. Only advice.
    static_cast<void>(::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
  }

  void set_clone_folder(std::filesystem::path folder, std::string why_not) {
    clone_folder_ = std::move(folder);
    why_not_keepable_ = std::move(why_not);
  }
  void watch_with(std::unique_ptr<ChangeWatch> watch) { watch_ = std::move(watch); }
  void set_sector_bytes(int bytes) { sector_bytes_ = static_cast<unsigned>(bytes); }

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  [[nodiscard]] int fd() const override { return fd_.get(); }
  [[nodiscard]] unsigned sector_bytes() const override { return sector_bytes_; }
  [[nodiscard]] std::string note() const override { return note_; }
  [[nodiscard]] std::filesystem::path clone_folder() const override { return clone_folder_; }
  [[nodiscard]] std::string why_not_keepable() const override { return why_not_keepable_; }
  [[nodiscard]] bool is_snapshot() const override { return kind_ == Kind::clone; }
  [[nodiscard]] std::string how() const override {
    switch (kind_) {
      case Kind::file:
        return "file";
      case Kind::clone:
        return "reflink clone";
      case Kind::block_device:
        return "block device";
    }
    return {};
  }

  Result<ImageExtent> extent_at(std::uint64_t offset) override {
    CAIRN_ASSERT(offset < size_);
    const ImageExtent rest_is_data{offset, size_ - offset, ExtentKind::data};
    if (!holes_are_told_) return rest_is_data;

    const off_t data = ::lseek(fd_.get(), static_cast<off_t>(offset), SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
      // No data from here to the end: a hole, unless the end has come nearer.
      CAIRN_CHECK(check_not_shrunk());
      return ImageExtent{offset, size_ - offset, ExtentKind::hole};
    }
    if (data < 0) {
      if (errno != EINVAL && errno != EOPNOTSUPP) return unreadable(errno, offset);
      holes_are_told_ = false;
      return rest_is_data;
    }
    const auto data_at = static_cast<std::uint64_t>(data);
    if (data_at > offset) return ImageExtent{offset, std::min(data_at, size_) - offset, ExtentKind::hole};
    const off_t hole = ::lseek(fd_.get(), data, SEEK_HOLE);
    if (hole < 0) {
      if (errno == ENXIO) CAIRN_CHECK(check_not_shrunk());
      return unreadable(errno, offset);
    }
    // The end of a file counts as a hole; at least the byte asked for is data, so this never stands still.
    const std::uint64_t end = std::clamp(static_cast<std::uint64_t>(hole), offset + 1, size_);
    return ImageExtent{offset, end - offset, ExtentKind::data};
  }

  Result<void> read(std::uint64_t offset, MutableBytes to) override {
    std::size_t done = 0;
    while (done < to.size()) {
      const ssize_t got = reads_.read(offset + done, to.subspan(done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return unreadable(errno, offset + done);
      if (got == 0) return shrank(offset + done);
      done += static_cast<std::size_t>(got);
    }
    return {};
  }

  Result<std::optional<ImageChange>> changed_underneath() override {
    if (!watch_) return std::nullopt;
    return watch_->look();
  }

 private:
  [[nodiscard]] std::unexpected<Error> unreadable(int error, std::uint64_t offset) const {
    return fail_errno(error, "read image", image_, ErrorCode::image_unreadable,
                      fmt::format("at byte {} of {}", offset, size_));
  }
  [[nodiscard]] std::unexpected<Error> shrank(std::uint64_t end) const {
    return fail(ErrorCode::image_shrank, "read image", image_,
                fmt::format("it had {} bytes when the backup began and now ends at byte {}", size_, end));
  }
  [[nodiscard]] Result<void> check_not_shrunk() const {
    struct stat now{};
    if (::fstat(fd_.get(), &now) != 0) return unreadable(errno, 0);
    const auto end = static_cast<std::uint64_t>(now.st_size);
    if (end < size_) return shrank(end);
    return {};
  }

  std::string image_;
  UniqueFd fd_;
  Kind kind_;
  std::uint64_t size_;
  unsigned sector_bytes_ = 512;
  std::string note_;
  bool holes_are_told_;
  DirectReads reads_;
  std::unique_ptr<ChangeWatch> watch_;
  std::filesystem::path clone_folder_;
  std::string why_not_keepable_ = "it is not read from a clone";
};

const char* kind_in_words(mode_t mode) {
  if (S_ISDIR(mode)) return "it is a directory";
  if (S_ISFIFO(mode)) return "it is a named pipe";
  if (S_ISSOCK(mode)) return "it is a socket";
  if (S_ISCHR(mode)) return "it is a character device";
  return "it is neither a file nor a block device";
}

// The name in the image's directory that was probably meant.
std::string did_you_mean(const std::filesystem::path& image) {
  constexpr std::size_t kMostNames = 10000;
  const std::filesystem::path directory = image.has_parent_path() ? image.parent_path() : std::filesystem::path(".");
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    // A link that leads nowhere is there under the very name that was not found.
    if (entry->path().filename() == image.filename()) continue;
    names.push_back(entry->path().filename().string());
    if (names.size() >= kMostNames) break;
  }
  std::error_code missing;
  if (std::filesystem::exists(image, missing)) return {};  // the device's node is there, what it stands for is not
  const auto near = nearest_name(image.filename().string(), names);
  return near ? fmt::format("did you mean {}?", (image.parent_path() / *near).string()) : std::string();
}

std::unexpected<Error> cannot_open(int error, const std::filesystem::path& image) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENOMEDIUM:
    case ENXIO:
    case ENODEV: {
      Error missing{ErrorCode::image_missing, "open image", image.string(), {}, error, did_you_mean(image)};
      return pass_on(std::move(missing));
    }
    case EACCES:
    case EPERM:
      return fail_errno(error, "open image", image.string(), ErrorCode::permission_denied);
    default:
      return fail_errno(error, "open image", image.string(), ErrorCode::image_unreadable);
  }
}

Result<std::unique_ptr<ImageReader>> open_file(const std::filesystem::path& image, UniqueFd fd, CloneMode mode,
                                               const std::filesystem::path& clone_folder) {
  std::string note;
  if (mode == CloneMode::try_clone) {
    ReflinkClone clone = clone_image(fd.get(), image, clone_folder);
    if (clone.fd) {
      // The clone's own size: the image's may have changed since it was opened.
      struct stat facts{};
      if (::fstat(clone.fd.get(), &facts) != 0) return cannot_open(errno, image);
      auto reader = std::make_unique<FdImageReader>(image.string(), std::move(clone.fd), Kind::clone,
                                                    static_cast<std::uint64_t>(facts.st_size), std::string());
      reader->set_clone_folder(std::move(clone.folder), std::move(clone.why_not_keepable));
      return reader;
    }
    note = std::move(clone.reason);
  }
  // The watch starts before the size is taken, so that no change falls between the two.
  CAIRN_TRY(auto watch, watch_file(fd.get(), image));
  struct stat facts{};
  if (::fstat(fd.get(), &facts) != 0) return cannot_open(errno, image);
  auto reader = std::make_unique<FdImageReader>(image.string(), std::move(fd), Kind::file,
                                                static_cast<std::uint64_t>(facts.st_size), std::move(note));
  if (!reader->note().empty()) reader->set_clone_folder({}, reader->note());
  reader->watch_with(std::move(watch));
  return reader;
}

Result<std::unique_ptr<ImageReader>> open_block_device(const std::filesystem::path& image, UniqueFd fd) {
  CAIRN_TRY(auto watch, watch_block_device(fd.get(), image));
  std::uint64_t size = 0;
  if (::ioctl(fd.get(), BLKGETSIZE64, &size) != 0) return cannot_open(errno, image);
  // A drive without a medium, a loop or network device that nothing is attached to: not a disk of no bytes.
  if (size == 0)
    return fail(ErrorCode::image_missing, "open image", image.string(),
                "the block device has no medium, or none that "
                "can be read: its size is 0");
  int sector_bytes = 0;
  auto reader = std::make_unique<FdImageReader>(image.string(), std::move(fd), Kind::block_device, size, std::string());
  if (::ioctl(reader->fd(), BLKSSZGET, &sector_bytes) == 0 && sector_bytes > 0) reader->set_sector_bytes(sector_bytes);
  reader->set_clone_folder({}, "it is a block device, which cannot be cloned by reflinks");
  reader->watch_with(std::move(watch));
  return reader;
}

}  // namespace

Result<ImageFile> open_image_file(const std::filesystem::path& image) {
  // Looked at before it is opened: opening a pipe waits for its other end, and opening a device can do things.
  struct stat facts{};
  if (::stat(image.c_str(), &facts) != 0) return cannot_open(errno, image);
  if (!S_ISREG(facts.st_mode) && !S_ISBLK(facts.st_mode))
    return fail(ErrorCode::image_not_a_disk, "open image", image.string(), kind_in_words(facts.st_mode));
  UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) return cannot_open(errno, image);
  // It may have been replaced between the two looks.
  if (::fstat(fd.get(), &facts) != 0) return cannot_open(errno, image);
  if (S_ISREG(facts.st_mode) || S_ISBLK(facts.st_mode)) return ImageFile{std::move(fd), S_ISBLK(facts.st_mode)};
  return fail(ErrorCode::image_not_a_disk, "open image", image.string(), kind_in_words(facts.st_mode));
}

Result<std::unique_ptr<ImageReader>> open_raw_image(const std::filesystem::path& image, CloneMode mode,
                                                    const std::filesystem::path& clone_folder) {
  CAIRN_TRY(ImageFile file, open_image_file(image));
  if (file.is_block_device) return open_block_device(image, std::move(file.fd));
  return open_file(image, std::move(file.fd), mode, clone_folder);
}

}  // namespace cairn
