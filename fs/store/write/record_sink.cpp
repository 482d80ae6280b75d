// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/write/record_sink.h"

#include <zstd.h>

#include <cmath>

#include "config/base/exception_door.h"
#include "config/base/units.h"

namespace cairn {
namespace {

constexpr int kCompressionLevel = 1;
constexpr std::size_t kProbeBytes = 4096;

}  // namespace

// Shannon entropy of evenly spread samples. Ciphertext and compressed data give about 7.95 bits a byte over 4 KiB.
bool looks_compressible(ByteView bytes) {
  static constexpr double kIncompressibleBits = 7.6;
  std::array<std::uint32_t, 256> counts{};
  const std::size_t step = std::max<std::size_t>(1, bytes.size() / kProbeBytes);
  std::uint32_t samples = 0;
  for (std::size_t i = 0; i < bytes.size() && samples < kProbeBytes; i += step) {
    ++counts[bytes[i]];
    ++samples;
  }
  double bits = 0;
  for (const std::uint32_t count : counts) {
    if (count == 0) continue;
    const double share = static_cast<double>(count) / samples;
    bits -= share * std::log2(share);
  }
  return bits < kIncompressibleBits;
}

RecordSink::RecordSink(Backend& backend, Index& index, const KeyRing& keys, SealAlgorithm algorithm,
                       const StoreId& store, unsigned lanes)
    : index_(index),
      keys_(keys),
      algorithm_(algorithm),
      store_(store),
      writer_(backend, index, [this](const IndexedPack& pack) {
        for (const PackRecord& record : pack.records) shard_of(record.name).lock()->erase(record.name);
      }) {
  for (unsigned i = 0; i < lanes; ++i) {
    lanes_.push_back(std::make_unique<Guarded<Lane>>());
    // Lanes fill at the same pace: without this all would hand the pack writer a pack at the same time, and then none.
    lanes_.back()->lock()->pack_bytes = kPackTargetBytes / lanes * (i + 1);
  }
}

// True when the caller is the one who must store it. The index is asked once more after the claim: a pack may have gone
// into the index, and out of the claims, between the first look-up and the claim.
Result<bool> RecordSink::is_new(const ChunkName& name) {
  ClaimShard& shard = shard_of(name);
  if (!shard.lock()->insert(name).second) return false;
  CAIRN_TRY(const auto entry, index_.find(name));
  if (!entry) return true;
  shard.lock()->erase(name);
  return false;
}

void append_record(PackBuilder& pack, const NewRecord& record, Buffer& compressed) {
  const auto raw_bytes = static_cast<std::uint32_t>(record.bytes.size());
  if (record.compress == Compress::try_it && looks_compressible(record.bytes)) {
    compressed.resize(ZSTD_compressBound(record.bytes.size()));
    const std::size_t size = ZSTD_compress(compressed.data(), compressed.size(), record.bytes.data(),
                                           record.bytes.size(), kCompressionLevel);
    if (ZSTD_isError(size) == 0 && size < record.bytes.size() - record.bytes.size() / 16)
      return pack.add(record.name, record.kind, RecordEncoding::zstd, raw_bytes, ByteView(compressed).first(size));
  }
  // Whoever wants a little of a chunk opens only that; nodes are always opened whole.
  const bool in_sections = record.kind == RecordKind::chunk && raw_bytes > kSectionBytes;
  pack.add(record.name, record.kind, in_sections ? RecordEncoding::sections : RecordEncoding::plain, raw_bytes,
           record.bytes);
}

std::uint64_t RecordSink::add(Lane& lane, const NewRecord& record) {
  if (!lane.pack) {
    BulkBuffer room = writer_.take_spare();
    room.reserve(kPackTargetBytes + kMaxRawBytes + kMiB);
    lane.pack.emplace(keys_, algorithm_, store_, std::move(room));
  }
  const std::size_t before = lane.pack->size();
  append_record(*lane.pack, record, lane.compressed);
  return lane.pack->size() - before;
}

template <class Work>
auto RecordSink::or_fail_for_all(Work work) -> decltype(work()) {
  auto outcome = without_exceptions("store", "chunks", work);
  if (!outcome) writer_.fail(outcome.error());
  return outcome;
}

Result<SinkCount> RecordSink::store(std::span<const NewRecord> records, unsigned lane_number) {
  CAIRN_CHECK(writer_.status());
  return or_fail_for_all([&] { return store_new(records, lane_number); });
}

Result<SinkCount> RecordSink::store_new(std::span<const NewRecord> records, unsigned lane_number) {
  SinkCount count;
  // Allocated once a thread: most records of most backups are there already, and cost a look-up and no more.
  thread_local std::vector<ChunkName> names;
  thread_local std::size_t room = 0;
  thread_local std::unique_ptr<bool[]> found_in;  // of `room`
  if (room < records.size()) found_in = std::make_unique<bool[]>(room = records.size());
  names.clear();
  for (const NewRecord& record : records) names.push_back(record.name);
  const std::span<bool> found(found_in.get(), records.size());
  CAIRN_CHECK(index_.contains(names, found));
  Guarded<Lane>& its_lane = *lanes_[lane_number % lanes_.size()];
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (found[i]) continue;
    const auto lane = its_lane.lock();
    CAIRN_TRY(const bool new_here, is_new(records[i].name));
    if (!new_here) continue;
    count.stored_bytes += add(*lane, records[i]);
    count.new_bytes += records[i].bytes.size();
    if (lane->pack->size() >= lane->pack_bytes) CAIRN_CHECK(close_pack(*lane));
  }
  return count;
}

Result<void> RecordSink::close_pack(Lane& lane) {
  if (!lane.pack) return {};
  FinishedPack pack = lane.pack->finish();
  lane.pack.reset();
  lane.pack_bytes = kPackTargetBytes;
  return writer_.write(std::move(pack));
}

Result<void> RecordSink::flush() {
  return or_fail_for_all([&]() -> Result<void> {
    CAIRN_CHECK(writer_.status());
    for (const auto& lane : lanes_) CAIRN_CHECK(close_pack(*lane->lock()));
    return writer_.flush();
  });
}

}  // namespace cairn
