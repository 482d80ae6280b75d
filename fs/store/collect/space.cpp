// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/collect/space.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "fs/store/index/record_bits.h"
#include "fs/store/map/map_walk.h"
#include "fs/store/point/sealed_document.h"
#include "fs/store/store.h"
#include "fs/store/store_state.h"

namespace cairn {
namespace {

using nlohmann::json;
using Owner = std::uint16_t;
constexpr Owner kNobody = 0;
constexpr Owner kShared = UINT16_MAX;
constexpr const char* kSpaceObject = "space";
constexpr std::uint64_t kMaxSpaceBytes = 1024 * 1024;

// Counts each record once a machine. A machine beyond the 65,534th counts as shared.
class SpaceCount final : public MapVisitor {
 public:
  SpaceCount(std::vector<PackRow> packs, std::stop_token stop)
      : packs_(std::move(packs)),
        stop_(std::move(stop)),
        seen_(packs_),
        owners_(static_cast<std::size_t>(seen_.numbers().records()), kNobody),
        needed_(seen_.numbers().pack_numbers()) {}

  void begin_machine(MachineSpace& machine) {
    seen_.clear();
    all_.push_back(&machine);
    own_ = static_cast<Owner>(std::min<std::size_t>(all_.size(), kShared));
    to_ = nullptr;
  }
  // From here on: what nothing before needs, into `to`.
  void begin_rest(std::uint64_t& to) { to_ = &to; }
  [[nodiscard]] bool stopped() const { return stopped_; }
  [[nodiscard]] const std::vector<PackRow>& packs() const { return packs_; }
  // Bytes of the pack that stay needed.
  [[nodiscard]] std::uint64_t needed(PackNumber pack) const { return needed_[pack]; }

  bool meet(const MapPlace&, const ChunkName&, const IndexEntry* entry) override {
    stopped_ = stopped_ || stop_.stop_requested();
    // What came since the packs were listed is the next measurement's.
    if (stopped_ || entry == nullptr || !seen_.knows(*entry)) return false;
    const std::uint64_t bytes = entry->place.sealed_bytes;
    Owner& owner = owners_[seen_.numbers().at(*entry)];
    if (to_ != nullptr) {
      if (owner != kNobody) return false;  // and all that is below it is somebody's
      owner = kShared;
      *to_ += bytes;
      needed_[entry->pack] += static_cast<std::uint32_t>(bytes);
      return true;
    }
    if (!seen_.set(*entry)) return false;
    MachineSpace& machine = *all_.back();
    if (owner == kNobody) {
      owner = own_;
      (own_ == kShared ? machine.shared : machine.unique) += bytes;
      needed_[entry->pack] += static_cast<std::uint32_t>(bytes);
    } else {
      machine.shared += bytes;
      if (owner != kShared && owner != own_) {
        MachineSpace& other = *all_[owner - 1U];
        other.unique -= bytes;
        other.shared += bytes;
        owner = kShared;
      }
    }
    return true;
  }
  Result<void> unreadable(const MapPlace&, const ChunkName&, const IndexEntry*, const Error&) override { return {}; }

