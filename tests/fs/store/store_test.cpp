// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/store.h"
#include "fs/store/create_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "config/base/log.h"
#include "config/base/units.h"
#include "fs/io/local_backend.h"
#include "fs/store/index/index.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(Store, GivesBackWhatWasStored) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(10 * kMiB + 12345);  // ends in the middle of a chunk
  image.fill_random(0, 300'000, 1);
  image.fill_random(5 * kMiB - 7, 2 * kMiB, 2);
  image.fill_random(10 * kMiB + 12000, 345, 3);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  EXPECT_EQ(read_disk(*store, point.disks[0].map), image.content(0, image.size()));

  const auto again = place.open();
  const RecoveryPoint loaded = value_of(again->points().load(point.name));
  EXPECT_EQ(read_disk(*again, loaded.disks[0].map), image.content(0, image.size()));
}

TEST(Store, StoresEqualChunksOnceAcrossMachines) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(4 * kMiB);
  image.fill_random(0, 4 * kMiB, 1);
  const RecoveryPoint first = value_of(take_backup(*store, image, "one", test_time()));
  EXPECT_EQ(first.new_bytes, 4 * kMiB);
  const RecoveryPoint second = value_of(take_backup(*store, image, "two", test_time()));
  EXPECT_EQ(second.new_bytes, 0U);
  EXPECT_EQ(second.stored_bytes, 0U);
  EXPECT_EQ(first.disks[0].map.root, second.disks[0].map.root);
}

TEST(Store, TakesNothingForZerosAndHoles) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(16 * kTiB);
  image.write(kTiB, Buffer(kMiB, 0));  // written zeros
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  EXPECT_TRUE(point.disks[0].map.root.is_zero());
  EXPECT_EQ(point.disks[0].map.data_bytes, 0U);
  EXPECT_LE(image.read_bytes, 2 * kMiB);
  EXPECT_THAT(files_in(place.path() / "packs"), IsEmpty());
}

TEST(Store, AnIncrementalPointCostsTheChangedChunksAndThePathAboveThem) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(kTiB);
  for (int i = 0; i < 8; ++i)
    image.fill_random(static_cast<std::uint64_t>(i) * 100 * kGiB, kMiB, static_cast<unsigned>(i));
  value_of(take_backup(*store, image, "vm", test_time()));
  image.fill_random(300 * kGiB + 4096, 4096, 99);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time(1)));
  EXPECT_EQ(point.new_bytes, kMinChunkSize);
  EXPECT_LT(point.stored_bytes, 3 * 40 * kKiB + kMinChunkSize);  // a chunk and three nodes
  const auto reader = store->open_disk(point.disks[0].map, "test");
  Buffer bytes(kMiB);
  ASSERT_TRUE(reader->read(300 * kGiB, bytes));
  EXPECT_EQ(bytes, image.content(300 * kGiB, kMiB));
}

TEST(Store, FindsDataAndHolesInASparseDisk) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(kTiB);
  image.fill_random(500 * kGiB, 2 * kMinChunkSize, 1);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  const auto reader = store->open_disk(point.disks[0].map, "test");
  EXPECT_EQ(value_of(reader->seek_data(0)), 500 * kGiB);
  EXPECT_EQ(value_of(reader->seek_hole(0)), 0U);
  EXPECT_EQ(value_of(reader->seek_hole(500 * kGiB + 1)), 500 * kGiB + 2 * kMinChunkSize);
  EXPECT_EQ(value_of(reader->seek_data(500 * kGiB + 2 * kMinChunkSize)), std::nullopt);
  EXPECT_EQ(value_of(reader->seek_data(500 * kGiB + 5)), 500 * kGiB + 5);
  EXPECT_EQ(value_of(reader->seek_hole(kTiB)), kTiB);
  EXPECT_EQ(value_of(reader->seek_data(kTiB)), std::nullopt);
}

TEST(Store, AnEmptyDiskIsADiskToo) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(0);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  const auto reader = store->open_disk(point.disks[0].map, "test");
  Buffer bytes(10);
  EXPECT_EQ(value_of(reader->read(0, bytes)), 0U);
}

TEST(Store, CompressesPlainDataButNotCiphertext) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage text(kMiB);
  Buffer words;
  for (unsigned i = 0; words.size() < kMiB; ++i) append(words, as_bytes("line " + std::to_string(i) + " of a log\n"));
  words.resize(kMiB);
  text.write(0, words);
  const RecoveryPoint point = value_of(take_backup(*store, text, "text", test_time()));
  EXPECT_LT(point.stored_bytes, kMiB / 2);
  EXPECT_EQ(read_disk(*store, point.disks[0].map), words);

  const auto writer = value_of(begin_writing(*store, "test"));
  MemoryImage same(kMiB);
  std::reverse(words.begin(), words.end());
  same.write(0, words);
  IngestOptions options;
  options.ciphertext = {{0, kMiB}};
  EXPECT_GT(value_of(ingest_disk(*writer, same, options)).stored_bytes, kMiB);
}

