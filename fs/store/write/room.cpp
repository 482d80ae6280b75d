// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/write/room.h"

#include <algorithm>
#include <array>
#include <vector>

#include "fs/store/write/pack_writer.h"
#include "fs/store/write/record_sink.h"
#include "fs/store/write/store_writer.h"
#include "fs/store/write/writer_core.h"

namespace cairn {
namespace {

constexpr std::size_t kSamples = 64;
// A disk of fewer chunks is read as fast as it is sampled.
constexpr std::uint64_t kLeastChunks = 4 * kSamples;
// An image of more extents is sampled in the first of them.
constexpr std::size_t kMostExtents = 1'000'000;

}  // namespace

Result<std::optional<Room>> room_for_packs(StoreWriter& writer) {
  CAIRN_TRY(const auto space, writer.core().store.backend->space());
  if (!space) return std::optional<Room>();
  return std::optional(Room{space->free, reserved_space(space->total)});
}

Result<std::uint64_t> least_room_needed(StoreWriter& writer, ImageReader& image, const std::stop_token& stop) {
  WriterCore& core = writer.core();
  const std::uint64_t chunk = core.store.info.chunk_size;
  // Where its data lies, in whole chunks.
  std::vector<ImageExtent> data;
  std::uint64_t chunks = 0;
  for (std::uint64_t at = 0; at < image.size() && data.size() < kMostExtents;) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "sample", "the disk", "it was asked to stop");
    CAIRN_TRY(const ImageExtent extent, image.extent_at(at));
    const std::uint64_t begin = (extent.offset + chunk - 1) / chunk * chunk;
    const std::uint64_t end = (extent.offset + extent.size) / chunk * chunk;
    if (extent.kind != ExtentKind::hole && end > begin) {
      data.push_back({begin, end - begin, ExtentKind::data});
      chunks += (end - begin) / chunk;
    }
    at = extent.offset + extent.size;
  }
  if (chunks < kLeastChunks) return std::uint64_t{0};

  const ChunkNamer& namer = core.store.keys.namer();
  std::vector<ChunkName> names;
  Buffer bytes(chunk);
  std::uint64_t passed = 0;  // chunks of the extents before
  auto extent = data.begin();
  for (std::size_t i = 0; i < kSamples; ++i) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "sample", "the disk", "it was asked to stop");
    const std::uint64_t wanted = chunks * i / kSamples + chunks / kSamples / 2;
    while (wanted - passed >= extent->size / chunk) {
      passed += extent->size / chunk;
      ++extent;
    }
    CAIRN_CHECK(image.read(extent->offset + (wanted - passed) * chunk, bytes));
    if (!is_all_zero(bytes) && !looks_compressible(bytes)) names.push_back(namer.name(RecordKind::chunk, bytes));
  }
  // One that stands on the disk twice is stored once.
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  std::array<bool, kSamples> found{};
  CAIRN_CHECK(core.index->contains(names, std::span(found).first(names.size())));
  const auto unknown = static_cast<std::uint64_t>(std::ranges::count(std::span(found).first(names.size()), false));
  return chunks * chunk / kSamples * unknown / 4 * 3;
}

}  // namespace cairn
