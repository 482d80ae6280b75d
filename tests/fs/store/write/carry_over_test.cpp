// SPDX-License-Identifier: GPL-3.0-or-later
// Taking names over from an earlier point: the map must be the one that reading everything gives, and nothing may be
// read that need not be.
#include "fs/store/write/carry_over.h"
#include "fs/store/verify/rebuild_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "config/base/units.h"
#include "fs/store/map/map_diff.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/store_writer.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

constexpr std::uint32_t kChunk = kMinChunkSize;

// A disk that only says which chunk has which content, so that it can be large: chunk i holds `content[i]` in its first
// bytes, 0 is a hole.
class ChunkImage final : public ImageReader {
 public:
  explicit ChunkImage(std::uint64_t size) : size_(size) {}
  std::map<std::uint64_t, std::uint64_t> content;
  // Said to be "as before", sorted, bytes; empty: nothing is said.
  std::vector<ByteRange> as_before;
  std::uint64_t read_bytes = 0;
  std::uint64_t asked = 0;

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Result<ImageExtent> extent_at(std::uint64_t offset) override {
    ++asked;
    std::uint64_t limit = size_;
    for (const ByteRange& range : as_before) {
      if (offset >= range.offset && offset < range.offset + range.size)
        return ImageExtent{offset, range.offset + range.size - offset, ExtentKind::as_before};
      if (range.offset > offset) {
        limit = range.offset;
        break;
      }
    }
    const std::uint64_t chunk = offset / kChunk;
    const bool data = content.contains(chunk);
    std::uint64_t end = (chunk + 1) * kChunk;
    if (!data) {
      const auto next = content.upper_bound(chunk);
      end = next == content.end() ? size_ : next->first * kChunk;
    }
    return ImageExtent{offset, std::min(end, limit) - offset, data ? ExtentKind::data : ExtentKind::hole};
  }
  Result<void> read(std::uint64_t offset, MutableBytes to) override {
    std::atomic_ref(read_bytes) += to.size();  // several readers
    std::memset(to.data(), 0, to.size());
    for (std::uint64_t at = offset - offset % kChunk; at < offset + to.size(); at += kChunk) {
      const auto found = content.find(at / kChunk);
      if (found == content.end() || at < offset) continue;
      const MutableBytes rest = to.subspan(at - offset);
      if (rest.size() >= 8)
        put_le(rest, found->second);
      else
        rest[0] = 1;
    }
    return {};
  }
  [[nodiscard]] int fd() const override { return -1; }
  Result<std::optional<ImageChange>> changed_underneath() override { return std::optional<ImageChange>(); }
  [[nodiscard]] std::string how() const override { return "memory"; }

 private:
  std::uint64_t size_;
};

class CarryOverTest : public ::testing::Test {
 protected:
  TemporaryStore directory_;
  std::unique_ptr<Store> store_ = directory_.open();

  IngestReport ingest(ImageReader& image, std::optional<IngestBase> base = {}) {
    const auto writer = value_of(begin_writing(*store_, "test"));
    IngestOptions options;
    options.base = std::move(base);
    IngestReport report = value_of(ingest_disk(*writer, image, options));
    expect_ok(writer->flush());
    return report;
  }
  // What the disk is when all of it is read.
  IngestReport ingest_whole(const ChunkImage& image) {
    ChunkImage whole = image;
    whole.as_before.clear();
    return ingest(whole);
  }
  // The extents "as before" where both have the same, as a file system with extents of 4 KiB would say it, ragged at
  // their ends.
  static std::vector<ByteRange> truth(const ChunkImage& before, const ChunkImage& now, std::mt19937_64* random) {
    std::vector<ByteRange> same;
    const std::uint64_t common = std::min(before.size(), now.size());
    const auto at = [](const ChunkImage& image, std::uint64_t chunk) {
      const auto found = image.content.find(chunk);
      return found == image.content.end() ? 0 : found->second;
    };
    for (std::uint64_t chunk = 0; chunk * kChunk < common; ++chunk) {
      if (at(before, chunk) != at(now, chunk)) continue;
      const std::uint64_t end = std::min((chunk + 1) * kChunk, common);
      if (!same.empty() && same.back().offset + same.back().size == chunk * kChunk)
        same.back().size = end - same.back().offset;
      else
        same.push_back({chunk * kChunk, end - chunk * kChunk});
    }
    if (random == nullptr) return same;
    for (ByteRange& range : same) {
      if (range.size <= 8192) continue;
      const std::uint64_t cut = (*random)() % 3 * 4096;
      if (cut >= range.size) continue;
      range.offset += cut;
      range.size -= cut;
    }
    return same;
  }
  IngestBase base_of(const IngestReport& report) { return {&store_->chunks(), report.map}; }
};

