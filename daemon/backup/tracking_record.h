// SPDX-License-Identifier: GPL-3.0-or-later
// TrackingRecord: what is remembered of a disk's reference snapshot, from one backup to the next. Where it lies, its
// members and the order of writing: fs/image/TRACKING.md. Pure. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/disk_source.h"
#include "fs/image/clone/kept_clone.h"

namespace cairn {

struct TrackingRecord {
  std::string settings;  // the settings file whose disk this is
  std::string store;     // its id
  std::uint32_t chunk_size = 0;
  std::string machine;
  std::string disk;
  std::string image;                    // as the settings named it
  DiskFormat format = DiskFormat::raw;  // as what the clone is read: raw or qcow2
  std::string point;                    // "web-01@20261121T020000Z", whose disk has the clone's bytes
  std::string point_hash;               // of its file in the store
  std::string epoch;                    // StoreWriter::epoch() when it was committed
  KeptClone clone;
  std::vector<KeptClone> below;  // the files that the image may be an overlay of, and what they were; not clones
  UtcTime full_read;             // when all of the disk was read last
  std::string full_read_point;   // by the backup of this point
  bool distrusted = false;       // tracking has missed a change: read everything until a full read finds none
};

// "disks/web-01@root.json"
std::string record_object(std::string_view machine, std::string_view disk);
std::string write_record(const TrackingRecord& record);
// Errors: clone_not_kept, with the reason in `because`: damaged, or of another version.
Result<TrackingRecord> read_record(std::string_view text);

}  // namespace cairn
