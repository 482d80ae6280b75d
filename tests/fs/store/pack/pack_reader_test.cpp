// SPDX-License-Identifier: GPL-3.0-or-later
// Packs as they are read: records whole and in part, and what is altered.
#include <gtest/gtest.h>

#include <random>

#include "fs/store/write/record_sink.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_backend.h"

namespace cairn {
namespace {

constexpr std::uint32_t kChunk = kMinChunkSize;

class PackReading : public testing::Test {
 protected:
  void SetUp() override {
    start_crypto();
    MemoryImage random(3ULL * kChunk);
    random.fill_random(0, random.size(), 5);
    chunks_ = {random.content(0, kChunk), Buffer(kChunk, 'x'), random.content(kChunk, 5000), random.content(0, 4096),
               random.content(kChunk, kChunk)};
    PackBuilder builder(keys_, best_seal_algorithm(), store_);
    Buffer room;
    for (const Buffer& chunk : chunks_)
      append_record(builder, {name_of(chunk), RecordKind::chunk, Compress::try_it, chunk}, room);
    pack_ = builder.finish();
  }
  [[nodiscard]] ChunkName name_of(const Buffer& chunk) const { return keys_.namer().name(RecordKind::chunk, chunk); }
  std::unique_ptr<PackReader> reader() {
    expect_ok(backend_.put(pack_.object(), ByteView(pack_.bytes), IfExists::replace));
    return value_of(PackReader::open(backend_, pack_.name, keys_, store_));
  }

  StoreId store_{1};
  KeyRing keys_{SecretBytes(32)};
  MemoryBackend backend_;
  std::vector<Buffer> chunks_;
  FinishedPack pack_;
};

TEST_F(PackReading, WhatDoesNotCompressLiesInSections) {
  const auto encoding = [&](std::size_t i) { return pack_.records[i].place.encoding; };
  EXPECT_EQ(encoding(0), RecordEncoding::sections);
  EXPECT_EQ(encoding(1), RecordEncoding::zstd);
  EXPECT_EQ(encoding(2), RecordEncoding::sections);
  EXPECT_EQ(encoding(3), RecordEncoding::plain) << "one section is the whole";
  EXPECT_EQ(pack_.records[0].place.sealed_bytes, kChunk + kChunk / 4096 * 16);
}

TEST_F(PackReading, AnyPartIsThatPartOfTheWhole) {
  const auto pack = reader();
  std::mt19937 engine(1);
  const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
  for (std::size_t i = 0; i < chunks_.size(); ++i) {
    const PackRecord& record = pack_.records[i];
    const SharedBuffer whole = value_of(pack->read_record(record.name, record.place));
    ASSERT_TRUE(std::ranges::equal(whole->view(), chunks_[i]));
    const auto size = static_cast<std::uint32_t>(chunks_[i].size());
    const auto check = [&](std::uint32_t offset, std::uint32_t bytes) {
      Buffer part(bytes);
      expect_ok(pack->read_part(record.name, record.place, offset, part));
      ASSERT_TRUE(std::ranges::equal(part, ByteView(chunks_[i]).subspan(offset, bytes))) << offset << " " << bytes;
    };
    check(0, size);
    check(size, 0);
    check(size - 1, 1);
    for (int round = 0; round < 300; ++round) {
      const std::uint32_t offset = random() % size;
      check(offset, random() % (size - offset) + 1);
    }
    for (std::uint32_t offset = 0; offset + 4096 <= size; offset += 4096) check(offset, 4096);
  }
}

TEST_F(PackReading, AnAlteredByteCostsPartsOfItsOwnSectionOnly) {
  const PackRecord& record = pack_.records[0];
  pack_.bytes[record.place.offset + 3 * kSealedSectionBytes + 7] ^= 1U;
  const auto pack = reader();
  Buffer part(4096);
  for (std::uint32_t section = 0; section < kChunk / 4096; ++section) {
    const auto outcome = pack->read_part(record.name, record.place, section * 4096, part);
    EXPECT_EQ(outcome.has_value(), section != 3) << section;
    if (!outcome) {
      EXPECT_EQ(outcome.error().code, ErrorCode::chunk_damaged);
    }
  }
  Buffer across(2);
  EXPECT_FALSE(pack->read_part(record.name, record.place, 3 * 4096 - 1, across));
  EXPECT_FALSE(pack->read_record(record.name, record.place)) << "as a whole it is damaged";
}

TEST_F(PackReading, APlaceThatTheIndexGotWrongIsDamage) {
  const auto pack = reader();
  Buffer part(100);
  const auto refused = [&](auto change) {
    RecordPlace place = pack_.records[0].place;
    change(place);
    const auto outcome = pack->read_part(pack_.records[0].name, place, 0, part);
    return !outcome && outcome.error().code == ErrorCode::chunk_damaged &&
           !pack->read_record(pack_.records[0].name, place);
  };
  EXPECT_TRUE(refused([](RecordPlace& place) { place.offset += 16; }));
  EXPECT_TRUE(refused([](RecordPlace& place) { place.number += 1; }));
  EXPECT_TRUE(refused([](RecordPlace& place) { place.sealed_bytes -= 16; }));
  EXPECT_TRUE(refused([](RecordPlace& place) { place.raw_bytes = kMaxRawBytes; }));
  EXPECT_TRUE(refused([](RecordPlace& place) { place.encoding = RecordEncoding::plain; }));
  EXPECT_TRUE(refused([](RecordPlace& place) { place.encoding = RecordEncoding::zstd; }));
  EXPECT_TRUE(refused([](RecordPlace& place) { place.encoding = static_cast<RecordEncoding>(9); }));
  EXPECT_TRUE(refused([](RecordPlace& place) { place.offset = UINT32_MAX - 10; }));
}

TEST_F(PackReading, ADiskIsReadInPartsAsAWhole) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(20ULL * kChunk + 3000);
  image.fill_random(0, 4ULL * kChunk, 1);
  image.fill_random(7ULL * kChunk + 100, 5ULL * kChunk, 2);
  image.fill_random(20ULL * kChunk, 3000, 3);
  const PointName name = value_of(take_backup(*store, image, "vm", test_time())).name;
  const auto disk = store->open_disk(value_of(store->points().load(name)).disks.at(0).map, "vm/root");
  std::mt19937_64 random(2);
  for (int round = 0; round < 500; ++round) {
    const std::uint64_t offset = random() % image.size();
    Buffer part(random() % 9000);
    const std::size_t expected = std::min<std::uint64_t>(part.size(), image.size() - offset);
    ASSERT_EQ(value_of(disk->read_part(offset, part)), expected);
    part.resize(expected);
    ASSERT_TRUE(part == image.content(offset, expected)) << offset << " " << expected;
  }
  Buffer part(10);
  EXPECT_EQ(value_of(disk->read_part(image.size(), part)), 0U);
}

}  // namespace
}  // namespace cairn
