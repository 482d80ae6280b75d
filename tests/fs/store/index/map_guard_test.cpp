// SPDX-License-Identifier: GPL-3.0-or-later
// An index file that is cut off, overwritten or punched while it is open: no call ends the process, and what is found
// is true.
#include "fs/store/index/map_guard.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <csignal>
#include <cstdlib>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "fs/mount/signal_block.h"
#include "fs/store/collect/garbage.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/verify/verify.h"
#include "tests/fs/store/index/index_fixture.h"
#include "tests/fs/store/stored_disk.h"
#include "tests/support/memory_image.h"

namespace cairn {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kNames = 30'000;  // a run of which has filters with pages of their own

class OpenIndexFile : public testing::Test {
 protected:
  OpenIndexFile() : random_(static_cast<std::uint64_t>(testing::UnitTest::GetInstance()->random_seed())) {
    start_crypto();
    fresh(kNames);
  }
  void fresh(std::uint64_t names) {
    index_.reset();
    std::filesystem::remove_all(folder());
    names_ = 0;
    expect_ok(Index::create(folder(), kStore));
    index_ = value_of(Index::open(folder(), kStore));
    expect_ok(try_add(names));
    expect_ok(try_add(2000));
  }
  Result<void> try_add(std::uint64_t records) {
    const IndexedPack pack = pack_of(names_, names_, records);
    names_ += records;
    return index_->add({&pack, 1});
  }
  [[nodiscard]] std::filesystem::path folder() const { return directory_.path() / "index"; }
  [[nodiscard]] std::filesystem::path data() const { return folder() / "data.mdb"; }
  [[nodiscard]] std::uint64_t pages() const { return std::filesystem::file_size(data()) / kPage; }

  // Every name is found where it is, or the index is damaged: none is believed to be unknown.
  void look_up(std::size_t count, bool all_is_noticed = true) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t number = random_() % names_;
      const auto found = index_->locate(name_of(number));
      if (!found) {
        EXPECT_EQ(found.error().code, ErrorCode::index_damaged) << found.error().message();
      } else if (all_is_noticed && *found) {
        EXPECT_EQ((*found)->place.number, pack_record(number));
      } else if (all_is_noticed) {
        const ChunkName name = name_of(number);
        const auto absent = index_->check_absent({&name, 1});
        ASSERT_FALSE(absent) << "a name was lost without a sign";
        EXPECT_EQ(absent.error().code, ErrorCode::index_damaged) << absent.error().message();
      }
    }
  }
  static std::uint64_t pack_record(std::uint64_t number) { return number < kNames ? number : number - kNames; }

  // As somebody else does it: at a time at which this process did not write.
  void overwrite(std::uint64_t at, std::size_t bytes) {
    Buffer garbage(bytes);
    for (std::uint8_t& byte : garbage) byte = static_cast<std::uint8_t>(random_());
    const UniqueFd file(::open(data().c_str(), O_WRONLY | O_CLOEXEC));
    struct stat before{};
    struct stat after{};
    ASSERT_EQ(::fstat(file.get(), &before), 0);
    do {
      ASSERT_EQ(::pwrite(file.get(), garbage.data(), bytes, static_cast<off_t>(at)), static_cast<ssize_t>(bytes));
      ASSERT_EQ(::fstat(file.get(), &after), 0);
    } while (after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
  }

  TemporaryDirectory directory_;
  std::mt19937_64 random_;
  std::uint64_t names_ = 0;
  std::shared_ptr<Index> index_;
};

TEST_F(OpenIndexFile, CutOffItIsDamagedAndTheProcessGoesOn) {
  for (const std::uint64_t left : {std::uint64_t{0}, 2 * kPage, std::filesystem::file_size(data()) / 2}) {
    fresh(kNames);
    std::filesystem::resize_file(data(), left);
    std::size_t failed = 0;
    for (std::uint64_t i = 0; i < names_; ++i) failed += index_->locate(name_of(i)) ? 0 : 1;
    EXPECT_GT(failed, 0U) << left;
    ASSERT_TRUE(index_->damaged());
    EXPECT_EQ(index_->packs().error().code, ErrorCode::index_damaged);
    EXPECT_EQ(Index::open(folder(), kStore).error().code, ErrorCode::index_damaged) << "as long as somebody has it";
    index_.reset();
    EXPECT_EQ(Index::open(folder(), kStore).error().code, ErrorCode::index_damaged);
  }
}

