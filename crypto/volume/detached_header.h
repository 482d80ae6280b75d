// SPDX-License-Identifier: GPL-3.0-or-later
// Detached headers: a LUKS header that lies in a file of its own (cryptsetup --header), while the disk has the
// encrypted data alone. Never written; any thread. Formats: crypto/volume/VOLUMES.md, "LUKS1", "LUKS2".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/base/byte_source.h"
#include "config/base/result.h"
#include "crypto/volume/volume_facts.h"

namespace cairn {

// No header file is larger: LUKS2 allows some 136 MiB, and cryptsetup makes 16.
inline constexpr std::uint64_t kMaxHeaderFile = 256ULL * 1024 * 1024;

// What VolumeFacts::within says of a volume whose header is detached.
inline constexpr const char* kDetached = "detached";

// The volume whose header `file` holds and whose data are the whole of a disk of `disk_size` bytes. `path` becomes
// VolumeFacts::detached, and names the file in errors. Nothing: it is no LUKS header. Remarks are appended.
// Errors: those of `file`, io_error.
Result<std::optional<VolumeFacts>> probe_detached_header(ByteSource& file, const std::string& path,
                                                         std::uint64_t disk_size, std::vector<std::string>& remarks);

// Of a disk with a partition table, on which lie the data of `volume`, as probe_detached_header() gave it: the header
// does not say on which partition. The one whose bytes look random, or else the one on which nothing is recognised,
// gets it: its number and place go into `volume`, and what `facts` has of it as not known is taken out. Where there is
// none or several, a remark says so. Errors: those of `disk`.
Result<void> place_detached_volume(ByteSource& disk, VolumeFacts& volume, DiskFacts& facts, const std::string& object);

}  // namespace cairn
