// SPDX-License-Identifier: GPL-3.0-or-later
// The disks of a machine's definition (libvirt's domain XML), compared with those of the settings: which are not backed
// up, and which are only the base of an overlay that the machine writes to. Any thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/settings.h"

namespace cairn {

// A <disk device='disk'> or 'lun' of the definition.
struct DefinedDisk {
  std::string target;                     // "vda"; empty: it has none
  std::string source;                     // a path, or words for what is none: "rbd:pool/image"; empty: it has none
  std::vector<std::string> backing = {};  // what its source is an overlay of, nearest first
  std::string format = {};                // of its source: "qcow2"; empty: it is not said
  std::vector<std::string> backing_formats = {};  // of `backing`, as many
  std::string data_file = {};                     // where the data of its source lie; empty: it is not said
};

// At most 1 MiB. Errors: io_error, permission_denied, used_wrongly (no regular file, or too large).
Result<std::string> read_definition(const std::filesystem::path& path);
// Whether it is XML at all: else nothing is known of its disks, and nothing is said of them.
bool looks_like_xml(const std::string& text);
// Errors: settings_invalid: it is not well-formed, or not a domain. Entities are not expanded, and nothing else is
// read.
Result<std::vector<DefinedDisk>> disks_of_definition(const std::string& text, const std::string& object);
// Whether both lead to the same file: through links, relative parts and double slashes.
bool is_same_image(const std::string& one, const std::filesystem::path& other);
// One disk_not_backed_up for each disk of the definition that the settings neither back up nor leave out. Paths are
// compared as the files that they lead to.
std::vector<Error> disks_not_backed_up(const MachineSettings& machine, const std::vector<DefinedDisk>& disks);

}  // namespace cairn