TEST(Store, ReusesWhatACancelledBackupStored) {
  const TemporaryStore place;
  MemoryImage image(40 * kMiB);
  image.fill_random(0, 40 * kMiB, 1);
  {
    const auto store = place.open();
    const auto writer = value_of(begin_writing(*store, "test"));
    std::stop_source stop;
    IngestOptions options;
    options.workers = 2;
    options.stop = stop.get_token();
    image.before_read = [&](std::uint64_t offset) -> Result<void> {
      if (offset >= 20 * kMiB) stop.request_stop();
      return {};
    };
    const auto outcome = ingest_disk(*writer, image, options);
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, ErrorCode::cancelled);
  }
  image.before_read = nullptr;
  const auto store = place.open();
  EXPECT_THAT(value_of(store->points().list()), IsEmpty());
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time()));
  // At most what is on its way at once is stored anew: two buffers of 1 MiB for each of two workers and six readers.
  EXPECT_LE(point.new_bytes, (20 + 16) * kMiB);
  EXPECT_EQ(read_disk(*store, point.disks[0].map), image.content(0, image.size()));
}

TEST(Store, TakesPacksThatTheIndexMissedIntoIt) {
  const TemporaryStore place;
  MemoryImage image(4 * kMiB);
  image.fill_random(0, 4 * kMiB, 1);
  {
    const auto store = place.open();
    value_of(take_backup(*store, image, "vm", test_time()));
  }
  std::filesystem::remove_all(place.path() / "index");
  const auto store = place.open();
  const StoreId id = [&] {
    StoreId bytes{};
    const auto parsed = from_hex(store->info().id);
    std::copy(parsed->begin(), parsed->end(), bytes.begin());
    return bytes;
  }();
  expect_ok(Index::create(place.path() / "index", id));  // empty, as after a crash before the first index write
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time(1)));
  EXPECT_EQ(point.new_bytes, 0U);
}

TEST(Store, NewPointsDoNotBuildOnAPackThatIsGone) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(4 * kMiB);
  image.fill_random(0, 4 * kMiB, 1);
  value_of(take_backup(*store, image, "vm", test_time()));
  for (const auto& pack : files_in(place.path() / "packs")) std::filesystem::remove(pack);
  std::string log;
  redirect_log(&log);
  const RecoveryPoint point = value_of(take_backup(*store, image, "vm", test_time(1)));
  redirect_log(nullptr);
  EXPECT_THAT(log, HasSubstr("pack-missing"));
  EXPECT_EQ(point.new_bytes, 4 * kMiB);
  EXPECT_EQ(read_disk(*store, point.disks[0].map), image.content(0, image.size()));
}

TEST(Store, EachPointNamesThePreviousOneByItsHash) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(kMiB);
  const RecoveryPoint first = value_of(take_backup(*store, image, "vm", test_time()));
  value_of(take_backup(*store, image, "vm-2", test_time(1)));
  const RecoveryPoint second = value_of(take_backup(*store, image, "vm", test_time(2)));
  EXPECT_EQ(first.previous, "");
  EXPECT_EQ(second.previous_name, first.name.text());
  LocalBackend backend(place.path());
  EXPECT_EQ(second.previous, Blake3::hex_of(value_of(backend.get("points/" + first.name.text(), kMiB))));
}

TEST(Store, RefusesTwoPointsOfOneName) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(kMiB);
  value_of(take_backup(*store, image, "vm", test_time()));
  EXPECT_EQ(take_backup(*store, image, "vm", test_time()).error().code, ErrorCode::object_exists);
}

TEST(Store, LocksOutASecondWriterAndSaysWhoHasIt) {
  const TemporaryStore place;
  const auto store = place.open();
  const auto other = place.open();
  const auto writer = value_of(begin_writing(*store, "backup"));
  EXPECT_TRUE(begin_writing(*store, "backup"));  // the lock is the store's, and each has a writer of its own
  const auto refused = begin_writing(*other, "backup");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::store_locked);
  EXPECT_THAT(refused.error().message(), HasSubstr("backup (pid " + std::to_string(getpid())));
  EXPECT_TRUE(other->points().list());
}

TEST(Store, TheLockIsFreeWhenTheWriterIsGone) {
  const TemporaryStore place;
  const auto store = place.open();
  const auto other = place.open();
  {
    value_of(begin_writing(*store, "backup"));
  }
  EXPECT_TRUE(begin_writing(*other, "backup"));
}

