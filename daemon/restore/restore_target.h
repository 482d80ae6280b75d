// SPDX-License-Identifier: GPL-3.0-or-later
// RestoreTarget: the file that a restored disk becomes. It has no name until publish(), so that nothing is left of it
// when this process is killed; where the file system cannot do that (NFS), a temporary one. Written past the page cache
// (O_DIRECT) where the file system lets us: a restored disk would only push out what others need, and copying it there
// costs more than the disk does.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>

#include "config/base/bytes.h"
#include "config/base/result.h"
#include "config/base/unique_fd.h"
#include "fs/file/folder.h"

namespace cairn {

// Opens the directory that is restored into. It may lie in somebody else's: so the way to it is walked once, only links
// of root and of this user are followed, and all that is made, replaced or removed is below what was opened, whatever
// is renamed meanwhile. Errors: used_wrongly (path not absolute), target_missing, wrong_file_type (somebody else's
// link).
Result<Folder> open_restore_folder(const std::filesystem::path& folder);
// Whether a file of that name may be made there. Errors: target_exists (a directory always, else with IfExists::fail).
Result<void> check_restore_name(const Folder& folder, const std::string& name, IfExists if_exists);

class RestoreTarget {
 public:
  // A file of `size` bytes, all of it a hole, that will be called `name` in `folder`, which must outlive this.
  // Errors: no_space, permission_denied, io_error.
  static Result<RestoreTarget> create(const Folder& folder, const std::string& name, std::uint64_t size);
  RestoreTarget(RestoreTarget&& other) noexcept;
  RestoreTarget& operator=(RestoreTarget&&) = delete;
  // What is not published is gone.
  ~RestoreTarget();

  // `offset`, length and memory are multiples of kDirectBlock (fs/file/direct_io.h); what goes past the file's end
  // is dropped. Any thread. Errors: no_space, io_error.
  Result<void> write(std::uint64_t offset, ByteView bytes);
  // Durable under its name on return. Errors: target_exists (with IfExists::fail), no_space, io_error.
  Result<void> publish(IfExists if_exists);
  [[nodiscard]] const std::string& path() const { return path_; }
  // Whether what is written passes the page cache by.
  [[nodiscard]] bool writes_directly() const { return direct_; }

 private:
  explicit RestoreTarget(const Folder& folder) : folder_(folder) {}
  void leave_direct();
  [[nodiscard]] std::string temporary_name() const;
  Result<void> create_named();
  [[nodiscard]] int link_as(const std::string& name) const;
  [[nodiscard]] int link_as_temporary();
  [[nodiscard]] std::unexpected<Error> not_named(int sys_errno) const;

  const Folder& folder_;
  UniqueFd fd_;
  std::string name_;
  std::string path_;       // for messages
  std::string temporary_;  // empty: it has no name yet
  std::uint64_t size_ = 0;
  std::atomic<bool> direct_ = false;
};

}  // namespace cairn
