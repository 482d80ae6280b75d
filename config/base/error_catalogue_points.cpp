// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: recovery points over time; verifying, repairing and reclaiming space. Columns: CatalogueEntry in
// error.h.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kPointsErrors[] = {
    {point_immutable, "point-immutable", "the recovery point is immutable",
     "The machine's policy said `immutable` when the point was taken. Until the date that is named no command and no "
     "setting removes it; a lower setting counts for new points only.",
     "Wait until that date. Nothing else removes it.", "wait until that date", EPERM, 409},
    {point_protected, "point-protected", "the recovery point is protected",
     "Somebody exempted it with `cairn protect`. Neither the retention rule nor `cairn delete` removes it.",
     "If it is not wanted any more: `cairn protect MACHINE@POINT --off`, then delete it.",
     "\"cairn protect MACHINE@POINT --off\" ends that", EPERM, 409},
    {point_not_deleted, "point-not-deleted", "the recovery point is not deleted",
     "Only points that were deleted, by hand or by the retention rule, can be brought back, and only as long as the "
     "policy's `soft_delete` says.",
     "`cairn points --deleted` lists what can be brought back.", "see \"cairn points --deleted\"", EINVAL, 409},
    {point_deleted, "point-deleted", "the recovery point is deleted",
     "It is hidden, and its space is reclaimed on the date that is named. Until then it can be brought back.",
     "`cairn undelete MACHINE@POINT`, then try again.", "bring it back with \"cairn undelete\"", ENOENT, 404},
    {point_in_use, "point-in-use", "the recovery point is being read",
     "A mount has one of its disks open, or a restore reads it. What is being read is not removed.",
     "Nothing: the next prune after the reader has ended removes it.", "the next prune removes it", EBUSY, 409},
    {clock_jumped, "clock-jumped", "the clock does not go on from where it was",
     "The system's clock went back, or further ahead than time has passed, since Cairn last looked. Recovery points "
     "expire by the clock, so nothing is removed while it cannot be used.",
     "Look at the clock (`date`, `timedatectl`) and set it right. When it is right: `cairn prune --accept-clock`.",
     "set the clock right, or \"cairn prune --accept-clock\"", EIO, 409},
    {point_gap, "point-gap", "a recovery point is missing",
     "A point names its predecessor, and that is neither there nor recorded as deleted: its file was removed or lost "
     "by something else than Cairn, or it is not the file that was there.",
     "Put the file in points/ back from a copy of the store. When it is really gone: `cairn verify --accept-gaps` "
     "records that, and it is not reported again.",
     "put its file back from a copy of the store", EIO},
    {store_rolled_back, "store-rolled-back", "the store is older than it was",
     "This host remembers (in `state_dir`) what it saw last of each machine's recovery points, and the store shows an "
     "earlier state: points, or what was recorded about them, were put back or taken away by something else than "
     "Cairn. Until it is settled nothing of these machines expires and no space is reclaimed.",
     "Find out who changed the store's files, and put the newer ones back from a copy; when they are there again this "
     "ends by itself. When an older state was put there on purpose: `cairn store accept-rollback`.",
     "put the newer state back, or \"cairn store accept-rollback\"", EIO, 409},
    {collection_blocked, "collection-blocked", "space cannot be reclaimed while damage hides what is needed",
     "A recovery point, or a node of its disk map, cannot be read. What lies below it is not known, so nothing that "
     "could belong to it is removed. Points are expired and deleted as before; only their space is not given back.",
     "Repair it: `cairn verify --repair --from COPY`. When it cannot be repaired: delete that point, or give up what "
     "is damaged with `cairn prune --accept-damage`.",
     "repair it with \"cairn verify --repair\"", EIO},
    {damage_known, "damage-known", "the store has damage that is not repaired",
     "A verify found packs or recovery points that are not as they were written. Everything else stays readable.",
     "`cairn verify` says which disks of which points, and where. `cairn verify --repair [--from COPY]` repairs what "
     "can be repaired; the next backups store anew what they still find in the images.",
     "see \"cairn verify\"", EIO},
    {damage_found, "damage-found", "the store is damaged",
     "A verify found packs, maps or recovery points that are not as they were written. The report says which disks of "
     "which points, and at which offsets. Everything else stays readable.",
     "`cairn verify --repair [--from COPY]` repairs what can be repaired. Look at the storage below: dmesg, smartctl.",
     "repair it with \"cairn verify --repair\"", EIO},
    {not_repaired, "not-repaired", "not everything could be repaired",
     "No intact copy of some chunks was found, neither in the store nor in the replica. The points that are named stay "
     "readable outside the damage. What the next backup still finds in the live image is stored anew, and then older "
     "points have it again too.",
     "Run a backup of the machine that is named, or give a copy of the store with --from DIR.",
     "give a copy of the store with --from DIR", EIO},
    {replica_differs, "replica-differs", "the replica is not a copy of this store",
     "The directory given with --from has no packs, or they belong to another store.",
     "Name the directory that holds the copy's store.json and packs/.", "name the copy's directory", EINVAL},
    {verify_late, "verify-late", "parts of the store have not been verified for too long",
     "The settings (`maintenance.verify_every`) say how often everything is to be read and checked, and some of it is "
     "older than that.",
     "Let the daemon run for longer, raise maintenance.rate, or run `cairn verify --data`.",
     "run \"cairn verify --data\"", EIO},
    {space_reserved, "space-reserved", "what is left of the file system is kept for pruning",
     "A backup that filled the file system to the last byte would leave no room for the prune that makes room. So "
     "backups stop a little earlier, and one of which a sample shows that it cannot fit does not begin. What a stopped "
     "backup had stored is given back; earlier recovery points are intact.",
     "Free space: `cairn prune`, `cairn delete MACHINE@POINT --for-good`, or a larger file system. Then run the backup "
     "again.",
     "free space with \"cairn prune\"", ENOSPC, 507},
    {unknown_error_name, "unknown-error-name", "the catalogue has no such error", "The name is not that of an error.",
     "`cairn explain` lists them all.", "\"cairn explain\" lists them all", EINVAL},
};

}  // namespace

std::span<const CatalogueEntry> points_errors() {
  return kPointsErrors;
}

}  // namespace cairn
