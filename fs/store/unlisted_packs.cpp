// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/unlisted_packs.h"

#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "config/base/error.h"
#include "config/base/log.h"
#include "config/base/stop_scope.h"
#include "fs/store/pack/pack.h"

namespace cairn {
namespace {

std::string pack_folder(unsigned number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  return std::string("packs/") + kDigits[number / 16] + kDigits[number % 16] + "/";
}

struct RemoveFolder {
  std::filesystem::path path;
  ~RemoveFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

struct EndOfReading {
  Guarded<std::optional<Error>>& reading;
  ~EndOfReading() { reading.lock()->reset(); }
};

constexpr std::chrono::milliseconds kLookForStop{100};

// An index whose files have no names any more: it goes with the process, however that ends.
Result<std::shared_ptr<Index>> make_nameless_index(const std::filesystem::path& folder, const StoreId& store) {
  std::string pattern = (folder / "cairn-index-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) return fail_errno(errno, "make a private index in", folder.string());
  const RemoveFolder remove{pattern};
  CAIRN_CHECK(Index::create(remove.path / "index", store));
  return Index::open(remove.path / "index", store);
}

}  // namespace

Result<IndexedPack> read_pack_footer(Backend& backend, const KeyRing& keys, const StoreId& store,
                                     const std::string& pack_name) {
  CAIRN_TRY(const auto pack, PackReader::open(backend, pack_name, keys, store));
  CAIRN_TRY(auto records, pack->read_footer());
  return IndexedPack{pack_name, pack->size(), std::move(records)};
}

Result<std::optional<Index::Located>> UnlistedPacks::locate(const ChunkName& name) {
  if (const auto known = known_index()) {
    auto found = known->locate(name);
    // A private index can become unreadable like any other: it is made anew then.
    if (!found && found.error().code != ErrorCode::index_damaged) return found;
    if (found && *found) {
      if (!met()) {
        CAIRN_TRY(const auto state, enter());
        *met_.lock() = trouble_of(*state);
      }
      return found;
    }
  }
  return locate_anew(name);
}

Result<std::optional<Index::Located>> UnlistedPacks::locate_anew(const ChunkName& name) {
  CAIRN_TRY(const auto state, enter());
  CAIRN_TRY(auto found, locate_in(*state, name));
  if (!found && state->lost_some) {
    forget_private(*state);
    CAIRN_TRY(found, locate_in(*state, name));
  }
  if (found) *met_.lock() = trouble_of(*state);
  return found;
}

Result<std::optional<Index::Located>> UnlistedPacks::locate_in(State& state, const ChunkName& name) {
  CAIRN_CHECK(compare(state));
  CAIRN_TRY(const auto index, take_footers(state));
  if (!index) return std::optional<Index::Located>();
  return index->locate(name);
}

Result<std::shared_ptr<Index>> UnlistedPacks::index_of_all() {
  CAIRN_TRY(const auto state, enter());
  CAIRN_CHECK(compare_with(*state, nullptr));
  return take_footers(*state);
}

Result<UnlistedPacks::LockedState> UnlistedPacks::enter() {
  while (!StopScope::stop_asked())
    if (auto state = state_.lock_within(kLookForStop)) return *std::move(state);
  return stopped();
}

std::unexpected<Error> UnlistedPacks::stopped() const {
  return fail(ErrorCode::cancelled, "read footers of packs in", name_, "it was asked to stop");
}

Result<std::optional<Error>> UnlistedPacks::trouble() {
  CAIRN_TRY(const auto state, enter());
  return trouble_in(*state);
}

Result<std::optional<Error>> UnlistedPacks::trouble_now() {
  if (const auto state = state_.lock_within(kLookForStop)) return trouble_in(**state);
  if (auto reading = *reading_.lock()) {
    reading->because +=
        "; the footers of those packs are being read now, so what else there is to say of them is unknown";
    return reading;
  }
  return fail(ErrorCode::io_error, "look at index", index_.folder().string(),
              "whether it knows all packs is unknown: they are being listed now", "ask again in a while");
}

Result<std::optional<Error>> UnlistedPacks::trouble_in(State& state) {
  CAIRN_CHECK(compare(state));
  return trouble_of(state);
}

std::optional<Error> UnlistedPacks::met() {
  return *met_.lock();
}

std::uint64_t UnlistedPacks::unlisted_in(const State& state) const {
  std::uint64_t count = 0;
  for (const Folder& folder : state.folders) count += folder.unlisted.size();
  return count;
}

std::optional<Error> UnlistedPacks::trouble_of(const State& state) const {
  if (state.index) return state.index;
  const std::uint64_t unlisted = unlisted_in(state);
  if (unlisted == 0) return std::nullopt;
  const std::string packs = std::to_string(unlisted) + (unlisted == 1 ? " pack" : " packs");
  return Error{ErrorCode::index_outdated,
               "read index",
               index_.folder().string(),
               "it does not know " + packs + " that the store has",
               0,
               {}};
}

// With the index as it is now, or with none where there is none that can be used.
Result<void> UnlistedPacks::compare(State& state) {
  auto index = index_.newest();
  if (index) {
    auto compared = compare_with(state, *index);
    if (compared) {
      state.index.reset();
      return {};
    }
    // It may have become unreadable just now.
    if (compared.error().code != ErrorCode::index_damaged) return compared;
    index = pass_on(std::move(compared).error());
  }
  state.index = index.error();
  return compare_with(state, nullptr);
}

Result<void> UnlistedPacks::compare_with(State& state, const std::shared_ptr<Index>& index) {
  // By owner: one that has gone is not "none".
  const bool same_index =
      state.compared && !state.compared_with.owner_before(index) && !index.owner_before(state.compared_with);
  state.compared = false;
  for (unsigned number = 0; number < state.folders.size(); ++number) {
    Folder& folder = state.folders[number];
    const std::string prefix = pack_folder(number);
    CAIRN_TRY(const auto token, backend_.change_token(prefix));
    if (!folder.listed || !same_index || !token || folder.token != token) {
      folder.listed = false;
      CAIRN_CHECK(list_folder(folder, prefix, index.get()));
      folder.token = token;
      folder.listed = true;
      continue;
    }
    // A writer tells the index of its packs a while after they are there.
    for (auto pack = folder.unlisted.begin(); index && pack != folder.unlisted.end();) {
      CAIRN_TRY(const auto row, index->pack(*pack));
      pack = row ? folder.unlisted.erase(pack) : pack + 1;
    }
  }
  state.compared = true;
  state.compared_with = index;
  if (index && unlisted_in(state) == 0) {
    // The index was rebuilt: what the private one takes on the disk comes back.
    forget_private(state);
    state.no_use.clear();
  }
  return {};
}

Result<void> UnlistedPacks::list_folder(Folder& folder, const std::string& prefix, Index* index) {
  CAIRN_TRY(const auto objects, backend_.list(prefix));
  folder.unlisted.clear();
  for (std::string& pack : pack_names_of(objects)) {
    if (index != nullptr) {
      CAIRN_TRY(const auto row, index->pack(pack));
      if (row) continue;
    }
    folder.unlisted.push_back(std::move(pack));
  }
  return {};
}

void UnlistedPacks::forget_private(State& state) {
  private_.lock()->reset();
  state.taken.clear();
  state.lost_some = false;
}

Result<void> UnlistedPacks::forget_gone(State& state) {
  const auto index = known_index();
  if (!index) return {};
  if (const auto damaged = index->damaged()) {
    log_error("private-index-damaged", name_, *damaged);
    forget_private(state);
    return {};
  }
  std::size_t there = 0;
  for (const Folder& folder : state.folders)
    there += static_cast<std::size_t>(
        std::ranges::count_if(folder.unlisted, [&](const std::string& pack) { return state.taken.contains(pack); }));
  if (there == state.taken.size()) return {};
  std::unordered_set<std::string> gone = state.taken;
  for (const Folder& folder : state.folders)
    for (const std::string& pack : folder.unlisted) gone.erase(pack);
  const std::vector<std::string> names(gone.begin(), gone.end());
  CAIRN_CHECK(index->forget(names));
  for (const std::string& name : names) state.taken.erase(name);
  state.lost_some = true;
  return {};
}

// What has not been taken yet. Null: there is nothing to take.
Result<std::shared_ptr<Index>> UnlistedPacks::take_footers(State& state) {
  CAIRN_CHECK(forget_gone(state));
  std::shared_ptr<Index> index = known_index();
  bool is_said = false;
  const EndOfReading end{reading_};
  std::vector<IndexedPack> batch;
  std::size_t records = 0;
  std::uint64_t packs = 0;
  const auto add_batch = [&]() -> Result<void> {
    if (batch.empty()) return {};
    CAIRN_CHECK(index->add(batch));
    for (const IndexedPack& pack : batch) state.taken.insert(pack.name);
    packs += batch.size();
    batch.clear();
    records = 0;
    return {};
  };
  for (const Folder& folder : state.folders) {
    for (const std::string& pack : folder.unlisted) {
      if (state.taken.contains(pack)) continue;
      if (!index) {
        CAIRN_TRY(index, make_private());
        *private_.lock() = index;
        if (const auto trouble = trouble_of(state)) log_error("reading-footers-of-unlisted-packs", name_, *trouble);
      }
      if (StopScope::stop_asked()) {
        CAIRN_CHECK(add_batch());
        return stopped();
      }
      if (!std::exchange(is_said, true)) *reading_.lock() = trouble_of(state);
      CAIRN_TRY(const bool taken, take_footer(state, pack, batch));
      if (taken) records += batch.back().records.size();
      if (records >= kIndexBatchRecords) CAIRN_CHECK(add_batch());
    }
  }
  CAIRN_CHECK(add_batch());
  if (packs != 0) log_event(LogLevel::info, "unlisted-packs-read", name_, {{"packs", std::to_string(packs)}});
  return index;
}

// False: there is nothing in it that could be used.
Result<bool> UnlistedPacks::take_footer(State& state, const std::string& pack, std::vector<IndexedPack>& batch) {
  const auto before = state.no_use.find(pack);
  if (before != state.no_use.end()) {
    // Perhaps it was just being copied then.
    const auto object = backend_.open(pack_object(pack));
    if (!object || (*object)->size() == before->second) return false;
  }
  auto footer = read_pack_footer(backend_, keys_, store_, pack);
  if (footer) {
    state.no_use.erase(pack);
    batch.push_back(*std::move(footer));
    return true;
  }
  if (footer.error().code == ErrorCode::object_missing) return false;               // removed since it was listed
  if (!is_damage_error(footer.error())) return pass_on(std::move(footer).error());  // perhaps readable tomorrow
  if (before == state.no_use.end()) log_error("pack-damaged", pack, footer.error());
  const auto object = backend_.open(pack_object(pack));
  state.no_use[pack] = object ? (*object)->size() : 0;
  return false;
}

Result<std::shared_ptr<Index>> UnlistedPacks::make_private() {
  std::error_code no_temporary;
  const std::filesystem::path temporary = std::filesystem::temp_directory_path(no_temporary);
  Result<std::shared_ptr<Index>> made;
  for (const std::filesystem::path& folder : {folder_, temporary, std::filesystem::path("/var/tmp")}) {
    if (folder.empty()) continue;
    made = make_nameless_index(folder, store_);
    if (made) return made;
  }
  Error error = made.error();
  error.because += error.because.empty() ? "" : "; ";
  error.because += "without it, packs that the store's index does not know cannot be read";
  error.resolution = "run \"cairn store rebuild-index\", or set TMPDIR to a folder with room";
  return pass_on(std::move(error));
}

}  // namespace cairn
