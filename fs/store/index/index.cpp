// SPDX-License-Identifier: GPL-3.0-or-later
// Index: reading and adding.
#include "fs/store/index/index.h"

#include <sodium.h>

#include <algorithm>

#include "fs/store/index/index_state.h"

namespace cairn {
namespace {

constexpr std::size_t kEntryBytes = 24;
constexpr std::string_view kNextPackKey = "next-pack";
constexpr std::string_view kEpochKey = "epoch";
constexpr std::size_t kEpochBytes = 16;

std::array<std::uint8_t, kEntryBytes> encode(const IndexEntry& entry) {
  std::array<std::uint8_t, kEntryBytes> bytes{};
  const MutableBytes to(bytes);
  put_le(to, entry.pack);
  put_le(to.subspan(4), entry.place.number);
  put_le(to.subspan(8), entry.place.offset);
  put_le(to.subspan(12), entry.place.sealed_bytes);
  put_le(to.subspan(16), entry.place.raw_bytes);
  bytes[20] = static_cast<std::uint8_t>(entry.place.kind);
  bytes[21] = static_cast<std::uint8_t>(entry.place.encoding);
  return bytes;
}

}  // namespace

std::optional<IndexEntry> decode_entry(ByteView bytes) {
  if (bytes.size() != kEntryBytes || bytes[20] < 1 || bytes[20] > 2 || bytes[21] > kLastEncoding) return std::nullopt;
  IndexEntry entry;
  entry.pack = get_le<std::uint32_t>(bytes);
  entry.place.number = get_le<std::uint32_t>(bytes.subspan(4));
  entry.place.offset = get_le<std::uint32_t>(bytes.subspan(8));
  entry.place.sealed_bytes = get_le<std::uint32_t>(bytes.subspan(12));
  entry.place.raw_bytes = get_le<std::uint32_t>(bytes.subspan(16));
  entry.place.kind = static_cast<RecordKind>(bytes[20]);
  entry.place.encoding = static_cast<RecordEncoding>(bytes[21]);
  return entry;
}

Result<std::optional<PackNumber>> Index::State::number_of(MDB_txn* txn, const std::string& pack_name) const {
  MDB_val key = value_of(as_bytes(pack_name));
  MDB_val value{};
  const int code = guarded_get(txn, pack_numbers, &key, &value);
  if (code == MDB_NOTFOUND) return std::optional<PackNumber>();
  if (code != 0) return lmdb_error(code, "read index", folder);
  if (value.mv_size != sizeof(PackNumber)) return damaged("a pack's number has a wrong length");
  return std::optional(get_le<PackNumber>(view_of(value)));
}

int Index::State::put_new_epoch(MDB_txn* txn) const {
  std::array<std::uint8_t, kEpochBytes> epoch{};
  randombytes_buf(epoch.data(), epoch.size());
  MDB_val key = value_of(as_bytes(kEpochKey));
  MDB_val value = value_of(epoch);
  return guarded_put(txn, about, &key, &value, 0);
}

Result<std::optional<IndexEntry>> Index::find(const ChunkName& name) {
  return state_->safely([&]() -> Result<std::optional<IndexEntry>> {
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    CAIRN_TRY(const auto runs, state_->runs(txn));
    CAIRN_TRY(const auto bytes, state_->entry_of(txn, *runs, name, Who::writer));
    if (!bytes) return std::optional<IndexEntry>();
    const auto entry = decode_entry(*bytes);
    if (!entry) return state_->damaged("an entry does not have the form it must have");
    return entry;
  });
}

Result<void> Index::contains(std::span<const ChunkName> names, std::span<bool> found) {
  return state_->safely([&]() -> Result<void> {
    CAIRN_ASSERT(names.size() == found.size());
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    CAIRN_TRY(const auto runs, state_->runs(txn));
    for (std::size_t i = 0; i < names.size(); ++i) {
      found[i] = true;
      if (names[i].is_zero()) continue;
      CAIRN_TRY(const auto entry, state_->entry_of(txn, *runs, names[i], Who::writer));
      found[i] = entry.has_value();
    }
    return {};
  });
}

Result<std::optional<Index::Located>> Index::locate(const ChunkName& name) {
  return state_->safely([&]() -> Result<std::optional<Index::Located>> {
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    CAIRN_TRY(const auto runs, state_->runs(txn));
    CAIRN_TRY(const auto entry_bytes, state_->entry_of(txn, *runs, name, Who::reader));
    if (!entry_bytes) return std::optional<Located>();
    const auto entry = decode_entry(*entry_bytes);
    if (!entry) return state_->damaged("an entry does not have the form it must have");
    CAIRN_TRY(PackRow pack, state_->pack_row(txn, entry->pack));
    return std::optional(Located{std::move(pack.name), entry->place});
  });
}

Result<std::uint64_t> Index::record_count() {
  return state_->safely([&]() -> Result<std::uint64_t> {
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    CAIRN_TRY(const auto runs, state_->runs(txn));
    std::uint64_t count = 0;
    for (const OpenRun& run : runs->runs) {
      MDB_stat stat{};
      if (const int code = guarded_stat(txn, run.table, &stat); code != 0)
        return lmdb_error(code, "read index", state_->folder);
      count += stat.ms_entries;
    }
    return count;
  });
}

// Writes a run of those entries that no other run has.
Result<void> Index::State::add_run(MDB_txn* txn, const RunSet& runs, std::vector<NewEntry>& entries) {
  // Of two records of one name the first pack's stays.
  std::ranges::sort(entries, [](const auto& a, const auto& b) {
    const auto order = *a.first <=> *b.first;
    return order == 0 ? a.second.pack < b.second.pack : order < 0;
  });
  const auto same = [](const auto& a, const auto& b) { return *a.first == *b.first; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
  std::vector<bool> known(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    CAIRN_TRY(const auto entry, entry_of(txn, runs, *entries[i].first, Who::writer));
    known[i] = entry.has_value();
  }
  const auto count = static_cast<std::uint64_t>(std::ranges::count(known, false));
  if (count == 0) return {};
  std::vector<RunFacts> facts = runs.facts();
  const auto slot = free_slot(facts);
  if (!slot) return damaged("all of its runs' tables are taken");
  CAIRN_TRY(const std::uint32_t id, take_run_id(txn));
  RunWriter run(*this, {id, *slot, count, filter_blocks_for(count)});
  CAIRN_CHECK(run.begin(txn));
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (!known[i]) CAIRN_CHECK(run.put(*entries[i].first, encode(entries[i].second)));
  CAIRN_TRY(facts.emplace_back(), run.finish());
  return list_runs(txn, facts);
}

Result<std::string> Index::epoch() {
  return state_->safely([&]() -> Result<std::string> {
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    MDB_val key = value_of(as_bytes(kEpochKey));
    MDB_val value{};
    const int code = guarded_get(txn, state_->about, &key, &value);
    if (code == MDB_NOTFOUND) return std::string();
    if (code != 0) return lmdb_error(code, "read index", state_->folder);
    if (value.mv_size != kEpochBytes) return state_->damaged("its epoch has a wrong length");
    return to_hex(view_of(value));
  });
}

Result<void> Index::renew_epoch() {
  return state_->safely([&]() -> Result<void> {
    Transaction txn;
    CAIRN_CHECK(state_->begin_write(txn));
    CAIRN_CHECK(state_->written(state_->put_new_epoch(txn.get())));
    return state_->commit(txn);
  });
}

Result<PackNumber> Index::State::next_pack(MDB_txn* txn) const {
  MDB_val key = value_of(as_bytes(kNextPackKey));
  MDB_val value{};
  const int code = guarded_get(txn, about, &key, &value);
  if (code == MDB_NOTFOUND) return PackNumber{0};
  if (code != 0) return lmdb_error(code, "read index", folder);
  if (value.mv_size != sizeof(PackNumber)) return damaged("its pack counter has a wrong length");
  return get_le<PackNumber>(view_of(value));
}

Result<PackNumber> Index::next_pack() {
  return state_->safely([&]() -> Result<PackNumber> {
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    return state_->next_pack(txn);
  });
}

Result<void> Index::State::add_packs(MDB_txn* txn, const RunSet& runs, std::span<const IndexedPack> new_packs) {
  CAIRN_TRY(PackNumber next, next_pack(txn));
  std::vector<NewEntry> entries;
  for (const IndexedPack& pack : new_packs) {
    CAIRN_TRY(const auto known, number_of(txn, pack.name));
    if (known) continue;
    const PackNumber number = next++;
    Buffer facts;
    append_le(facts, pack.size);
    append_le(facts, std::uint64_t{pack.records.size()});
    append(facts, as_bytes(pack.name));
    MDB_val key{sizeof(number), const_cast<PackNumber*>(&number)};
    MDB_val value = value_of(facts);
    CAIRN_CHECK(written(guarded_put(txn, packs, &key, &value, MDB_APPEND)));
    Buffer number_bytes;
    append_le(number_bytes, number);
    key = value_of(as_bytes(pack.name));
    value = value_of(number_bytes);
    CAIRN_CHECK(written(guarded_put(txn, pack_numbers, &key, &value, 0)));
    for (const PackRecord& record : pack.records) entries.emplace_back(&record.name, IndexEntry{number, record.place});
  }
  Buffer next_bytes;
  append_le(next_bytes, next);
  MDB_val next_key = value_of(as_bytes(kNextPackKey));
  MDB_val next_value = value_of(next_bytes);
  CAIRN_CHECK(written(guarded_put(txn, about, &next_key, &next_value, 0)));
  return add_run(txn, runs, entries);
}

Result<void> Index::add(std::span<const IndexedPack> packs) {
  return state_->safely([&]() -> Result<void> {
    const std::lock_guard one_change(state_->change_mutex);
    CAIRN_CHECK(state_->drop_unfinished());
    Transaction txn;
    CAIRN_CHECK(state_->begin_write(txn));
    CAIRN_TRY(const auto runs, state_->runs(txn.get()));
    CAIRN_CHECK(state_->add_packs(txn.get(), *runs, packs));
    CAIRN_CHECK(state_->commit(txn));
    return state_->merge_runs();
  });
}

}  // namespace cairn
