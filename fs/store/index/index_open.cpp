// SPDX-License-Identifier: GPL-3.0-or-later
// Index: making one, opening it, and taking one of an earlier version over.
#include "fs/store/index/index.h"

#include <fcntl.h>

#include <cerrno>
#include <condition_variable>
#include <map>

#include "fs/store/index/index_check.h"
#include "fs/store/index/index_place.h"
#include "fs/store/index/index_state.h"

namespace cairn {
namespace {

// Address space, not memory or disk: room for about twelve thousand million chunks.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kMapBytes = std::size_t{16} << 30U;
#else
constexpr std::size_t kMapBytes = std::size_t{1} << 40U;
#endif
constexpr unsigned kMaxReaders = 1024;
constexpr unsigned kMaxTables = 64;
constexpr std::uint32_t kIndexVersion = 3;
constexpr std::uint32_t kRunsVersion = 2;   // no retired packs
constexpr std::uint32_t kFirstVersion = 1;  // one table of chunks, no runs: it is taken as a run without a filter
constexpr std::string_view kAboutKey = "about";

std::optional<FileIdentity> identity_of(const std::filesystem::path& file) {
  struct stat facts{};
  if (::stat(file.c_str(), &facts) != 0) return std::nullopt;
  return FileIdentity{facts.st_dev, facts.st_ino};
}

// One file must be opened only once in a process (LMDB's locks are fcntl locks, which go when any descriptor is
// closed): all users of a file share one Index. An entry stays until that Index has really closed its file.
std::mutex g_open_mutex;
std::condition_variable g_closed;
std::map<FileIdentity, std::weak_ptr<Index>>& open_indexes() {
  static std::map<FileIdentity, std::weak_ptr<Index>> indexes;
  return indexes;
}

}  // namespace

std::unexpected<Error> lmdb_error(int code, const char* doing, const std::string& folder) {
  if (code > 0) return fail_errno(code, doing, folder, code == EINVAL ? ErrorCode::index_damaged : ErrorCode::io_error);
  if (code == MDB_MAP_FULL) return fail(ErrorCode::no_space, doing, folder, "the index has reached its largest size");
  if (code == MDB_READERS_FULL)
    return fail(ErrorCode::io_error, doing, folder, "more than 1024 readers are using the index", "stop some mounts");
  return fail(ErrorCode::index_damaged, doing, folder, mdb_strerror(code));
}

Index::State::~State() {
  for (MDB_txn* txn : *idle.lock()) guarded_abort(txn);
  // What LMDB cannot close any more is left to the end of the process.
  if (env != nullptr) guarded_close(env);
}

std::unexpected<Error> Index::State::damaged(const std::string& because) const {
  return fail(ErrorCode::index_damaged, "read index", folder, because);
}

Result<void> Index::State::written(int code) const {
  if (code != 0) return lmdb_error(code, "write index", folder);
  return {};
}

int Index::State::make_env() {
  if (const int code = mdb_env_create(&env); code != 0) return code;
  guard.attach(env);
  mdb_env_set_mapsize(env, kMapBytes);
  mdb_env_set_maxdbs(env, kMaxTables);
  return 0;
}

// A jump out of LMDB while it opens leaves files and maps open: it is rare, and the process goes on.
int Index::State::open_files(IndexPlace& place, unsigned flags) {
  const std::string& path = place.for_lmdb();
  const int code = guarded(guard, [&] { return mdb_env_open(env, path.c_str(), flags, 0600); });
  if (guard.broken()) guard.set_abandoned();
  return code;
}

int Index::State::open_env(IndexPlace& place, bool create) {
  if (const int code = make_env(); code != 0) return code;
  mdb_env_set_maxreaders(env, kMaxReaders);
  const unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
  int code = place.lacks_lock() ? EROFS : open_files(place, flags);
  if (!create && (code == EROFS || code == EACCES)) {
    // Somebody who may only read, or a read-only file system: readers need no lock when there is no writer.
    guarded_close(std::exchange(env, nullptr));
    if (code = make_env(); code != 0) return code;
    code = open_files(place, flags | MDB_RDONLY | MDB_NOLOCK);
  }
  int dead_readers = 0;
  if (code == 0) code = guarded(guard, [&] { return mdb_reader_check(env, &dead_readers), 0; });
  return code;
}

int Index::State::open_first_tables(MDB_txn* txn, unsigned flags) {
  if (const int code = guarded_dbi_open(txn, "about", flags, &about); code != 0) return code;
  if (const int code = guarded_dbi_open(txn, "chunks", flags, tables.data()); code != 0) return code;
  if (const int code = guarded_dbi_open(txn, "packs", flags | MDB_INTEGERKEY, &packs); code != 0) return code;
  return guarded_dbi_open(txn, "pack-numbers", flags, &pack_numbers);
}

int Index::State::open_run_tables(MDB_txn* txn, unsigned flags) {
  for (std::size_t slot = 1; slot < kRunSlots; ++slot) {
    const std::string name = "run-" + std::to_string(slot);
    if (const int code = guarded_dbi_open(txn, name.c_str(), flags, &tables[slot]); code != 0) return code;
  }
  return guarded_dbi_open(txn, "filters", flags, &filters);
}

int Index::State::open_tables(MDB_txn* txn, unsigned flags) {
  if (const int code = open_first_tables(txn, flags); code != 0) return code;
  if (const int code = open_run_tables(txn, flags); code != 0) return code;
  if (const int code = guarded_dbi_open(txn, "retired", flags | MDB_INTEGERKEY, &retired); code != 0) return code;
  return guarded_dbi_open(txn, "verified", flags | MDB_INTEGERKEY, &verified);
}

// Makes all tables that are missing, and says whose index it is and which runs it has. `from`: its version, 0: it is
// new.
int Index::State::make_current(MDB_txn* txn, const StoreId& store, std::uint32_t from) {
  if (const int code = open_tables(txn, MDB_CREATE); code != 0) return code;
  MDB_val key{};
  MDB_val value{};
  if (from < kRunsVersion) {
    MDB_stat stat{};
    if (const int code = guarded_stat(txn, tables[0], &stat); code != 0) return code;
    std::vector<RunFacts> runs;
    if (stat.ms_entries != 0) runs.push_back({0, 0, stat.ms_entries, 0});
    const Buffer list = encode_runs(runs);
    key = value_of(as_bytes("runs"));
    value = value_of(list);
    if (const int code = guarded_put(txn, about, &key, &value, 0); code != 0) return code;
  }
  Buffer whose;
  append_le(whose, kIndexVersion);
  append(whose, store);
  key = value_of(as_bytes(kAboutKey));
  value = value_of(whose);
  version = kIndexVersion;
  return guarded_put(txn, about, &key, &value, 0);
}

// Opens the tables; makes an index of an earlier version a current one when it can be written.
Result<void> Index::State::open_version(const StoreId& store, const IndexPlace& place) {
  const auto problem = [&](int code) { return lmdb_error(code, "open index", folder); };
  {
    Transaction txn;
    if (const int code = txn.begin(env, MDB_RDONLY); code != 0) return problem(code);
    if (const int code = open_first_tables(txn.get(), 0); code != 0) return damaged(mdb_strerror(code));
    MDB_val key = value_of(as_bytes(kAboutKey));
    MDB_val value{};
    if (guarded_get(txn.get(), about, &key, &value) != 0 || value.mv_size != 4 + store.size())
      return damaged("it does not say whose index it is");
    version = get_le<std::uint32_t>(view_of(value));
    if (version < kFirstVersion || version > kIndexVersion) return damaged("it has another version");
    if (std::memcmp(view_of(value).data() + 4, store.data(), store.size()) != 0)
      return damaged("it belongs to another store");
    // An earlier version is made a current one by whoever opens it: it must be one, and not a number that went bad.
    if (const char* const newer = version == kFirstVersion ? "run-1" : version == kRunsVersion ? "retired" : nullptr) {
      MDB_dbi unused = 0;
      const int code = guarded_dbi_open(txn.get(), newer, 0, &unused);
      if (code != MDB_NOTFOUND) return code == 0 ? damaged("it is of a later version than it says") : problem(code);
    }
    if (version == kRunsVersion)
      if (const int code = open_run_tables(txn.get(), 0); code != 0) return damaged(mdb_strerror(code));
    if (version == kIndexVersion)
      if (const int code = open_tables(txn.get(), 0); code != 0) return damaged(mdb_strerror(code));
    guard.watch(value.mv_data, place.lock());
    if (const int code = txn.commit(); code != 0) return problem(code);
  }
  if (version == kIndexVersion) return {};
  unsigned flags = 0;
  if (const int code = mdb_env_get_flags(env, &flags); code != 0) return problem(code);
  if ((flags & MDB_RDONLY) != 0) return {};
  Transaction txn;
  if (const int code = txn.begin(env, 0); code != 0) return problem(code);
  if (const int code = make_current(txn.get(), store, version); code != 0) return problem(code);
  if (const int code = txn.commit(); code != 0) return problem(code);
  return {};
}

Result<MDB_txn*> Index::State::begin_read() {
  MDB_txn* txn = nullptr;
  {
    const auto ready = idle.lock();
    if (!ready->empty()) {
      txn = ready->back();
      ready->pop_back();
    }
  }
  if (txn != nullptr) {
    const int code = guarded_renew(txn);
    if (code == 0) return txn;
    guarded_abort(txn);
    return lmdb_error(code, "read index", folder);
  }
  if (const int code = guarded_begin(env, MDB_RDONLY, &txn); code != 0) return lmdb_error(code, "read index", folder);
  return txn;
}

void Index::State::end_read(MDB_txn* txn) {
  guarded_reset(txn);
  idle.lock()->push_back(txn);
}

Index::Index(std::unique_ptr<State> state) : state_(std::move(state)) {}

Index::~Index() {
  const FileIdentity identity = state_->identity;
  state_.reset();
  const std::lock_guard lock(g_open_mutex);
  open_indexes().erase(identity);
  g_closed.notify_all();
}

Result<void> Index::create(const std::filesystem::path& folder, const StoreId& store) {
  CAIRN_TRY(IndexPlace place, IndexPlace::create(folder));
  State state;
  state.folder = folder.string();
  const auto check = [&](int code) -> Result<void> {
    if (code != 0) return lmdb_error(code, "make index", state.folder);
    return {};
  };
  CAIRN_CHECK(check(state.open_env(place, true)));
  Transaction txn;
  CAIRN_CHECK(check(txn.begin(state.env, 0)));
  CAIRN_CHECK(check(state.make_current(txn.get(), store, 0)));
  CAIRN_CHECK(check(state.put_new_epoch(txn.get())));
  CAIRN_CHECK(check(txn.commit()));
  // LMDB syncs the file, not that there is one.
  return place.folder().sync();
}

Result<std::shared_ptr<Index>> Index::open(const std::filesystem::path& folder, const StoreId& store) {
  const std::filesystem::path file = folder / "data.mdb";
  std::shared_ptr<Index> open_already;  // goes after the lock does: the last one that goes takes it
  std::unique_lock lock(g_open_mutex);
  CAIRN_TRY(IndexPlace place, IndexPlace::open(folder));
  const FileIdentity identity{place.data().st_dev, place.data().st_ino};
  for (auto entry = open_indexes().find(identity); entry != open_indexes().end();
       entry = open_indexes().find(identity)) {
    open_already = entry->second.lock();
    if (open_already) {
      // LMDB cannot have it open twice, and whoever has it has not let go of it yet.
      if (auto damaged = open_already->damaged()) return pass_on(*std::move(damaged));
      return open_already;
    }
    g_closed.wait(lock);  // it is just being closed
  }

  {
    // LMDB itself trusts them. A file that we may not read is told of by LMDB.
    const auto header = place.folder().open_file(kIndexDataName, O_RDONLY);
    if (header) CAIRN_CHECK(check_index_header(header->get(), file.string()));
  }
  auto state = std::make_unique<State>();
  state->folder = folder.string();
  state->identity = identity;
  const auto damaged = [&](const std::string& because) {
    return fail(ErrorCode::index_damaged, "open index", file.string(), because);
  };
  if (const int code = state->open_env(place, false); code != 0) {
    if (code == EINVAL || code < 0) return damaged(mdb_strerror(code));
    return lmdb_error(code, "open index", file.string());
  }
  // A rebuild may have put another file there meanwhile: what counts is what was opened.
  mdb_filehandle_t opened = -1;
  struct stat facts{};
  if (mdb_env_get_fd(state->env, &opened) != 0 || ::fstat(opened, &facts) != 0 ||
      state->identity != FileIdentity{facts.st_dev, facts.st_ino})
    return fail(ErrorCode::index_missing, "open index", file.string(), "it was replaced while it was opened",
                "try again");
  // Pages past the file's end would end the process with SIGBUS.
  MDB_envinfo info{};
  MDB_stat stat{};
  if (guarded(state->guard, [&] { return mdb_env_info(state->env, &info), mdb_env_stat(state->env, &stat); }) != 0)
    return damaged("it cannot be read");
  const auto file_bytes = static_cast<std::uint64_t>(facts.st_size);
  if (file_bytes < (std::uint64_t{info.me_last_pgno} + 1) * stat.ms_psize)
    return damaged("the file is shorter than it was written");
  if (file_bytes <= kMaxCheckedIndexBytes) CAIRN_CHECK(state->check_file());
  CAIRN_CHECK(state->open_version(store, place));
  std::shared_ptr<Index> index(new Index(std::move(state)));
  open_indexes()[identity] = index;
  return index;
}

bool Index::replaced() const {
  const auto now = identity_of(std::filesystem::path(state_->folder) / "data.mdb");
  return now && *now != state_->identity;
}

}  // namespace cairn
