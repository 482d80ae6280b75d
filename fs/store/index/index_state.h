// SPDX-License-Identifier: GPL-3.0-or-later
// Index::State: the LMDB environment, its tables and its runs. Internal to fs/store: index_open.cpp makes
// and opens, index_trust.cpp says what can be believed, index.cpp reads and adds, index_merge.cpp writes and merges
// runs.
#pragma once

#include <lmdb.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "config/base/guarded.h"
#include "fs/store/index/guarded_lmdb.h"
#include "fs/store/index/index.h"
#include "fs/store/index/index_runs.h"
#include "fs/store/index/map_guard.h"

namespace cairn {

class IndexPlace;

// LMDB takes non-const pointers and does not write through them.
inline MDB_val value_of(ByteView bytes) {
  return {bytes.size(), const_cast<std::uint8_t*>(bytes.data())};
}
inline ByteView view_of(const MDB_val& value) {
  return {static_cast<const std::uint8_t*>(value.mv_data), value.mv_size};
}
std::unexpected<Error> lmdb_error(int code, const char* doing, const std::string& folder);

struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  auto operator<=>(const FileIdentity&) const = default;
};

// What changes when anybody writes to a file.
struct FileTimes {
  std::array<std::int64_t, 5> facts{};  // bytes, times of writing and of change in seconds and nanoseconds
  bool operator==(const FileTimes&) const = default;
};

// A transaction that is aborted unless it was committed.
class Transaction {
 public:
  Transaction() = default;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (txn_ != nullptr) guarded_abort(txn_);
  }
  int begin(MDB_env* env, unsigned flags) { return guarded_begin(env, flags, &txn_); }
  int commit() { return guarded_commit(std::exchange(txn_, nullptr)); }
  [[nodiscard]] MDB_txn* get() const { return txn_; }

 private:
  MDB_txn* txn_ = nullptr;
};

// Must be closed before its transaction is committed.
using Cursor = std::unique_ptr<MDB_cursor, decltype(&mdb_cursor_close)>;

// A run as it is searched. The filter's pieces are where LMDB has them in memory: they stay there as long as the run is
// in the snapshot of whoever reads them.
struct OpenRun {
  RunFacts facts;
  MDB_dbi table = 0;
  std::vector<const std::uint8_t*> pieces;
  [[nodiscard]] bool may_hold(const ChunkName& name) const;
};
struct RunSet {
  Buffer listed;                                        // as `about` has them
  std::uint64_t generation = 0;                         // of `retired`
  std::vector<OpenRun> runs;                            // the largest first
  std::deque<Buffer> copies;                            // of pieces that could move; what `runs` point to
  std::vector<std::pair<PackNumber, Retired>> retired;  // sorted
  [[nodiscard]] Retired retired_of(PackNumber pack) const;
  [[nodiscard]] std::vector<RunFacts> facts() const;
};

using NewEntry = std::pair<const ChunkName*, IndexEntry>;

// A row of the table `retired`.
struct RetiredRow {
  PackNumber pack = 0;
  Retired state = Retired::no;
  std::uint64_t records = 0;  // how many the pack had
};

// Who looks a name up. Writers do not see what is in retired packs.
enum class Who { reader, writer };
// Whether a run's filter is asked before the run is searched.
enum class Filters { asked, ignored };

std::optional<IndexEntry> decode_entry(ByteView bytes);
inline PackNumber pack_of_entry(ByteView entry) {
  return get_le<PackNumber>(entry);
}

struct Index::State {
  std::string folder;
  FileIdentity identity;
  MapGuard guard;  // of `env`
  MDB_env* env = nullptr;
  MDB_dbi about = 0;                           // what the index is, which runs it has
  MDB_dbi packs = 0;                           // pack number -> size u64, records u64, name
  MDB_dbi pack_numbers = 0;                    // pack name -> pack number
  MDB_dbi filters = 0;                         // run, piece -> 64 KiB of the run's filter
  MDB_dbi retired = 0;                         // pack number -> state, records
  MDB_dbi verified = 0;                        // pack number -> when it was read and found whole
  std::array<MDB_dbi, kRunSlots> tables = {};  // of runs: chunk name -> entry
  std::uint32_t version = 0;                   // as it is on disk; below kIndexVersion only where nobody may write
  Guarded<std::vector<MDB_txn*>> idle;         // read transactions, reset
  // From the beginning to the end of whatever changes runs: merges take several transactions, and one must not take the
  // other's for the leftover of a crash.
  std::mutex change_mutex;
  Guarded<std::shared_ptr<const RunSet>> last_runs;
  std::atomic<bool> is_distrusted = false;
  Guarded<std::optional<Error>> why_distrusted;
  // The file when its pages were last found in order, or as this process left it after that; nothing: it is not known.
  Guarded<std::optional<FileTimes>> sound;
  std::mutex check_mutex;  // one check of the file at a time

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State();

