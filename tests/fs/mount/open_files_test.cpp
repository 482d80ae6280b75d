// SPDX-License-Identifier: GPL-3.0-or-later
// Open disks, and reads as pieces of cached chunks.
#include "fs/mount/open_files.h"

#include <gmock/gmock.h>

#include "fs/mount/failure_log.h"
#include "tests/fs/mount/fake_points.h"

namespace cairn {
namespace {

using test::FakeChunks;

constexpr std::uint32_t kChunk = 65536;

// A disk of four chunks and a part: data, zero, data, data, data (1000 bytes).
struct Disk {
  Disk() {
    MapNode node;
    for (const std::uint64_t number : {1U, 0U, 2U, 3U, 4U}) {
      node.names.push_back(number == 0 ? ChunkName{} : FakeChunks::name(number));
      if (number != 0)
        chunks.put(FakeChunks::name(number), Buffer(number == 4 ? 1000 : kChunk, static_cast<std::uint8_t>(number)));
    }
    chunks.put(FakeChunks::name(100), encode_node(node));
    map = {4 * kChunk + 1000, 3 * kChunk + 1000, FakeChunks::name(100)};
  }
  std::unique_ptr<DiskReader> open() { return std::make_unique<DiskReader>(chunks, map, kChunk, "web-01@x/root"); }
  FakeChunks chunks;
  MapRecord map;
};

std::string joined(const ReadPieces& answer) {
  std::string out;
  for (const iovec& piece : answer.pieces) out.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  return out;
}

TEST(Gather, AnswersAcrossChunksZerosAndTheEnd) {
  Disk disk;
  const auto reader = disk.open();
  std::string whole = std::string(kChunk, 1) + std::string(kChunk, 0) + std::string(kChunk, 2) +
                      std::string(kChunk, 3) + std::string(1000, 4);
  ReadPieces answer;
  for (const std::uint64_t offset :
       {0UL, 1UL, 65535UL, 65536UL, 100000UL, 262143UL, 262144UL, 263143UL, 263144UL, 1UL << 44})
    for (const std::uint64_t size : {1UL, 4096UL, 65536UL, 300000UL}) {
      gather(*reader, ByteOffset(offset), ByteCount(size), answer);
      ASSERT_FALSE(answer.failure);
      const std::string expected = offset < whole.size() ? whole.substr(offset, size) : "";
      EXPECT_EQ(answer.size, expected.size());
      EXPECT_TRUE(joined(answer) == expected) << offset << " " << size;
    }
}

TEST(Gather, CopiesNothing) {
  Disk disk;
  const auto reader = disk.open();
  ReadPieces answer;
  gather(*reader, ByteOffset(100), ByteCount(4096), answer);
  ASSERT_EQ(answer.pieces.size(), 1U);
  ASSERT_EQ(answer.held.size(), 1U);
  EXPECT_EQ(answer.pieces[0].iov_base, answer.held[0]->data() + 100);
}

TEST(Gather, GivesTheGoodPartBeforeADamagedChunk) {
  Disk disk;
  disk.chunks.damage(FakeChunks::name(3));
  const auto reader = disk.open();
  ReadPieces answer;
  gather(*reader, ByteOffset(2 * kChunk + 10), ByteCount(2 * kChunk), answer);
  EXPECT_EQ(answer.size, kChunk - 10);
  ASSERT_TRUE(answer.failure);
  EXPECT_EQ(answer.failed_chunk, 3U);
  EXPECT_EQ(answer.failed_offset, 3 * kChunk);
  gather(*reader, ByteOffset(3 * kChunk + 5), ByteCount(10), answer);
  EXPECT_EQ(answer.size, 0U);
  ASSERT_TRUE(answer.failure);
  EXPECT_EQ(answer.failed_offset, 3 * kChunk + 5);
  gather(*reader, ByteOffset(4 * kChunk), ByteCount(1000), answer);
  EXPECT_FALSE(answer.failure);
  EXPECT_EQ(answer.size, 1000U);
}

TEST(OpenDisks, ShareOneReaderAndLetItGo) {
  Disk disk;
  int made = 0;
  int held = 0;
  struct Hold final : ObjectHold {
    explicit Hold(int& count) : held(count) { ++held; }
    ~Hold() override { --held; }
    int& held;
  };
  bool gone = false;
  OpenDisks disks(
      [&](const PointImage&) {
        ++made;
        return disk.open();
      },
      [&](const PointName& name) -> Result<std::unique_ptr<ObjectHold>> {
        if (gone) return fail(ErrorCode::point_missing, "hold recovery point", name.text());
        return std::make_unique<Hold>(held);
      });
  auto point = std::make_shared<LoadedPoint>();
  point->disks.push_back({"root.img", "x", disk.map});
  const FileContent content{point, point->disks.data(), {}};
  auto first = *disks.open(10, content);
  auto second = *disks.open(10, content);
  EXPECT_EQ(first, second);
  EXPECT_EQ(made, 1);
  EXPECT_EQ(disks.open_inodes(), std::vector<InodeNumber>{10});
  EXPECT_EQ(held, 1);
  first.reset(), second.reset();
  EXPECT_EQ(held, 0);
  EXPECT_TRUE(disks.open_inodes().empty());
  EXPECT_TRUE(disks.open(10, content));
  EXPECT_EQ(made, 2);
  gone = true;
  EXPECT_EQ(disks.open(10, content).error().code, ErrorCode::point_missing);
  EXPECT_EQ(made, 2);
}

TEST(FailureLog, SaysTheSameOnceAMinute) {
  FailureLog::Time now{};
  FailureLog log([&] { return now; });
  EXPECT_TRUE(log.is_news(1, 5));
  EXPECT_FALSE(log.is_news(1, 5));
  EXPECT_TRUE(log.is_news(1, 6));
  EXPECT_TRUE(log.is_news(2, 5));
  now += std::chrono::seconds(59);
  EXPECT_FALSE(log.is_news(1, 5));
  now += std::chrono::seconds(1);
  EXPECT_TRUE(log.is_news(1, 5));
  EXPECT_FALSE(log.is_news(1, 5));
}

TEST(FailureLog, StaysBounded) {
  FailureLog::Time now{};
  FailureLog log([&] { return now; });
  for (std::uint64_t i = 0; i < 100000; ++i) EXPECT_TRUE(log.is_news(1, i));
  EXPECT_FALSE(log.is_news(1, 99999));
}

}  // namespace
}  // namespace cairn
