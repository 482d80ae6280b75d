// SPDX-License-Identifier: GPL-3.0-or-later
// DiskSource: where the bytes of a machine's disk are read from, as the settings name it. It knows its kind, and only
// open_image() (fs/image/open_image.h) turns a kind into a reader: elsewhere it is passed on and put into messages.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn {

// What an image file is. not_said: that is found out (daemon/source/disk_format.h). raw: its bytes are the disk's,
// whatever they look like. The others are read as the guest sees them, by QEMU (fs/image/FORMATS.md).
enum class DiskFormat { not_said, raw, qcow2, vmdk, vdi, vhdx, vhd };
// "raw", "qcow2", ...; not_said: empty.
std::string_view to_string(DiskFormat format);
std::optional<DiskFormat> parse_disk_format(std::string_view text);
// The formats in words, for messages: "raw, qcow2, vmdk, vdi, vhdx or vhd".
std::string disk_formats_in_words();

// A file that an image is an overlay of. The format is not_said when only the overlay's header says it.
struct BackingFile {
  std::filesystem::path path;
  DiskFormat format = DiskFormat::not_said;
  bool operator==(const BackingFile&) const = default;
};

struct DiskSource {
  // local: `path` of this host, absolute: an image file or a block device. Which of the two, the file system says when
  // it is opened: a link may lead to either. nbd: the export that `uri` names; `path` is the server's socket.
  enum class Kind { local, nbd };

  DiskSource() = default;
  // A path alone is one of this host.
  DiskSource(std::filesystem::path local) : path(std::move(local)) {}

  Kind kind = Kind::local;
  std::filesystem::path path;
  std::string uri = {};                      // nbd: "nbd+unix:///disk0?socket=/run/x.sock"
  DiskFormat format = DiskFormat::not_said;  // for open_image() it must be said, or the image is read as raw
  std::vector<BackingFile> backing = {};     // what the image may be an overlay of, nearest first
  std::filesystem::path data_file = {};      // where the data of a qcow2 may lie; empty: in itself
  bool as_file = false;                      // the file's own bytes are read, whatever its format is
  [[nodiscard]] bool is_raw() const {
    return as_file || format == DiskFormat::raw || format == DiskFormat::not_said;
  }  // read as it is

  // For messages and records; no two sources have the same.
  [[nodiscard]] std::string text() const { return kind == Kind::nbd ? uri : path.string(); }
  bool operator==(const DiskSource&) const = default;
};

}  // namespace cairn
