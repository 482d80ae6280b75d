// SPDX-License-Identifier: GPL-3.0-or-later
// What the index says can be believed as long as nobody but LMDB has written to its file. Somebody may have all the
// same, or its disk may fail, also while it is open.
#include <sys/stat.h>

#include <cerrno>

#include "fs/store/index/index_check.h"
#include "fs/store/index/index_place.h"
#include "fs/store/index/index_state.h"

namespace cairn {

std::optional<Error> Index::State::distrusted() {
  if (!is_distrusted.load(std::memory_order_acquire) && !guard.broken()) return std::nullopt;
  const auto why = why_distrusted.lock();
  if (!*why)
    *why = Error{ErrorCode::index_damaged,
                 "read index",
                 folder,
                 "it became unreadable while it was open: its file was cut off or overwritten, or its disk fails",
                 0,
                 {}};
  return *why;
}

void Index::State::distrust(const Error& why) {
  const auto known = why_distrusted.lock();
  if (!*known) *known = why;
  is_distrusted.store(true, std::memory_order_release);
}

std::optional<Error> Index::damaged() const {
  return state_->distrusted();
}

// All zero: it cannot be told.
FileTimes Index::State::file_times() const {
  mdb_filehandle_t opened = -1;
  struct stat facts{};
  if (mdb_env_get_fd(env, &opened) != 0 || ::fstat(opened, &facts) != 0) return {};
  return {{facts.st_size, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec, facts.st_ctim.tv_sec, facts.st_ctim.tv_nsec}};
}

Result<void> Index::State::begin_write(Transaction& txn) {
  CAIRN_CHECK(written(txn.begin(env, 0)));
  // No other writer has its turn now.
  const FileTimes now = file_times();
  if (*sound.lock() == now) return {};
  const std::string file = folder + "/" + kIndexDataName;
  mdb_filehandle_t opened = -1;
  CAIRN_CHECK(written(mdb_env_get_fd(env, &opened)));
  if (static_cast<std::uint64_t>(now.facts[0]) > kMaxCheckedIndexBytes) {
    sound.lock()->reset();
    return check_index_header(opened, file);
  }
  CAIRN_CHECK(check_index_pages(opened, file, mdb_txn_id(txn.get()) - 1));
  *sound.lock() = now;
  return {};
}

Result<void> Index::State::commit(Transaction& txn) {
  CAIRN_CHECK(written(txn.commit()));
  const auto known = sound.lock();
  if (*known) *known = file_times();
  return {};
}

Result<void> Index::State::check_file() {
  const std::lock_guard one_check(check_mutex);
  const FileTimes now = file_times();
  if (*sound.lock() == now) return {};
  const std::string file = folder + "/" + kIndexDataName;
  mdb_filehandle_t opened = -1;
  if (const int code = mdb_env_get_fd(env, &opened); code != 0) return lmdb_error(code, "check index", file);
  Result<void> checked;
  for (int attempt = 0; attempt < 5; ++attempt) {
    Transaction txn;  // so that no writer takes the pages meanwhile
    if (const int code = txn.begin(env, MDB_RDONLY); code != 0) return lmdb_error(code, "check index", file);
    checked = check_index_pages(opened, file, mdb_txn_id(txn.get()));
    if (checked) *sound.lock() = now;
    if (checked || checked.error().code != ErrorCode::cancelled) return checked;
  }
  return fail(ErrorCode::io_error, "check index", file, "it changed faster than it could be checked", "try again");
}

Result<void> Index::check_absent(std::span<const ChunkName> names) {
  return state_->safely([&]() -> Result<void> {
    CAIRN_CHECK(state_->check_file());
    CAIRN_TRY(MDB_txn * txn, state_->begin_read());
    const ReadScope scope(*state_, txn);
    CAIRN_TRY(const auto runs, state_->runs(txn));
    for (const ChunkName& name : names) {
      if (name.is_zero()) continue;
      CAIRN_TRY(const auto filtered, state_->entry_of(txn, *runs, name, Who::reader));
      if (filtered) continue;
      CAIRN_TRY(const auto entry, state_->entry_of(txn, *runs, name, Who::reader, Filters::ignored));
      if (entry) return state_->damaged("a run's filter does not have a name that the run has");
    }
    return {};
  });
}

}  // namespace cairn
