// SPDX-License-Identifier: GPL-3.0-or-later
// Chunks that are fetched many at a time: which requests that makes, and that each succeeds or fails by itself.
#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <mutex>

#include "config/base/units.h"
#include "fs/io/local_backend.h"
#include "fs/store/pack/pack.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint32_t kRecord = 65552;  // a sealed chunk of 64 KiB

WantedRecord record_at(std::uint32_t offset, std::uint32_t bytes = kRecord) {
  WantedRecord record;
  record.place.offset = offset;
  record.place.sealed_bytes = bytes;
  return record;
}

std::vector<std::size_t> lengths(const std::vector<WantedRecord>& records, std::uint64_t max_bytes,
                                 std::uint64_t max_gap) {
  std::vector<std::size_t> counts;
  const WantedRecord* next = records.data();
  for (const auto run : cut_into_runs(records, max_bytes, max_gap)) {
    EXPECT_EQ(run.data(), next) << "every record once, in order";
    next = run.data() + run.size();
    counts.push_back(run.size());
  }
  EXPECT_EQ(next, records.data() + records.size());
  return counts;
}

TEST(CutIntoRuns, KeepsNeighboursTogetherAndCutsAtGapsAndAtTheLimit) {
  EXPECT_TRUE(cut_into_runs({}, kMiB, 0).empty());
  std::vector<WantedRecord> records;
  for (std::uint32_t i = 0; i < 10; ++i) records.push_back(record_at(64 + i * kRecord));
  EXPECT_THAT(lengths(records, kMiB, 0), ElementsAre(10));
  EXPECT_THAT(lengths(records, std::uint64_t{4} * kRecord, 0), ElementsAre(4, 4, 2));
  records.erase(records.begin() + 3);  // a hole of one record
  EXPECT_THAT(lengths(records, kMiB, kRecord - 1), ElementsAre(3, 6));
  EXPECT_THAT(lengths(records, kMiB, kRecord), ElementsAre(9));
}

TEST(CutIntoRuns, BearsTheSameRecordTwiceAndOneLargerThanTheLimit) {
  EXPECT_THAT(lengths({record_at(64), record_at(64), record_at(64 + kRecord)}, kMiB, 0), ElementsAre(3));
  EXPECT_THAT(lengths({record_at(64, 2 * kMiB), record_at(64 + 2 * kMiB)}, kMiB, 0), ElementsAre(1, 1));
  // Impossible places, as a damaged index might say them, must not wrap around.
  EXPECT_THAT(lengths({record_at(64), record_at(UINT32_MAX, UINT32_MAX)}, kMiB, 0), ElementsAre(1, 1));
}

// A local backend that counts the requests to packs, and one place of one pack that cannot be read.
class WatchedBackend final : public Backend {
 public:
  explicit WatchedBackend(const std::filesystem::path& path) : inner_(path) {}
  std::atomic<int> reads = 0;
  std::atomic<int> runs = 0;
  std::string bad_pack;  // constant while packs are read, as the next
  std::uint64_t bad_offset = 0;

  [[nodiscard]] std::string location() const override { return inner_.location(); }
  using Backend::put;
  Result<void> put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) override {
    return inner_.put(name, parts, if_exists);
  }
  Result<std::unique_ptr<ObjectReader>> open(std::string_view name) override {
    CAIRN_TRY(auto object, inner_.open(name));
    if (!name.starts_with("packs/")) return object;
    return std::make_unique<Reader>(*this, std::move(object), name.ends_with(bad_pack) && !bad_pack.empty());
  }
  Result<std::vector<std::string>> list(std::string_view prefix) override { return inner_.list(prefix); }
  Result<void> remove(std::string_view name) override { return inner_.remove(name); }
  Result<std::optional<std::uint64_t>> change_token(std::string_view prefix) override {
    return inner_.change_token(prefix);
  }

 private:
  class Reader final : public ObjectReader {
   public:
    Reader(WatchedBackend& owner, std::unique_ptr<ObjectReader> inner, bool bad)
        : owner_(owner), inner_(std::move(inner)), bad_(bad) {}
    [[nodiscard]] std::uint64_t size() const override { return inner_->size(); }
    Result<void> read(std::uint64_t offset, MutableBytes to) const override {
      ++owner_.reads;
      CAIRN_CHECK(check(ByteOffset(offset), ByteCount(to.size())));
      return inner_->read(offset, to);
    }
    Result<ByteView> read_run(ByteOffset offset, ByteCount size, BulkBuffer& buffer) const override {
      ++owner_.runs;
      CAIRN_CHECK(check(offset, size));
      return inner_->read_run(offset, size, buffer);
    }

   private:
    [[nodiscard]] Result<void> check(ByteOffset offset, ByteCount size) const {
      const ByteOffset bad(owner_.bad_offset);
      if (bad_ && bad >= offset && bad < offset + size) return fail_errno(EIO, "read", "a bad sector");
      return {};
    }
    WatchedBackend& owner_;
    std::unique_ptr<ObjectReader> inner_;
    bool bad_;
  };
  LocalBackend inner_;
};

