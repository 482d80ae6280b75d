// SPDX-License-Identifier: GPL-3.0-or-later
// GuestFile: one file out of a file system that a guest has written, read from its disk at an offset, never by a mount
// of the kernel's. For LUKS headers that lie as a file on a plain partition of the disk that they belong to
// (`header: partition:N/PATH`). ext2, ext3 and ext4, by libext2fs; XFS. Formats: crypto/volume/VOLUMES.md.
//
// The guest's bytes are hostile to whatever interprets them. So that is done by a helper process
// (crypto/helper_process.h) that has no access to anything, not to the disk either: it asks for bytes, and gets those
// of the partition. Bounded: 10 s of the processor, 60 s, 640 MiB of its memory, the file's size, and 256 MiB beside it
// that are read. Links are not followed. A journal is not replayed: what a running guest has changed in the last
// seconds may not be seen yet. Any thread.
#pragma once

#include <string>

#include "config/base/byte_source.h"
#include "config/base/result.h"
#include "config/settings.h"

namespace cairn {

// The whole file. `object` names the disk in errors.
// Errors: header_partition_missing, header_file_missing (also: not an ordinary file), header_file_system (none that is
// read, damaged, or asks for more than is allowed), detached_header_unusable (it is larger than kMaxHeaderFile of
// detached_header.h), helper_failed, and those of `disk`.
Result<Buffer> read_guest_file(ByteSource& disk, const HeaderInside& place, const std::string& object);

}  // namespace cairn
