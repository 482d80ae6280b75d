// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: disk images, mounting and restoring. Columns: CatalogueEntry in error.h.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kMountErrors[] = {
    {image_missing, "image-missing", "the disk image is not there",
     "The path in the settings does not exist, or it is a block device with nothing behind it (no medium, a detached "
     "loop or network device). The machine's backup failed; earlier points are intact.",
     "Correct the path in the settings, or mount the file system that holds the image.",
     "correct it in the settings, or mount its file system", ENOENT},
    {image_not_a_disk, "image-not-a-disk", "this is not a disk image",
     "Disks are image files or block devices. The path is something else (a directory, a socket, a character "
     "device).",
     "Name the image file or the block device itself in the settings.", "name an image file or a block device", EINVAL},
    {image_unreadable, "image-unreadable", "the disk image cannot be read",
     "Reading the image failed. The backup of this machine failed; earlier points are intact.",
     "Look at dmesg for errors of the underlying disk; run as root if it is a matter of permission.",
     "look at dmesg for errors of the disk", EIO},
    {image_shrank, "image-shrank", "the disk became smaller while it was read",
     "The image was truncated during the backup, so no state of it could be stored. Earlier points are intact.",
     "Do not resize images during a backup; run it again.", "run the backup again", EIO},
    {image_in_use, "image-in-use", "the disk is in use",
     "Another process holds the disk exclusively; or a file that is to be replaced is open for writing, or locked, as "
     "QEMU locks the disks of a machine that runs. Replacing it would lose all that is written to it from then on.",
     "Stop that process or wait for it: shut the machine down before its disk is replaced. `cairn restore --to` "
     "another "
     "directory does not touch it.",
     "wait for the process that holds it", EBUSY, 409},
    {header_damaged, "header-damaged", "a volume's header is damaged",
     "A LUKS or BitLocker header on the disk is damaged. The disk is backed up as it is.",
     "Restore the header from an earlier recovery point: the mount shows it under headers/.",
     "an earlier recovery point has the header", EIO},
    {no_fuse, "no-fuse", "this system has no FUSE", "/dev/fuse does not exist or may not be opened.",
     "modprobe fuse; in a container, pass the device /dev/fuse in; install the package fuse3.", "try \"modprobe fuse\"",
     ENODEV},
    {mount_point_missing, "mount-point-missing", "the mount point is not a directory",
     "The directory to mount on does not exist or is not a directory.", "mkdir -p DIR", "make the directory first",
     ENOENT},
    {mount_point_not_empty, "mount-point-not-empty", "the mount point is not empty",
     "Mounting would hide the files that are in the directory.", "Name an empty directory.", "name an empty directory",
     ENOTEMPTY},
    {mount_point_busy, "mount-point-busy", "the mount point is in use",
     "Something is mounted there already, or programs have files open in it.",
     "`cairn umount DIR` takes a mount of Cairn's away; `fuser -vm DIR` shows who uses it.",
     "\"fuser -vm DIR\" shows who uses it", EBUSY},
    {not_mounted, "not-mounted", "Cairn has nothing mounted there", "The directory is not a mount point of Cairn's.",
     "`findmnt -t fuse.cairn` lists them.", "\"findmnt -t fuse.cairn\" lists the mounts", EINVAL},
    {mount_failed, "mount-failed", "mounting failed", "The kernel or fusermount3 refused the mount.",
     "The reason stands in the message. Users other than root need fusermount3 (package fuse3), and allow_other needs "
     "user_allow_other in /etc/fuse.conf.",
     "try as root, or see \"cairn explain mount-failed\"", EIO},
    {target_exists, "target-exists", "a file of that name exists",
     "Restoring and key creation never replace a file by accident.",
     "Name another directory, or use --force for restore.", "name another place, or use --force", EEXIST, 409},
    {target_missing, "target-missing", "the target directory is not there",
     "The directory to write to does not exist or is not a directory.", "mkdir -p DIR", "make the directory first",
     ENOENT, 422},
};

}  // namespace

std::span<const CatalogueEntry> mount_errors() {
  return kMountErrors;
}

}  // namespace cairn
