// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/map/disk_reader.h"

#include <algorithm>

#include "config/base/error.h"
#include "fs/store/map/disk_map_reader.h"

namespace cairn {
namespace {
constexpr std::size_t kCachedNodes = 64;
using SharedNode = DiskMapReader::SharedNode;
}  // namespace

struct DiskReader::State {
  DiskMapReader map;

  State(ChunkSource& from, const MapRecord& record, std::uint32_t chunk_size, std::string name)
      : map(from, record, chunk_size, std::move(name), kCachedNodes) {}

  [[nodiscard]] const MapGeometry& geometry() const { return map.geometry(); }
  Result<SharedBuffer> check_length(std::uint64_t index, SharedBuffer bytes) const;
  Result<std::optional<std::uint64_t>> first_in(unsigned level, std::uint64_t index, const ChunkName& name,
                                                std::uint64_t from_chunk, bool data, const Lose* lose);
  Result<std::optional<std::uint64_t>> seek(std::uint64_t offset, bool data, const Lose* lose = nullptr);
  // The chunks below a node: the first, and the one behind the last.
  struct Chunks {
    std::uint64_t first;
    std::uint64_t end;
  };
  [[nodiscard]] Chunks chunks_of(unsigned level, std::uint64_t index) const;
  [[nodiscard]] ByteRange below(unsigned level, std::uint64_t index, std::uint64_t from_chunk) const;
};

DiskReader::State::Chunks DiskReader::State::chunks_of(unsigned level, std::uint64_t index) const {
  const std::uint64_t first = index * MapGeometry::span(level);
  return {first, std::min(first + MapGeometry::span(level), geometry().chunk_count())};
}

// What node `index` of `level` covers, from `from_chunk` on.
ByteRange DiskReader::State::below(unsigned level, std::uint64_t index, std::uint64_t from_chunk) const {
  const ByteRange all = geometry().bytes_below(level, index);
  const std::uint64_t offset = std::max(all.offset, from_chunk * geometry().chunk_size());
  return {offset, all.offset + all.size - offset};
}

// The first chunk at or after `from_chunk`, below the subtree `name` (node `index` of `level`), that holds data (or
// zeros). With `lose`, damage below the node itself is reported there and passed over.
Result<std::optional<std::uint64_t>> DiskReader::State::first_in(unsigned level, std::uint64_t index,
                                                                 const ChunkName& name, std::uint64_t from_chunk,
                                                                 bool data, const Lose* lose) {
  const auto [start, end] = chunks_of(level, index);
  if (from_chunk >= end) return std::optional<std::uint64_t>();
  if (name.is_zero()) {
    if (data) return std::optional<std::uint64_t>();
    return std::optional(std::max(start, from_chunk));
  }
  CAIRN_TRY(const SharedNode here, map.node(level, index));
  if (!here) return fail(ErrorCode::map_damaged, "read disk map of", map.object(), "a node is missing");
  const std::uint64_t per_name = level == 0 ? 1 : MapGeometry::span(level - 1);
  std::uint64_t child = from_chunk > start ? (from_chunk - start) / per_name : 0;
  for (; child < here->names.size(); ++child) {
    const ChunkName& child_name = here->names[child];
    if (level == 0) {
      if (child_name.is_zero() != data) return std::optional(start + child);
      continue;
    }
    const std::uint64_t child_index = index * kNodeNames + child;
    auto found = first_in(level - 1, child_index, child_name, from_chunk, data, lose);
    if (!found && lose != nullptr && is_damage_error(found.error())) {
      (*lose)(below(level - 1, child_index, from_chunk), found.error());
      continue;
    }
    if (!found || *found) return found;
  }
  return std::optional<std::uint64_t>();
}

// The first byte at or after `offset` that is data (or a hole).
Result<std::optional<std::uint64_t>> DiskReader::State::seek(std::uint64_t offset, bool data, const Lose* lose) {
  if (offset >= geometry().size()) return std::optional<std::uint64_t>();
  CAIRN_TRY(const auto chunk, first_in(map.root_level(), 0, map.root(), offset / geometry().chunk_size(), data, lose));
  if (!chunk) return std::optional<std::uint64_t>();
  return std::optional(std::max(offset, *chunk * geometry().chunk_size()));
}

DiskReader::DiskReader(ChunkSource& source, const MapRecord& map, std::uint32_t chunk_size, std::string object)
    : state_(std::make_unique<State>(source, map, chunk_size, std::move(object))) {}
DiskReader::~DiskReader() = default;

std::uint64_t DiskReader::size() const {
  return state_->geometry().size();
}
std::uint32_t DiskReader::chunk_size() const {
  return state_->geometry().chunk_size();
}
std::uint64_t DiskReader::chunk_count() const {
  return state_->geometry().chunk_count();
}
const std::string& DiskReader::object() const {
  return state_->map.object();
}

Result<ChunkName> DiskReader::chunk_name(std::uint64_t index) {
  CAIRN_ASSERT(index < chunk_count());
  CAIRN_TRY(const SharedNode leaf, state_->map.node(0, index / kNodeNames));
  return leaf ? leaf->names[index % kNodeNames] : ChunkName{};
}

Result<std::vector<ChunkName>> DiskReader::chunk_names(std::uint64_t first, std::uint64_t count) {
  const std::uint64_t end = first + std::min(count, chunk_count() - std::min(first, chunk_count()));
  std::vector<ChunkName> names;
  names.reserve(static_cast<std::size_t>(end - std::min(first, end)));
  while (first < end) {
    const std::uint64_t leaf_end = std::min(end, (first / kNodeNames + 1) * kNodeNames);
    CAIRN_TRY(const SharedNode leaf, state_->map.node(0, first / kNodeNames));
    for (; first < leaf_end; ++first) names.push_back(leaf ? leaf->names[first % kNodeNames] : ChunkName{});
  }
  return names;
}

std::uint32_t DiskReader::chunk_bytes(std::uint64_t index) const {
  return state_->geometry().chunk_bytes(index);
}

Result<SharedBuffer> DiskReader::State::check_length(std::uint64_t index, SharedBuffer bytes) const {
  if (bytes->size() != geometry().chunk_bytes(index))
    return fail(ErrorCode::map_damaged, "read disk", map.object(),
                "a chunk has another length than its place in the disk");
  return bytes;
}

Result<SharedBuffer> DiskReader::chunk(std::uint64_t index) {
  CAIRN_TRY(const ChunkName name, chunk_name(index));
  if (name.is_zero()) return SharedBuffer();
  CAIRN_TRY(SharedBuffer bytes, state_->map.source().fetch(RecordKind::chunk, name));
  return state_->check_length(index, std::move(bytes));
}

void DiskReader::chunks(std::uint64_t first, std::uint64_t count, std::vector<Result<SharedBuffer>>& chunks) {
  chunks.clear();
  auto names = chunk_names(first, count);
  if (!names) {
    chunks.assign(static_cast<std::size_t>(count), pass_on(std::move(names).error()));
    return;
  }
  chunks.assign(names->size(), SharedBuffer());
  const std::vector<std::size_t> wanted = drop_zero_names(*names);
  state_->map.source().fetch_all(RecordKind::chunk, *names, [&](std::size_t i, Result<SharedBuffer> outcome) {
    if (outcome) outcome = state_->check_length(first + wanted[i], *std::move(outcome));
    chunks[wanted[i]] = std::move(outcome);
  });
}

template <class Piece>
Result<std::size_t> DiskReader::read_pieces(std::uint64_t offset, MutableBytes to, const Piece& piece) {
  if (offset >= size()) return std::size_t{0};
  to = to.first(static_cast<std::size_t>(std::min<std::uint64_t>(to.size(), size() - offset)));
  const std::size_t wanted = to.size();
  while (!to.empty()) {
    const std::uint64_t index = offset / chunk_size();
    const auto inside = static_cast<std::uint32_t>(offset % chunk_size());
    const std::size_t here = std::min<std::size_t>(to.size(), chunk_bytes(index) - inside);
    CAIRN_CHECK(piece(index, inside, to.first(here)));
    to = to.subspan(here);
    offset += here;
  }
  return wanted;
}

Result<std::size_t> DiskReader::read(std::uint64_t offset, MutableBytes to) {
  return read_pieces(offset, to, [&](std::uint64_t index, std::uint32_t inside, MutableBytes here) -> Result<void> {
    CAIRN_TRY(const SharedBuffer bytes, chunk(index));
    if (bytes)
      std::memcpy(here.data(), bytes->data() + inside, here.size());
    else
      std::memset(here.data(), 0, here.size());
    return {};
  });
}

Result<std::size_t> DiskReader::read_part(std::uint64_t offset, MutableBytes to) {
  return read_pieces(offset, to, [&](std::uint64_t index, std::uint32_t inside, MutableBytes here) -> Result<void> {
    CAIRN_TRY(const ChunkName name, chunk_name(index));
    if (!name.is_zero()) return state_->map.source().fetch_part(name, chunk_bytes(index), inside, here);
    std::memset(here.data(), 0, here.size());
    return {};
  });
}

Result<std::optional<std::uint64_t>> DiskReader::seek_data(std::uint64_t offset) {
  return state_->seek(offset, true);
}

Result<std::optional<std::uint64_t>> DiskReader::seek_data_past_damage(std::uint64_t offset, const Lose& lose) {
  return state_->seek(offset, true, &lose);
}

Result<std::uint64_t> DiskReader::seek_hole(std::uint64_t offset) {
  CAIRN_TRY(const auto hole, state_->seek(offset, false));
  return hole.value_or(size());
}

}  // namespace cairn
