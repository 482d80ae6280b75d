// SPDX-License-Identifier: GPL-3.0-or-later
// What people are to be told of a store's index.
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "fs/store/store.h"
#include "fs/store/store_state.h"

namespace cairn {
namespace {

// Whether any process of this host has the writer lock. Taking it to find out would be in the writer's way. The lock
// file's device is not compared: some file systems show another one here than to stat(2).
bool somebody_writes(const StorePlaces& places) {
  struct stat facts{};
  if (::lstat((places.lock_folder / StorePlaces::kLockName).c_str(), &facts) != 0) return false;
  std::ifstream locks("/proc/locks");  // "1: FLOCK  ADVISORY  WRITE 1234 08:01:131 0 EOF"
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number, kind, strictness, access, process, file;
    words >> number >> kind >> strictness >> access >> process >> file;
    if (kind == "FLOCK" && access == "WRITE" && file.ends_with(":" + std::to_string(facts.st_ino))) return true;
  }
  return false;
}

}  // namespace

Result<std::optional<Error>> index_trouble(Store& store) {
  UnlistedPacks& unlisted = store.unlisted();
  CAIRN_TRY(auto trouble, unlisted.trouble_now());
  if (!trouble || trouble->code != ErrorCode::index_outdated) return trouble;
  if (somebody_writes(store.state().places)) return std::optional<Error>();
  // A writer may have ended in between, and told the index before.
  return unlisted.trouble_now();
}

}  // namespace cairn