  [[nodiscard]] std::unexpected<Error> damaged(const std::string& because) const;
  // Errors of writing, from LMDB's code; 0 is none.
  [[nodiscard]] Result<void> written(int code) const;
  int make_env();
  int open_env(IndexPlace& place, bool create);
  int open_files(IndexPlace& place, unsigned flags);
  int open_tables(MDB_txn* txn, unsigned flags);
  int open_first_tables(MDB_txn* txn, unsigned flags);  // those of version 1
  Result<void> open_version(const StoreId& store, const IndexPlace& place);
  int open_run_tables(MDB_txn* txn, unsigned flags);  // and those of version 2
  int make_current(MDB_txn* txn, const StoreId& store, std::uint32_t from);
  int put_new_epoch(MDB_txn* txn) const;

  // --- index_trust.cpp
  // Each call of the Index: what it found counts only when all that was read could be read, and once something is
  // damaged nothing counts any more.
  template <class Work>
  auto safely(const Work& work) -> decltype(work()) {
    if (auto known = distrusted()) return pass_on(*std::move(known));
    auto outcome = work();
    if (guard.broken()) return pass_on(*distrusted());
    if (!outcome && outcome.error().code == ErrorCode::index_damaged) distrust(outcome.error());
    return outcome;
  }
  [[nodiscard]] std::optional<Error> distrusted();
  void distrust(const Error& why);
  // A writing transaction. LMDB trusts pages: when somebody else has written to the file since it was looked at, all
  // are looked at first, up to kMaxCheckedIndexBytes.
  Result<void> begin_write(Transaction& txn);
  Result<void> commit(Transaction& txn);
  // Whether LMDB can be trusted with the file, whatever its size: index_check.h. At once for a file that was looked at
  // and that only this process has written to since.
  Result<void> check_file();
  [[nodiscard]] FileTimes file_times() const;

  Result<MDB_txn*> begin_read();
  void end_read(MDB_txn* txn);
  Result<std::optional<PackNumber>> number_of(MDB_txn* txn, const std::string& pack_name) const;
  // The runs of the transaction's snapshot; for a writing one before it has changed any run.
  Result<std::shared_ptr<const RunSet>> runs(MDB_txn* txn);
  // The entry's bytes; nothing when no run has the name.
  Result<std::optional<ByteView>> entry_of(MDB_txn* txn, const RunSet& runs, const ChunkName& name, Who who,
                                           Filters asking = Filters::asked) const;

  // In one transaction of the caller's. `runs`: as they are before it.
  Result<PackNumber> next_pack(MDB_txn* txn) const;
  Result<void> add_packs(MDB_txn* txn, const RunSet& runs, std::span<const IndexedPack> packs);
  Result<void> add_run(MDB_txn* txn, const RunSet& runs, std::vector<NewEntry>& entries);

  // --- index_retired.cpp
  Result<std::uint64_t> generation_of(MDB_txn* txn) const;
  Result<void> next_generation(MDB_txn* txn) const;
  Result<std::vector<RetiredRow>> retired_rows(MDB_txn* txn) const;
  Result<void> put_retired(MDB_txn* txn, const RetiredRow& row) const;
  Result<PackRow> pack_row(MDB_txn* txn, PackNumber number) const;  // index_damaged: there is none
  Result<void> make_gone(MDB_txn* txn, std::span<const PackNumber> numbers) const;
  // No entry names those that were gone in `before` any more.
  Result<void> forget_gone(MDB_txn* txn, const RunSet& before) const;
  // Merges all runs when many entries are of packs that are gone.
  Result<void> merge_away_gone();

  // --- index_merge.cpp: of the one writer
  Result<std::uint32_t> take_run_id(MDB_txn* txn) const;
  Result<void> list_runs(MDB_txn* txn, std::span<const RunFacts> runs) const;
  // Takes away what an interrupted merge left.
  Result<void> drop_unfinished();
  // Merges runs until their sizes are as they should be; what a crash leaves is taken away by drop_unfinished().
  Result<void> merge_runs();
  // When it merges all runs, entries of packs that are gone are gone after it.
  Result<void> merge(std::span<const RunFacts> sources, std::span<const RunFacts> others);
  Result<void> drop_run(MDB_txn* txn, std::uint32_t slot, std::uint32_t id) const;
};

// Gives a read transaction back to the pool.
class ReadScope {
 public:
  ReadScope(Index::State& state, MDB_txn* txn) : state_(state), txn_(txn) {}
  ReadScope(const ReadScope&) = delete;
  ReadScope& operator=(const ReadScope&) = delete;
  ~ReadScope() { state_.end_read(txn_); }

 private:
  Index::State& state_;
  MDB_txn* txn_;
};

// Writes one run, in the order of names, perhaps over several transactions.
class RunWriter {
 public:
  RunWriter(const Index::State& state, RunFacts facts);
  Result<void> begin(MDB_txn* txn);
  // Larger than all names before.
  Result<void> put(const ChunkName& name, ByteView entry);
  void pause() { cursor_.reset(); }  // before the transaction is committed
  // In the last transaction: the run as it is now.
  Result<RunFacts> finish();

 private:
  Result<void> store_piece();
  const Index::State& state_;
  RunFacts facts_;
  MDB_txn* txn_ = nullptr;
  Cursor cursor_{nullptr, &mdb_cursor_close};
  std::uint64_t names_ = 0;
  std::uint64_t piece_ = 0;  // the one being filled
  Buffer filter_;            // that piece
};

}  // namespace cairn
