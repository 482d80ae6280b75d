// SPDX-License-Identifier: GPL-3.0-or-later
// Restoring volume headers alone: as files, or in place onto the disk they came from, whose data are still good. Any
// thread.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "daemon/keys/vault_set.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class JobContext;
class Store;

struct HeaderFilesTask {
  PointName point;
  std::filesystem::path to;         // absolute, an existing directory
  std::optional<std::string> disk;  // only this one
  bool force = false;               // replace existing files
  std::optional<UtcTime> now = {};  // as RestoreTask::now
  OpenVault open_vault = {};        // as RestoreTask::open_vault
};

// Writes each header as a sparse file of mode 0600, named as in the mount ("root.luks2"): the volume from its start to
// the end of its last header area, all else a hole. A file appears only when it is whole and durable.
// Result: {"machine", "point", "name", "to", "files": [{"disk", "header", "path", "size", "data_bytes"}], "keys": as of
// a restore (restored_keys.h): what opens the volumes, tried on the header in the point. What is to be known of the
// point (point_warnings), and a key that is not to be had now, are warnings of the job.
// Errors: those of Store::load_point, used_wrongly (path not absolute), target_missing, target_exists, no_such_disk,
// no_such_header (nothing is encrypted), point_damaged, chunk_damaged and its like, no_space, io_error. Files already
// whole stay.
Result<nlohmann::json> restore_header_files(Store& store, const HeaderFilesTask& task, JobContext& job);

struct HeaderInPlaceTask {
  PointName point;
  std::string disk;
  std::filesystem::path device;  // absolute; the whole disk: a block device or an image file
  std::filesystem::path
      keep_in;         // absolute; what is overwritten is saved there: STATE_DIR/replaced-headers; made (0700)
  bool force = false;  // though something else is on the device
  std::optional<UtcTime> now = {};  // as RestoreTask::now
  OpenVault open_vault = {};        // as RestoreTask::open_vault
};

// Writes the header areas of one disk to `device`, each where it was, and nothing else. The device is held meanwhile
// (O_EXCL; a write lock on files, as QEMU's). Before, the bytes that will be overwritten are saved, durable, as
// MACHINE-DISK-TIME.header (mode 0600): a sparse file with those bytes at their offsets in the disk, and beside it
// .header.json, which says what they are and how they are put back. Then it writes, syncs, reads back and compares.
// Nothing is written, or saved, when all the bytes are the same already.
//
// Result: {"machine", "point", "name", "disk", "device", "written_bytes", "saved" (the file; absent: nothing was
// overwritten), "put_back": [commands], "headers": [{"header", "volume", "partition", "uuid", "areas": [{"offset",
// "size"}] (bytes of the disk), "in_point": "sound" | "damaged: ...", "was": the same or "not recognised", "now": the
// same}], "overridden": [what `force` overruled], "keys", "warnings": as in the result and the job of
// restore_header_files}
//
// Errors: those of Store::load_point, no_such_disk, no_such_header (not encrypted), point_damaged, chunk_damaged and
// its like; used_wrongly (a path not absolute); image_missing, image_not_a_disk, permission_denied, wrong_file_type (a
// link of somebody else on the way to it), image_in_use (mounted, mapped, locked); header_differs (the device ends
// before the header does, whatever `force` says; or, without it: another size than the disk had, another volume,
// partition table, partition or file system is there, or a sound header while the point's is damaged); target_missing,
// no_space, io_error. An error while writing says which areas are written, and how to put back what was saved.
Result<nlohmann::json> restore_header_in_place(Store& store, const HeaderInPlaceTask& task,
                                               const Clock& clock = system_clock());

}  // namespace cairn
