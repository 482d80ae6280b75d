// SPDX-License-Identifier: GPL-3.0-or-later
// PointCatalog: the recovery points of a store, for readers: which there are, which are deleted or protected, and
// what is in them. Never takes the writer lock and never waits for the writer. Changing points:
// write/point_lifecycle.h. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "fs/io/backend.h"
#include "fs/store/point/mark_files.h"
#include "fs/store/point/point_marks.h"
#include "fs/store/point/recovery_point.h"
#include "fs/store/point/sealed_document.h"
#include "fs/store/point/trusted_clock.h"

namespace cairn {

class PointCatalog {
 public:
  // `backend` and what `seal` refers to must outlive this.
  PointCatalog(Backend& backend, const DocumentSeal& seal) : backend_(backend), seal_(seal) {}

  // Names of all committed points that are not deleted, sorted. Reads names only; objects with other names are passed
  // over.
  Result<std::vector<PointName>> list();
  // Deleted ones as well: everything that is in points/.
  Result<std::vector<PointName>> list_stored();
  // Points that are deleted and can still be brought back, sorted by name.
  Result<std::vector<PointName>> list_deleted();
  // Points with a protection, be it over already; sorted.
  Result<std::vector<PointName>> list_protected();
  // Changes when points came or went; nothing: cannot tell, list again.
  Result<std::optional<std::uint64_t>> change_token();

  // The machine's points in the order in which they were written, whatever the clock was then: those that are not
  // deleted. Where the record of that cannot be read, in the order of their dates.
  Result<std::vector<PointName>> list_written(const std::string& machine);
  // The last of them. Nothing: it has none.
  Result<std::optional<PointName>> latest(const std::string& machine);
  // Of several machines: the last of each among `names` (sorted, as list() gives them).
  Result<std::vector<PointName>> latest_of(const std::vector<PointName>& names);
  WrittenOrder order_of(const std::string& machine);
  // Dates that no new point of the machine may have: those of points that are there, hidden, or were removed.
  Result<std::set<UtcTime>> used_times(const std::string& machine);

  // Errors: point_missing, point_damaged.
  Result<RecoveryPoint> load(const PointName& name);
  // BLAKE3, hex, of the point as stored: what the next point's `previous` will say. Errors: point_missing, io_error.
  Result<std::string> hash_of(const PointName& name);
  // The point as stored, sealed. Errors: point_missing, point_damaged (too large to be one), io_error.
  Result<Buffer> read_file(const PointName& name);
  // Keeps the point, and with it every byte of its disks, from being removed as long as the hold lives, in this and
  // every other process of the host. Errors: point_missing.
  Result<std::unique_ptr<ObjectHold>> hold(const PointName& name);

  // `text`: MACHINE@POINT with POINT a full stamp, a unique prefix of one, or "latest".
  // Errors: used_wrongly, no_such_machine, no_such_point (both with the nearest), ambiguous_point, point_deleted.
  Result<PointName> find(std::string_view text);
  // The same among the deleted ones. Errors: used_wrongly, point_not_deleted, ambiguous_point.
  Result<PointName> find_deleted(std::string_view text);

  // Errors: point_not_deleted; store_damaged when its document is not readable.
  Result<Deletion> deletion_of(const PointName& name);
  // Nothing: it is not protected. Errors: store_damaged.
  Result<std::optional<Protection>> protection_of(const PointName& name);
  // Errors: store_damaged.
  Result<std::vector<Tombstone>> tombstones();
  // What was kept of the clock; nothing: no prune has looked at it yet. Errors: store_damaged.
  Result<std::optional<ClockRecord>> clock_record();
  // judge_clock() with the record and the newest point of this store. Errors: clock_jumped (also when the record cannot
  // be read and `accept` is false), io_error.
  Result<ClockVerdict> check_clock(const ClockReading& reading, bool accept);
  // The files of point state. Writing: only with the writer and marks_mutex. Internal to fs/store.
  [[nodiscard]] MarkFiles marks() const { return {backend_, seal_}; }

 private:
  Backend& backend_;
  DocumentSeal seal_;
};

}  // namespace cairn
