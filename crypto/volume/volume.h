// SPDX-License-Identifier: GPL-3.0-or-later
// Volumes: what lies on a disk: LUKS1, LUKS2, BitLocker, on the whole disk, inside GPT/MBR partitions, and in volumes
// of LVM and md on either; and what else was seen, or not recognised. Recognised by libblkid (partitions, file
// systems), libcryptsetup (volumes), and parsers of our own (LVM2, md: crypto/volume/VOLUMES.md).
//
// The source is never written: libcryptsetup repairs damaged headers in place, so libraries only ever see private
// copies of the areas that matter, in a memfd. That is also why any disk that can be read at an offset can be probed:
// no descriptor is needed. A damaged or hostile header is a fact to record, not an error; bytes that cannot be read
// are an error, for what they hold is not known. Work and memory are bounded for the disk as a whole (ProbeLimits):
// beyond that what was found stands, and the rest is not known. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "config/base/byte_source.h"
#include "config/base/result.h"
#include "crypto/volume/probe_budget.h"
#include "crypto/volume/volume_facts.h"

namespace cairn {

// Looks at all of `disk`. `object` names it in errors. Errors: those of `disk`, io_error.
Result<DiskFacts> probe_disk(ByteSource& disk, const std::string& object, const ProbeLimits& limits = {});
// The same for a descriptor (image file, block device, memfd) of `size` bytes: by FdSource. Errors: io_error.
Result<DiskFacts> probe_disk(int fd, std::uint64_t size, const std::string& object);

}  // namespace cairn
