// SPDX-License-Identifier: GPL-3.0-or-later
// Where the bytes of the disk inside a qcow2 file lie on the host's disk: the file's own tables (guest to file) put
// together with the file's extent map (file to disk), so that two clones of the file are compared like two clones of a
// raw disk. What is not understood for certain is told as an extent of unknown place, which counts as changed. Format:
// QEMU, docs/interop/qcow2.txt. Why that may be trusted: fs/image/TRACKING.md. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "config/base/result.h"
#include "fs/image/change/change_tracker.h"

namespace cairn {

struct Qcow2Extents {
  ReadExtents read;
  std::uint64_t disk_size = 0;  // of the disk inside, bytes
  // What the header says of the file that the image is an overlay of: its name and format; empty: it is none. What is
  // not in the image, and so comes from there, is told as an extent that no disk has a place for: the same in two
  // clones, whose backing files must be shown to be the same by the caller.
  std::string backing = {};
};

// `fd` is a clone that nobody writes to; borrowed, and must outlive what is returned.
// Errors: not_supported_yet, with the reason in `because`: an external data file, encryption, subclusters,
// features that are not known, a damaged header; image_unreadable.
Result<Qcow2Extents> qcow2_extents(int fd);

}  // namespace cairn
