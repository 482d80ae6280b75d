// SPDX-License-Identifier: GPL-3.0-or-later
// Detached headers: a LUKS header that lies in a file of its own (cryptsetup --header), while the disk has the
// encrypted data alone. Never written; any thread. Formats: crypto/volume/VOLUMES.md, "LUKS1", "LUKS2".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

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

}  // namespace cairn
