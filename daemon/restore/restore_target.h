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
#include "fs/io/backend.h"

namespace cairn {

// Whether something can be restored into `folder`. Errors: used_wrongly (path not absolute), target_missing.
Result<void> check_restore_folder(const std::filesystem::path& folder);
// Whether a file of that name may be made there. Errors: target_exists (a directory always, else with IfExists::fail).
Result<void> check_restore_name(const std::filesystem::path& target, IfExists if_exists);

class RestoreTarget {
 public:
  // A file of `size` bytes, all of it a hole, beside `final_path`.
  // Errors: no_space, permission_denied, io_error.
  static Result<RestoreTarget> create(const std::filesystem::path& final_path, std::uint64_t size);
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
  RestoreTarget() = default;
  void leave_direct();
  [[nodiscard]] std::string temporary_pattern() const;
  [[nodiscard]] bool link_as(const std::string& name) const;
  [[nodiscard]] bool link_as_temporary();
  [[nodiscard]] bool rename_to_final(IfExists if_exists);
  [[nodiscard]] std::unexpected<Error> not_named() const;

  UniqueFd fd_;
  std::filesystem::path final_;
  std::string path_;       // final_, for messages
  std::string temporary_;  // empty: it has no name yet
  std::uint64_t size_ = 0;
  std::atomic<bool> direct_ = false;
};

}  // namespace cairn
