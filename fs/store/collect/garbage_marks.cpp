// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/collect/garbage_marks.h"

#include "config/base/log.h"

namespace cairn {

GarbageMarks::GarbageMarks(std::vector<PackRow> packs, bool accept_damage)
    : packs_(std::move(packs)), accept_damage_(accept_damage), bits_(packs_), needed_(bits_.numbers().pack_numbers()) {}

std::uint64_t GarbageMarks::needed_bytes(PackNumber pack) const {
  return pack < needed_.size() ? needed_[pack] : 0;
}

std::uint64_t GarbageMarks::memory_bytes() const {
  return bits_.memory_bytes() + needed_.capacity() * sizeof(needed_[0]) + packs_.capacity() * sizeof(PackRow) +
         packs_.size() * 80 + newer_nodes_.size() * 64;
}

bool GarbageMarks::meet(const MapPlace& place, const ChunkName& name, const IndexEntry* entry) {
  stopped_ = stopped_ || stop_.stop_requested();
  if (stopped_) return false;
  if (entry == nullptr) {
    ++missing_;
    // A chunk that is not there needs nothing kept; what a missing node needs is not known: going below it says so.
    return true;
  }
  if (!bits_.knows(*entry)) return place.kind == RecordKind::node && newer_nodes_.insert(name).second;
  if (!bits_.set(*entry)) return false;
  ++records_;
  needed_[entry->pack] += entry->place.sealed_bytes;
  return true;
}

Result<void> GarbageMarks::unreadable(const MapPlace&, const ChunkName& name, const IndexEntry*, const Error& error) {
  if (accept_damage_) {
    log_error("node-given-up", object_ + " " + name.hex().substr(0, 16), error);
    return {};
  }
  return fail(ErrorCode::collection_blocked, "reclaim space of", object_,
              "a node of its disk map cannot be read, so what it needs is not known: " + error.message());
}

Result<void> GarbageMarks::add(const RecoveryPoint& point, MapWalk& walk, const std::stop_token& stop) {
  stop_ = stop;
  for (const DiskRecord& disk : point.disks) {
    object_ = point.name.text() + "/" + disk.name;
    CAIRN_CHECK(walk.walk(disk.map, object_, *this));
    for (const HeaderRecord& header : disk.headers) {
      object_ = point.name.text() + "/" + header.name;
      CAIRN_CHECK(walk.walk(header.map, object_, *this));
    }
  }
  if (stopped_) return fail(ErrorCode::cancelled, "reclaim space", point.name.text(), "it was asked to stop");
  return {};
}

}  // namespace cairn