// A store with one disk of 8 MiB of random data, the third chunk zero and the ninth compressible.
struct Fixture {
  Fixture() : image(8 * kMiB), backend(std::make_shared<WatchedBackend>(place.path())) {
    image.fill_random(0, 8 * kMiB, 1);
    image.write(2 * std::uint64_t{kMinChunkSize}, Buffer(kMinChunkSize, 0));
    image.write(8 * std::uint64_t{kMinChunkSize}, Buffer(kMinChunkSize, 'x'));
    const auto store = place.open();
    point = value_of(take_backup(*store, image, "vm", test_time()));
    for (const auto& entry : std::filesystem::recursive_directory_iterator(place.path() / "packs"))
      if (entry.is_regular_file()) packs.push_back(entry.path());
  }
  [[nodiscard]] std::unique_ptr<Store> open() const {
    return value_of(Store::open(place.path(), backend, TemporaryStore::key()));
  }
  TemporaryStore place;
  MemoryImage image;
  std::shared_ptr<WatchedBackend> backend;
  RecoveryPoint point;
  std::vector<std::filesystem::path> packs;
};

// Reads all chunks in one call; tells which failed. What did not fail must be right.
std::vector<std::uint64_t> failed_chunks(const Fixture& t, Store& store, std::vector<Error>& errors) {
  const auto reader = store.open_disk(t.point.disks[0].map, "vm/root");
  std::vector<Result<SharedBuffer>> chunks;
  reader->chunks(0, reader->chunk_count(), chunks);
  EXPECT_EQ(chunks.size(), reader->chunk_count());
  std::vector<std::uint64_t> failed;
  for (std::uint64_t i = 0; i < chunks.size(); ++i) {
    if (!chunks[i]) {
      failed.push_back(i);
      errors.push_back(chunks[i].error());
      continue;
    }
    const Buffer expected = t.image.content(i * kMinChunkSize, kMinChunkSize);
    if (*chunks[i] == nullptr)
      EXPECT_TRUE(is_all_zero(expected)) << i;
    else
      EXPECT_EQ(std::memcmp((*chunks[i])->data(), expected.data(), kMinChunkSize), 0) << i;
  }
  return failed;
}

TEST(FetchAll, GivesEveryChunkFromAFewLargeRequests) {
  const Fixture t;
  const auto store = t.open();
  std::vector<Error> errors;
  EXPECT_TRUE(failed_chunks(t, *store, errors).empty());
  EXPECT_GE(t.backend->runs, 2) << "8 MiB do not fit one request";
  EXPECT_LE(t.backend->runs, 8) << "126 chunks with data";
}

TEST(FetchAll, GivesAChunkThatIsAskedForTwiceTwice) {
  const Fixture t;
  const auto store = t.open();
  const auto reader = store->open_disk(t.point.disks[0].map, "vm/root");
  const auto names = value_of(reader->chunk_names(5, 1));
  const ChunkName twice[] = {names[0], names[0]};
  std::vector<std::size_t> got;
  store->chunks().fetch_all(RecordKind::chunk, twice, [&](std::size_t i, Result<SharedBuffer> outcome) {
    ASSERT_TRUE(outcome);
    EXPECT_EQ((*outcome)->size(), kMinChunkSize);
    got.push_back(i);
  });
  EXPECT_THAT(got, testing::UnorderedElementsAre(0, 1));
}

