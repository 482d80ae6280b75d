// SPDX-License-Identifier: GPL-3.0-or-later
// DiskSource: where the bytes of a machine's disk are read from, as the settings name it. It knows its kind, and only
// open_image() (fs/image/open_image.h) turns a kind into a reader: elsewhere it is passed on and put into messages.
#pragma once

#include <filesystem>
#include <string>

namespace cairn {

struct DiskSource {
  // local: `path` of this host, absolute: an image file or a block device. Which of the two, the file system says when
  // it is opened: a link may lead to either.
  enum class Kind { local };

  DiskSource() = default;
  // A path alone is one of this host.
  DiskSource(std::filesystem::path local) : path(std::move(local)) {}

  Kind kind = Kind::local;
  std::filesystem::path path;

  // For messages and records; no two sources have the same.
  [[nodiscard]] std::string text() const { return path.string(); }
  bool operator==(const DiskSource&) const = default;
};

}  // namespace cairn
