// SPDX-License-Identifier: GPL-3.0-or-later
// What a disk's image is, settled before anything of it is read: its format, and which other files may be read for it.
// The settings say it, else the machine's definition, else the image's own bytes, once: what was found at the first
// recovery point holds from then on, for whoever rules a guest can write such bytes onto a raw disk. For backups,
// `config check` and whoever looks at live disks. Rules: fs/image/FORMATS.md. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "config/settings.h"
#include "daemon/source/definition_disks.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

// Who said what the format is. found: the image's own bytes, at its first recovery point or now; device: it is a block
// device, whose bytes are a guest's; server: NBD gives the disk itself.
enum class FormatFrom { settings, definition, found, device, server };
std::string_view to_string(FormatFrom from);  // the words above

struct SettledDisk {
  DiskSettings disk;                         // with an image that open_image() can open
  DiskFormat format = DiskFormat::not_said;  // of the image; not_said: it is not there, and opening it says so
  FormatFrom from = FormatFrom::found;
  std::string stored_as = {};         // as DiskRecord::stored_as
  std::optional<Error> warning = {};  // a raw disk that looks like an image of another format now
};

// `defined`: the disks of the machine's definition, empty when there is none. `previous`: the disk in the machine's
// newest recovery point; null: there is none. Reads the first and last bytes of the image.
// Errors: image_not_raw, image_format_changed, image_encrypted, image_unreadable, io_error.
Result<SettledDisk> settle_disk(const DiskSettings& disk, const std::vector<DefinedDisk>& defined,
                                const DiskRecord* previous, const std::string& object);

// All disks of the machine, in their order. `previous`: the machine's point that was written last, if any. Errors: as
// settle_disk().
Result<std::vector<SettledDisk>> settle_machine(const MachineSettings& machine,
                                                const std::optional<RecoveryPoint>& previous);
// Puts into the disk's record which image it was and what it was taken for.
void note_format(const SettledDisk& settled, DiskRecord& record);

// The disks of the definition that the settings name for the machine, as far as they can be read; else none.
std::vector<DefinedDisk> defined_disks(const MachineSettings& machine);

// "qcow2, as the settings say", for people.
std::string format_in_words(const SettledDisk& settled);

}  // namespace cairn
