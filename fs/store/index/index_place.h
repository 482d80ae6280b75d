// SPDX-License-Identifier: GPL-3.0-or-later
// IndexPlace: the index's folder and its two files, as LMDB is to open them. LMDB opens by path, follows links and
// makes what is missing; whoever may write to the store could have it overwrite any file. So the files are opened here
// first, below the folder and through no link (fs/file/folder.h), and LMDB gets a directory of our own with links to
// these descriptors in /proc. Where there is no /proc, it gets the path that was checked. Internal to fs/store. One
// thread.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "config/base/result.h"
#include "config/base/unique_fd.h"
#include "fs/file/folder.h"

namespace cairn {

inline constexpr const char* kIndexDataName = "data.mdb";
inline constexpr const char* kIndexLockName = "lock.mdb";

class IndexPlace {
 public:
  // Errors: index_missing (the folder, or data.mdb), index_damaged (a link or another kind of file is in its place).
  static Result<IndexPlace> open(const std::filesystem::path& folder);
  // Makes the folder (0700) unless it is there, and two empty files in it. Errors: object_exists, wrong_file_type,
  // no_space, io_error, permission_denied.
  static Result<IndexPlace> create(const std::filesystem::path& folder);
  IndexPlace(IndexPlace&& other) noexcept;
  IndexPlace& operator=(IndexPlace&&) = delete;
  ~IndexPlace();

  // The directory for mdb_env_open(); not needed after that.
  [[nodiscard]] const std::string& for_lmdb();
  // lock.mdb is missing and cannot be made: read only, without locks.
  [[nodiscard]] bool lacks_lock() const { return !lock_; }
  // Of data.mdb.
  [[nodiscard]] const struct stat& data() const { return data_facts_; }
  // Of lock.mdb; null: lacks_lock().
  [[nodiscard]] const struct stat* lock() const { return lock_ ? &lock_facts_ : nullptr; }
  [[nodiscard]] const Folder& folder() const { return folder_; }

 private:
  explicit IndexPlace(Folder folder) : folder_(std::move(folder)) {}
  Result<void> open_files();
  void lay_links();

  Folder folder_;
  UniqueFd data_;  // O_PATH: closing them drops no lock of LMDB's
  UniqueFd lock_;
  struct stat data_facts_{};
  struct stat lock_facts_{};
  std::string for_lmdb_;  // empty: not asked for yet
  std::string links_;     // the directory of ours; empty: none
};

// Removes an index with its folder, or whatever has that name. Nothing there is well. Errors: as Folder::remove_all().
Result<void> remove_index(const std::filesystem::path& folder);
// Puts the index `fresh` in the place of `old`, which need not be there, beside it; what was there is `fresh` then,
// unless the file system cannot exchange names. Durable on return.
Result<void> put_index_in_place(const std::filesystem::path& fresh, const std::filesystem::path& old);

}  // namespace cairn
