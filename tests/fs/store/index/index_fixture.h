// SPDX-License-Identifier: GPL-3.0-or-later
// What tests of the index share: names and packs by number, and the tables as they are.
#pragma once

#include "fs/store/index/index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "fs/store/index/index_runs.h"
#include "tests/support/temporary_store.h"

namespace cairn {

inline constexpr StoreId kStore{7};

// Looks like a keyed hash, the same for the same number.
inline ChunkName name_of(std::uint64_t number) {
  ChunkName name;
  std::mt19937_64 random(number);
  for (std::size_t part = 0; part < 4; ++part) put_le(MutableBytes(name.bytes).subspan(8 * part), random());
  return name;
}

// The pack number `number`, with the records first, first + 1, ...
inline IndexedPack pack_of(std::uint64_t number, std::uint64_t first, std::uint64_t count) {
  IndexedPack pack{name_of(~number).hex(), 1000, {}};
  for (std::uint64_t i = 0; i < count; ++i)
    pack.records.push_back({name_of(first + i), {static_cast<std::uint32_t>(i), 64, 32, 16}});
  return pack;
}

// How many of the names first, first + 1, ... the index does not have.
inline std::uint64_t missing(Index& index, std::uint64_t first, std::uint64_t count) {
  std::vector<ChunkName> names(count);
  for (std::uint64_t i = 0; i < count; ++i) names[i] = name_of(first + i);
  const auto found = std::make_unique<bool[]>(count);
  expect_ok(index.contains(names, {found.get(), count}));
  return static_cast<std::uint64_t>(std::count(found.get(), found.get() + count, false));
}

inline std::vector<std::string> pack_names(Index& index) {
  std::vector<std::string> names;
  for (const PackRow& row : value_of(index.packs())) names.push_back(row.name);
  return names;
}

// A table of LMDB as it is, for what Index does not show. No Index may be open meanwhile.
class RawIndex {
 public:
  explicit RawIndex(const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    mdb_env_create(&env_);
    mdb_env_set_mapsize(env_, std::size_t{1} << 30U);
    mdb_env_set_maxdbs(env_, 64);
    EXPECT_EQ(mdb_env_open(env_, folder.c_str(), 0, 0600), 0);
    EXPECT_EQ(mdb_txn_begin(env_, nullptr, 0, &txn_), 0);
  }
  RawIndex(const RawIndex&) = delete;
  RawIndex& operator=(const RawIndex&) = delete;
  ~RawIndex() {
    EXPECT_EQ(mdb_txn_commit(txn_), 0);
    mdb_env_close(env_);
  }
  MDB_dbi table(const char* name, unsigned flags = MDB_CREATE) {
    MDB_dbi table = 0;
    EXPECT_EQ(mdb_dbi_open(txn_, name, flags, &table), 0) << name;
    return table;
  }
  void put(MDB_dbi table, ByteView key, ByteView value) {
    MDB_val raw_key{key.size(), const_cast<std::uint8_t*>(key.data())};
    MDB_val raw_value{value.size(), const_cast<std::uint8_t*>(value.data())};
    EXPECT_EQ(mdb_put(txn_, table, &raw_key, &raw_value, 0), 0);
  }
  // Makes all values zeros, of the length that they have.
  void blank(MDB_dbi table) {
    MDB_cursor* cursor = nullptr;
    EXPECT_EQ(mdb_cursor_open(txn_, table, &cursor), 0);
    MDB_val key{};
    MDB_val value{};
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
      Buffer zeros(value.mv_size);
      MDB_val blank{zeros.size(), zeros.data()};
      EXPECT_EQ(mdb_cursor_put(cursor, &key, &blank, MDB_CURRENT), 0);
    }
    mdb_cursor_close(cursor);
  }
  std::size_t entries(MDB_dbi table) {
    MDB_stat stat{};
    EXPECT_EQ(mdb_stat(txn_, table, &stat), 0);
    return stat.ms_entries;
  }

 private:
  MDB_env* env_ = nullptr;
  MDB_txn* txn_ = nullptr;
};

class Indexing : public testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path folder() const { return directory_.path() / "index"; }
  [[nodiscard]] std::shared_ptr<Index> open() const { return value_of(Index::open(folder(), kStore)); }
  [[nodiscard]] std::shared_ptr<Index> make() const {
    expect_ok(Index::create(folder(), kStore));
    return open();
  }

 private:
  TemporaryDirectory directory_;
};

}  // namespace cairn
