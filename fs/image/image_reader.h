// SPDX-License-Identifier: GPL-3.0-or-later
// ImageReader: a machine's disk as the backup reads it: its bytes, and which of them are holes. Opened by open_image()
// (fs/image/open_image.h); tests bring their own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/byte_source.h"
#include "config/base/bytes.h"
#include "config/base/result.h"
#include "fs/image/clone/change_watch.h"

namespace cairn {

// as_before: the same bytes as in the clone that the reader compares with (TrackedImage); they may be data or holes.
enum class ExtentKind { hole, data, as_before };

// A run of the disk that is all of one kind. Bytes.
struct ImageExtent {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  ExtentKind kind = ExtentKind::data;
};

class ImageReader : public ByteSource {
 public:
  // After open_clone() and before anything else is asked of it: what reading needs beside the clones, which are there.
  // Errors: those of open_image().
  virtual Result<void> begin_reading() { return {}; }
  // Bytes; what it was when opened.
  [[nodiscard]] std::uint64_t size() const override = 0;
  // What lies at `offset` (< size()), up to where that changes or the disk ends. Holes read as zeros.
  virtual Result<ImageExtent> extent_at(std::uint64_t offset) = 0;
  // Fills all of `to` from `offset`. Errors: image_shrank, image_unreadable. Any thread, several at once: whoever wants
  // the disk kept busy has several reads under way.
  Result<void> read(std::uint64_t offset, MutableBytes to) override = 0;
  // For clones only (fs/image/clone); open for reading. -1 when there is none.
  [[nodiscard]] virtual int fd() const = 0;
  // What is seen of changes while the disk was being read, nothing when it surely did not change (a clone cannot).
  // Call after the last read.
  virtual Result<std::optional<ImageChange>> changed_underneath() = 0;
  // Whether it is a snapshot: the disk at one instant between the beginning and the end of opening it.
  [[nodiscard]] virtual bool is_snapshot() const { return false; }
  // "reflink clone", "file", "block device": how it is read, for the job's report.
  [[nodiscard]] virtual std::string how() const = 0;
  // Why it is read that way where a better one exists ("no clone: the file system has no reflinks"); empty: none does.
  [[nodiscard]] virtual std::string note() const { return {}; }
  // What the tools of the image's format find wrong with the image itself, to be warned of: the reader gives what they
  // read. Waits for them. Call after the last read, once. Empty: nothing, or the format has no such tool.
  virtual std::vector<Error> findings() { return {}; }
  // Where keep_clone() (fs/image/clone/kept_clone.h) can give fd() a name; empty: it cannot, and why_not_keepable()
  // says why.
  [[nodiscard]] virtual std::filesystem::path clone_folder() const { return {}; }
  [[nodiscard]] virtual std::string why_not_keepable() const { return "it is not read from a clone"; }
};

// Whether an image is read from a clone of it, where its file system can make one.
enum class CloneMode { try_clone, never };

}  // namespace cairn
