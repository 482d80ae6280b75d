// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: the store and what is in it. Columns: CatalogueEntry in error.h.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kStoreErrors[] = {
    {store_missing, "store-missing", "there is no store",
     "The directory in store.path does not exist, or holds no store.json.",
     "Check store.path in the settings and that its file system is mounted. For a new store: `cairn store init`.",
     "is its file system mounted? \"cairn store init\" makes a new store", ENOENT},
    {store_exists, "store-exists", "there is a store already",
     "store init never touches an existing store or a directory with other files.",
     "Use the store that is there, or name another, empty directory in store.path.", "name an empty directory", EEXIST},
    {not_a_store, "not-a-store", "this is not a Cairn store", "store.json is not a Cairn store document.",
     "Check store.path in the settings.", "check store.path", EINVAL, 500, Tells::damage},
    {store_too_new, "store-too-new", "the store was written by a newer version",
     "The store has a format that this version does not know. Nothing was read or changed.",
     "Use the version of Cairn that wrote it, or a newer one.", "use a newer version of Cairn", EPROTO, 500,
     Tells::damage},
    {store_damaged, "store-damaged", "the store's own document is damaged",
     "store.json is truncated, altered or not authentic. Packs and points are not affected by that.",
     "`cairn verify --repair` writes store.json anew from store.json.copy beside it. When both are damaged: put either "
     "back from a copy of the store; it is small and changes only with `cairn store keys`.",
     "\"cairn verify --repair\" writes it anew from its copy", EIO, 500, Tells::damage},
    {store_locked, "store-locked", "another process is writing to the store",
     "One process at a time writes to a store. Reading and mounting go on meanwhile.",
     "Wait until the process that is named ends, or stop it. The lock vanishes with its process; there is no stale "
     "lock to remove.",
     "wait until it ends, or see \"cairn status\"", EBUSY, 409},
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
    {too_many_key_slots, "too-many-key-slots", "there are more key slots than may be tried",
     "store.json can be read, and written, by whoever reaches the store's files, and its slots are tried before it is "
     "known to be genuine. So a store has at most 64 slots, and only as much work is done for a passphrase as 64 usual "
     "slots take, about half a minute; those that cost least are tried first.",
     "Open the store with its key file or the printed recovery key (--recovery-key FILE), which cost nothing to try, "
     "and look at `cairn store keys list`: remove the slots that nobody needs. If somebody else wrote to store.json, "
     "put it back from a copy of the store.",
     "use a key file or --recovery-key, and look at \"cairn store keys list\"", EPERM},
    {wrong_file_type, "wrong-file-type", "something else lies where Cairn has a file or folder of its own",
     "A symbolic link, pipe, socket, device or folder has the name of a file of Cairn's, or a link or file that of a "
     "folder. Cairn follows no links below the directory that the settings name, since whoever can write there could "
     "lead it anywhere. Nothing was read or written through it.",
     "Look at it with `ls -ld` and find out who put it there. Move it away; files of the store come back with `cairn "
     "verify --repair --from COPY`, the index with `cairn store rebuild-index`. To have a folder of the store on "
     "another disk, mount that disk there (mount --bind) instead of linking to it.",
     "see what it is with \"ls -ld\" and move it away; mount folders there instead of linking", EIO},
    {object_missing, "object-missing", "an object of the store is missing",
     "A file that belongs to the store is not there, or is shorter than it was.",
     "If the store was copied, copy it again completely. Run `cairn store rebuild-index`; disks that used the missing "
     "file give errors where it is needed, and everything else stays readable.",
     "is the store copied completely?", EIO, 500, Tells::damage},
    {pack_damaged, "pack-damaged", "a pack is damaged",
     "The file's bytes are not what was written: its header, footer or a record is not authentic.",
     "`cairn verify` says which disks of which points are hit, and where; everything else stays readable. `cairn "
     "verify --repair --from COPY` repairs it from a copy of the store; without one it saves what is good in the pack, "
     "and the next backup stores anew what it still finds in the image. `cairn restore --salvage` writes what is left "
     "of a disk.",
     "see \"cairn verify --repair\"", EIO, 500, Tells::damage},
    {chunk_damaged, "chunk-damaged", "a stored chunk is damaged",
     "The chunk's bytes do not authenticate, or are not those that its name stands for. The rest of the disk is "
     "readable.",
     "`cairn verify --repair [--from COPY]` repairs it from a copy of the store; else the next backup after a `cairn "
     "verify --data` stores it anew, when the image still has it. `cairn restore --salvage` writes the disk without "
     "it.",
     "see \"cairn verify --repair\"", EIO, 500, Tells::damage},
    {chunk_missing, "chunk-missing", "a chunk is in no pack that is there",
     "A recovery point names a chunk that neither the index nor any pack that is there knows: a pack is gone.",
     "`cairn verify` says what is missing; `cairn verify --repair [--from COPY]` looks for it in all packs, and in a "
     "copy of the store. The next backup stores anew what it still finds in the image. `cairn restore --salvage` "
     "writes the disk without it.",
     "see \"cairn verify --repair\"", EIO, 500, Tells::damage},
    {index_damaged, "index-damaged", "the index is damaged",
     "The index (index/data.mdb) cannot be read: it was cut off or overwritten, perhaps while it was open, or its disk "
     "fails. It is only a cache of what the packs say: whoever reads goes by the packs themselves, which is slower at "
     "first. Backups and prunes need it.",
     "Run `cairn store rebuild-index`. Where the store cannot be written, reading works without it.",
     "run \"cairn store rebuild-index\"", EIO},
    {index_missing, "index-missing", "the index is missing",
     "The index (index/data.mdb) is not there. It is only a cache of what the packs say: whoever reads goes by the "
     "packs "
     "themselves, which is slower at first.",
     "Run `cairn store rebuild-index`. Where the store cannot be written, reading works without it.",
     "run \"cairn store rebuild-index\"", EIO},
    {index_outdated, "index-outdated", "the index is older than the store",
     "There are packs that the index does not know: a copy of the store was made of parts of different times, or a "
     "backup was cut off. Nothing is damaged by that: whoever reads looks into those packs themselves, which is slower "
     "at first.",
     "Run `cairn store rebuild-index`; the next backup into this store adds them too. Where the store cannot be "
     "written, "
     "nothing need be done.",
     "run \"cairn store rebuild-index\"", EIO},
    {map_damaged, "map-damaged", "a disk map is damaged",
     "A node of the tree that makes up a disk does not have the form it must have.",
     "`cairn verify --repair [--from COPY]` repairs it from a copy of the store; or use another recovery point. `cairn "
     "restore --salvage` writes what is left of the disk.",
     "see \"cairn verify --repair\", or use another recovery point", EIO, 500, Tells::damage},
    {point_damaged, "point-damaged", "a recovery point's document is damaged",
     "The file in points/ is truncated, altered, renamed or not authentic. Other points are not affected.",
     "`cairn verify --repair --from COPY` takes it from a copy of the store; or use another point: `cairn points`.",
     "\"cairn verify --repair --from COPY\" repairs it; or use another point", EIO, 500, Tells::damage},
    {object_exists, "object-exists", "there is an object of that name already",
     "Two backups of one machine were committed in the same second, or an object is there already.",
     "Run the backup again.", "run it again", EEXIST, 409},
    {point_missing, "point-missing", "the recovery point is not there",
     "The point was deleted, or the name is not that of a point.", "`cairn points` lists them.", "see \"cairn points\"",
     ENOENT, 404, Tells::damage},
    {no_such_machine, "no-such-machine", "there is no such machine",
     "The name is neither in the settings nor does the store have recovery points of it.",
     "`cairn points` and the settings show the names.", "see \"cairn points\"", ENOENT, 404},
    {no_such_point, "no-such-point", "there is no such recovery point",
     "The machine has no recovery point whose time starts like that.",
     "`cairn points MACHINE` lists them; `latest` is the newest.", "see \"cairn points\"", ENOENT, 404},
    {ambiguous_point, "ambiguous-point", "more than one recovery point matches",
     "The given start of the time fits several points.", "Give more digits of the time.", "give more digits", EINVAL,
     409},
    {no_such_disk, "no-such-disk", "the recovery point has no such disk", "The machine had no disk of that name then.",
     "`cairn points MACHINE@POINT` shows its disks.", "see \"cairn points MACHINE@POINT\"", ENOENT, 404},
};

}  // namespace

std::span<const CatalogueEntry> store_errors() {
  return kStoreErrors;
}

}  // namespace cairn
