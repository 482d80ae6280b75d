// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/open_image.h"

#include <sys/stat.h>

#include <cerrno>

#include "fs/image/raw_image.h"

namespace cairn {

Result<std::unique_ptr<ImageReader>> open_image(const DiskSource& source, CloneMode mode,
                                                const std::filesystem::path& clone_folder) {
  switch (source.kind) {
    case DiskSource::Kind::local:
      return open_raw_image(source.path, mode, clone_folder);
  }
  broken_promise("open_image knows every kind of source", __FILE__, __LINE__);
}

bool image_is_missing(const DiskSource& source) {
  switch (source.kind) {
    case DiskSource::Kind::local: {
      struct stat facts{};
      return ::stat(source.path.c_str(), &facts) != 0 && (errno == ENOENT || errno == ENOTDIR);
    }
  }
  broken_promise("image_is_missing knows every kind of source", __FILE__, __LINE__);
}

}  // namespace cairn