 private:
  std::vector<PackRow> packs_;
  std::stop_token stop_;
  RecordBits seen_;            // by this machine
  std::vector<Owner> owners_;  // who needs each record, by its number
  std::vector<std::uint32_t> needed_;
  std::vector<MachineSpace*> all_;
  Owner own_ = kNobody;
  std::uint64_t* to_ = nullptr;
  bool stopped_ = false;
};

}  // namespace

json to_json(const SpaceReport& report) {
  json machines = json::array();
  for (const MachineSpace& machine : report.machines)
    machines.push_back({{"machine", machine.machine},
                        {"points", machine.points},
                        {"logical_bytes", machine.logical},
                        {"unique_bytes", machine.unique},
                        {"shared_bytes", machine.shared}});
  return {{"measured", iso_time(report.measured)},   {"points", report.points},
          {"deleted_points", report.deleted_points}, {"unreadable_points", report.unreadable_points},
          {"logical_bytes", report.logical},         {"stored_bytes", report.stored},
          {"needed_bytes", report.needed},           {"deleted_bytes", report.deleted},
          {"reclaimable_bytes", report.reclaimable}, {"next_prune_frees_bytes", report.next_prune_frees},
          {"machines", std::move(machines)}};
}

Result<std::optional<Backend::Space>> free_space(Store& store) {
  return store.state().backend->space();
}

Result<json> kept_space(Store& store) {
  auto text = get_document(*store.state().backend, kSpaceObject, kMaxSpaceBytes, store.state().seal());
  if (!text) {
    switch (text.error().code) {
      case ErrorCode::store_damaged:
      case ErrorCode::store_too_new:
      case ErrorCode::not_supported_yet:
        return json();
      default:
        return pass_on(std::move(text).error());
    }
  }
  if (!*text) return json();
  json document = parse_json(as_text(**text)).value_or(nullptr);
  return document.is_object() ? document : json();
}

Result<void> keep_space(Store& store, const SpaceReport& report) {
  return put_document(*store.state().backend, kSpaceObject, json_text(to_json(report)), store.state().seal());
}

Result<std::set<PointName>> due_points(Store& store, UtcTime now) {
  CAIRN_TRY(const auto deleted, store.points().list_deleted());
  std::set<PointName> due;
  for (const PointName& point : deleted) {
    const auto deletion = store.points().deletion_of(point);
    if (deletion && deletion->purge_after <= now) due.insert(point);
  }
  return due;
}

Result<SpaceReport> measure_space(Store& store, const SpaceOptions& options) {
  SpaceReport report;
  report.measured = options.now;
  CAIRN_TRY(const auto index, store.index().get());
  CAIRN_TRY(auto packs, index->packs());
  for (const PackRow& pack : packs) report.stored += pack.size;
  CAIRN_TRY(const auto stored, store.points().list_stored());
  CAIRN_TRY(const auto visible, store.points().list());
  const std::set<PointName> shown(visible.begin(), visible.end());
  std::map<std::string, std::vector<PointName>> by_machine;
  std::vector<PointName> deleted;
  std::vector<PointName> due;
  for (const PointName& point : stored) {
    if (options.due.contains(point))
      due.push_back(point);
    else if (shown.contains(point))
      by_machine[point.machine].push_back(point);
    else
      deleted.push_back(point);
  }
  SpaceCount count(std::move(packs), options.stop);
  MapWalk walk(store.chunks(), *index, store.info().chunk_size);
  // The sizes of the point's disks.
  const auto walk_point = [&](const PointName& name) -> Result<std::uint64_t> {
    const auto point = store.points().load(name);
    std::uint64_t logical = 0;
    if (!point) {
      report.unreadable_points += point.error().code == ErrorCode::point_missing ? 0 : 1;
      return logical;
    }
    for (const DiskRecord& disk : point->disks) {
      logical += disk.map.size;
      CAIRN_CHECK(walk.walk(disk.map, name.text(), count));
      for (const HeaderRecord& header : disk.headers) CAIRN_CHECK(walk.walk(header.map, name.text(), count));
    }
    if (count.stopped()) return fail(ErrorCode::cancelled, "measure", store.path().string(), "it was asked to stop");
    return logical;
  };
  report.machines.reserve(by_machine.size());  // they are pointed to
  for (const auto& [machine, points] : by_machine) {
    MachineSpace& space = report.machines.emplace_back();
    space.machine = machine;
    count.begin_machine(space);
    for (const PointName& point : points) {
      CAIRN_TRY(const std::uint64_t logical, walk_point(point));
      space.logical += logical;
      ++space.points;
    }
    report.points += space.points;
    report.logical += space.logical;
  }
  count.begin_rest(report.deleted);
  for (const PointName& point : deleted) CAIRN_CHECK(walk_point(point));
  report.deleted_points = deleted.size();
  for (const PackRow& pack : count.packs()) {
    const std::uint64_t needed = count.needed(pack.number);
    report.needed += needed;
    const bool rewritten = static_cast<double>(needed) <= options.rewrite_below * static_cast<double>(pack.size);
    if (rewritten && pack.retired != Retired::damaged) report.next_prune_frees += pack.size - needed;
  }
  report.reclaimable = report.stored - report.needed;
  report.needed -= report.deleted;
  return report;
}

}  // namespace cairn
