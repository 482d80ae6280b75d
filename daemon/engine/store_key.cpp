// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/engine/store_key.h"

#include <sys/stat.h>

#include <cerrno>

#include "crypto/unlock_key.h"

namespace cairn {
namespace {

// What cannot be looked at may be there.
bool is_absent(const std::filesystem::path& path) {
  struct stat facts{};
  return lstat(path.c_str(), &facts) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

}  // namespace

Result<UnlockKey> read_store_key(const Settings& settings, int stop_fd) {
  auto key = read_unlock_key(settings.store.key, stop_fd);
  const std::filesystem::path& store = settings.store.path;
  if (key || key.error().code != ErrorCode::key_file_missing || !is_absent(store / "store.json") ||
      !is_absent(store / "store.json.copy"))
    return key;
  return fail(ErrorCode::store_missing, "open store", store.string(),
              "there is no store there, and no key file " + key.error().object,
              "\"cairn store init --create-key-file\" makes both; if there was one, is its file system mounted?");
}

}  // namespace cairn
