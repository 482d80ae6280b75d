// SPDX-License-Identifier: GPL-3.0-or-later
// Reference snapshots: a reflink clone of an image that gets a name and stays until the next backup, which compares
// with it. When it may be used, and the order of writing: fs/image/TRACKING.md. Any thread; one at a time for one
// image.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "config/base/result.h"
#include "config/base/unique_fd.h"

namespace cairn {

// What must still be so when the clone is used. Nobody can write to a file, or put another in its place, without
// changing one of these. Times in nanoseconds since 1970. The device's number is not among them: it is given anew at
// every mount.
struct CloneIdentity {
  std::uint64_t inode = 0;
  std::uint64_t size = 0;  // bytes
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;  // inode change; cannot be set by anyone
  std::int64_t born_ns = 0;     // 0: the file system does not know
  bool operator==(const CloneIdentity&) const = default;
};

struct KeptClone {
  std::filesystem::path path;
  CloneIdentity identity;
  bool operator==(const KeptClone&) const = default;
};

// Where clones of `image` are kept by the setting change_tracking.clones: `clones` itself when it is absolute, else
// below the directory of the real file.
std::filesystem::path clone_folder_of(const std::filesystem::path& image, const std::filesystem::path& clones);

// Makes the folder (0700) when it is not there. Nothing: clones of the open file `source` can be kept in it, as far as
// that is known before trying. Else words: no reflinks there, not a directory of ours alone, ...
std::optional<std::string> prepare_clone_folder(int source, const std::filesystem::path& folder);
// The same without changing anything, for `image` by its path.
std::optional<std::string> why_no_clones(const std::filesystem::path& image, const std::filesystem::path& folder);
// Why a backup cannot read `image` from a clone, kept or not, as far as that is known before trying. Nothing: it can.
std::optional<std::string> why_not_cloned(const std::filesystem::path& image);
// Removes the folder if it is empty.
void remove_clone_folder(const std::filesystem::path& folder);

// Gives the unnamed clone `fd` (of open_image(), ImageReader::clone_folder()) the name `name` in `folder`. On return
// the file, its bytes and its name survive a power cut. Errors: clone_not_kept, no_space.
Result<KeptClone> keep_clone(int fd, const std::filesystem::path& folder, const std::string& name);

struct OpenedClone {
  UniqueFd fd;          // for reading; empty: it must not be used
  std::string why_not;  // in words
};
// Opens a reference snapshot and checks that it is what was kept, and that it lies on the file system of `now`, the new
// clone.
OpenedClone open_kept_clone(const KeptClone& kept, int now);

// The first half of that check. Nothing: it is what was kept, untouched. Else words.
std::optional<std::string> why_not_as_kept(const KeptClone& kept);

// What the file at `path` is, which the image of `clone` is an overlay of. Its bytes can be vouched for only when it
// lies on the clone's file system and was not written to since the clone was made; else words. May be kept and compared
// like a clone's identity: nobody writes to it without changing it.
struct FileBelow {
  KeptClone file;
  std::string why_not;
};
FileBelow look_below(const std::filesystem::path& path, int clone);

// Removes it if it is what was kept. False: it is there and could not be removed, or is something else.
bool remove_kept_clone(const KeptClone& kept);
// Removes the files of `folder` whose names begin with `prefix`, but for `but`: what crashes left behind.
void remove_other_clones(const std::filesystem::path& folder, const std::string& prefix,
                         const std::filesystem::path& but);

struct CloneSpace {
  std::uint64_t own_bytes = 0;  // held by this clone alone
  bool complete = true;         // false: it has too many extents to look at all of them; it is more
};
// What the clone costs. Errors: image_missing, image_unreadable, not_supported_yet.
Result<CloneSpace> space_of(const std::filesystem::path& clone);

}  // namespace cairn
