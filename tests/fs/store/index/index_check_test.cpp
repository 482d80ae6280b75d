// SPDX-License-Identifier: GPL-3.0-or-later
// The check of an index file before LMDB is trusted with it: refuses what it must, and nothing that LMDB wrote itself.
#include "fs/store/index/index_check.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "config/base/bytes.h"
#include "config/base/unique_fd.h"
#include "fs/store/index/index.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

constexpr std::size_t kPage = 4096;

class IndexCheck : public testing::Test {
 protected:
  IndexCheck() {
    start_crypto();
    expect_ok(Index::create(folder_, store_));
  }

  void add(unsigned pack_number, std::size_t records) {
    const auto index = value_of(Index::open(folder_, store_));
    IndexedPack pack{Blake3::hex_of(Buffer(1, static_cast<std::uint8_t>(pack_number))), 1000, {}};
    for (std::size_t i = 0; i < records; ++i) {
      PackRecord record;
      Buffer name(kChunkNameBytes);
      for (std::size_t at = 0; at < name.size(); at += 8) put_le(MutableBytes(name).subspan(at), random_());
      record.name = ChunkName::of(name);
      record.place = {static_cast<std::uint32_t>(i), 64, 100, 84, RecordKind::chunk, RecordEncoding::plain};
      pack.records.push_back(record);
    }
    expect_ok(index->add({&pack, 1}));
  }

  // Changes bytes of the file and says how opening fails; nothing: it does not.
  std::optional<Error> after(std::uint64_t offset, ByteView bytes) {
    const UniqueFd file(::open((folder_ / "data.mdb").c_str(), O_RDWR | O_CLOEXEC));
    Buffer before(bytes.size());
    EXPECT_EQ(::pread(file.get(), before.data(), before.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(before.size()));
    EXPECT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
    const auto index = Index::open(folder_, store_);
    std::optional<Error> error;
    if (!index) error = index.error();
    EXPECT_EQ(::pwrite(file.get(), before.data(), before.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(before.size()));
    return error;
  }
  template <class Number>
  void expect_refused(std::uint64_t offset, Number number) {
    Buffer bytes;
    append_le(bytes, number);
    const auto error = after(offset, bytes);
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->code, ErrorCode::index_damaged) << error->message();
  }
  // A page of that kind that is in use: the root that the newest meta page names.
  std::uint64_t main_root() {
    const UniqueFd file(::open((folder_ / "data.mdb").c_str(), O_RDONLY | O_CLOEXEC));
    std::uint64_t root = 0;
    std::uint64_t newest = 0;
    for (std::uint64_t meta = 0; meta < 2; ++meta) {
      Buffer page(kPage);
      EXPECT_EQ(::pread(file.get(), page.data(), page.size(), static_cast<off_t>(meta * kPage)), ssize_t{kPage});
      const auto transaction = get_le<std::uint64_t>(ByteView(page).subspan(144));
      if (transaction < newest) continue;
      newest = transaction;
      root = get_le<std::uint64_t>(ByteView(page).subspan(128));
    }
    return root;
  }

  TemporaryDirectory place_;
  std::filesystem::path folder_ = place_.path() / "index";
  StoreId store_{1, 2, 3};
  std::mt19937_64 random_{20261122};
};

TEST_F(IndexCheck, TakesEveryFileThatLmdbWrote) {
  // Runs that are merged, filters with pages of their own, pages that were freed and used again.
  for (unsigned pack = 0; pack < 40; ++pack) {
    SCOPED_TRACE(pack);
    add(pack, pack % 5 == 0 ? 9000 : 40);
    if (HasFailure()) return;
  }
  const auto index = value_of(Index::open(folder_, store_));
  EXPECT_EQ(value_of(index->record_count()), 8U * 9000 + 32U * 40);
}

TEST_F(IndexCheck, TakesAFileWhilePacksAreForgotten) {
  for (unsigned pack = 0; pack < 6; ++pack) add(pack, 3000);
  for (unsigned pack = 0; pack < 6; ++pack) {
    const std::string name = Blake3::hex_of(Buffer(1, static_cast<std::uint8_t>(pack)));
    expect_ok(value_of(Index::open(folder_, store_))->forget({&name, 1}));
  }
  EXPECT_EQ(value_of(value_of(Index::open(folder_, store_))->record_count()), 0U);
}

TEST_F(IndexCheck, RefusesARootOutsideOfTheFile) {
  add(0, 10);
  for (const std::uint64_t meta : {std::uint64_t{0}, std::uint64_t{kPage}})
    if (const auto error = after(meta + 128, Buffer(8, 0x7e))) {
      EXPECT_EQ(error->code, ErrorCode::index_damaged);
    }
  expect_refused<std::uint64_t>(main_root() * kPage, 12345);  // a page that says it is another
}

TEST_F(IndexCheck, RefusesBoundsAndEntriesThatReachOutOfTheirPage) {
  add(0, 10);
  const std::uint64_t page = main_root() * kPage;
  expect_refused<std::uint16_t>(page + 12, 4000);  // more entries than it has
  expect_refused<std::uint16_t>(page + 14, 5000);  // its upper bound
  expect_refused<std::uint16_t>(page + 16, 4090);  // the first entry's place
  expect_refused<std::uint16_t>(page + 10, 0x20);  // its kind
}

TEST_F(IndexCheck, RefusesAPageThatTwoEntriesName) {
  add(0, 20'000);
  const std::uint64_t page = main_root() * kPage;
  Buffer bytes(kPage);
  {
    const UniqueFd file(::open((folder_ / "data.mdb").c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(page)), ssize_t{kPage});
  }
  // Both entries at the place of the first.
  const auto first = get_le<std::uint16_t>(ByteView(bytes).subspan(16));
  expect_refused<std::uint16_t>(page + 18, first);
}

TEST_F(IndexCheck, RefusesAMetaPageWithAnImpossibleTransaction) {
  add(0, 10);
  for (const std::uint64_t meta : {std::uint64_t{0}, std::uint64_t{kPage}})
    expect_refused<std::uint64_t>(meta + 144, meta == 0 ? 99 : 100);
}

}  // namespace
}  // namespace cairn
