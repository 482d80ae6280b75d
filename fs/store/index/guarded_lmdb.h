// SPDX-License-Identifier: GPL-3.0-or-later
// LMDB's calls as the index makes them: each through its environment's MapGuard (map_guard.h). Parameters and codes are
// LMDB's; MDB_CORRUPTED also when a call had to be left. What a call returns a pointer to can be read: its first and
// its last byte were. Internal to fs/store/index. Any thread, as LMDB's.
#pragma once

#include <lmdb.h>

#include "fs/store/index/map_guard.h"

namespace cairn {

// The guard was set as the environment's user context.
inline MapGuard& guard_of(MDB_env* env) {
  return *static_cast<MapGuard*>(mdb_env_get_userctx(env));
}
inline MapGuard& guard_of(MDB_txn* txn) {
  return guard_of(mdb_txn_env(txn));
}
inline MapGuard& guard_of(MDB_cursor* cursor) {
  return guard_of(mdb_cursor_txn(cursor));
}

// A number of a page that was overwritten can lead past the map, and LMDB does not look at what a value consists of.
inline void touch(const MDB_val* value) {
  if (value == nullptr || value->mv_size == 0) return;
  const auto* const bytes = static_cast<const volatile unsigned char*>(value->mv_data);
  static_cast<void>(bytes[0]);
  static_cast<void>(bytes[value->mv_size - 1]);
}

inline int guarded_begin(MDB_env* env, unsigned flags, MDB_txn** txn) {
  return guarded(guard_of(env), [&] { return mdb_txn_begin(env, nullptr, flags, txn); });
}
inline int guarded_renew(MDB_txn* txn) {
  return guarded(guard_of(txn), [&] { return mdb_txn_renew(txn); });
}
inline void guarded_reset(MDB_txn* txn) {
  static_cast<void>(guarded(guard_of(txn), [&] { return mdb_txn_reset(txn), 0; }));
}
inline int guarded_get(MDB_txn* txn, MDB_dbi table, MDB_val* key, MDB_val* value) {
  return guarded(guard_of(txn), [&] {
    const int code = mdb_get(txn, table, key, value);
    if (code == 0) touch(value);
    return code;
  });
}
inline int guarded_cursor_get(MDB_cursor* cursor, MDB_val* key, MDB_val* value, MDB_cursor_op operation) {
  return guarded(guard_of(cursor), [&] {
    const int code = mdb_cursor_get(cursor, key, value, operation);
    if (code == 0) touch(key), touch(value);
    return code;
  });
}
inline int guarded_stat(MDB_txn* txn, MDB_dbi table, MDB_stat* stat) {
  return guarded(guard_of(txn), [&] { return mdb_stat(txn, table, stat); });
}
inline int guarded_cursor_open(MDB_txn* txn, MDB_dbi table, MDB_cursor** cursor) {
  return guarded(guard_of(txn), [&] { return mdb_cursor_open(txn, table, cursor); });
}
inline int guarded_dbi_open(MDB_txn* txn, const char* name, unsigned flags, MDB_dbi* table) {
  return guarded(guard_of(txn), [&] { return mdb_dbi_open(txn, name, flags, table); });
}
inline int guarded_put(MDB_txn* txn, MDB_dbi table, MDB_val* key, MDB_val* value, unsigned flags) {
  return guarded(guard_of(txn), [&] { return mdb_put(txn, table, key, value, flags); });
}
inline int guarded_cursor_put(MDB_cursor* cursor, MDB_val* key, MDB_val* value, unsigned flags) {
  return guarded(guard_of(cursor), [&] { return mdb_cursor_put(cursor, key, value, flags); });
}
inline int guarded_del(MDB_txn* txn, MDB_dbi table, MDB_val* key) {
  return guarded(guard_of(txn), [&] { return mdb_del(txn, table, key, nullptr); });
}
inline int guarded_cursor_del(MDB_cursor* cursor) {
  return guarded(guard_of(cursor), [&] { return mdb_cursor_del(cursor, 0); });
}
inline int guarded_drop(MDB_txn* txn, MDB_dbi table) {
  return guarded(guard_of(txn), [&] { return mdb_drop(txn, table, 0); });
}
inline void guarded_abort(MDB_txn* txn) {
  MapGuard& guard = guard_of(txn);
  if (guarded(guard, [&] { return mdb_txn_abort(txn), 0; }) != 0) guard.set_abandoned();
}
// What was built on pages that could not be read does not get into the file.
inline int guarded_commit(MDB_txn* txn) {
  MapGuard& guard = guard_of(txn);
  if (guard.broken()) return guarded_abort(txn), MDB_CORRUPTED;
  bool ended = false;
  const int code = guarded(guard, [&] {
    const int result = mdb_txn_commit(txn);
    *const_cast<volatile bool*>(&ended) = true;
    return result;
  });
  if (!*const_cast<volatile bool*>(&ended)) guarded_abort(txn);
  return code;
}
inline void guarded_close(MDB_env* env) {
  MapGuard& guard = guard_of(env);
  guard.forget();
  if (!guard.abandoned()) static_cast<void>(guarded(guard, [&] { return mdb_env_close(env), 0; }));
}

}  // namespace cairn
