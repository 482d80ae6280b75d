// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: what a recovery point says of its own making, and what a backup leaves out. Columns:
// CatalogueEntry in error.h. All of these are warnings: the point is there.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kLabelErrors[] = {
    {disk_torn, "disk-torn", "the disk was written to while it was read",
     "The disk was read without a snapshot (its file system has no reflinks, or it is a block device), and the machine "
     "wrote to it meanwhile. Parts of the copy are of different times: its file systems may not mount, and databases "
     "on it may be damaged in ways that nobody notices at once.",
     "Restore a point whose consistency is `crash` where there is one: `cairn points MACHINE`. For whole copies put "
     "the image on XFS or btrfs (`cairn config check` says whether it is read from a clone), back up an LVM snapshot "
     "of "
     "the device instead of the device, or back up while the machine is shut down.",
     "put the image on XFS or btrfs, back up an LVM snapshot, or back up while the machine is off", EIO},
    {disk_suspect, "disk-suspect", "the disk looks as if it had been lost",
     "The disk is smaller than in the recovery point before, or all of it is zeros where there was data. That is what "
     "a lost or wrong image looks like, so the new point is marked `suspect`: retention does not count it, so it "
     "pushes "
     "out no older point, and it is never the newest proved one.",
     "Look at the image and restore it from an older point if it was lost. If the disk was made smaller or emptied on "
     "purpose: `cairn backup MACHINE --accept-change`. A backup of a disk that is as large as before ends it too.",
     "look at the image; if it is meant: \"cairn backup MACHINE --accept-change\"", EIO},
    {volume_cut_off, "volume-cut-off", "an encrypted volume ends before its data do",
     "The header of the volume, or the partition table, says that the volume is longer than the disk is. The key opens "
     "the header, but a part of the data is not there, so the recovery point is not called proved.",
     "Look whether the image was cut off (its size, the space of its file system), and restore an older point if it "
     "was.",
     "look whether the image was cut off", EIO},
    {point_in_future, "point-in-future", "a recovery point is dated in the future",
     "The clock of the host was wrong when the point was taken, or is wrong now. Its date says nothing about when it "
     "was taken. `latest` is the point that was written last, whatever the dates say, as far as the store knows the "
     "order.",
     "Look at the clock (`date`, `timedatectl`) and set it right. Then back up again: the new point is `latest`. "
     "`cairn points MACHINE` shows which point is dated wrongly; delete it when it is not wanted.",
     "look at the clock; the next backup under the right clock becomes latest", EIO},
    {disk_not_backed_up, "disk-not-backed-up", "the machine has a disk that is not backed up",
     "The machine's definition names a disk, and the settings name no image that is that disk. After an external "
     "snapshot the machine runs on an overlay, and the settings still name the base, which nobody writes any more: "
     "then every backup has the state of that day.",
     "Name the disk under `disks` in the settings; after an external snapshot merge the overlay (`virsh blockcommit`). "
     "A "
     "disk that is left out on purpose stands in the machine's `left_out`: by its target (vdb) or its path.",
     "name it in the settings, or under left_out when it is left out on purpose", EIO},
    {disk_left_out, "disk-left-out", "a disk of earlier recovery points is not backed up any more",
     "Recovery points of the machine have a disk that the settings do not name now. The last point that has it is not "
     "ended by retention.",
     "Name the disk in the settings again. If it is left out on purpose, name it in the machine's `left_out`: then "
     "nothing is said of it any more, and its last point expires like any other.",
     "name it in the settings, or under left_out when it is left out on purpose", EIO},
};

}  // namespace

std::span<const CatalogueEntry> label_errors() {
  return kLabelErrors;
}

}  // namespace cairn
