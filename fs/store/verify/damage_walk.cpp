// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/verify/damage_walk.h"

#include <algorithm>

#include "config/base/error.h"
#include "config/base/ranges.h"

namespace cairn {

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
  nodes_ = chunks_ = met_unlisted_count_ = 0;
}

DamageWalk::Found DamageWalk::failed(RecordKind kind, const ChunkName& name, const IndexEntry* entry,
                                     const Error& error) {
  if (!is_damage_error(error)) {
    if (!unreadable_) unreadable_ = error;
    return Found::unreadable;
  }
  if (entry != nullptr && !bad_.contains(entry->pack)) suspects_.insert(entry->pack);
  lost_.emplace(name, kind);
  return Found::lost;
}

DamageWalk::Found DamageWalk::judge(RecordKind kind, const ChunkName& name, const IndexEntry* entry,
                                    std::uint32_t raw_bytes) {
  const auto lost = [&] {
    lost_.emplace(name, kind);
    return Found::lost;
  };
  if (entry == nullptr) return judge_unlisted(kind, name, raw_bytes);
  if (entry->place.kind != kind || entry->place.raw_bytes != raw_bytes) return lost();
  if (bad_.empty()) return Found::good;
  const auto bad = bad_.find(entry->pack);
  if (bad == bad_.end()) return Found::good;
  if (bad->second.all || bad->second.number.contains(entry->place.number)) return judge_unlisted(kind, name, raw_bytes);
  if (!bad->second.unsure || tried_.test(*entry)) return Found::good;
  met_unsure_[entry->pack].try_emplace(name, entry->place);
  const auto bytes = source_.fetch(kind, name);
  if (!bytes) return failed(kind, name, entry, bytes.error());
  if (namer_.name(kind, (*bytes)->view()) != name) return lost();
  tried_.set(*entry);
  return Found::good;
}

DamageWalk::Found DamageWalk::judge_unlisted(RecordKind kind, const ChunkName& name,
                                             std::optional<std::uint32_t> raw_bytes) {
  const auto lost = [&] {
    lost_.emplace(name, kind);
    return Found::lost;
  };
  if (unlisted_ == nullptr) return lost();
  const auto found = unlisted_->packs.locate(name);
  if (!found) return failed(kind, name, nullptr, found.error());
  if (!*found || (*found)->place.kind != kind || (raw_bytes && (*found)->place.raw_bytes != *raw_bytes)) return lost();
  if (unlisted_->bad.contains((*found)->pack_name)) {
    const auto bytes = source_.fetch(kind, name);
    if (!bytes) return failed(kind, name, nullptr, bytes.error());
    if (namer_.name(kind, (*bytes)->view()) != name) return lost();
  }
  ++met_unlisted_count_;
  return Found::good;
}

// What one disk's walk finds.
class DamageWalk::Visit final : public MapVisitor {
 public:
  Visit(DamageWalk& walk, const MapRecord& map, const std::string& object, const std::stop_token& stop)
      : walk_(walk), geometry_(map.size, walk.chunk_size_), object_(object), stop_(stop) {}

  Result<void> enter() override {
    if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "verify", object_, "it was asked to stop");
    clean_.push_back(true);
    return {};
  }

  bool meet(const MapPlace& place, const ChunkName& name, const IndexEntry* entry) override {
    return place.kind == RecordKind::node ? meet_node(place, name, entry) : meet_chunk(place, name, entry);
  }

  // A verifier doubts the writer: the seal alone only says who wrote it.
  Result<void> check(const MapPlace&, const ChunkName& name, ByteView bytes) override {
    if (walk_.namer_.name(RecordKind::node, bytes) == name) return {};
    return fail(ErrorCode::map_damaged, "read disk map of", object_, "a node is not what its name says");
  }

  void leave(const MapPlace&, const IndexEntry* entry) override {
    ++walk_.nodes_;
    const bool clean = clean_.back();
    clean_.pop_back();
    if (clean && entry != nullptr)
      walk_.clean_.set(*entry);
    else
      clean_.back() = clean_.back() && clean;
  }

  Result<void> unreadable(const MapPlace& place, const ChunkName& name, const IndexEntry* entry,
                          const Error& error) override {
    ++walk_.nodes_;
    clean_.back() = false;
    if (walk_.failed(RecordKind::node, name, entry, error) == Found::lost) lose(place);
    return {};
  }

  std::vector<ByteRange> take_ranges() {
    merge_ranges(ranges_);
    return std::move(ranges_);
  }

 private:
  bool meet_node(const MapPlace& place, const ChunkName& name, const IndexEntry* entry) {
    if (entry != nullptr && walk_.clean_.test(*entry)) return false;
    if (entry == nullptr) {
      const Found found = walk_.judge_unlisted(RecordKind::node, name, std::nullopt);
      if (found == Found::lost) lose(place);
      clean_.back() = clean_.back() && found == Found::good;
      return found == Found::good;
    }
    if (entry->place.kind != RecordKind::node) {
      walk_.lost_.emplace(name, RecordKind::node);
      lose(place);
      clean_.back() = false;
      return false;
    }
    if (const auto bad = walk_.bad_.find(entry->pack); bad != walk_.bad_.end() && bad->second.unsure)
      walk_.met_unsure_[entry->pack].try_emplace(name, entry->place);
    return true;
  }

  bool meet_chunk(const MapPlace& place, const ChunkName& name, const IndexEntry* entry) {
    ++walk_.chunks_;
    const std::uint32_t bytes = geometry_.chunk_bytes(place.index);
    const Found found = walk_.judge(RecordKind::chunk, name, entry, bytes);
    if (found == Found::lost) ranges_.push_back({place.index * walk_.chunk_size_, bytes});
    clean_.back() = clean_.back() && found == Found::good;
    return false;
  }

  // A node and all below it.
  void lose(const MapPlace& place) { ranges_.push_back(geometry_.bytes_below(place.level, place.index)); }

  DamageWalk& walk_;
  const MapGeometry geometry_;
  const std::string& object_;
  const std::stop_token& stop_;
  std::vector<ByteRange> ranges_;
  std::vector<bool> clean_;  // of the nodes that were entered and not left: nothing bad below, so far
};

Result<std::vector<ByteRange>> DamageWalk::walk(const MapRecord& map, const std::string& object,
                                                const std::stop_token& stop) {
  Visit visit(*this, map, object, stop);
  CAIRN_CHECK(MapWalk(source_, index_, chunk_size_).walk(map, object, visit));
  return visit.take_ranges();
}

}  // namespace cairn