TEST_F(OpenIndexFile, ManyReadersSurviveACut) {
  std::atomic<bool> stop = false;
  std::atomic<std::size_t> wrong = 0;
  std::vector<std::jthread> readers;
  {
    // As the threads of a mount run.
    const SignalBlock block;
    for (int i = 0; i < 4; ++i)
      readers.emplace_back([&] {
        for (std::uint64_t at = 0; !stop; at = (at + 1) % names_) {
          const auto found = index_->locate(name_of(at));
          if (found ? !found->has_value() : found.error().code != ErrorCode::index_damaged) ++wrong;
        }
      });
  }
  std::filesystem::resize_file(data(), 3 * kPage);
  while (!index_->damaged()) std::this_thread::yield();
  stop = true;
  readers.clear();
  EXPECT_EQ(wrong, 0U) << "a name was called unknown";
}

TEST_F(OpenIndexFile, AWriterOfACutFileFailsAndTheProcessGoesOn) {
  for (const std::uint64_t part : {0U, 5U, 9U}) {
    fresh(500);
    const std::uint64_t left = pages() * part / 10 * kPage;
    std::filesystem::resize_file(data(), left);
    const auto added = try_add(500);
    ASSERT_FALSE(added) << left;
    EXPECT_EQ(added.error().code, ErrorCode::index_damaged) << added.error().message();
    EXPECT_TRUE(index_->damaged());
  }
}

TEST_F(OpenIndexFile, AWriterNoticesWhatSomebodyElseWroteBeforeLmdbCopiesIt) {
  for (int round = 0; round < 10; ++round) {
    SCOPED_TRACE("seed " + std::to_string(testing::UnitTest::GetInstance()->random_seed()) + " round " +
                 std::to_string(round));
    fresh(500);
    overwrite(0, pages() * kPage);
    EXPECT_EQ(try_add(100).error().code, ErrorCode::index_damaged);
  }
}

TEST_F(OpenIndexFile, ALockFileThatIsCutOffIsSurvived) {
  std::filesystem::resize_file(folder() / "lock.mdb", 0);
  look_up(10);
  static_cast<void>(try_add(100).has_value());
  look_up(10);
}

TEST_F(OpenIndexFile, HolesInTheFileAreNoticed) {
  for (std::uint64_t page = 2; page < pages(); ++page) {
    if (page % 7 != 0) continue;
    const UniqueFd file(::open(data().c_str(), O_WRONLY | O_CLOEXEC));
    if (::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(page * kPage), kPage) !=
        0)
      GTEST_SKIP() << "this file system makes no holes";
  }
  look_up(2000);
}

TEST_F(OpenIndexFile, PagesOfGarbageAreNoticed) {
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE("seed " + std::to_string(testing::UnitTest::GetInstance()->random_seed()) + " round " +
                 std::to_string(round));
    fresh(kNames);
    for (std::uint64_t left = 1 + random_() % 60; left > 0; --left) overwrite(random_() % pages() * kPage, kPage);
    look_up(300);
    for (int i = 0; i < 3; ++i) {
      static_cast<void>(index_->packs().has_value());
      static_cast<void>(index_->record_count().has_value());
      static_cast<void>(index_->has_retired(Retired::damaged).has_value());
    }
  }
}

TEST_F(OpenIndexFile, SomeBytesOfGarbageAreSurvived) {
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE("seed " + std::to_string(testing::UnitTest::GetInstance()->random_seed()) + " round " +
                 std::to_string(round));
    fresh(500);
    for (std::uint64_t left = 1 + random_() % 20; left > 0; --left)
      overwrite(random_() % pages() * kPage + random_() % (kPage - 8), 8);
    look_up(100, false);
    static_cast<void>(index_->packs().has_value());
    static_cast<void>(index_->record_count().has_value());
  }
}

TEST(MapGuard, WhatIsNotOursEndsTheProcessAsBefore) {
  const TemporaryDirectory directory;
  start_crypto();
  expect_ok(Index::create(directory.path() / "index", kStore));
  const auto index = value_of(Index::open(directory.path() / "index", kStore));
  EXPECT_DEATH(*static_cast<volatile int*>(nullptr) = 1, "");
}

