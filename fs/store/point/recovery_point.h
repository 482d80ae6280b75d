// SPDX-License-Identifier: GPL-3.0-or-later
// Recovery points: one committed state of all disks of a machine, as a value and as its document.
// Bytes: fs/store/FORMAT.md "Recovery point". Any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "config/base/text.h"
#include "crypto/chunk_name.h"
#include "crypto/volume/volume.h"
#include "fs/store/map/map_record.h"
#include "fs/store/point/guest_record.h"
#include "fs/store/point/key_records.h"
#include "fs/store/point/point_labels.h"

namespace cairn {

// "web-01@20261121T020000Z". Machine names hold a-z A-Z 0-9 . _ - and start with a letter or digit; at most 64.
struct PointName {
  std::string machine;
  UtcTime time;
  [[nodiscard]] std::string text() const;  // "web-01@20261121T020000Z"
  [[nodiscard]] std::string stamp() const { return compact_time(time); }
  static std::optional<PointName> parse(std::string_view text);
  auto operator<=>(const PointName&) const = default;
};

// The machine's newest of `points` that is older than `point`. Nothing: there is none.
std::optional<PointName> newest_before(const PointName& point, std::span<const PointName> points);

struct HeaderRecord {
  std::string name;         // file name in the mount: "root.luks2", "root-part2.bitlocker"
  MapRecord map;            // the volume's size up to the end of its last header area; all but the header areas is zero
  unsigned partition = 0;   // of the volume: 0: the whole disk
  std::string within = {};  // of the volume: as VolumeFacts::within
};

struct DiskRecord {
  std::string name;
  MapRecord map;
  DiskFacts facts;
  std::vector<HeaderRecord> headers = {};  // of its encrypted volumes
  std::vector<BekRecord> beks = {};
  DiskReading reading = {};
  std::optional<Suspicion> suspicion = {};
  std::string image = {};        // where it was read from, as the settings named it; empty: not recorded
  std::uint64_t inode = 0;       // of the image file; 0: not recorded, or no file
  std::string stored_as = {};    // "vmdk": the bytes are a file of that format (ImageFormat::suffix); empty: a raw disk
  std::string format = {};       // of the image: "raw", "qcow2", ...; empty: not recorded
  std::string format_from = {};  // who said so: FormatFrom (daemon/source/disk_format.h); empty: not recorded
  // "root.img"; with stored_as "root.vmdk": what the disk is called as a file.
  [[nodiscard]] std::string file_name() const;
  // Null: the volume has none.
  [[nodiscard]] const HeaderRecord* header_of(const VolumeFacts& volume) const;
};

// The worst of the disks'.
Consistency consistency_of(std::span<const DiskRecord> disks);

struct RecoveryPoint {
  PointName name;
  Consistency consistency = Consistency::unknown;  // of all disks: the worst of theirs
  std::optional<std::uint64_t> apart_ms;           // between the disks' states; 0: of one instant; nothing: not known
  std::vector<DiskRecord> disks;
  std::vector<LeftOutDisk> left_out;
  std::optional<GuestRecord> guest;       // nothing: the settings named none, or it is not recorded
  std::optional<std::string> definition;  // bytes of the definition file
  std::vector<KekRecord> keks;            // those that wrap the disks' BEKs, each version once
  std::string previous;                   // BLAKE3, hex, of the machine's previous point as stored; empty: the first
  std::string previous_name;
  Proof proof;
  std::optional<UtcTime> trusted_time;     // when it was taken by trusted_clock.h; nothing: as name.time says
  std::optional<UtcTime> immutable_until;  // before then nothing removes it, whatever the settings say later
  std::vector<std::string> warnings;
  std::uint64_t read_bytes = 0;    // read from the images
  std::uint64_t new_bytes = 0;     // bytes of chunks that were not in the store before
  std::uint64_t stored_bytes = 0;  // what they take in packs
  std::uint64_t duration_ms = 0;
  std::string made_by;  // "cairn 0.1.0"
  std::string host;
  [[nodiscard]] const DiskRecord* disk(std::string_view disk_name) const;
  [[nodiscard]] bool suspect() const;  // one of its disks is
  // Null: the point has no backup of the KEK that wraps it.
  [[nodiscard]] const KekRecord* kek_of(const BekRecord& bek) const;
};

// The document without its seal; without key material it is what the mount shows as recovery-point.json.
nlohmann::json to_json(const RecoveryPoint& point, KeyMaterial material = KeyMaterial::without);
// Errors: point_damaged.
Result<RecoveryPoint> point_from_json(const nlohmann::json& document, const std::string& object);

}  // namespace cairn
