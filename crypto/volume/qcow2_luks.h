// SPDX-License-Identifier: GPL-3.0-or-later
// LUKS inside a qcow2 file (encrypt.format=luks): the header of the volume that the file's data clusters are encrypted
// with. It is LUKS1, and lies where a header extension says. Format: crypto/volume/VOLUMES.md, "qcow2 with LUKS".
// Never written; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/base/byte_source.h"
#include "config/base/result.h"
#include "crypto/volume/volume_facts.h"

namespace cairn {

// What VolumeFacts::within says of such a volume.
inline constexpr const char* kWithinQcow2 = "qcow2";

// The volume whose header lies in `file`, the bytes of a qcow2 file as they are. Its place runs from the header to the
// end of the file: the data clusters lie there in any order. Nothing: it is no such file, or no header is where it
// says. Remarks are appended. Errors: those of `file`, io_error.
Result<std::optional<VolumeFacts>> probe_qcow2_luks(ByteSource& file, const std::string& object,
                                                    std::vector<std::string>& remarks);

}  // namespace cairn
