// SPDX-License-Identifier: GPL-3.0-or-later
// Packs that are on their way out, and when packs were verified. Entries of packs that are gone are not searched for:
// merges leave them out.
#include <algorithm>

#include "fs/store/index/index_state.h"

namespace cairn {
namespace {

constexpr std::string_view kGenerationKey = "retired-generation";
constexpr std::size_t kRetiredBytes = 12;
constexpr std::size_t kVerifiedBytes = 8;
constexpr std::size_t kPackRowBytes = 16 + 64;
// All runs are merged when there is one entry of a pack that is gone for so many others, or the index is so small that
// it costs nothing.
constexpr std::uint64_t kGoneShare = 8;
constexpr std::uint64_t kSmallIndex = 1'000'000;

MDB_val key_of(const PackNumber& number) {
  return {sizeof(number), const_cast<PackNumber*>(&number)};
}

// Calls `visit` with each row of a table, in order.
Result<void> visit_rows(const Index::State& state, MDB_txn* txn, MDB_dbi table,
                        const std::function<Result<void>(PackNumber, ByteView)>& visit) {
  MDB_cursor* opened = nullptr;
  CAIRN_CHECK(state.written(guarded_cursor_open(txn, table, &opened)));
  const Cursor cursor(opened, &mdb_cursor_close);
  MDB_val key{};
  MDB_val value{};
  std::optional<PackNumber> last;
  int code = guarded_cursor_get(cursor.get(), &key, &value, MDB_FIRST);
  for (; code == 0; code = guarded_cursor_get(cursor.get(), &key, &value, MDB_NEXT)) {
    if (key.mv_size != sizeof(PackNumber)) return state.damaged("a pack's number has a wrong length");
    const auto number = get_le<PackNumber>(view_of(key));
    // Pages that were overwritten could lead in circles.
    if (last && number <= *last) return state.damaged("its packs are not in order");
    last = number;
    CAIRN_CHECK(visit(number, view_of(value)));
  }
  if (code != MDB_NOTFOUND) return lmdb_error(code, "read index", state.folder);
  return {};
}

}  // namespace

Result<std::uint64_t> Index::State::generation_of(MDB_txn* txn) const {
  MDB_val key = value_of(as_bytes(kGenerationKey));
  MDB_val value{};
  const int code = guarded_get(txn, about, &key, &value);
  if (code == MDB_NOTFOUND) return std::uint64_t{0};
  if (code != 0) return lmdb_error(code, "read index", folder);
  if (value.mv_size != 8) return damaged("its generation has a wrong length");
  return get_le<std::uint64_t>(view_of(value));
}

Result<void> Index::State::next_generation(MDB_txn* txn) const {
  CAIRN_TRY(const std::uint64_t now, generation_of(txn));
  Buffer bytes;
  append_le(bytes, now + 1);
  MDB_val key = value_of(as_bytes(kGenerationKey));
  MDB_val value = value_of(bytes);
  return written(guarded_put(txn, about, &key, &value, 0));
}

Result<std::vector<RetiredRow>> Index::State::retired_rows(MDB_txn* txn) const {
  std::vector<RetiredRow> rows;
  if (retired == 0) return rows;  // an index of an earlier version that nobody may write
  CAIRN_CHECK(visit_rows(*this, txn, retired, [&](PackNumber pack, ByteView value) -> Result<void> {
    if (value.size() != kRetiredBytes || get_le<std::uint32_t>(value) < 1 || get_le<std::uint32_t>(value) > 3)
      return damaged("what it says about a retired pack does not have the form it must have");
    rows.push_back({pack, static_cast<Retired>(get_le<std::uint32_t>(value)), get_le<std::uint64_t>(value.subspan(4))});
    return {};
  }));
  return rows;
}

Result<void> Index::State::put_retired(MDB_txn* txn, const RetiredRow& row) const {
  Buffer bytes;
  append_le(bytes, static_cast<std::uint32_t>(row.state));
  append_le(bytes, row.records);
  MDB_val key = key_of(row.pack);
  MDB_val value = value_of(bytes);
  return written(guarded_put(txn, retired, &key, &value, 0));
}

namespace {
std::optional<PackRow> decode_pack_row(PackNumber number, ByteView bytes) {
  if (bytes.size() != kPackRowBytes) return {};
  return PackRow{number, std::string(as_text(bytes.subspan(16))), get_le<std::uint64_t>(bytes),
                 get_le<std::uint64_t>(bytes.subspan(8))};
}
}  // namespace

Result<PackRow> Index::State::pack_row(MDB_txn* txn, PackNumber number) const {
  MDB_val key = key_of(number);
  MDB_val value{};
  const int code = guarded_get(txn, packs, &key, &value);
  if (code == MDB_NOTFOUND) return damaged("it does not know a pack that it should know");
  if (code != 0) return lmdb_error(code, "read index", folder);
  auto row = decode_pack_row(number, view_of(value));
  if (!row) return damaged("a pack's entry has a wrong length");
  return *std::move(row);
}

Result<std::vector<PackRow>> Index::packs() {
  return state_->safely([&]() -> Result<std::vector<PackRow>> {
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    CAIRN_TRY(const auto runs, state_->runs(txn));
    std::vector<PackRow> rows;
    CAIRN_CHECK(visit_rows(*state_, txn, state_->packs, [&](PackNumber number, ByteView value) -> Result<void> {
      auto row = decode_pack_row(number, value);
      if (!row) return state_->damaged("a pack's entry has a wrong length");
      row->retired = runs->retired_of(number);
      rows.push_back(*std::move(row));
      return {};
    }));
    return rows;
  });
}

Result<std::optional<PackRow>> Index::pack(const std::string& name) {
  return state_->safely([&]() -> Result<std::optional<PackRow>> {
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    CAIRN_TRY(const auto runs, state_->runs(txn));
    CAIRN_TRY(const auto number, state_->number_of(txn, name));
    if (!number) return std::optional<PackRow>();
    CAIRN_TRY(PackRow row, state_->pack_row(txn, *number));
    row.retired = runs->retired_of(*number);
    return std::optional(std::move(row));
  });
}

Result<bool> Index::has_retired(Retired state) {
  return state_->safely([&]() -> Result<bool> {
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    CAIRN_TRY(const auto runs, state_->runs(txn));
    return std::ranges::any_of(runs->retired, [&](const auto& pack) { return pack.second == state; });
  });
}

Result<void> Index::places(std::span<const ChunkName> names, std::span<std::optional<IndexEntry>> places) {
  return state_->safely([&]() -> Result<void> {
    CAIRN_ASSERT(names.size() == places.size());
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    CAIRN_TRY(const auto runs, state_->runs(txn));
    for (std::size_t i = 0; i < names.size(); ++i) {
      places[i].reset();
      if (names[i].is_zero()) continue;
      CAIRN_TRY(const auto bytes, state_->entry_of(txn, *runs, names[i], Who::reader));
      if (!bytes) continue;
      places[i] = decode_entry(*bytes);
      if (!places[i]) return state_->damaged("an entry does not have the form it must have");
    }
    return {};
  });
}

Result<void> Index::retire(std::span<const PackNumber> packs, Retired why, std::span<const IndexedPack> added) {
  return state_->safely([&]() -> Result<void> {
    const std::lock_guard one_change(state_->change_mutex);
    CAIRN_ASSERT(why == Retired::unneeded || why == Retired::damaged);
    CAIRN_CHECK(state_->drop_unfinished());
    Transaction txn;
    CAIRN_CHECK(state_->begin_write(txn));
    CAIRN_TRY(const auto before, state_->runs(txn.get()));
    // As it will be; not kept, for this transaction may not come to its end.
    RunSet runs = *before;
    for (const PackNumber number : packs) {
      CAIRN_TRY(const PackRow row, state_->pack_row(txn.get(), number));
      CAIRN_CHECK(state_->put_retired(txn.get(), {number, why, row.records}));
      std::erase_if(runs.retired, [&](const auto& other) { return other.first == number; });
      runs.retired.emplace_back(number, why);
    }
    std::ranges::sort(runs.retired);
    // In one step: change tracking takes names over without asking whether they can still be read, as long as the epoch
    // is the same.
    if (why == Retired::damaged) CAIRN_CHECK(state_->written(state_->put_new_epoch(txn.get())));
    CAIRN_CHECK(state_->next_generation(txn.get()));
    CAIRN_CHECK(state_->add_packs(txn.get(), runs, added));
    CAIRN_CHECK(state_->commit(txn));
    return state_->merge_runs();
  });
}

Result<void> Index::State::make_gone(MDB_txn* txn, std::span<const PackNumber> numbers) const {
  for (const PackNumber number : numbers) {
    CAIRN_TRY(const PackRow row, pack_row(txn, number));
    CAIRN_CHECK(put_retired(txn, {number, Retired::gone, row.records}));
    MDB_val key = key_of(number);
    CAIRN_CHECK(written(guarded_del(txn, packs, &key)));
    const int code = guarded_del(txn, verified, &key);
    if (code != MDB_NOTFOUND) CAIRN_CHECK(written(code));
    key = value_of(as_bytes(row.name));
    CAIRN_CHECK(written(guarded_del(txn, pack_numbers, &key)));
  }
  return next_generation(txn);
}

Result<void> Index::drop(std::span<const PackNumber> packs, Tidy tidy) {
  return state_->safely([&]() -> Result<void> {
    const std::lock_guard one_change(state_->change_mutex);
    {
      Transaction txn;
      CAIRN_CHECK(state_->begin_write(txn));
      CAIRN_CHECK(state_->make_gone(txn.get(), packs));
      CAIRN_CHECK(state_->commit(txn));
    }
    return tidy == Tidy::now ? state_->merge_away_gone() : Result<void>();
  });
}

Result<void> Index::relist(PackNumber pack, const IndexedPack& now) {
  return state_->safely([&]() -> Result<void> {
    const std::lock_guard one_change(state_->change_mutex);
    CAIRN_CHECK(state_->drop_unfinished());
    {
      Transaction txn;
      CAIRN_CHECK(state_->begin_write(txn));
      CAIRN_TRY(const auto before, state_->runs(txn.get()));
      CAIRN_CHECK(state_->make_gone(txn.get(), {&pack, 1}));
      RunSet runs = *before;
      std::erase_if(runs.retired, [&](const auto& other) { return other.first == pack; });
      runs.retired.emplace_back(pack, Retired::gone);
      std::ranges::sort(runs.retired);
      CAIRN_CHECK(state_->add_packs(txn.get(), runs, {&now, 1}));
      CAIRN_CHECK(state_->commit(txn));
    }
    CAIRN_CHECK(state_->merge_runs());
    return state_->merge_away_gone();
  });
}

Result<void> Index::forget(std::span<const std::string> pack_names) {
  return state_->safely([&]() -> Result<void> {
    const std::lock_guard one_change(state_->change_mutex);
    {
      Transaction txn;
      CAIRN_CHECK(state_->begin_write(txn));
      std::vector<PackNumber> numbers;
      for (const std::string& name : pack_names) {
        CAIRN_TRY(const auto number, state_->number_of(txn.get(), name));
        if (number) numbers.push_back(*number);
      }
      CAIRN_CHECK(state_->make_gone(txn.get(), numbers));
      CAIRN_CHECK(state_->written(state_->put_new_epoch(txn.get())));
      CAIRN_CHECK(state_->commit(txn));
    }
    return state_->merge_away_gone();
  });
}

Result<void> Index::State::forget_gone(MDB_txn* txn, const RunSet& before) const {
  for (const auto& [number, state_before] : before.retired) {
    if (state_before != Retired::gone) continue;
    MDB_val key = key_of(number);
    const int code = guarded_del(txn, retired, &key);
    if (code != MDB_NOTFOUND) CAIRN_CHECK(written(code));
  }
  return next_generation(txn);
}

Result<void> Index::State::merge_away_gone() {
  CAIRN_CHECK(drop_unfinished());
  std::vector<RunFacts> all;
  std::uint64_t names = 0;
  std::uint64_t gone = 0;
  {
    Transaction txn;
    CAIRN_CHECK(written(txn.begin(env, MDB_RDONLY)));
    CAIRN_TRY(const auto now, runs(txn.get()));
    all = now->facts();
    for (const RunFacts& run : all) names += run.names;
    CAIRN_TRY(const auto rows, retired_rows(txn.get()));
    for (const RetiredRow& row : rows)
      if (row.state == Retired::gone) gone += std::max<std::uint64_t>(1, row.records);
  }
  if (gone == 0 || (names > kSmallIndex && gone * kGoneShare < names)) return {};
  return merge(all, {});
}

Result<std::vector<std::optional<UtcTime>>> Index::verified(std::span<const PackNumber> packs) {
  return state_->safely([&]() -> Result<std::vector<std::optional<UtcTime>>> {
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    std::vector<std::optional<UtcTime>> times(packs.size());
    if (state_->verified == 0) return times;
    for (std::size_t i = 0; i < packs.size(); ++i) {
      MDB_val key = key_of(packs[i]);
      MDB_val value{};
      const int code = guarded_get(txn, state_->verified, &key, &value);
      if (code == MDB_NOTFOUND) continue;
      if (code != 0) return lmdb_error(code, "read index", state_->folder);
      if (value.mv_size != kVerifiedBytes) return state_->damaged("a pack's time of verification has a wrong length");
      times[i] = UtcTime(std::chrono::seconds(get_le<std::int64_t>(view_of(value))));
    }
    return times;
  });
}

Result<void> Index::set_verified(std::span<const PackNumber> packs, UtcTime when) {
  return state_->safely([&]() -> Result<void> {
    Transaction txn;
    CAIRN_CHECK(state_->begin_write(txn));
    Buffer bytes;
    append_le(bytes, static_cast<std::int64_t>(when.time_since_epoch().count()));
    for (const PackNumber number : packs) {
      MDB_val key = key_of(number);
      MDB_val value{};
      // One that was removed meanwhile stays forgotten.
      const int known = guarded_get(txn.get(), state_->packs, &key, &value);
      if (known == MDB_NOTFOUND) continue;
      CAIRN_CHECK(state_->written(known));
      value = value_of(bytes);
      CAIRN_CHECK(state_->written(guarded_put(txn.get(), state_->verified, &key, &value, 0)));
    }
    return state_->commit(txn);
  });
}

}  // namespace cairn