TEST_F(CarryOverTest, OneChangedChunkOfALargeDiskIsAllThatIsRead) {
  // 1 TiB: 16 Mi chunks, 16 Ki leaves, 16 nodes above, a root.
  ChunkImage before(kTiB);
  for (std::uint64_t i = 0; i < 100; ++i) before.content[i * 160'000 + 7] = i + 1;
  const IngestReport first = ingest(before);
  ChunkImage now = before;
  now.read_bytes = now.asked = 0;
  now.content[8'000'000] = 99;
  now.as_before = truth(before, now, nullptr);
  const IngestReport second = ingest(now, base_of(first));
  EXPECT_EQ(second.read_bytes, kChunk);
  EXPECT_EQ(second.carried_bytes, kTiB - kChunk);
  EXPECT_LE(now.asked, 4U);
  const IngestReport whole = ingest_whole(now);
  EXPECT_EQ(second.map.root, whole.map.root);
  EXPECT_EQ(second.map.data_bytes, whole.map.data_bytes);
  EXPECT_EQ(whole.stored_bytes, 0U);
}

// Chunks that lie scattered are read and handed on together: each must still come back from its own place.
TEST_F(CarryOverTest, ScatteredChunksComeBackFromTheirPlaces) {
  ChunkImage image(5000 * std::uint64_t{kChunk} + 100);
  std::uint64_t value = 0;
  for (std::uint64_t chunk = 0; chunk <= 5000; chunk += 1 + chunk % 7) image.content[chunk] = ++value;
  for (std::uint64_t chunk = 1000; chunk < 1100; ++chunk) image.content[chunk] = ++value;  // a run across two leaves
  image.content[5000] = ++value;
  const IngestReport report = ingest(image);
  EXPECT_EQ(report.read_bytes, (image.content.size() - 1) * kChunk + 100);
  const auto disk = store_->open_disk(report.map, "disk");
  Buffer wanted(kChunk);
  Buffer got(kChunk);
  for (std::uint64_t at = 0; at < image.size(); at += kChunk) {
    const std::size_t size = std::min<std::uint64_t>(kChunk, image.size() - at);
    expect_ok(image.read(at, MutableBytes(wanted).first(size)));
    ASSERT_EQ(value_of(disk->read(at, MutableBytes(got).first(size))), size);
    ASSERT_TRUE(std::equal(got.begin(), got.begin() + static_cast<std::ptrdiff_t>(size), wanted.begin())) << at;
  }
}

TEST_F(CarryOverTest, NothingChangedIsTheSameRootAndNothingRead) {
  for (const std::uint64_t size : {std::uint64_t{1}, std::uint64_t{kChunk}, 64 * kMiB, 64 * kMiB + 5, 3 * kGiB + 77}) {
    SCOPED_TRACE(size);
    ChunkImage before(size);
    before.content[0] = 1;
    before.content[(size - 1) / kChunk] = 2;
    const IngestReport first = ingest(before);
    ChunkImage now = before;
    now.read_bytes = 0;
    now.as_before = {{0, size}};
    const IngestReport second = ingest(now, base_of(first));
    EXPECT_EQ(second.map.root, first.map.root);
    EXPECT_EQ(second.map.data_bytes, first.map.data_bytes);
    EXPECT_EQ(second.carried_bytes, size);
    EXPECT_EQ(now.read_bytes, 0U);
  }
}

TEST_F(CarryOverTest, AnEmptyDiskAndOneThatWasEmpty) {
  ChunkImage empty(0);
  const IngestReport first = ingest(empty);
  EXPECT_EQ(ingest(empty, base_of(first)).map.root, first.map.root);
  ChunkImage grown(200'000);
  grown.content[0] = 5;
  const IngestReport second = ingest(grown, base_of(first));
  EXPECT_EQ(second.map.root, ingest_whole(grown).map.root);
  EXPECT_EQ(second.map.data_bytes, kChunk);
  EXPECT_EQ(ingest(empty, base_of(second)).map.root, first.map.root);
}

TEST_F(CarryOverTest, TheLastChunkIsReadWhenTheSizeChanges) {
  ChunkImage before(2 * kChunk + 1000);
  before.content = {{0, 1}, {1, 2}, {2, 3}};
  const IngestReport first = ingest(before);
  // Unchanged as far as the smaller one goes: what a file system says.
  ChunkImage cut(2 * kChunk + 500);
  cut.content = before.content;
  cut.as_before = {{0, 2 * kChunk + 500}};
  const IngestReport second = ingest(cut, base_of(first));
  EXPECT_EQ(second.read_bytes, 500U);
  EXPECT_EQ(second.map.root, ingest_whole(cut).map.root);
  EXPECT_EQ(second.map.data_bytes, 2 * kChunk + 500);
  ChunkImage grown(2 * kChunk + 1000);
  grown.content = before.content;
  grown.as_before = {{0, 2 * kChunk + 500}};
  const IngestReport third = ingest(grown, base_of(second));
  EXPECT_EQ(third.map.root, first.map.root);
  EXPECT_EQ(third.map.data_bytes, first.map.data_bytes);
}

TEST_F(CarryOverTest, AgreesWithReadingEverything) {
  const char* const wanted = std::getenv("CAIRN_TEST_SEED");
  const std::uint64_t seed = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 20261121;
  std::printf("seed %llu (CAIRN_TEST_SEED)\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  // Sizes around where leaves and levels end: 1024 chunks a leaf, 1 Mi chunks a node above.
  const auto random_size = [&] {
    static constexpr std::uint64_t kSizes[] = {
        kChunk,           1024ULL * kChunk,        1025ULL * kChunk,
        3000ULL * kChunk, 1024ULL * 1024 * kChunk, (1024ULL * 1024 + 1500) * kChunk};
    const std::uint64_t size = kSizes[random() % std::size(kSizes)];
    switch (random() % 4) {
      case 0:
        return size - random() % kChunk;
      case 1:
        return size + random() % (3 * kChunk);
      default:
        return size;
    }
  };
  for (int chain = 0; chain < 12; ++chain) {
    SCOPED_TRACE(chain);
    ChunkImage before(random_size());
    IngestReport base = ingest(before);
    for (int step = 0; step < 8; ++step) {
      SCOPED_TRACE(step);
      ChunkImage now(random() % 3 == 0 ? random_size() : before.size());
      const std::uint64_t chunks = (now.size() + kChunk - 1) / kChunk;
      for (const auto& [chunk, value] : before.content)
        if (chunk < chunks) now.content[chunk] = value;
      for (std::uint64_t i = random() % 12; i > 0; --i) {
        const std::uint64_t at =
            random() % 2 == 0 ? random() % chunks : std::min<std::uint64_t>(chunks - 1, random() % 4000);
        for (std::uint64_t n = random() % 1500; n < 1500; n += 1 + n) {
          const std::uint64_t chunk = std::min(at + n, chunks - 1);
          if (random() % 3 == 0)
            now.content.erase(chunk);
          else
            now.content[chunk] = 1 + random() % 50;
        }
      }
      now.as_before = truth(before, now, &random);
      const IngestReport tracked = ingest(now, base_of(base));
      const IngestReport whole = ingest_whole(now);
      ASSERT_EQ(tracked.map.root, whole.map.root);
      ASSERT_EQ(tracked.map.data_bytes, whole.map.data_bytes);
      ASSERT_EQ(tracked.map.size, whole.map.size);
      before = now;
      base = tracked;
    }
  }
}

TEST_F(CarryOverTest, ABaseThatCannotBeReadIsToldApart) {
  ChunkImage before(3000ULL * kChunk);
  for (std::uint64_t i = 0; i < 3000; ++i) before.content[i] = i + 1;
  const IngestReport first = ingest(before);
  struct Broken final : ChunkSource {
    Result<SharedBuffer> fetch(RecordKind, const ChunkName&) override {
      return fail(ErrorCode::pack_damaged, "read", "a pack", "on purpose");
    }
  } broken;
  ChunkImage now = before;
  now.content[5] = 7777;
  now.as_before = truth(before, now, nullptr);
  const auto writer = value_of(begin_writing(*store_, "test"));
  IngestOptions options;
  options.base = IngestBase{&broken, first.map};
  const auto outcome = ingest_disk(*writer, now, options);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::tracking_base_lost);
  EXPECT_THAT(outcome.error().message(), ::testing::HasSubstr("on purpose"));
  // The writer goes on: the same disk, all of it read.
  now.as_before.clear();
  options.base.reset();
  EXPECT_TRUE(ingest_disk(*writer, now, options));
}

TEST_F(CarryOverTest, AMissingPackBeginsANewEpoch) {
  ChunkImage image(10ULL * kChunk);
  image.content = {{0, 1}, {3, 2}};
  ingest(image);
  const auto epoch = [&] { return value_of(value_of(begin_writing(*store_, "test"))->epoch()); };
  const std::string before = epoch();
  EXPECT_FALSE(before.empty());
  EXPECT_EQ(epoch(), before);
  ChunkImage other(10ULL * kChunk);
  other.content = {{0, 9}};
  ingest(other);
  EXPECT_EQ(epoch(), before) << "new packs are no loss";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path() / "packs")) {
    if (!entry.is_regular_file()) continue;
    std::filesystem::remove(entry.path());
    break;
  }
  const std::string after = epoch();
  EXPECT_NE(after, before);
  EXPECT_EQ(epoch(), after);
  value_of(rebuild_index(*store_));
  EXPECT_NE(epoch(), after);
}

