// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: every error a user can meet, how it comes about and what to do. Names are stable.
#include <array>
#include <cerrno>

#include "config/base/error.h"
#include "config/base/result.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kCatalogue[] = {
    {used_wrongly, "used-wrongly", "the command was used wrongly",
     "A command, option or value is not one that this command takes.",
     "Read the message: it names the word that was not understood. `cairn COMMAND --help` shows examples.",
     "see \"cairn --help\"", EINVAL},
    {internal, "internal", "an error in Cairn itself",
     "Something happened that Cairn's authors did not expect. Committed recovery points are not touched by it.",
     "Report it with the message and the log lines around it (journalctl -u cairnd).", "please report it", EIO},
    {cancelled, "cancelled", "the job was cancelled",
     "Somebody cancelled the job, or the daemon was stopped while it ran. What was already stored is found again by "
     "the "
     "next run.",
     "Start it again: `cairn backup MACHINE`. It continues where it was stopped.", "start it again", EINTR},
    {io_error, "io-error", "reading or writing failed",
     "The operating system reported an error on a file or a device. The reason follows in the message.",
     "Look at the system's log (dmesg) for errors of the disk or the network file system, mend them, and try again.",
     "look at dmesg for errors of the device", EIO},
    {no_space, "no-space", "the file system is full",
     "The file system that holds the named object has no space (or no quota) left. The job was stopped; the unfinished "
     "pack was removed and earlier recovery points are intact.",
     "Free space on that file system or enlarge it, then run the job again.", "free space there and try again", ENOSPC},
    {permission_denied, "permission-denied", "permission denied",
     "This process may not do that. Backups of disk images usually need root, and the store belongs to the user that "
     "made it.",
     "Run the command as root (sudo), or mend the owner and mode of the named file.", "try as root", EACCES},
    {out_of_memory, "out-of-memory", "not enough memory", "The system did not give the memory that was asked for.",
     "Free memory or raise the service's memory limit.", "free memory and try again", ENOMEM},

    {settings_missing, "settings-missing", "there is no settings file",
     "The settings file does not exist at the path that was used.",
     "Name it with --config FILE, or make one: the commented example is installed as cairn.yaml.example, and every key "
     "is in config/REFERENCE.md.",
     "name it with --config FILE, or start from cairn.yaml.example", ENOENT},
    {settings_unreadable, "settings-unreadable", "the settings file cannot be read",
     "The settings file is there but cannot be read: no permission, a directory, or too large.",
     "Mend the file's mode or owner, or run as a user that may read it.", "run as a user that may read it", EACCES},
    {settings_invalid, "settings-invalid", "the settings are not right",
     "The settings file has unknown keys, wrong types or impossible values. Every problem is listed with line and "
     "column. "
     "A running daemon goes on with the settings it has.",
     "Mend each line that is listed, then run `cairn config check`.", "mend it and run \"cairn config check\"", EINVAL},
    {key_file_missing, "key-file-missing", "the key file is not there",
     "The file that holds the key or passphrase of the store does not exist.",
     "Put the key file back from your safe copy, or correct its path in the settings. For a new store, `cairn store "
     "init "
     "--create-key-file` makes one. If it is lost, open the store with the printed recovery key: --recovery-key FILE.",
     "put it back, or use --recovery-key", ENOENT},
    {key_file_permissions, "key-file-permissions", "the key file can be read or written by others",
     "Files that hold keys must belong to the user that runs Cairn (or root) and be closed to everybody else.",
     "chmod 0600 FILE and chown it to the user that runs Cairn. If others may have read it, add a new key to the store "
     "and remove this one: `cairn store keys add`, `cairn store keys remove`.",
     "chmod 0600 it", EACCES},
    {key_file_invalid, "key-file-invalid", "the key file does not hold a key",
     "The file is empty, too short, too long, or its checksum is wrong.",
     "Check that it is the right file. A recovery key is typed exactly as printed; its checksum finds typing errors.",
     "check that it is the right file", EINVAL},
    {passphrase_command_failed, "passphrase-command-failed", "the passphrase command failed",
     "The command in store.passphrase_command ended with an error, took too long or printed nothing.",
     "Run the command by hand as the user that runs Cairn and mend what it reports.", "run it by hand to see why", EIO},
    {not_supported_yet, "not-supported-yet", "this version cannot do that yet",
     "The settings or the command name something that this version of Cairn knows but does not do.",
     "Use a newer version, or leave it out.", "leave it out for now", ENOSYS},

    {store_missing, "store-missing", "there is no store",
     "The directory in store.path does not exist, or holds no store.json.",
     "Check store.path in the settings and that its file system is mounted. For a new store: `cairn store init`.",
     "is its file system mounted? \"cairn store init\" makes a new store", ENOENT},
    {store_exists, "store-exists", "there is a store already",
     "store init never touches an existing store or a directory with other files.",
     "Use the store that is there, or name another, empty directory in store.path.", "name an empty directory", EEXIST},
    {not_a_store, "not-a-store", "this is not a Cairn store", "store.json is not a Cairn store document.",
     "Check store.path in the settings.", "check store.path", EINVAL},
    {store_too_new, "store-too-new", "the store was written by a newer version",
     "The store has a format that this version does not know. Nothing was read or changed.",
     "Use the version of Cairn that wrote it, or a newer one.", "use a newer version of Cairn", EPROTO},
    {store_damaged, "store-damaged", "the store's own document is damaged",
     "store.json is truncated, altered or not authentic. Packs and points are not affected by that.",
     "`cairn verify --repair` writes store.json anew from store.json.copy beside it. When both are damaged: put either "
     "back "
     "from a copy of the store; it is small and changes only with `cairn store keys`.",
     "\"cairn verify --repair\" writes it anew from its copy", EIO},
    {store_locked, "store-locked", "another process is writing to the store",
     "One process at a time writes to a store. Reading and mounting go on meanwhile.",
     "Wait until the process that is named ends, or stop it. The lock vanishes with its process; there is no stale "
     "lock "
     "to remove.",
     "wait until it ends, or see \"cairn status\"", EBUSY},
    {wrong_key, "wrong-key", "the key does not open the store",
     "No key slot of the store opens with the given key file, passphrase or recovery key. Nothing was changed.",
     "Check that store.path and the key belong together. `cairn store keys list` shows the slots. The printed recovery "
     "key opens it too: --recovery-key FILE.",
     "check that the key belongs to this store", EACCES},
    {last_key_slot, "last-key-slot", "that is the last usable key",
     "Without a key slot nobody could ever open the store again, so the last one cannot be removed.",
     "Add another key first: `cairn store keys add`.", "add another key first", EPERM},
    {no_such_key_slot, "no-such-key-slot", "there is no such key slot", "No key slot has that id or label.",
     "`cairn store keys list` shows them.", "see \"cairn store keys list\"", ENOENT},
    {key_slot_exists, "key-slot-exists", "a key slot has that label already", "Labels of key slots are unique.",
     "Choose another label with --label.", "choose another --label", EEXIST},
    {object_missing, "object-missing", "an object of the store is missing",
     "A file that belongs to the store is not there, or is shorter than it was.",
     "If the store was copied, copy it again completely. Run `cairn store rebuild-index`; disks that used the missing "
     "file give errors where it is needed, and everything else stays readable.",
     "is the store copied completely?", EIO},
    {pack_damaged, "pack-damaged", "a pack is damaged",
     "The file's bytes are not what was written: its header, footer or a record is not authentic.",
     "`cairn verify` says which disks of which points are hit, and where; everything else stays readable. `cairn "
     "verify "
     "--repair --from COPY` mends it from a copy of the store; without one it saves what is good in the pack, and the "
     "next "
     "backup stores anew what it still finds in the image. `cairn restore --salvage` writes what is left of a disk.",
     "see \"cairn verify --repair\"", EIO},
    {chunk_damaged, "chunk-damaged", "a stored chunk is damaged",
     "The chunk's bytes do not authenticate, or are not those that its name stands for. The rest of the disk is "
     "readable.",
     "`cairn verify --repair [--from COPY]` mends it from a copy of the store; else the next backup after a `cairn "
     "verify "
     "--data` stores it anew, when the image still has it. `cairn restore --salvage` writes the disk without it.",
     "see \"cairn verify --repair\"", EIO},
    {chunk_missing, "chunk-missing", "a chunk is not in the index",
     "A recovery point names a chunk that the index does not know: the index is old or incomplete, or a pack is gone.",
     "`cairn verify` says what is missing; `cairn verify --repair [--from COPY]` looks for it in all packs, and in a "
     "copy "
     "of the store. The next backup stores anew what it still finds in the image. `cairn restore --salvage` writes the "
     "disk without it.",
     "see \"cairn verify --repair\"", EIO},
    {index_damaged, "index-damaged", "the index is damaged",
     "The index (index/data.mdb) cannot be read. It is only a cache of what the packs say.",
     "Run `cairn store rebuild-index`.", "run \"cairn store rebuild-index\"", EIO},
    {index_missing, "index-missing", "the index is missing",
     "The index (index/data.mdb) is not there. It is only a cache of what the packs say.",
     "Run `cairn store rebuild-index`.", "run \"cairn store rebuild-index\"", EIO},
    {map_damaged, "map-damaged", "a disk map is damaged",
     "A node of the tree that makes up a disk does not have the form it must have.",
     "`cairn verify --repair [--from COPY]` mends it from a copy of the store; or use another recovery point. `cairn "
     "restore --salvage` writes what is left of the disk.",
     "see \"cairn verify --repair\", or use another recovery point", EIO},
    {point_damaged, "point-damaged", "a recovery point's document is damaged",
     "The file in points/ is truncated, altered, renamed or not authentic. Other points are not affected.",
     "`cairn verify --repair --from COPY` takes it from a copy of the store; or use another point: `cairn points`.",
     "\"cairn verify --repair --from COPY\" mends it; or use another point", EIO},
    {object_exists, "object-exists", "there is an object of that name already",
     "Two backups of one machine were committed in the same second, or an object is there already.",
     "Run the backup again.", "run it again", EEXIST},
    {point_missing, "point-missing", "the recovery point is not there",
     "The point was deleted, or the name is not that of a point.", "`cairn points` lists them.", "see \"cairn points\"",
     ENOENT},
    {no_such_machine, "no-such-machine", "there is no such machine",
     "The name is neither in the settings nor does the store have recovery points of it.",
     "`cairn points` and the settings show the names.", "see \"cairn points\"", ENOENT},
    {no_such_point, "no-such-point", "there is no such recovery point",
     "The machine has no recovery point whose time starts like that.",
     "`cairn points MACHINE` lists them; `latest` is the newest.", "see \"cairn points\"", ENOENT},
    {ambiguous_point, "ambiguous-point", "more than one recovery point matches",
     "The given start of the time fits several points.", "Give more digits of the time.", "give more digits", EINVAL},
    {no_such_disk, "no-such-disk", "the recovery point has no such disk", "The machine had no disk of that name then.",
     "`cairn points MACHINE@POINT` shows its disks.", "see \"cairn points MACHINE@POINT\"", ENOENT},

    {image_missing, "image-missing", "the disk image is not there",
     "The path in the settings does not exist. The machine's backup failed; earlier points are intact.",
     "Correct the path in the settings, or mount the file system that holds the image.",
     "correct it in the settings, or mount its file system", ENOENT},
    {image_not_a_disk, "image-not-a-disk", "this is not a disk image",
     "Disks are raw image files or block devices. The path is something else (a directory, a socket, a character "
     "device).",
     "Name the image file or the block device itself in the settings.", "name an image file or a block device", EINVAL},
    {image_unreadable, "image-unreadable", "the disk image cannot be read",
     "Reading the image failed. The backup of this machine failed; earlier points are intact.",
     "Look at dmesg for errors of the underlying disk; run as root if it is a matter of permission.",
     "look at dmesg for errors of the disk", EIO},
    {image_shrank, "image-shrank", "the disk became smaller while it was read",
     "The image was truncated during the backup, so no state of it could be stored. Earlier points are intact.",
     "Do not resize images during a backup; run it again.", "run the backup again", EIO},
    {image_in_use, "image-in-use", "the disk is in use", "Another process holds the disk exclusively.",
     "Stop that process or wait for it.", "wait for the process that holds it", EBUSY},
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
     "Name another directory, or use --force for restore.", "name another place, or use --force", EEXIST},
    {target_missing, "target-missing", "the target directory is not there",
     "The directory to write to does not exist or is not a directory.", "mkdir -p DIR", "make the directory first",
     ENOENT},

    {daemon_unreachable, "daemon-unreachable", "the daemon does not answer",
     "No cairnd listens on the socket named in the settings, or it stopped answering.",
     "systemctl status cairnd; journalctl -u cairnd. Commands also work without a daemon: --no-daemon.",
     "\"systemctl status cairnd\" tells more", ECONNREFUSED},
    {daemon_running, "daemon-running", "a daemon is running already",
     "Another cairnd uses the same state directory or socket.", "Use that one, or stop it: systemctl stop cairnd.",
     "stop the other one first", EBUSY},
    {daemon_failed, "daemon-failed", "the daemon could not start", "The reason stands in the message.",
     "Mend what the message names and start it again.", "mend it and start again", EIO},
    {job_conflict, "job-conflict", "a job that excludes this one waits or runs",
     "One backup at a time runs for a machine, and one verification for a store.", "Wait for it: `cairn jobs`.",
     "see \"cairn jobs\"", EBUSY},
    {no_such_job, "no-such-job", "there is no such job", "No job has that number, or it is too old.",
     "`cairn jobs` lists them.", "see \"cairn jobs\"", ENOENT},
    {journal_damaged, "journal-damaged", "the journal of jobs cannot be used",
     "journal.db in the state directory is damaged or of a newer version. It only holds the history of jobs; recovery "
     "points do "
     "not depend on it.",
     "Move journal.db away; a new one is made. Schedules then start afresh.", "move it away; a new one is made", EIO},
    {shutting_down, "shutting-down", "the daemon is stopping", "No new jobs are taken while the daemon stops.",
     "Try again when it has been restarted.", "try again after its restart", EAGAIN},
    {interrupted, "interrupted", "the job was interrupted",
     "The process that ran the job (the daemon, or a command) was killed or the host went down before the job ended. "
     "Recovery "
     "points committed before are whole, and what the job had stored is found again by the next run.",
     "Start it again: `cairn backup MACHINE`. A scheduled run is taken again by itself.", "start it again", EINTR},
    {clone_not_kept, "clone-not-kept", "the clone for change tracking could not be kept",
     "After a backup Cairn keeps a reflink clone of the image, or the note about it in state_dir, and this could not "
     "be "
     "done. The recovery point is whole; only the next backup of the disk has to read all of it.",
     "Mend what the message names. `cairn config check` says for each disk whether change tracking can work; "
     "change_tracking: { enabled: false } in the settings does without it.",
     "the next backup reads all of the disk; see \"cairn config check\"", EIO},
    {tracking_base_lost, "tracking-base-lost", "what the recovery point before has cannot be read",
     "Change tracking takes over what did not change from the recovery point before, and a part of that point's disk "
     "map cannot be read. The backup reads all of the disk instead.",
     "`cairn store rebuild-index` names damaged packs; put them back from a copy of the store.",
     "the disk is read whole instead", EIO},
    {tracking_wrong, "tracking-wrong", "change tracking has missed a change",
     "A full reading (full_read in the policy, or cairn backup --full-read) found a difference where change tracking "
     "had said that there is none. The recovery point of that full reading is right. Those that were made with change "
     "tracking since the full reading before may have old data in the byte ranges that are named.",
     "Do not rely on the named recovery points for those ranges. Tracking stays off for the disk until a full reading "
     "finds no difference. Report it with the message, the kernel's version and the file system: this is an error of "
     "Cairn's or of the file system's.",
     "do not rely on the points that are named; please report it", EIO},
    {vault_missing, "key-vault-missing", "the key vault is not there",
     "The directory of the key vault does not exist or holds no vault, or the settings name a vault that is not "
     "declared. "
     "Backups of the machines whose keys are in it are refused, since their points could not be unlocked.",
     "Check key_vaults.NAME.path in the settings and that its file system is mounted. For a new vault: `cairn vault "
     "init "
     "--vault NAME`. A lost vault is made again from the recovery points: `cairn vault init --vault NAME`, then `cairn "
     "key restore "
     "MACHINE@latest --vault NAME`.",
     "is its file system mounted? \"cairn vault init\" makes a new one, \"cairn key restore\" fills it", ENOENT},
    {vault_exists, "key-vault-exists", "there is a key vault already",
     "vault init never touches a vault that exists or a directory with other files.",
     "Use the vault that is there, or name another, empty directory.", "name an empty directory", EEXIST},
    {vault_damaged, "key-vault-damaged", "the key vault is damaged",
     "The vault's file is truncated or altered, or is no vault. Nothing of it was used.",
     "Put the file that is named back from a copy. Without a copy: move the directory away, `cairn vault init --vault "
     "NAME`, "
     "then "
     "`cairn key restore MACHINE@latest --vault NAME` for each machine: the recovery points have the keys.",
     "put it back from a copy, or make a new vault and \"cairn key restore\"", EIO},
    {vault_too_new, "key-vault-too-new", "the key vault was written by a newer version",
     "The vault has a format that this version does not know. Nothing was read or changed.",
     "Use the version of Cairn that wrote it, or a newer one.", "use a newer version of Cairn", EPROTO},
    {vault_permissions, "key-vault-permissions", "others have access to the key vault",
     "The vault's directory must be 0700 and its files 0600, of the user that runs Cairn or of root.",
     "chmod 0700 DIRECTORY; chmod 0600 its files; chown them to the user that runs Cairn. If others may have read the "
     "vault and its key file, rotate the KEKs (`cairn key rotate`) and change the disks' keys.",
     "chmod 0700 the directory and 0600 its files", EACCES},
    {vault_locked, "key-vault-locked", "another process is writing to the key vault",
     "One process at a time changes a vault; this one waited and gave up.",
     "Wait until the process that is named ends. The lock vanishes with its process.", "wait until it ends", EBUSY},
    {vault_wrong_key, "key-vault-wrong-key", "the key does not open the key vault",
     "The vault does not open with the key file or passphrase that the settings name for it. Nothing was changed.",
     "Check that path and key_file of the vault in the settings belong together.",
     "check that path and key belong together", EACCES},
    {vault_denied, "key-vault-denied", "the key vault's policy does not allow it",
     "The principal that asked lacks a right in the vault's access policy. The vault's audit log has the refusal.",
     "Grant the right that is named: `cairn vault grant PRINCIPAL RIGHT --vault VAULT`, or for the service `cairn "
     "vault grant cairn-backup --template backup --vault VAULT`. `cairn vault policy --vault VAULT` shows who may do "
     "what.",
     "see \"cairn vault policy\"", EACCES},
    {no_such_principal, "no-such-principal", "the key vault does not know this principal",
     "The access policy of the vault has no rights for a principal of that name.",
     "`cairn vault policy --vault VAULT` lists the principals; `cairn vault grant PRINCIPAL --template backup --vault "
     "VAULT` adds one.",
     "see \"cairn vault policy\"", ENOENT},
    {last_administrator, "last-administrator", "that would leave the key vault without an administrator",
     "Somebody must be able to change the access policy; the last principal with that right keeps it.",
     "Grant another principal the template admin first.", "grant another principal --template admin first", EPERM},
    {audit_damaged, "audit-damaged", "the audit log of the key vault was altered",
     "Entries of the log are chained; one was changed, removed or cut off since it was written.",
     "Keep the file as evidence: move it away and find out who had access to the vault's directory. A new log begins "
     "by "
     "itself and notes that the old one is gone.",
     "keep it as evidence, and move it away to go on", EIO},
    {kek_missing, "key-missing", "the vault has no such key",
     "The KEK, or the version of it that is asked for, is not in the vault. Without it the BEKs that it wraps cannot "
     "be "
     "used.",
     "Check the name in the settings: `cairn key list --vault VAULT`. For a new key: `cairn key create VAULT/NAME`. "
     "For one "
     "that "
     "is lost: `cairn key restore MACHINE@POINT --vault VAULT`.",
     "see \"cairn key list\"", ENOENT},
    {kek_exists, "key-exists", "the vault has a key of that name",
     "key create never replaces a key: what it wraps would be lost.",
     "`cairn key rotate VAULT/NAME` makes a new version and keeps the old ones; or choose another name.",
     "\"cairn key rotate\" makes a new version", EEXIST},
    {kek_wrong_type, "key-wrong-type", "the key is of a kind that cannot be used here",
     "KEKs are X25519, RSA-3072 or RSA-4096; a vault may know fewer. What one kind of key has wrapped no other can "
     "unwrap.",
     "Choose another --type, or another key.", "choose another key or --type", EINVAL},
    {secret_missing, "secret-missing", "the vault has no such secret",
     "The BEK that the settings name for the disk, or the version of it that is asked for, is not in the vault.",
     "`cairn key import MACHINE/DISK --from FILE` puts it there; `cairn key list --vault VAULT` shows what there is. "
     "One that "
     "is "
     "lost comes back with `cairn key restore MACHINE@POINT --vault VAULT`.",
     "\"cairn key import MACHINE/DISK --from FILE\" puts it there", ENOENT},
    {secret_damaged, "secret-damaged", "the secret is not a wrapped BEK",
     "What the vault gave is not a document that `cairn key import` makes: it is damaged, or something else.",
     "Import the BEK again: `cairn key import MACHINE/DISK --from FILE`, or restore it: `cairn key restore`.",
     "import the BEK again", EIO},
    {keys_differ, "keys-differ", "the vault has another key or secret of that name",
     "key restore never replaces what is in the vault and is not the same as in the recovery point. Nothing was "
     "changed.",
     "Restore into another, empty vault (`cairn vault init`), or delete what is there first if it is worthless.",
     "restore into an empty vault", EEXIST},
    {unwrap_failed, "unwrap-failed", "the KEK does not unwrap the BEK",
     "The wrapped BEK was made with another key, or is damaged.",
     "Import the BEK again: `cairn key import MACHINE/DISK --from FILE`; or restore it from an earlier point.",
     "import the BEK again", EIO},
    {hsm_unavailable, "hsm-unavailable", "the HSM is not there",
     "The PKCS #11 library cannot be loaded, or no token with the label of the settings is present.",
     "Check key_vaults.NAME.module and token, and that the HSM is plugged in or reachable: `pkcs11-tool --module "
     "MODULE "
     "-L` (package opensc) lists the tokens.",
     "is it plugged in or reachable?", ENODEV},
    {hsm_pin_wrong, "hsm-pin-wrong", "the HSM refuses the PIN",
     "The PIN in pin_file is not the token's. Tokens lock themselves after a few wrong tries, so Cairn tries it once.",
     "Put the right PIN into pin_file before anything tries again.", "put the right PIN into pin_file", EACCES},
    {hsm_token_locked, "hsm-token-locked", "the HSM's token is locked",
     "Too many wrong PINs were tried; the token takes none any more.",
     "The token's security officer sets a new PIN: `pkcs11-tool --module MODULE --init-pin` (package opensc), or the "
     "HSM's "
     "own tool. Then put it into pin_file.",
     "the token's security officer unlocks it", EACCES},
    {hsm_failed, "hsm-failed", "the HSM reported an error", "The PKCS #11 return value stands in the message.",
     "Look it up in the HSM's manual or the PKCS #11 specification (CKR_...), and try again.", "see the HSM's manual",
     EIO},
    {vault_command_failed, "vault-command-failed", "a command of the key vault failed",
     "A command in key_vaults.NAME.commands ended with an error, took too long, printed too much or printed something "
     "that is no answer.",
     "Run the command by hand as the user that runs Cairn and mend what it reports. What goes in and out of each "
     "command: crypto/vault/command/COMMAND.md.",
     "run it by hand to see why", EIO},

    {bek_invalid, "bek-invalid", "that is not a BEK of this kind",
     "A BitLocker .BEK file is truncated or damaged, a recovery password is mistyped (every group of six digits is "
     "checked), or a key file is empty or larger than 64 KiB.",
     "Check that it is the right file, copied whole; type recovery passwords as eight groups of six digits.",
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
     "A recovery point of an encrypted disk without its keys is noise on the day it is needed. So the backup is "
     "refused.",
     "Name bek and kek for the disk in the settings and import its key: `cairn key create VAULT/NAME`, `cairn key "
     "import "
     "MACHINE/DISK --from FILE`. To take points without keys all the same: on_missing_keys: warn in the policy.",
     "name bek and kek for it, or set on_missing_keys: warn", EACCES},
    {became_encrypted, "disk-became-encrypted", "the disk is encrypted now, and was not at the last recovery point",
     "Somebody encrypted the disk since the last backup. Until its keys are given its backups are refused; earlier "
     "recovery points stay as they are.",
     "Name bek and kek for the disk in the settings and import its key: `cairn key import MACHINE/DISK --from FILE`. "
     "To "
     "take points without keys all the same: on_missing_keys: warn in the policy. If nobody encrypted it, look for "
     "ransomware in the guest before anything else.",
     "name bek and kek for it; if nobody encrypted it, look for ransomware", EACCES},
    {keys_not_needed, "keys-not-needed", "keys are named for a disk that is not encrypted",
     "The settings name bek and kek for a disk on which no LUKS or BitLocker volume is seen.",
     "Take bek and kek out of the settings, or find out why the disk is not encrypted any more.",
     "take bek and kek out, or find out why it is not encrypted", EINVAL},
    {volume_key_changed, "volume-key-changed", "the volume key of the disk has changed",
     "The disk was encrypted anew since the last recovery point. All of its ciphertext is different and is stored "
     "anew.",
     "If you re-encrypted it, all is well. If not, find out who did.", "if nobody re-encrypted it, find out who did",
     EIO},
    {key_slots_changed, "key-slots-changed", "the key slots of the disk have changed",
     "A key was added to the disk, removed or changed since the last recovery point.",
     "If that was you, all is well: the point has the header as it is now.", "if that was not you, find out who it was",
     EIO},
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
     "Mend the reason that is named, take a new point (`cairn backup MACHINE`), and keep the earlier proved points.",
     "see the reason of each disk", EACCES},
    {no_such_header, "no-such-header", "the recovery point has no such header",
     "Only encrypted volumes have a header to restore.", "`cairn points MACHINE@POINT` lists the headers.",
     "see \"cairn points MACHINE@POINT\"", ENOENT},
    {header_differs, "header-of-another-volume", "the device holds another volume than the header",
     "What is on the device is sound and has another UUID or another place than the header in the recovery point. "
     "Writing the header would make it unreadable for ever.",
     "Check the device's name. If it must be overwritten all the same: --force.", "check the device's name", EEXIST},
    {point_immutable, "point-immutable", "the recovery point is immutable",
     "The machine's policy said `immutable` when the point was taken. Until the date that is named no command and no "
     "setting removes it; a lower setting counts for new points only.",
     "Wait until that date. Nothing else removes it.", "wait until that date", EPERM},
    {point_protected, "point-protected", "the recovery point is protected",
     "Somebody exempted it with `cairn protect`. Neither the retention rule nor `cairn delete` removes it.",
     "If it is not wanted any more: `cairn protect MACHINE@POINT --off`, then delete it.",
     "\"cairn protect MACHINE@POINT --off\" ends that", EPERM},
    {point_not_deleted, "point-not-deleted", "the recovery point is not deleted",
     "Only points that were deleted, by hand or by the retention rule, can be brought back, and only as long as the "
     "policy's `soft_delete` says.",
     "`cairn points --deleted` lists what can be brought back.", "see \"cairn points --deleted\"", EINVAL},
    {point_deleted, "point-deleted", "the recovery point is deleted",
     "It is hidden, and its space is reclaimed on the date that is named. Until then it can be brought back.",
     "`cairn undelete MACHINE@POINT`, then try again.", "bring it back with \"cairn undelete\"", ENOENT},
    {point_in_use, "point-in-use", "the recovery point is being read",
     "A mount has one of its disks open, or a restore reads it. What is being read is not removed.",
     "Nothing: the next prune after the reader has ended removes it.", "the next prune removes it", EBUSY},
    {clock_jumped, "clock-jumped", "the clock does not go on from where it was",
     "The system's clock went back, or further ahead than time has passed, since Cairn last looked. Recovery points "
     "expire by the clock, so nothing is removed while it cannot be trusted.",
     "Look at the clock (`date`, `timedatectl`) and set it right. When it is right: `cairn prune --accept-clock`.",
     "set the clock right, or \"cairn prune --accept-clock\"", EIO},
    {point_gap, "point-gap", "a recovery point is missing",
     "A point names its predecessor, and that is neither there nor recorded as deleted: its file was removed or lost "
     "by "
     "something else than Cairn, or it is not the file that was there.",
     "Put the file in points/ back from a copy of the store. When it is really gone: `cairn verify --accept-gaps` "
     "records "
     "that, and it is not reported again.",
     "put its file back from a copy of the store", EIO},
    {collection_blocked, "collection-blocked", "space cannot be reclaimed for the moment",
     "A recovery point, or a node of its disk map, cannot be read: what lies below it is not known, so nothing that "
     "could belong to it is removed. Points are removed as ever; only their space is not given back.",
     "`cairn verify --repair --from COPY`. When it cannot be repaired: delete that point, or give up what is "
     "damaged with `cairn prune --accept-damage`.",
     "repair it with \"cairn verify --repair\"", EIO},
    {damage_known, "damage-known", "the store has damage that is not mended",
     "A verify found packs or recovery points that are not as they were written. Everything else stays readable.",
     "`cairn verify` says which disks of which points, and where. `cairn verify --repair [--from COPY]` mends what can "
     "be "
     "mended; the next backups store anew what they still find in the images.",
     "see \"cairn verify\"", EIO},
    {damage_found, "damage-found", "the store is damaged",
     "Verifying found packs, maps or recovery points that are not as they were written. The report says which disks of "
     "which points, and at which offsets. Everything else stays readable.",
     "`cairn verify --repair [--from COPY]` mends what can be mended. Look at the storage below: dmesg, smartctl.",
     "mend it with \"cairn verify --repair\"", EIO},
    {not_repaired, "not-repaired", "not everything could be mended",
     "No intact copy of some chunks was found, neither in the store nor in the replica. The points that are named stay "
     "readable outside the damage. What the next backup still finds in the live image is stored anew, and then older "
     "points heal too.",
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
     "backups stop a little earlier. The job was stopped; earlier recovery points are intact.",
     "Free space: `cairn prune`, `cairn delete MACHINE@POINT`, or a larger file system. Then run the backup again.",
     "free space with \"cairn prune\"", ENOSPC},
    {unknown_error_name, "unknown-error-name", "the catalogue has no such error", "The name is not that of an error.",
     "`cairn explain` lists them all.", "\"cairn explain\" lists them all", EINVAL},
};

}  // namespace

std::span<const CatalogueEntry> error_catalogue() {
  return kCatalogue;
}

const CatalogueEntry& catalogue_entry(ErrorCode code) {
  for (const CatalogueEntry& entry : kCatalogue)
    if (entry.code == code) return entry;
  broken_promise("every error code has a catalogue entry", __FILE__, __LINE__);
}

const CatalogueEntry* find_catalogue_entry(std::string_view name) {
  // What two errors were called before: scripts and notes may still say so.
  if (name == "machine-busy") name = "job-conflict";
  if (name == "point-exists") name = "object-exists";
  for (const CatalogueEntry& entry : kCatalogue)
    if (entry.name == name) return &entry;
  return nullptr;
}

}  // namespace cairn