TEST(FetchAll, ADamagedRecordInsideARunFailsAloneAndIsNamed) {
  const Fixture t;
  for (const std::uint64_t at : {kPackHeaderBytes + 1000UL, kPackHeaderBytes + 3UL * kRecord + 5}) {
    std::fstream pack(t.packs[0], std::ios::in | std::ios::out | std::ios::binary);
    pack.seekp(static_cast<std::streamoff>(at));
    pack << "damage";
  }
  const auto store = t.open();
  std::vector<Error> errors;
  const auto failed = failed_chunks(t, *store, errors);
  ASSERT_EQ(failed.size(), 2U);
  const auto reader = store->open_disk(t.point.disks[0].map, "vm/root");
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(errors[i].code, ErrorCode::chunk_damaged);
    EXPECT_THAT(errors[i].message(), HasSubstr(value_of(reader->chunk_name(failed[i])).hex().substr(0, 16)));
    EXPECT_THAT(errors[i].message(), HasSubstr(t.packs[0].filename().string()));
  }
}

TEST(FetchAll, ABadSectorCostsOnlyItsOwnRecord) {
  const Fixture t;
  t.backend->bad_pack = t.packs[0].filename().string();
  t.backend->bad_offset = kPackHeaderBytes + 2UL * kRecord + 100;
  const auto store = t.open();
  std::vector<Error> errors;
  EXPECT_EQ(failed_chunks(t, *store, errors).size(), 1U);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].code, ErrorCode::io_error);
}

TEST(FetchAll, AMissingPackFailsItsChunksAlone) {
  const Fixture t;
  const auto store = t.open();
  // The map's nodes are read before the pack goes.
  const auto reader = store->open_disk(t.point.disks[0].map, "vm/root");
  const auto names = value_of(reader->chunk_names(0, 2));
  ChunkName unknown = names[1];
  unknown.bytes[0] ^= 1;
  const ChunkName asked[] = {names[0], unknown, names[1]};
  std::map<std::size_t, ErrorCode> outcomes;
  const auto hear = [&](std::size_t i, Result<SharedBuffer> outcome) {
    outcomes[i] = outcome ? ErrorCode::internal : outcome.error().code;
  };
  store->chunks().fetch_all(RecordKind::chunk, asked, hear);
  EXPECT_THAT(outcomes, ElementsAre(std::pair(0, ErrorCode::internal), std::pair(1, ErrorCode::chunk_missing),
                                    std::pair(2, ErrorCode::internal)));
  for (const auto& pack : t.packs) std::filesystem::remove(pack);
  const auto again = t.open();
  outcomes.clear();
  again->chunks().fetch_all(RecordKind::chunk, asked, hear);
  EXPECT_THAT(outcomes, ElementsAre(std::pair(0, ErrorCode::object_missing), std::pair(1, ErrorCode::chunk_missing),
                                    std::pair(2, ErrorCode::object_missing)));
}

TEST(DiskReader, NamesChunksAsFarAsThereAreAny) {
  const Fixture t;
  const auto store = t.open();
  const auto reader = store->open_disk(t.point.disks[0].map, "vm/root");
  const auto all = value_of(reader->chunk_names(0, 1'000'000));
  ASSERT_EQ(all.size(), reader->chunk_count());
  EXPECT_TRUE(all[2].is_zero());
  for (std::uint64_t i = 0; i < all.size(); ++i) EXPECT_EQ(value_of(reader->chunk_name(i)), all[i]);
  EXPECT_EQ(value_of(reader->chunk_names(120, 100)).size(), 8U);
  EXPECT_TRUE(value_of(reader->chunk_names(128, 1)).empty());
  EXPECT_TRUE(value_of(reader->chunk_names(500, 1)).empty());
}

}  // namespace
}  // namespace cairn
