// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: the keys of encrypted disks. Columns: CatalogueEntry in error.h.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kDiskKeysErrors[] = {
    {bek_invalid, "bek-invalid", "that is not a BEK of this kind",
     "A BitLocker .BEK file is truncated or damaged, a recovery password is mistyped (every group of six digits is "
     "checked), or a key file is empty or larger than 8 MiB.",
     "Check that it is the right file, copied whole. Recovery passwords are eight groups of six digits, typed or in "
     "the "
     "text file that Windows saved. For a LUKS key file of over 8 MiB, give the disk another key: `cryptsetup "
     "luksAddKey DISK NEW-KEY-FILE`.",
     "check that it is the right file", EINVAL},
    {bek_without_kek, "bek-without-kek", "a BEK is named without the KEK that wraps it",
     "The settings name a bek for the disk and no kek. A BEK is only ever kept wrapped by a KEK.",
     "Name the KEK too (kek: VAULT/NAME); `cairn key create VAULT/NAME` makes one.", "name its kek in the settings too",
     EINVAL},
    {bek_other_kek, "bek-not-wrapped-by-kek", "the BEK is wrapped by another KEK than the one named",
     "The secret in the vault says which key wraps it, and that is not the kek of the settings.",
     "Correct kek in the settings, or wrap the BEK with it: `cairn key import MACHINE/DISK --from FILE`.",
     "correct kek in the settings, or import the BEK again", EINVAL},
    {bek_does_not_open, "bek-does-not-open", "the BEK does not open the disk",
     "The BEK in the vault was tried on the disk's header and opens none of its key slots: the passphrase or key was "
     "changed, or it belongs to another disk.",
     "Import the key that opens the disk today: `cairn key import MACHINE/DISK --from FILE`.",
     "\"cairn key import MACHINE/DISK --from FILE\" with the key that opens it today", EACCES},
    {keys_missing, "keys-missing", "the disk is encrypted and the settings name no keys for it",
     "A recovery point of an encrypted disk without its keys is of no use on the day it is needed. So the backup is "
     "refused.",
     "Name bek and kek for the disk in the settings and import its key: `cairn key create VAULT/NAME`, `cairn key "
     "import MACHINE/DISK --from FILE`. To take points without keys all the same: on_missing_keys: warn in the policy.",
     "name bek and kek for it, or set on_missing_keys: warn", EACCES},
    {became_encrypted, "disk-became-encrypted", "the disk is encrypted now, and was not at the last recovery point",
     "Somebody encrypted the disk since the last backup. Until its keys are given its backups are refused; earlier "
     "recovery points stay as they are.",
     "Name bek and kek for the disk in the settings and import its key: `cairn key import MACHINE/DISK --from FILE`. "
     "To take points without keys all the same: on_missing_keys: warn in the policy. If nobody encrypted it, look for "
     "ransomware in the guest before anything else.",
     "name bek and kek for it; if nobody encrypted it, look for ransomware", EACCES},
    {keys_not_needed, "keys-not-needed", "keys are named for a disk that is not encrypted",
     "The settings name bek and kek for a disk on which no LUKS or BitLocker volume is seen.",
     "Take bek and kek out of the settings, or find out why the disk is not encrypted any more.",
     "take bek and kek out, or find out why it is not encrypted", EINVAL},
    {encryption_unknown, "encryption-unknown", "whether the disk is encrypted is not known",
     "No encrypted volume was recognised on the disk, and not everything that lies on it was recognised either: a "
     "volume "
     "manager or RAID whose volumes are on other disks too, a format that Cairn does not look into, a LUKS header that "
     "is "
     "kept elsewhere, or a lost partition table. `not-encrypted` is only said of what was seen.",
     "Read what was seen on it (`cairn config check`). If its LUKS header is a file elsewhere, name it in the disk's "
     "settings: header: FILE, or, when it lies on a plain partition of the same disk (a /boot with ext4), header: "
     "partition:N/PATH. Keys that are named for it are kept in its points, but could not be tried: keep them, and try "
     "a "
     "restore.",
     "leave its keys in the settings; see \"cairn config check\" for what was seen", EINVAL},
    {detached_header_unusable, "detached-header-unusable", "the file named as the disk's header is not usable as one",
     "The settings name a file (header: FILE, or header: partition:N/PATH) that should hold the LUKS header of the "
     "disk. It is not there, cannot be "
     "read, is larger than 256 MiB, or holds no LUKS header. Without it nobody can unlock the disk, so the backup is "
     "refused.",
     "Put the header file in its place (`cryptsetup luksHeaderBackup` makes one, an earlier recovery point has one: "
     "`cairn restore POINT --header-only`), or correct `header` in the settings.",
     "put the header file in its place, or correct \"header\" in the settings", ENOENT},
    {header_partition_missing, "header-partition-missing",
     "the disk has no partition of the number that its header is to be read from",
     "The settings say that the LUKS header of the disk lies as a file on a partition of the same disk (header: "
     "partition:N/PATH), and the disk has no partition N: its table was changed, cannot be read, or the number is "
     "wrong. "
     "Without the header nobody can unlock the disk, so the backup is refused.",
     "`cairn config check --json` or `blkid -p` and `fdisk -l IMAGE` show the partitions with their numbers. Correct "
     "`header` in the settings.",
     "correct the partition's number in \"header\"", ENOENT},
    {header_file_missing, "header-file-missing", "the header's file is not on the partition",
     "The settings say that the LUKS header of the disk lies as a file on a partition of the same disk (header: "
     "partition:N/PATH), and there is no such file in its file system, or what is there is no ordinary file: links are "
     "not followed. The path counts from the top of that file system: what a guest has mounted on /boot as "
     "/boot/luks/header is partition:N/luks/header. A file system that was in use when the snapshot was made has a "
     "journal that is not replayed: what was written to it in the last seconds may not be seen yet.",
     "Correct `header` in the settings, or put the file back in the guest. If it was written just now: run `sync` in "
     "the "
     "guest, and try again. An earlier recovery point has the header: `cairn restore POINT --header-only`.",
     "correct the path in \"header\": it counts from the top of that partition's file system", ENOENT},
    {header_file_system, "header-file-system", "the file system that holds the disk's header cannot be read",
     "The settings say that the LUKS header of the disk lies as a file on a partition of the same disk (header: "
     "partition:N/PATH). That partition's file system is none that Cairn reads (ext2, ext3, ext4 and XFS are), is "
     "damaged, "
     "or "
     "asks for more work than is allowed: it is read by a confined process with limits, since whoever rules the guest "
     "writes it.",
     "Copy the header out of the guest to this host, and name the copy: `header: FILE`. Copy it again whenever a key "
     "of "
     "the disk is added or changed. A damaged file system: check it in the guest (`fsck`).",
     "copy the header's file to this host, and name the copy in \"header\"", EIO},
    {volume_key_changed, "volume-key-changed", "the volume key of the disk has changed",
     "The disk was encrypted anew since the last recovery point. All of its ciphertext is different and is stored "
     "anew.",
     "If you re-encrypted it, all is well. If not, find out who did.", "if nobody re-encrypted it, find out who did",
     EIO},
    {key_slots_changed, "key-slots-changed", "the key slots of the disk have changed",
     "A key was added to the disk, removed or changed since the last recovery point.",
     "If that was you, all is well: the point has the header as it is now.", "if that was not you, find out who it was",
     EIO},
    {unlock_costlier, "unlock-costlier", "unlocking the disk costs much more than it did",
     "The header of the disk asks for much more key derivation than at the last proof. Whoever rules the guest writes "
     "that header, and can make each backup and each unlocking slow with it; an administrator who changed the key "
     "slots can have meant it, too.",
     "Look at the key slots of the disk (`cryptsetup luksDump`). If the cost is meant, nothing is to be done, or, "
     "where "
     "the policy says `on_costlier_keys: fail`, set it to `warn` until one backup has proved the disk.",
     "look at its key slots with \"cryptsetup luksDump\"", EIO, 409},
    {keys_too_large, "keys-too-large", "the keys of the machine do not fit into a recovery point",
     "A recovery point holds the keys of all its machine's disks. Its document is at most 64 MiB, 56 MiB of it for "
     "keys, which take a third more there than their files have: five key files of 8 MiB fit, six do not. Nothing was "
     "read.",
     "Give the disks shorter keys; a key file of 64 bytes is as strong as the disk's own encryption: `cryptsetup "
     "luksAddKey DISK NEW-KEY-FILE`, then `cairn key import MACHINE/DISK --from NEW-KEY-FILE`.",
     "add a short key file to the disk with \"cryptsetup luksAddKey\", and import that with \"cairn key import\"",
     EFBIG},
    {no_escrowed_keys, "no-escrowed-keys", "the recovery point holds no keys",
     "The point was taken without keys: its disks are not encrypted, or on_missing_keys: warn let it be taken.",
     "Look for a point that is proved: `cairn points MACHINE`.", "\"cairn points\" shows which points are proved",
     ENOENT},
    {escrow_damaged, "escrow-damaged", "the keys in the recovery point are damaged",
     "What the point holds of the keys is altered, or sealed for other owners than this store's.",
     "Use another point of the machine: KEKs and BEKs are the same in all of them until they are rotated.",
     "use another point of the machine", EIO},
    {not_proved, "not-proved", "a recovery point could not be unlocked with its own keys",
     "The keys in the point were tried on the headers in the point, and did not open them. The reason stands with each "
     "disk.",
     "Correct the reason that is named, take a new point (`cairn backup MACHINE`), and keep the earlier proved points.",
     "see the reason of each disk", EACCES},
    {no_such_header, "no-such-header", "the recovery point has no such header",
     "Only encrypted volumes have a header to restore.", "`cairn points MACHINE@POINT` lists the headers.",
     "see \"cairn points MACHINE@POINT\"", ENOENT, 404},
    {header_differs, "header-of-another-volume", "the device holds another volume than the header",
     "What is on the device is sound and has another UUID or another place than the header in the recovery point. "
     "Writing the header would make it unreadable for ever.",
     "Check the device's name. If it must be overwritten all the same: --force.", "check the device's name", EEXIST},
    {protection_suspended, "protection-suspended", "the disk opens without any secret",
     "BitLocker's protection of the volume is suspended, or was never finished: a key that needs no secret (a clear "
     "key) "
     "is stored on the volume itself. The recovery point is proved with it, so whoever has the disk or the point reads "
     "it.",
     "In the guest: `manage-bde -protectors -add C: -recoverypassword`, then `manage-bde -protectors -enable C:`. Name "
     "bek and kek for the disk in the settings and import the recovery password: `cairn key import MACHINE/DISK --from "
     "-`. Once protection is resumed, backups without keys are refused.",
     "resume protection in the guest (manage-bde -protectors -enable) and import its recovery password", EACCES},
    {key_in_use, "key-in-use", "the key is still needed",
     "The KEK wraps BEKs that are in the vault, the secret or KEK is named by the settings for a disk, or the key slot "
     "is "
     "the one that the settings open the store with. Without it backups fail or disks cannot be opened.",
     "Do first what the message says: import the BEKs with another KEK, change the settings, or add another key slot. "
     "If "
     "it must go all the same: --force.",
     "if it must go all the same: --force", EBUSY, 409},
};

}  // namespace

std::span<const CatalogueEntry> disk_keys_errors() {
  return kDiskKeysErrors;
}

}  // namespace cairn
