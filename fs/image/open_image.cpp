// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/open_image.h"

#include <sys/stat.h>

#include <cerrno>

#include "fs/image/nbd_image.h"
#include "fs/image/qemu_image.h"
#include "fs/image/raw_image.h"

namespace cairn {

namespace {

Result<std::unique_ptr<ImageReader>> open_unready(const DiskSource& source, CloneMode mode,
                                                  const std::filesystem::path& clone_folder) {
  switch (source.kind) {
    case DiskSource::Kind::nbd:
      return open_nbd_image(source);
    case DiskSource::Kind::local:
      if (!source.is_raw()) return QemuImage::open(source, mode, clone_folder);
      return open_raw_image(source.path, mode, clone_folder);
  }
  broken_promise("open_image knows every kind of source", __FILE__, __LINE__);
}

}  // namespace

Result<std::unique_ptr<ImageReader>> open_image(const DiskSource& source, CloneMode mode,
                                                const std::filesystem::path& clone_folder) {
  CAIRN_TRY(auto image, open_unready(source, mode, clone_folder));
  CAIRN_CHECK(image->begin_reading());
  return image;
}

Result<std::unique_ptr<ImageReader>> open_clone(const DiskSource& source, const std::filesystem::path& clone_folder) {
  return open_unready(source, CloneMode::try_clone, clone_folder);
}

std::optional<std::string> why_not_tracked(const DiskSource& source) {
  if (source.kind == DiskSource::Kind::nbd) return "an NBD server does not say what changed";
  if (source.is_raw()) return std::nullopt;
  if (source.format != DiskFormat::qcow2)
    return "changes of " + std::string(to_string(source.format)) + " images are not tracked in this version";
  if (!source.data_file.empty()) return "changes of images with an external data file are not tracked in this version";
  return std::nullopt;
}

bool image_is_missing(const DiskSource& source) {
  switch (source.kind) {
    case DiskSource::Kind::nbd:
    case DiskSource::Kind::local: {
      struct stat facts{};
      return ::stat(source.path.c_str(), &facts) != 0 && (errno == ENOENT || errno == ENOTDIR);
    }
  }
  broken_promise("image_is_missing knows every kind of source", __FILE__, __LINE__);
}

}  // namespace cairn
