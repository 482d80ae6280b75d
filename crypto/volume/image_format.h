// SPDX-License-Identifier: GPL-3.0-or-later
// Image formats other than raw, recognised by their first and last bytes: qcow2, QED, VMDK, VDI, VHD, VHDX, Parallels,
// DMG. Whoever rules a guest can write such bytes onto a raw disk: what is found is what the image looks like, and
// nothing that it names is ever opened. Sources: crypto/volume/VOLUMES.md. Any thread.
#pragma once

#include <optional>

#include "config/base/byte_source.h"
#include "config/base/result.h"
#include "crypto/volume/volume_facts.h"

namespace cairn {

// Reads 4 KiB at most of each end. Nothing: it looks like none of them. Errors: those of `image`.
Result<std::optional<ImageFormat>> find_image_format(ByteSource& image);

}  // namespace cairn
