// SPDX-License-Identifier: GPL-3.0-or-later
// Index: finds the pack, offset and length of a chunk by its name. It is only a cache of the packs' footers and can be
// rebuilt from them. LMDB, memory-mapped, shared by all readers. New names are written in sorted runs, which are merged
// when there are many (index_runs.h), so that adding does not slow down as the index grows. Bytes: fs/store/FORMAT.md
// "Index". One process writes at a time (the writer lock); any thread reads. A file that is cut off, overwritten or
// cannot be read while it is open does not end the process (map_guard.h): what was read in the call in which that shows
// is thrown away, and every call is index_damaged from then on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/error.h"
#include "config/base/result.h"
#include "fs/store/pack/pack.h"

namespace cairn {

// A pack's number in this index: never used twice in it, not stable across rebuilds.
using PackNumber = std::uint32_t;

// How many records are put into the index in one transaction, about.
inline constexpr std::size_t kIndexBatchRecords = 65536;

struct IndexEntry {
  PackNumber pack = 0;
  RecordPlace place;
};

struct IndexedPack {
  std::string name;
  std::uint64_t size = 0;
  std::vector<PackRecord> records;
};

// The state of a pack that is to be removed. On disk: never renumber.
enum class Retired : std::uint8_t {
  no = 0,
  unneeded = 1,  // no point needed it at the last collection: garbage collection removes it soon
  damaged = 2,   // a part of it is damaged: a backup that meets its chunks stores them again
  gone = 3,      // its file is removed; entries that still name it do not count
};

struct PackRow {
  PackNumber number = 0;
  std::string name;
  std::uint64_t size = 0;     // bytes of the file
  std::uint64_t records = 0;  // as its footer lists them
  Retired retired = Retired::no;
};

class Index {
 public:
  // Makes an empty index in the new directory `folder`. Errors: io_error, no_space.
  static Result<void> create(const std::filesystem::path& folder, const StoreId& store);
  // Errors: index_missing, index_damaged (also when it is another store's).
  static Result<std::shared_ptr<Index>> open(const std::filesystem::path& folder, const StoreId& store);
  ~Index();

  // Errors: index_damaged.
  Result<std::optional<IndexEntry>> find(const ChunkName& name);
  struct Located {
    std::string pack_name;
    RecordPlace place;
  };
  // The same with the pack's name, from one snapshot. Errors: index_damaged.
  Result<std::optional<Located>> locate(const ChunkName& name);
  // found[i]: whether names[i] is in the index; one snapshot. Zero names count as found.
  Result<void> contains(std::span<const ChunkName> names, std::span<bool> found);
  Result<std::uint64_t> record_count();

  // The number that the next pack gets.
  Result<PackNumber> next_pack();
  // All packs whose files are there, by number.
  Result<std::vector<PackRow>> packs();
  // The one of that name; nothing: the index does not know it.
  Result<std::optional<PackRow>> pack(const std::string& name);
  // Whether there is a pack of that state.
  Result<bool> has_retired(Retired state);
  // Where names lie, from one snapshot, as readers see them; nothing: the index does not know the name, or it is the
  // zero name.
  Result<void> places(std::span<const ChunkName> names, std::span<std::optional<IndexEntry>> places);

  // Whether these names, which the index does not find, are really not in it: somebody may have overwritten its pages
  // or its filters without a sign. For whoever is about to call data missing, or to remove what nothing needs. Reads
  // the whole file unless only this process has written to it since it was read last. Errors: index_damaged, io_error.
  Result<void> check_absent(std::span<const ChunkName> names);

  // Retires packs: find() and contains() no longer find their records, so that no new point relies on them; readers
  // (locate(), places()) find them as long as no other pack has them. `added`: packs with the records that are still
  // needed, added in the same transaction. Durable on return.
  Result<void> retire(std::span<const PackNumber> packs, Retired why, std::span<const IndexedPack> added = {});
  // Forgets retired packs whose files are removed. No new epoch: no point may need anything in them. Their entries go
  // when runs are merged; when there are many such entries, all runs are merged.
  // A retired pack never returns to its earlier state, since two packs that stay could then have one name: a pack that
  // is good after all is listed again by relist(), under a new number.
  enum class Tidy { now, later };  // later: another drop() follows
  Result<void> drop(std::span<const PackNumber> packs, Tidy tidy = Tidy::now);
  // Drops a pack and adds it again, with what its footer says now, in one transaction: readers find it throughout.
  // Durable on return.
  Result<void> relist(PackNumber pack, const IndexedPack& now);
  // When each of `packs` was last read and found whole, in their order; nothing: never, as far as this index knows.
  Result<std::vector<std::optional<UtcTime>>> verified(std::span<const PackNumber> packs);
  Result<void> set_verified(std::span<const PackNumber> packs, UtcTime when);

  // Adds all records of these packs, in one transaction; durable on return. A record that another pack already has
  // stays with that pack. Errors: index_damaged, no_space, io_error.
  Result<void> add(std::span<const IndexedPack> packs);
  // A random text that changes when the index loses something it had: made with the index, and made again by forget().
  // Empty: an index of an earlier version; renew_epoch() gives it one. Errors: index_damaged.
  Result<std::string> epoch();
  Result<void> renew_epoch();  // durable on return
  // Forgets these packs, which are gone, and all records in them: reads the whole index. A new epoch begins.
  Result<void> forget(std::span<const std::string> pack_names);
  // Why every call is index_damaged from now on; nothing: all is well, as far as it was read. Open it again.
  [[nodiscard]] std::optional<Error> damaged() const;
  // True when the folder now holds another index than the one that is open (it was rebuilt): open it again.
  [[nodiscard]] bool replaced() const;

  struct State;  // fs/store/index/index_state.h

 private:
  explicit Index(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn
