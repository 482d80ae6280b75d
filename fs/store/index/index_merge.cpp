// SPDX-License-Identifier: GPL-3.0-or-later
// Writing and merging the index's runs. Memory: one slice of a merge, about 16 MiB, whatever the runs' size.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "fs/store/index/index_state.h"

namespace cairn {
namespace {

// Names written in one transaction: 3,300 pages of memory until it is committed.
constexpr std::uint64_t kSliceNames = 200'000;
// LMDB gives values larger than half a page (of 4096 bytes) pages of their own; with a margin for larger pages.
constexpr std::size_t kOwnPagesBytes = 32768;
constexpr std::uintptr_t kPageBytes = 4096;
constexpr std::size_t kReadAheadBytes = std::size_t{8} << 20U;  // of each source: what a slice takes of it, or more
constexpr std::string_view kRunsKey = "runs";
constexpr std::string_view kNextRunKey = "next-run";
constexpr std::string_view kUnfinishedKey = "unfinished-run";

// Filters are kept under run and piece, both big-endian: a run's pieces lie together.
std::array<std::uint8_t, 8> filter_key(std::uint32_t run, std::uint64_t piece) {
  std::array<std::uint8_t, 8> key{};
  for (unsigned i = 0; i < 4; ++i) {
    key[i] = static_cast<std::uint8_t>(run >> (24U - 8 * i));
    key[4 + i] = static_cast<std::uint8_t>(piece >> (24U - 8 * i));
  }
  return key;
}

std::size_t piece_bytes(std::uint64_t blocks, std::uint64_t piece) {
  return static_cast<std::size_t>(std::min(kFilterPieceBlocks, blocks - piece * kFilterPieceBlocks)) *
         kFilterBlockBytes;
}

// A run that is read in order.
struct Source {
  Cursor cursor{nullptr, &mdb_cursor_close};
  MDB_val key{};
  MDB_val value{};
  int code = 0;  // MDB_NOTFOUND: at its end

