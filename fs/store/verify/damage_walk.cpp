// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/verify/damage_walk.h"
#include "config/base/error.h"
#include "config/base/ranges.h"

#include <algorithm>

namespace cairn {
namespace {

// Nodes that are fetched together: 32 KiB each.
constexpr std::size_t kBatch = 64;

}  // namespace

std::optional<BadPack> bad_pack_of(const PackVerdict& verdict) {
  BadPack bad;
  switch (verdict.state) {
    case PackState::whole:
    case PackState::unreadable:
      return std::nullopt;
    case PackState::missing:
      bad.all = true;
      return bad;
    case PackState::damaged:
      break;
  }
  bad.all = !verdict.header_good;
  bad.unsure = verdict.header_good && verdict.records.empty();
  for (std::size_t i = 0; i < verdict.records.size(); ++i)
    if (!verdict.good[i]) bad.number.insert(verdict.records[i].place.number);
  if (!bad.all && !bad.unsure && bad.number.empty()) return std::nullopt;  // only what readers do not look at
  return bad;
}

DamageWalk::DamageWalk(ChunkSource& source, Index& index, const ChunkNamer& namer, std::uint32_t chunk_size,
                       std::span<const PackRow> packs, const BadPacks& bad)
    : source_(source),
      index_(index),
      namer_(namer),
      chunk_size_(chunk_size),
      packs_(packs),
      bad_(bad),
      clean_(packs),
      tried_(packs) {}

void DamageWalk::start_afresh() {
  clean_ = RecordBits(packs_);
  tried_ = RecordBits(packs_);
  lost_.clear();
  suspects_.clear();
  met_unsure_.clear();
  unreadable_.reset();
  nodes_ = chunks_ = 0;
}

Result<std::vector<ByteRange>> DamageWalk::walk(const MapRecord& map, const std::string& object,
                                                const std::stop_token& stop) {
  if (map.root.is_zero() || map.size == 0) return std::vector<ByteRange>();
  Disk disk{MapGeometry(map.size, chunk_size_), object, stop, {}};
  // The root is met as if a node above it named it.
  const MapNode above{disk.geometry.root_level() + 1, {map.root}};
  CAIRN_CHECK(below(disk, above.level, 0, above));
  merge_ranges(disk.ranges);
  return std::move(disk.ranges);
}

void DamageWalk::lose(Disk& disk, unsigned level, std::uint64_t index) const {
  const std::uint64_t span = MapGeometry::span(level) * chunk_size_;
  const std::uint64_t offset = index * span;
  disk.ranges.push_back({offset, std::min(span, disk.geometry.size() - offset)});
}

DamageWalk::Found DamageWalk::failed(RecordKind kind, const ChunkName& name, const std::optional<IndexEntry>& entry,
                                     const Error& error) {
  if (!is_damage_error(error)) {
    if (!unreadable_) unreadable_ = error;
    return Found::unreadable;
  }
  if (entry && !bad_.contains(entry->pack)) suspects_.insert(entry->pack);
  lost_.emplace(name, kind);
  return Found::lost;
}

DamageWalk::Found DamageWalk::judge(RecordKind kind, const ChunkName& name, const std::optional<IndexEntry>& entry,
                                    std::uint32_t raw_bytes) {
  const auto lost = [&] {
    lost_.emplace(name, kind);
    return Found::lost;
  };
  if (!entry || entry->place.kind != kind || entry->place.raw_bytes != raw_bytes) return lost();
  if (bad_.empty()) return Found::good;
  const auto bad = bad_.find(entry->pack);
  if (bad == bad_.end()) return Found::good;
  if (bad->second.all || bad->second.number.contains(entry->place.number)) return lost();
  if (!bad->second.unsure || tried_.test(*entry)) return Found::good;
  met_unsure_[entry->pack].try_emplace(name, entry->place);
  const auto bytes = source_.fetch(kind, name);
  if (!bytes) return failed(kind, name, entry, bytes.error());
  if (namer_.name(kind, (*bytes)->view()) != name) return lost();
  tried_.set(*entry);
  return Found::good;
}

Result<bool> DamageWalk::below(Disk& disk, unsigned level, std::uint64_t index, const MapNode& node) {
  if (disk.stop.stop_requested()) return fail(ErrorCode::cancelled, "verify", disk.object, "it was asked to stop");
  std::vector<std::optional<IndexEntry>> entries(node.names.size());
  CAIRN_CHECK(index_.places(node.names, entries));
  return level == 0 ? chunks_of(disk, index, node, entries) : nodes_of(disk, level, index, node, entries);
}

Result<bool> DamageWalk::chunks_of(Disk& disk, std::uint64_t index, const MapNode& node,
                                   std::span<const std::optional<IndexEntry>> entries) {
  bool clean = true;
  for (std::size_t i = 0; i < node.names.size(); ++i) {
    if (node.names[i].is_zero()) continue;
    ++chunks_;
    const std::uint64_t chunk = index * kNodeNames + i;
    const std::uint32_t bytes = disk.geometry.chunk_bytes(chunk);
    const Found found = judge(RecordKind::chunk, node.names[i], entries[i], bytes);
    if (found == Found::lost) disk.ranges.push_back({chunk * chunk_size_, bytes});
    clean = clean && found == Found::good;
  }
  return clean;
}

Result<bool> DamageWalk::nodes_of(Disk& disk, unsigned level, std::uint64_t index, const MapNode& node,
                                  std::span<const std::optional<IndexEntry>> entries) {
  bool clean = true;
  std::vector<std::size_t> batch;
  std::vector<ChunkName> names;
  const auto child_index = [&](std::size_t i) { return index * kNodeNames + i; };
  const auto go_below = [&]() -> Result<void> {
    std::vector<Result<SharedBuffer>> nodes(names.size(), SharedBuffer());
    source_.fetch_all(RecordKind::node, names,
                      [&](std::size_t i, Result<SharedBuffer> outcome) { nodes[i] = std::move(outcome); });
    for (std::size_t at = 0; at < batch.size(); ++at) {
      const std::size_t i = batch[at];
      const auto decode = [&]() -> Result<MapNode> {
        if (!nodes[at]) return pass_on(std::move(nodes[at]).error());
        // A verifier doubts the writer: the seal alone only says who wrote it.
        if (namer_.name(RecordKind::node, (*nodes[at])->view()) != names[at])
          return fail(ErrorCode::map_damaged, "read disk map of", disk.object, "a node is not what its name says");
        return decode_node((*nodes[at])->view(), level - 1, disk.geometry.name_count(level - 1, child_index(i)),
                           disk.object);
      };
      ++nodes_;
      const auto decoded = decode();
      nodes[at] = SharedBuffer();
      bool child_clean = false;
      if (decoded) {
        CAIRN_TRY(child_clean, below(disk, level - 1, child_index(i), *decoded));
      } else if (failed(RecordKind::node, names[at], entries[i], decoded.error()) == Found::lost) {
        lose(disk, level - 1, child_index(i));
      }
      if (child_clean && entries[i]) clean_.set(*entries[i]);
      clean = clean && child_clean;
    }
    batch.clear();
    names.clear();
    return {};
  };
  for (std::size_t i = 0; i < node.names.size(); ++i) {
    if (node.names[i].is_zero()) continue;
    if (entries[i] && clean_.test(*entries[i])) continue;
    if (!entries[i] || entries[i]->place.kind != RecordKind::node) {
      lost_.emplace(node.names[i], RecordKind::node);
      lose(disk, level - 1, child_index(i));
      clean = false;
      continue;
    }
    if (const auto bad = bad_.find(entries[i]->pack); bad != bad_.end() && bad->second.unsure)
      met_unsure_[entries[i]->pack].try_emplace(node.names[i], entries[i]->place);
    batch.push_back(i);
    names.push_back(node.names[i]);
    if (names.size() == kBatch) CAIRN_CHECK(go_below());
  }
  CAIRN_CHECK(go_below());
  return clean;
}

}  // namespace cairn
