// SPDX-License-Identifier: GPL-3.0-or-later
// The process ends right after each commit of a change to the index: what must be one step is one.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fs/store/index/index_fixture.h"

namespace {
int commits_left = -1;  // until the process ends; negative: it does not
}  // namespace

// In the place of LMDB's, which it calls.
extern "C" int mdb_txn_commit(MDB_txn* txn) {
  static const auto real = reinterpret_cast<int (*)(MDB_txn*)>(::dlsym(RTLD_NEXT, "mdb_txn_commit"));
  const int code = real(txn);
  if (commits_left > 0 && --commits_left == 0) ::_exit(9);
  return code;
}

namespace cairn {
namespace {

// Runs `change` on the index in a process that ends after `commits` of them; false: it came to its end before.
bool ends_after(int commits, const std::filesystem::path& folder, const std::function<Result<void>(Index&)>& change) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto index = Index::open(folder, kStore);
    commits_left = commits;
    const bool done = index && change(**index);
    ::_exit(done ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 1) << status;
  return WIFEXITED(status) && WEXITSTATUS(status) == 9;
}

// Change tracking takes over what the last backup stored as long as the epoch is the same: a pack that is retired as
// damaged while the epoch stays would be built upon.
TEST_F(Indexing, WhateverIsRetiredAsDamagedHasRenewedTheEpochToo) {
  PackNumber number = 0;
  {
    const auto index = make();
    for (std::uint64_t i = 0; i < 40; ++i) {
      const IndexedPack pack = pack_of(i, i * 100, 100);
      expect_ok(index->add({&pack, 1}));
    }
    expect_ok(index->renew_epoch());
  }
  int cuts = 0;
  for (bool ended = true; ended; ++cuts) {
    ASSERT_LT(cuts, 100);
    std::string before;
    {
      const auto index = open();
      before = value_of(index->epoch());
      for (const PackRow& row : value_of(index->packs()))
        if (row.retired == Retired::no) number = row.number;
    }
    ended = ends_after(cuts + 1, folder(), [&](Index& index) { return index.retire({&number, 1}, Retired::damaged); });
    const auto index = open();
    bool retired = false;
    for (const PackRow& row : value_of(index->packs()))
      if (row.number == number) retired = row.retired == Retired::damaged;
    EXPECT_EQ(retired, value_of(index->epoch()) != before) << "after commit " << cuts + 1;
    EXPECT_TRUE(retired || ended);
  }
  EXPECT_GT(cuts, 1) << "no commit was seen";
}

}  // namespace
}  // namespace cairn
