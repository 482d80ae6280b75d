// SPDX-License-Identifier: GPL-3.0-or-later
// Known damage: what a verify found and nobody has repaired yet, as one sealed document of the store (object `damage`).
// Bytes: fs/store/FORMAT.md "Damage". Any thread; saving: whoever holds the store's writer.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "config/base/bytes.h"
#include "config/base/clock.h"
#include "config/base/result.h"
#include "fs/store/pack/pack_check.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class Store;
struct PackFindings;

// What the document holds at most; a verify's own report has all of it.
inline constexpr std::size_t kMostLostRecords = 200'000;
inline constexpr std::size_t kMostRangesKept = 100'000;
// Of one disk, in reports.
inline constexpr std::size_t kMostRangesReported = 10'000;

struct DamagedPack {
  std::string name;
  PackState state = PackState::damaged;  // or missing
  UtcTime found;
  std::string because;
  bool operator==(const DamagedPack&) const = default;
};

// A record that a point needs and that cannot be read.
struct LostRecord {
  ChunkName name;
  RecordKind kind = RecordKind::chunk;
  bool operator==(const LostRecord&) const = default;
};

struct DiskDamage {
  std::string disk;  // its name, or that of a volume's header: "root", "root.luks2"
  std::uint64_t size = 0;
  std::uint64_t bytes = 0;        // in `ranges`
  std::vector<ByteRange> ranges;  // whole chunks, sorted, merged
  bool operator==(const DiskDamage&) const = default;
};

struct PointDamage {
  PointName point;
  std::string because;            // why its document cannot be read; empty: it can
  std::vector<DiskDamage> disks;  // where its disks cannot be read
  bool operator==(const PointDamage&) const = default;
};

// A point that something names as its predecessor, that is not there, and whose absence nothing explains.
struct PointGap {
  std::string after;    // the point that names it, or "newest/MACHINE": it was the newest
  std::string missing;  // its name
  std::string hash;     // of the file that was there; empty: not known
  std::string because;  // "its file is not there", "its file is another"
  bool operator==(const PointGap&) const = default;
};

struct Damage {
  UtcTime found;  // when there was damage first
  std::vector<DamagedPack> packs;
  std::vector<LostRecord> lost;
  bool lost_more = false;  // there were more than the document holds
  std::vector<PointDamage> points;
  std::vector<PointGap> gaps;
  std::vector<std::string> documents;   // other files of the store that are not as they must be, and why
  std::vector<PointGap> accepted_gaps;  // no damage any more: somebody said that these points are gone
  // Nothing is left to repair.
  [[nodiscard]] bool none() const {
    return packs.empty() && lost.empty() && !lost_more && points.empty() && gaps.empty() && documents.empty();
  }
  bool operator==(const Damage&) const = default;
};

// {"found","packs":[..],"lost_chunks":N,"points":[{"point","error","disks":[{"disk","size","bytes","ranges":[[OFFSET,
// SIZE]]}]}],"gaps":[..],"documents":[TEXT]}: for people and the API; at most `ranges` of them a disk.
nlohmann::json to_report(const Damage& damage, std::size_t ranges = kMostRangesReported);

// [[OFFSET,SIZE]], the first `most` of them.
nlohmann::json ranges_json(const std::vector<ByteRange>& ranges, std::size_t most = kMostRangesReported);

// An empty one when nothing is known. Errors: store_damaged: the document itself is.
Result<Damage> load_damage(Store& store);
// Removes the document when there is nothing to say.
Result<void> save_damage(Store& store, const Damage& damage);

// Packs that a writer found missing, or of another size, are known damage from now on, until a verify has looked at
// them: the writer has made the index forget them, and nobody else would tell. For whoever holds the writer. Errors: as
// load_damage() and of writing.
Result<void> keep_findings(Store& store, const PackFindings& findings, UtcTime now);

// After a backup: what it has stored again is lost no longer, and the points that need it are whole again. One look-up
// when no damage is known. Takes the writer. True: something was repaired. Errors: those of the index, store_locked.
Result<bool> refresh_damage(Store& store);

}  // namespace cairn
