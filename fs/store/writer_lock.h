// SPDX-License-Identifier: GPL-3.0-or-later
// The writer lock: one process at a time writes to a store. flock(2) on the file `lock` of its
// lock folder, so it vanishes with its
// process; the file says who holds it and why. Any thread.
#pragma once

#include <string>

#include "config/base/result.h"
#include "config/base/unique_fd.h"
#include "fs/store/store_places.h"

namespace cairn {

class WriterLock {
 public:
  // Does not wait. Errors: store_locked (by whom, since when), io_error, permission_denied.
  static Result<WriterLock> take(const StorePlaces& store, const std::string& purpose);

 private:
  explicit WriterLock(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
};

}  // namespace cairn