  void next() { code = guarded_cursor_get(cursor.get(), &key, &value, MDB_NEXT); }
  // To the first name behind `last`, or the very first.
  void start(const std::optional<ChunkName>& last) {
    if (last) key = value_of(last->view());
    code = guarded_cursor_get(cursor.get(), &key, &value, last ? MDB_SET_RANGE : MDB_FIRST);
    if (last && code == 0 && std::ranges::equal(view_of(key), last->view())) next();
    // The pages behind it follow, mostly, and LMDB is opened not to read ahead.
    const auto address = reinterpret_cast<std::uintptr_t>(value.mv_data);
    if (code == 0) ::madvise(reinterpret_cast<void*>(address - address % kPageBytes), kReadAheadBytes, MADV_WILLNEED);
  }
};

}  // namespace

// --- the list
// ---------------------------------------------------------------------------------------------------------
std::vector<RunFacts> RunSet::facts() const {
  std::vector<RunFacts> all;
  for (const OpenRun& run : runs) all.push_back(run.facts);
  return all;
}

bool OpenRun::may_hold(const ChunkName& name) const {
  if (facts.blocks == 0) return true;
  const std::uint64_t block = filter_block_of(name, facts.blocks);
  const std::uint8_t* piece = pieces[block / kFilterPieceBlocks];
  return cairn::may_hold(FilterBlock(piece + block % kFilterPieceBlocks * kFilterBlockBytes, kFilterBlockBytes), name);
}

Result<std::shared_ptr<const RunSet>> Index::State::runs(MDB_txn* txn) {
  Buffer first_list;
  MDB_val value{};
  if (version == 1) {
    MDB_stat stat{};
    if (const int code = guarded_stat(txn, tables[0], &stat); code != 0) return lmdb_error(code, "read index", folder);
    const RunFacts all{0, 0, stat.ms_entries, 0};
    first_list = encode_runs({&all, 1});
    value = value_of(first_list);
  } else {
    MDB_val key = value_of(as_bytes(kRunsKey));
    const int code = guarded_get(txn, about, &key, &value);
    if (code == MDB_NOTFOUND) return damaged("it does not say which runs it has");
    if (code != 0) return lmdb_error(code, "read index", folder);
  }
  CAIRN_TRY(const std::uint64_t generation, generation_of(txn));
  {
    const auto last = last_runs.lock();
    if (*last && (*last)->generation == generation && std::ranges::equal((*last)->listed, view_of(value))) return *last;
  }
  const auto listed = decode_runs(view_of(value));
  if (!listed) return damaged("its list of runs does not have the form it must have");
  auto fresh = std::make_shared<RunSet>();
  fresh->listed.assign(view_of(value).begin(), view_of(value).end());
  fresh->generation = generation;
  CAIRN_TRY(const auto retired_now, retired_rows(txn));
  for (const RetiredRow& row : retired_now) fresh->retired.emplace_back(row.pack, row.state);
  for (const RunFacts& facts : *listed) {
    OpenRun run{facts, tables[facts.slot], {}};
    const std::uint64_t pieces = (facts.blocks + kFilterPieceBlocks - 1) / kFilterPieceBlocks;
    for (std::uint64_t piece = 0; piece < pieces; ++piece) {
      const auto key_bytes = filter_key(facts.id, piece);
      MDB_val key = value_of(key_bytes);
      const int code = guarded_get(txn, filters, &key, &value);
      if (code != 0 && code != MDB_NOTFOUND) return lmdb_error(code, "read index", folder);
      if (code != 0 || value.mv_size != piece_bytes(facts.blocks, piece)) return damaged("a run's filter is not whole");
      // A large piece has pages of its own, which stay as they are as long as the run is listed. A small one lies on
      // a page with others, which is written anew elsewhere when a merge adds to them.
      ByteView bytes = view_of(value);
      if (bytes.size() < kOwnPagesBytes) bytes = fresh->copies.emplace_back(bytes.begin(), bytes.end());
      run.pieces.push_back(bytes.data());
    }
    fresh->runs.push_back(std::move(run));
  }
  std::ranges::sort(fresh->runs, std::greater(), [](const OpenRun& run) { return run.facts.names; });
  *last_runs.lock() = fresh;
  return std::shared_ptr<const RunSet>(std::move(fresh));
}

Retired RunSet::retired_of(PackNumber pack) const {
  if (retired.empty()) return Retired::no;
  const auto found = std::ranges::lower_bound(retired, pack, {}, &std::pair<PackNumber, Retired>::first);
  return found == retired.end() || found->first != pack ? Retired::no : found->second;
}

// A name may be in a retired pack and, stored anew, in another: that one counts.
Result<std::optional<ByteView>> Index::State::entry_of(MDB_txn* txn, const RunSet& runs, const ChunkName& name, Who who,
                                                       Filters asking) const {
  std::optional<ByteView> retired_entry;
  for (const OpenRun& run : runs.runs) {
    if (asking == Filters::asked && !run.may_hold(name)) continue;
    MDB_val key = value_of(name.view());
    MDB_val value{};
    const int code = guarded_get(txn, run.table, &key, &value);
    if (code == MDB_NOTFOUND) continue;
    if (code != 0) return lmdb_error(code, "read index", folder);
    if (value.mv_size < sizeof(PackNumber)) return damaged("an entry does not have the form it must have");
    const Retired state = runs.retired_of(pack_of_entry(view_of(value)));
    if (state == Retired::no) return std::optional(view_of(value));
    if (state != Retired::gone) retired_entry = view_of(value);
  }
  return who == Who::reader ? retired_entry : std::optional<ByteView>();
}

Result<void> Index::State::list_runs(MDB_txn* txn, std::span<const RunFacts> runs) const {
  const Buffer bytes = encode_runs(runs);
  MDB_val key = value_of(as_bytes(kRunsKey));
  MDB_val value = value_of(bytes);
  return written(guarded_put(txn, about, &key, &value, 0));
}

Result<std::uint32_t> Index::State::take_run_id(MDB_txn* txn) const {
  MDB_val key = value_of(as_bytes(kNextRunKey));
  MDB_val value{};
  std::uint32_t id = 1;
  const int code = guarded_get(txn, about, &key, &value);
  if (code != MDB_NOTFOUND) CAIRN_CHECK(written(code));
  if (code == 0 && value.mv_size != sizeof(id)) return damaged("its run counter has a wrong length");
  if (code == 0) id = get_le<std::uint32_t>(view_of(value));
  Buffer next;
  append_le(next, id + 1);
  value = value_of(next);
  CAIRN_CHECK(written(guarded_put(txn, about, &key, &value, 0)));
  return id;
}

// --- writing a run
// ----------------------------------------------------------------------------------------------------
RunWriter::RunWriter(const Index::State& state, RunFacts facts) : state_(state), facts_(facts) {
  filter_.resize(piece_bytes(facts_.blocks, 0));
}

Result<void> RunWriter::begin(MDB_txn* txn) {
  txn_ = txn;
  MDB_cursor* cursor = nullptr;
  CAIRN_CHECK(state_.written(guarded_cursor_open(txn, state_.tables[facts_.slot], &cursor)));
  cursor_.reset(cursor);
  return {};
}

Result<void> RunWriter::put(const ChunkName& name, ByteView entry) {
  MDB_val key = value_of(name.view());
  MDB_val value = value_of(entry);
  CAIRN_CHECK(state_.written(guarded_cursor_put(cursor_.get(), &key, &value, MDB_APPEND)));
  ++names_;
  const std::uint64_t block = filter_block_of(name, facts_.blocks);
  while (block / kFilterPieceBlocks > piece_) CAIRN_CHECK(store_piece());
  add_to_filter(std::span<std::uint8_t, kFilterBlockBytes>(
                    filter_.data() + block % kFilterPieceBlocks * kFilterBlockBytes, kFilterBlockBytes),
                name);
  return {};
}

Result<void> RunWriter::store_piece() {
  const auto key_bytes = filter_key(facts_.id, piece_);
  MDB_val key = value_of(key_bytes);
  MDB_val value = value_of(filter_);
  CAIRN_CHECK(state_.written(guarded_put(txn_, state_.filters, &key, &value, 0)));
  ++piece_;
  filter_.clear();
  if (piece_ * kFilterPieceBlocks < facts_.blocks) filter_.resize(piece_bytes(facts_.blocks, piece_));
  return {};
}

Result<RunFacts> RunWriter::finish() {
  pause();
  while (!filter_.empty()) CAIRN_CHECK(store_piece());
  facts_.names = names_;
  return facts_;
}

// --- merging
// ----------------------------------------------------------------------------------------------------------
Result<void> Index::State::drop_run(MDB_txn* txn, std::uint32_t slot, std::uint32_t id) const {
  CAIRN_CHECK(written(guarded_drop(txn, tables[slot])));
  MDB_cursor* opened = nullptr;
  CAIRN_CHECK(written(guarded_cursor_open(txn, filters, &opened)));
  const Cursor cursor(opened, &mdb_cursor_close);
  const auto first = filter_key(id, 0);
  for (;;) {
    MDB_val key = value_of(first);
    MDB_val value{};
    const int code = guarded_cursor_get(cursor.get(), &key, &value, MDB_SET_RANGE);
    if (code == MDB_NOTFOUND || (code == 0 && !std::ranges::equal(view_of(key).first(4), ByteView(first).first(4))))
      return {};
    CAIRN_CHECK(written(code));
    CAIRN_CHECK(written(guarded_cursor_del(cursor.get())));
  }
}

Result<void> Index::State::drop_unfinished() {
  Transaction txn;
  CAIRN_CHECK(begin_write(txn));
  MDB_val key = value_of(as_bytes(kUnfinishedKey));
  MDB_val value{};
  const int code = guarded_get(txn.get(), about, &key, &value);
  if (code == MDB_NOTFOUND) return {};
  CAIRN_CHECK(written(code));
  if (value.mv_size != 8) return damaged("its unfinished run has a wrong length");
  const auto slot = get_le<std::uint32_t>(view_of(value));
  const auto id = get_le<std::uint32_t>(view_of(value).subspan(4));
  if (slot >= kRunSlots) return damaged("its unfinished run is out of range");
  CAIRN_CHECK(drop_run(txn.get(), slot, id));
  CAIRN_CHECK(written(guarded_del(txn.get(), about, &key)));
  return commit(txn);
}

Result<void> Index::State::merge_runs() {
  for (;;) {
    std::vector<RunFacts> all;
    {
      CAIRN_TRY(MDB_txn * txn, begin_read());
      const auto now = runs(txn);
      end_read(txn);
      if (!now) return pass_on(now.error());
      all = (*now)->facts();
    }
    const std::vector<RunFacts> sources = choose_merge(all);
    if (sources.empty()) return {};
    std::erase_if(all, [&](const RunFacts& run) { return std::ranges::find(sources, run) != sources.end(); });
    CAIRN_CHECK(merge(sources, all));
  }
}

// The new run becomes part of the index, and the old ones vanish, in the last transaction. Until then it stands in
// `about` as unfinished.
Result<void> Index::State::merge(std::span<const RunFacts> sources, std::span<const RunFacts> others) {
  std::vector<RunFacts> taken(others.begin(), others.end());
  taken.insert(taken.end(), sources.begin(), sources.end());
  const auto slot = free_slot(taken);
  CAIRN_ASSERT(slot.has_value());  // choose_merge keeps two free
  RunFacts facts{0, *slot, 0, 0};
  std::optional<RunWriter> writer;
  const auto pause = [](std::optional<RunWriter>* paused) {
    if (*paused) (*paused)->pause();
  };
  // What is retired only grows while this writer merges; what is gone stays so.
  std::shared_ptr<const RunSet> before;
  std::optional<ChunkName> last;
  for (bool at_end = false; !at_end;) {
    Transaction txn;
    CAIRN_CHECK(begin_write(txn));
    // Aborting the transaction would close the cursor as well.
    const std::unique_ptr<std::optional<RunWriter>, decltype(pause)> pauser(&writer, pause);
    std::vector<Source> open(sources.size());
    std::uint64_t names = 0;
    for (std::size_t i = 0; i < sources.size(); ++i) {
      MDB_cursor* cursor = nullptr;
      CAIRN_CHECK(written(guarded_cursor_open(txn.get(), tables[sources[i].slot], &cursor)));
      open[i].cursor.reset(cursor);
      open[i].start(last);
      MDB_stat stat{};
      CAIRN_CHECK(written(guarded_stat(txn.get(), tables[sources[i].slot], &stat)));
      names += stat.ms_entries;
    }
    if (!writer) {
      CAIRN_TRY(before, runs(txn.get()));
      CAIRN_TRY(facts.id, take_run_id(txn.get()));
      facts.blocks = filter_blocks_for(names);
      Buffer unfinished;
      append_le(unfinished, facts.slot);
      append_le(unfinished, facts.id);
      MDB_val key = value_of(as_bytes(kUnfinishedKey));
      MDB_val value = value_of(unfinished);
      CAIRN_CHECK(written(guarded_put(txn.get(), about, &key, &value, 0)));
      writer.emplace(*this, facts);
    }
    CAIRN_CHECK(writer->begin(txn.get()));
    for (std::uint64_t done = 0; done < kSliceNames; ++done) {
      Source* least = nullptr;
      for (Source& source : open) {
        if (source.code == MDB_NOTFOUND) continue;
        CAIRN_CHECK(written(source.code));
        if (source.key.mv_size != kChunkNameBytes) return damaged("a name has a wrong length");
        if (least == nullptr || std::memcmp(source.key.mv_data, least->key.mv_data, kChunkNameBytes) < 0)
          least = &source;
      }
      at_end = least == nullptr;
      if (at_end) break;
      const ChunkName name = ChunkName::of(view_of(least->key));
      if (last && !(*last < name)) return damaged("the names of a run are not in order");
      // Of entries of one name the one whose pack stays is taken; those of packs that are gone go with them.
      std::optional<ByteView> best;
      Retired best_state = Retired::gone;
      for (Source& source : open) {
        if (source.code != 0 || source.key.mv_size != kChunkNameBytes ||
            !std::ranges::equal(view_of(source.key), name.view()))
          continue;
        if (source.value.mv_size < sizeof(PackNumber)) return damaged("an entry does not have the form it must have");
        const Retired state = before->retired_of(pack_of_entry(view_of(source.value)));
        if (state < best_state) best = view_of(source.value), best_state = state;
      }
      if (best) CAIRN_CHECK(writer->put(name, *best));
      last = name;
      for (Source& source : open)
        if (source.code == 0 && std::ranges::equal(view_of(source.key), name.view())) source.next();
    }
    open.clear();  // the commit would close the cursors
    writer->pause();
    if (at_end) {
      CAIRN_TRY(const RunFacts merged, writer->finish());
      for (const RunFacts& source : sources) CAIRN_CHECK(drop_run(txn.get(), source.slot, source.id));
      std::vector<RunFacts> now(others.begin(), others.end());
      now.push_back(merged);
      CAIRN_CHECK(list_runs(txn.get(), now));
      if (others.empty()) CAIRN_CHECK(forget_gone(txn.get(), *before));
      MDB_val key = value_of(as_bytes(kUnfinishedKey));
      CAIRN_CHECK(written(guarded_del(txn.get(), about, &key)));
    }
    CAIRN_CHECK(commit(txn));
  }
  return {};
}

}  // namespace cairn
