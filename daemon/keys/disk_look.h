// SPDX-License-Identifier: GPL-3.0-or-later
// Looking at a disk of the settings: what lies on it (crypto/volume/volume.h), with its detached header when the
// settings name one; and what may be said and done on account of it: whether its image may be backed up as it is, and
// what is told of a disk of which it is not known whether it is encrypted. For backups, `config check` and `key import`
// alike. Any thread.
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

// As probe_disk(), with the volume of a detached header. Errors: detached_header_unusable, those of
// open_detached_header() (detached_file.h) and probe_disk().
Result<DiskFacts> look_at_disk(const DiskSettings& disk, ImageReader& image, const std::string& object);

// Which file an image is: told by nothing that a guest can write.
struct ImageIdentity {
  std::string image;        // as the settings name it
  std::uint64_t inode = 0;  // of a regular file; 0: it is none, or not known
  std::uint64_t size = 0;   // bytes
};
ImageIdentity identify_image(const DiskSource& source, std::uint64_t size);

// As what the bytes of an image are stored.
struct StoredForm {
  std::string stored_as = {};         // as DiskRecord::stored_as
  std::optional<Error> warning = {};  // a raw disk that looks like an image of another format now
};
// `previous`: the disk in the machine's newest recovery point; null: there is none. Errors: image_not_raw.
Result<StoredForm> form_of(const DiskSettings& disk, const DiskFacts& facts, const ImageIdentity& now,
                           const DiskRecord* previous, const std::string& object);

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
