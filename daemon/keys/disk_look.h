// SPDX-License-Identifier: GPL-3.0-or-later
// Looking at a disk of the settings: what lies on it (crypto/volume/volume.h), with its detached header when the
// settings name one; and what is told of a disk of which it is not known whether it is encrypted. For backups, `config
// check` and `key import` alike. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/base/result.h"
#include "config/settings.h"
#include "crypto/volume/volume.h"
#include "fs/image/image_reader.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

// As probe_disk(), with the volume of a detached header, or the one inside a qcow2 that is read as it is
// (settle_disk()). Errors: detached_header_unusable, those of open_detached_header() (detached_file.h) and
// probe_disk().
Result<DiskFacts> look_at_disk(const DiskSettings& disk, ImageReader& image, const std::string& object);

// What is to be warned of when it is not known whether the disk is encrypted: always with keys that are named for it;
// else when something that may hold encrypted volumes is new on it since the previous recovery point. Nothing: it is
// known, or warned of already, or there is nothing but bytes that nobody recognises, which every point says of itself.
std::optional<Error> encryption_unknown(const DiskSettings& disk, const DiskFacts& facts, const DiskRecord* previous,
                                        const std::string& object);

// A disk without a byte that is not zero is an empty one, whatever was sampled of it.
void take_for_empty(DiskFacts& facts);

// "not encrypted (ext4 on partition 1)", "unknown whether it is encrypted (LVM2_member: ...)"; encrypted: empty.
std::string encryption_in_words(const DiskFacts& facts);

}  // namespace cairn