TEST(Store, WritersOfOneStoreShareTheLockFromManyThreads) {
  const TemporaryStore place;
  const auto store = place.open();
  std::vector<std::jthread> threads;
  std::atomic<int> failures = 0;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        MemoryImage image(kMiB);
        image.fill_random(0, kMiB, static_cast<unsigned>(round));  // the same for all: they meet in the claims
        const auto point = take_backup(*store, image, "vm" + std::to_string(i), test_time(round));
        Buffer bytes(kMiB);
        if (!point || !store->open_disk(point->disks[0].map, "test")->read(0, bytes) || bytes != image.content(0, kMiB))
          ++failures;
      }
    });
  threads.clear();
  EXPECT_EQ(failures, 0);
  EXPECT_THAT(value_of(store->points().list()), SizeIs(20));
}

TEST(Store, RefusesAWrongKey) {
  const TemporaryStore place;
  UnlockKey key{KeySlotType::key_file, SecretBytes::random(32), "other.key"};
  const auto refused = Store::open(place.path(), key);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::wrong_key);
  EXPECT_THAT(refused.error().message(), HasSubstr("other.key"));
}

TEST(Store, SaysWhatIsWrongWithItsDocument) {
  const TemporaryStore place;
  std::filesystem::remove(place.path() / "store.json.copy");  // which would do instead
  const auto file = place.path() / "store.json";
  std::string good;
  {
    std::ifstream in(file);
    good.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto open_with = [&](const std::string& text) {
    std::ofstream(file, std::ios::trunc) << text;
    const auto store = Store::open(place.path(), TemporaryStore::key());
    return store ? ErrorCode::internal : store.error().code;
  };
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  EXPECT_EQ(open_with(""), ErrorCode::store_damaged);
  EXPECT_EQ(open_with(good.substr(0, good.size() / 2)), ErrorCode::store_damaged);
  EXPECT_EQ(open_with("{\"format\": \"something else\"}"), ErrorCode::not_a_store);
  EXPECT_EQ(open_with("[]"), ErrorCode::not_a_store);
  EXPECT_EQ(open_with(replaced("{", "{\"x\": " + std::string(400'000, '[') + std::string(400'000, ']') + ",")),
            ErrorCode::store_damaged);
  EXPECT_EQ(open_with(replaced("\"version\": 1", "\"version\": 2")), ErrorCode::store_too_new);
  EXPECT_EQ(open_with(replaced("\"chunk_size\": 65536", "\"chunk_size\": 131072")), ErrorCode::store_damaged);
  EXPECT_EQ(open_with(replaced("\"chunk_size\": 65536", "\"chunk_size\": 1000")), ErrorCode::store_damaged);
  std::filesystem::remove(file);
  EXPECT_EQ(Store::open(place.path(), TemporaryStore::key()).error().code, ErrorCode::store_missing);
  EXPECT_EQ(Store::open(place.path() / "nowhere", TemporaryStore::key()).error().code, ErrorCode::store_missing);
}

TEST(Store, IsNotMadeWhereSomethingIs) {
  const TemporaryDirectory directory;
  NewKeySlot slot;
  slot.label = "test";
  slot.secret = SecretBytes::random(32);
  std::ofstream(directory.path() / "precious.txt") << "mine";
  EXPECT_EQ(create_store(directory.path(), {}, {&slot, 1}).error().code, ErrorCode::store_exists);
  EXPECT_THAT(files_in(directory.path()), SizeIs(1));
  EXPECT_EQ(create_store(directory.path() / "a" / "b", {}, {&slot, 1}).error().code, ErrorCode::target_missing);
  StoreParameters odd;
  odd.chunk_size = 100'000;
  EXPECT_EQ(create_store(directory.path() / "a", odd, {&slot, 1}).error().code, ErrorCode::used_wrongly);
}

TEST(Store, KeysAreAddedAndRemovedButNeverTheLast) {
  const TemporaryStore place;
  const auto store = place.open();
  const RecoveryKeyPair pair = make_recovery_key();
  NewKeySlot recovery;
  recovery.type = KeySlotType::recovery;
  recovery.label = "paper";
  recovery.recovery_public = pair.public_half;
  expect_ok(store->keys().add_slot(recovery));
  EXPECT_EQ(store->keys().add_slot(recovery).error().code, ErrorCode::key_slot_exists);
  UnlockKey paper{KeySlotType::recovery, SecretBytes::copy_of(pair.secret.reveal()), "paper"};
  EXPECT_TRUE(Store::open(place.path(), paper));
  EXPECT_EQ(store->keys().remove_slot("nobody").error().code, ErrorCode::no_such_key_slot);
  expect_ok(store->keys().remove_slot("test"));
  EXPECT_EQ(Store::open(place.path(), TemporaryStore::key()).error().code, ErrorCode::wrong_key);
  EXPECT_EQ(store->keys().remove_slot("paper").error().code, ErrorCode::last_key_slot);
  EXPECT_TRUE(Store::open(place.path(), paper));
}

TEST(Store, FindsPointsByNamePrefixAndLatest) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(0);
  const auto first = value_of(take_backup(*store, image, "web-01", test_time()));
  const auto second = value_of(take_backup(*store, image, "web-01", test_time(86400)));
  EXPECT_EQ(value_of(store->points().find("web-01@latest")), second.name);
  EXPECT_EQ(value_of(store->points().find(first.name.text())), first.name);
  EXPECT_EQ(value_of(store->points().find("web-01@" + first.name.stamp().substr(0, 8))), first.name);
  EXPECT_EQ(store->points().find("web-01@20").error().code, ErrorCode::ambiguous_point);
  EXPECT_EQ(store->points().find("web-01@1999").error().code, ErrorCode::no_such_point);
  EXPECT_THAT(store->points().find("wbe-01@latest").error().message(), HasSubstr("did you mean web-01"));
  for (const char* wrong : {"", "web-01", "@latest", "web-01@"})
    EXPECT_EQ(store->points().find(wrong).error().code, ErrorCode::used_wrongly) << wrong;
}

TEST(Store, APointThatWasRemovedIsGone) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(0);
  const auto point = value_of(take_backup(*store, image, "vm", test_time()));
  const auto writer = value_of(begin_writing(*store, "test"));
  expect_ok(remove_point(*writer, point.name));
  EXPECT_EQ(remove_point(*writer, point.name).error().code, ErrorCode::point_missing);
  EXPECT_THAT(value_of(store->points().list()), IsEmpty());
  EXPECT_EQ(store->points().load(point.name).error().code, ErrorCode::point_missing);
}

