// SPDX-License-Identifier: GPL-3.0-or-later
// Open files: disks that are open, one reader each however often they are opened, and the way of a read from a disk's
// chunks to the pieces of memory that answer it, without copying. No FUSE types here. Any thread unless said otherwise.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "config/base/units.h"
#include "fs/io/backend.h"
#include "fs/mount/point_tree.h"
#include "fs/mount/read_ahead.h"
#include "fs/store/map/disk_reader.h"

namespace cairn {

// A disk or header image that somebody has open.
struct OpenDisk {
  std::shared_ptr<const LoadedPoint> point;  // keeps the map record and the names
  std::unique_ptr<DiskReader> reader;
  std::unique_ptr<ObjectHold> hold;  // what is open stays, whatever is deleted meanwhile
};

// One open(2) of a file.
struct OpenFile {
  OpenFile(InodeNumber number, FileContent shown, std::shared_ptr<OpenDisk> opened, std::uint64_t window)
      : inode(number), content(std::move(shown)), disk(std::move(opened)), sequence(SequenceDetector(window)) {}
  const InodeNumber inode;
  const FileContent content;
  const std::shared_ptr<OpenDisk> disk;  // null: a text
  Guarded<SequenceDetector> sequence;
};

class OpenDisks {
 public:
  using MakeReader = std::function<std::unique_ptr<DiskReader>(const PointImage& image)>;
  using HoldPoint = std::function<Result<std::unique_ptr<ObjectHold>>(const PointName& point)>;
  OpenDisks(MakeReader make_reader, HoldPoint hold_point)
      : make_reader_(std::move(make_reader)), hold_point_(std::move(hold_point)) {}
  // The one that is open already, or a new one; it goes when the last holder lets go. Errors: point_missing: the point
  // was removed since it was listed.
  Result<std::shared_ptr<OpenDisk>> open(InodeNumber inode, const FileContent& content);
  [[nodiscard]] std::vector<InodeNumber> open_inodes() const;

 private:
  MakeReader make_reader_;
  HoldPoint hold_point_;
  mutable std::mutex mutex_;
  std::unordered_map<InodeNumber, std::weak_ptr<OpenDisk>> open_;
};

// The answer to a read: pieces of memory in order, and what keeps them. Made to be used again and again by one thread.
struct ReadPieces {
  std::vector<iovec> pieces;
  std::vector<SharedBuffer> held;
  std::uint64_t size = 0;  // bytes in `pieces`
  // What stopped the read before its end: only this chunk is concerned, and the pieces before it are good.
  std::optional<Error> failure;
  std::uint64_t failed_chunk = 0;
  std::uint64_t failed_offset = 0;  // bytes, in the disk
  void clear();
};

// Fills `answer` with `wanted` bytes from `from`, fewer where the disk ends or a chunk cannot be read.
void gather(DiskReader& disk, ByteOffset from, ByteCount wanted, ReadPieces& answer);

}  // namespace cairn