TEST(MapGuard, WhoeverWasReadyForAFaultBeforeStillGetsIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  // The process that ends runs this test from its beginning, and cleans up nothing: the place is made by the first.
  constexpr const char* kPlace = "CAIRN_TEST_MAP_GUARD_PLACE";
  std::optional<TemporaryDirectory> ours;
  if (::getenv(kPlace) == nullptr) ::setenv(kPlace, ours.emplace().path().c_str(), 1);
  const std::filesystem::path place = ::getenv(kPlace);
  const auto fault = [&] {
    struct sigaction action = {};
    action.sa_handler = [](int) { ::_exit(7); };
    ::sigaction(SIGBUS, &action, nullptr);
    expect_ok(Index::create(place / "index", kStore));
    const auto index = value_of(Index::open(place / "index", kStore));
    const UniqueFd file(::open((place / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const void* const map = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, file.get(), 0);
    static_cast<void>(*static_cast<const volatile char*>(map));
  };
  EXPECT_EXIT(fault(), testing::ExitedWithCode(7), "");
  ::unsetenv(kPlace);
}

// --- a store
class StoreWithOpenIndex : public testing::Test {
 protected:
  StoreWithOpenIndex() : image_(8 * kMiB) {
    image_.fill_random(0, 8 * kMiB, 1);
    store_ = place_.open();
    point_ = value_of(take_backup(*store_, image_, "vm", test_time()));
  }
  void expect_same_bytes() { EXPECT_TRUE(read_disk(*store_, point_.disks[0].map) == image_.content(0, image_.size())); }
  [[nodiscard]] std::filesystem::path data() const { return place_.path() / "index" / "data.mdb"; }
  void blank_filters() {
    store_.reset();
    {
      RawIndex raw(place_.path() / "index");
      raw.blank(raw.table("filters", 0));
    }
    store_ = place_.open();
  }
  TemporaryStore place_;
  MemoryImage image_;
  std::unique_ptr<Store> store_;
  RecoveryPoint point_;
};

TEST_F(StoreWithOpenIndex, IsReadOnWithoutAnIndexThatIsCutOff) {
  expect_same_bytes();
  std::filesystem::resize_file(data(), 4096);
  expect_same_bytes();
  ASSERT_TRUE(value_of(index_trouble(*store_)));
  EXPECT_EQ(value_of(index_trouble(*store_))->code, ErrorCode::index_damaged);
  value_of(rebuild_index(*store_));
  EXPECT_FALSE(value_of(index_trouble(*store_)));
  expect_same_bytes();
  value_of(take_backup(*store_, image_, "vm", test_time(1)));
}

TEST_F(StoreWithOpenIndex, IsReadOnWithoutAnIndexThatIsOverwritten) {
  expect_same_bytes();
  const std::uint64_t bytes = std::filesystem::file_size(data());
  std::fstream file(data(), std::ios::in | std::ios::out | std::ios::binary);
  for (std::uint64_t i = 0; i < bytes; ++i) file.put(static_cast<char>(i * 7919 >> 4U));
  file.close();
  expect_same_bytes();
  EXPECT_EQ(value_of(index_trouble(*store_))->code, ErrorCode::index_damaged);
  EXPECT_EQ(begin_writing(*store_, "test").error().code, ErrorCode::index_damaged);
}

TEST_F(StoreWithOpenIndex, ABackupWhoseIndexIsCutOffFailsAndTheNextOneGoesOn) {
  {
    const auto writer = value_of(begin_writing(*store_, "test"));
    std::filesystem::resize_file(data(), 4096);
    const auto stored = ingest_disk(*writer, image_, {});
    ASSERT_FALSE(stored);
    EXPECT_EQ(stored.error().code, ErrorCode::index_damaged);
  }
  EXPECT_EQ(begin_writing(*store_, "test").error().code, ErrorCode::index_damaged);
  value_of(rebuild_index(*store_));
  const RecoveryPoint point = value_of(take_backup(*store_, image_, "vm", test_time(2)));
  expect_same(*store_, point.name, image_);
}

// A filter that lost its bits says of every name that it is not there, and no check of pages sees it.
TEST_F(StoreWithOpenIndex, FiltersThatLostTheirBitsHideNothingFromReaders) {
  blank_filters();
  expect_same_bytes();
  EXPECT_EQ(value_of(index_trouble(*store_))->code, ErrorCode::index_damaged);
  EXPECT_TRUE(value_of(verify_store(*store_, {})).damage.none());
}

TEST_F(StoreWithOpenIndex, FiltersThatLostTheirBitsRemoveNoPack) {
  blank_filters();
  const auto packs = files_in(place_.path() / "packs");
  for (int run = 0; run < 2; ++run) {
    auto writer = begin_writing(*store_, "collection");
    const auto collected = writer ? collect_garbage(**writer, {}) : pass_on(writer.error());
    ASSERT_FALSE(collected);
    EXPECT_EQ(collected.error().code, ErrorCode::index_damaged) << collected.error().message();
    EXPECT_EQ(files_in(place_.path() / "packs"), packs);
    store_ = place_.open();
  }
}

}  // namespace
}  // namespace cairn
