// SPDX-License-Identifier: GPL-3.0-or-later
// UnlistedPacks: finds records in packs that the store's index does not know, so that the index is only a cache for
// readers too. A copy of a store may have an index older than its packs, or none, and an index may become unreadable
// while it is open. When a reader misses something, the list of packs is compared with the index, and the footers of
// the packs that it does not know are read into a private index: a file of this process alone that has no name any more
// when it is used, about 100 bytes a chunk in the folder of keep_in(), $TMPDIR or /var/tmp. What stays in memory is the
// names of those packs, 100 bytes each. Nothing here touches the store. A copy may be refreshed meanwhile: packs that
// come are read, and those that go are forgotten when somebody misses something. Reading footers ends when the thread
// is asked to stop (config/base/stop_scope.h): cancelled, and what was read stays. Any thread.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "config/base/timed_mutex.h"
#include "crypto/key_ring.h"
#include "fs/io/backend.h"
#include "fs/store/index/index.h"
#include "fs/store/open_index.h"

namespace cairn {

// What an index needs to know of a pack, from its footer. Errors: as PackReader.
Result<IndexedPack> read_pack_footer(Backend& backend, const KeyRing& keys, const StoreId& store,
                                     const std::string& pack_name);

class UnlistedPacks {
 public:
  // `name` is the store's, for messages. The others must outlive this.
  UnlistedPacks(OpenIndex& index, Backend& backend, const KeyRing& keys, const StoreId& store, std::string name)
      : index_(index), backend_(backend), keys_(keys), store_(store), name_(std::move(name)) {}

  // Where the private index is tried to be made first. Before anything is read.
  void keep_in(std::filesystem::path folder) { folder_ = std::move(folder); }

  // Where a record lies that the index does not know; nothing: in no pack that is there now. Cheap for what the private
  // index has; else 256 looks at folders, and whatever has changed in them.
  // Errors: those of listing and of the private index, io_error when a footer cannot be read for the moment, cancelled.
  Result<std::optional<Index::Located>> locate(const ChunkName& name);
  // The same when the pack that locate() named is gone: packs are listed first. Errors: as locate().
  Result<std::optional<Index::Located>> locate_anew(const ChunkName& name);
  // A private index of all packs that are there, as if there were no other. For verify. Null: there are no packs.
  // Errors: as locate().
  Result<std::shared_ptr<Index>> index_of_all();
  // The private index as it was after the last locate(); null: there is none.
  std::shared_ptr<Index> known_index() { return *private_.lock(); }

  // Whether the index can be relied on for all packs that are there: index_missing, index_damaged, index_outdated (how
  // many packs it does not know), or why it cannot be opened. Lists packs, at least once; reads no footers, but may
  // wait for others that do. Errors: those of listing, cancelled.
  Result<std::optional<Error>> trouble();
  // The same without waiting: while others read footers, the trouble for which they do, and that the rest is unknown;
  // io_error: while they list packs all of it is unknown.
  Result<std::optional<Error>> trouble_now();
  // What trouble() would have said when a record was last found here; nothing: none was.
  [[nodiscard]] std::optional<Error> met();

 private:
  struct Folder {  // "packs/ab/"
    bool listed = false;
    std::optional<std::uint64_t> token;  // Backend::change_token() when it was listed
    std::vector<std::string> unlisted;   // packs in it that the index does not know
  };
  struct State {
    std::array<Folder, 256> folders;
    std::weak_ptr<Index> compared_with;           // what `unlisted` was compared with
    bool compared = false;                        // with none, when `compared_with` is empty
    std::optional<Error> index;                   // why there is no index to compare with
    std::unordered_set<std::string> taken;        // packs that the private index has
    bool lost_some = false;                       // of packs that are gone it may have lost what others have too
    std::map<std::string, std::uint64_t> no_use;  // whose footers are damaged, with their sizes then
  };
  using LockedState = Guarded<State, TimedMutex>::Locked<State>;

  // Waits for others as long as this thread is not asked to stop. Errors: cancelled.
  Result<LockedState> enter();
  [[nodiscard]] std::unexpected<Error> stopped() const;
  Result<std::optional<Error>> trouble_in(State& state);
  Result<std::optional<Index::Located>> locate_in(State& state, const ChunkName& name);
  // Forgets what the private index has of packs that are gone, or all of it when it is damaged itself.
  Result<void> forget_gone(State& state);
  void forget_private(State& state);
  Result<void> compare(State& state);
  Result<void> compare_with(State& state, const std::shared_ptr<Index>& index);
  Result<void> list_folder(Folder& folder, const std::string& prefix, Index* index);
  Result<std::shared_ptr<Index>> take_footers(State& state);
  Result<bool> take_footer(State& state, const std::string& pack, std::vector<IndexedPack>& batch);
  Result<std::shared_ptr<Index>> make_private();
  [[nodiscard]] std::uint64_t unlisted_in(const State& state) const;
  [[nodiscard]] std::optional<Error> trouble_of(const State& state) const;

  OpenIndex& index_;
  Backend& backend_;
  const KeyRing& keys_;
  const StoreId& store_;
  const std::string name_;
  std::filesystem::path folder_;
  // Held while folders are listed and footers read: whoever misses something else meanwhile waits for the same.
  Guarded<State, TimedMutex> state_;
  Guarded<std::shared_ptr<Index>> private_;  // null until it is needed
  Guarded<std::optional<Error>> met_;
  Guarded<std::optional<Error>> reading_;  // the trouble for which footers are being read
};

}  // namespace cairn