TEST_F(CarryOverTest, MapsAreComparedByWhatDiffers) {
  ChunkImage one(5000ULL * kChunk + 10);
  ChunkImage other(5000ULL * kChunk + 10);
  for (std::uint64_t i = 0; i < 5001; i += 3) one.content[i] = other.content[i] = i + 1;
  other.content[4] = 5;
  other.content.erase(3000);
  other.content[5000] = 6;
  const auto differences = [&](const MapRecord& a, const MapRecord& b) {
    std::vector<ByteRange> ranges;
    expect_ok(visit_differences(store_->chunks(), a, b, kChunk, [&](ByteRange range) -> Result<void> {
      ranges.push_back(range);
      return {};
    }));
    return ranges;
  };
  const MapRecord a = ingest(one).map;
  const MapRecord b = ingest(other).map;
  EXPECT_THAT(differences(a, b),
              ::testing::ElementsAre(ByteRange{4ULL * kChunk, kChunk}, ByteRange{3000ULL * kChunk, kChunk},
                                     ByteRange{5000ULL * kChunk, 10}));
  EXPECT_THAT(differences(a, a), ::testing::IsEmpty());
  // Another size: only what both have, and as long.
  ChunkImage small(2000ULL * kChunk + 10);
  for (const auto& [chunk, value] : one.content)
    if (chunk <= 2000) small.content[chunk] = value;
  EXPECT_THAT(differences(b, ingest(small).map), ::testing::ElementsAre(ByteRange{4ULL * kChunk, kChunk}));
}

}  // namespace
}  // namespace cairn