TEST(Store, PassesOverFilesThatAreNotItsOwn) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage image(kMiB);
  image.fill_random(0, kMiB, 1);
  const auto point = value_of(take_backup(*store, image, "web..01", test_time()));
  const std::uint64_t packs = value_of(count_usage(*store)).packs;
  std::filesystem::create_directory(place.path() / "packs" / "zz");
  for (const char* stray :
       {"packs/zz/x..y", "packs/README", "points/..hidden", "points/a..b@20261121T020000Z", "points/x"})
    std::ofstream(place.path() / stray) << "not ours";
  const auto again = place.open();
  EXPECT_EQ(value_of(count_usage(*again)).packs, packs);
  EXPECT_EQ(value_of(rebuild_index(*again)).packs, packs);
  value_of(begin_writing(*again, "test"));
  EXPECT_THAT(value_of(again->points().list()), SizeIs(2));  // the damaged one is named, not hidden
  EXPECT_EQ(again->points().load({"a..b", *parse_compact_time("20261121T020000Z")}).error().code,
            ErrorCode::point_damaged);
  EXPECT_EQ(read_disk(*again, value_of(again->points().load(point.name)).disks[0].map), image.content(0, kMiB));
}

TEST(Store, ReadersFollowPacksThatCameAndWent) {
  const TemporaryStore place;
  const auto store = place.open();
  MemoryImage first(kMiB);
  first.fill_random(0, kMiB, 1);
  const auto point = value_of(take_backup(*store, first, "vm", test_time()));
  EXPECT_EQ(read_disk(*store, point.disks[0].map), first.content(0, kMiB));
  for (const auto& pack : files_in(place.path() / "packs")) std::filesystem::remove(pack);
  std::string log;
  redirect_log(&log);
  MemoryImage second(kMiB);
  second.fill_random(0, kMiB, 2);
  const auto later = value_of(take_backup(*store, second, "vm", test_time(1)));  // forgets the pack, adds another
  redirect_log(nullptr);
  EXPECT_EQ(read_disk(*store, later.disks[0].map), second.content(0, kMiB));
}

TEST(Store, WorksWithEveryChunkSize) {
  for (std::uint32_t chunk_size = kMinChunkSize; chunk_size <= kMaxChunkSize; chunk_size *= 2) {
    const TemporaryStore place(chunk_size);
    const auto store = place.open();
    MemoryImage image(9 * kMiB + 1);
    image.fill_random(kMiB + 1, 3 * kMiB, 1);
    image.fill_random(9 * kMiB, 1, 2);
    const auto point = value_of(take_backup(*store, image, "vm", test_time()));
    EXPECT_EQ(read_disk(*store, point.disks[0].map), image.content(0, image.size())) << chunk_size;
  }
}

}  // namespace
}  // namespace cairn
