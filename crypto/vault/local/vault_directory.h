// SPDX-License-Identifier: GPL-3.0-or-later
// The directory of a local vault: 0700, its files 0600, of root or of this user, no symbolic links; one process at a
// time changes it. Write order and locks: crypto/vault/VAULT.md. Any thread, one at a time.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/base/unique_fd.h"
#include "crypto/vault/local/vault_system.h"

namespace cairn {

inline constexpr const char* kVaultLockName = "lock";

// Held as long as it lives; vanishes with its process.
class VaultLock {
 public:
  explicit VaultLock(UniqueFd file) : file_(std::move(file)) {}

 private:
  UniqueFd file_;
};

class VaultDirectory {
 public:
  // `system` must outlive this. Errors: vault_missing, vault_permissions.
  static Result<VaultDirectory> open(const std::filesystem::path& path, VaultSystem& system);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string path_of(const char* name) const { return (path_ / name).string(); }
  // Without "." and "..".
  Result<std::vector<std::string>> names() const;

  // Waits at most system.lock_wait(). Errors: vault_locked (by which process), vault_permissions.
  Result<VaultLock> lock() const;

  // Nothing: there is no such file. `flags`: of open(2). Errors: vault_permissions.
  Result<std::optional<UniqueFd>> open_file(const char* name, int flags) const;
  // The whole file. Nothing: there is none. Errors: vault_permissions, vault_damaged (over `at_most` bytes).
  Result<std::optional<Buffer>> read(const char* name, std::size_t at_most) const;

  // A new file, durable but for its name in the directory; takes the place of what an interrupted write left there.
  Result<void> write_new(const char* name, ByteView bytes) const;
  // Renames it to its place, durable on return.
  Result<void> publish(const char* temporary, const char* name) const;
  void remove(const char* name) const;

 private:
  VaultDirectory(std::filesystem::path path, UniqueFd fd, VaultSystem& system)
      : path_(std::move(path)), fd_(std::move(fd)), system_(&system) {}

  std::filesystem::path path_;
  UniqueFd fd_;
  VaultSystem* system_;
};

// Writes all of it. Errors: those of the system call.
Result<void> write_all(VaultSystem& system, int file, ByteView bytes, const std::string& object);

}  // namespace cairn
