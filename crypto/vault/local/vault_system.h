// SPDX-License-Identifier: GPL-3.0-or-later
// The system calls with which a local vault is changed, as a seam: the tests cut the power at each of them, or have it
// fail. Any thread.
#pragma once

#include <sys/types.h>

#include <chrono>

#include "config/base/bytes.h"

namespace cairn {

// Each as the system call: -1 and errno when it fails.
class VaultSystem {
 public:
  VaultSystem() = default;
  virtual ~VaultSystem() = default;
  VaultSystem(const VaultSystem&) = delete;
  VaultSystem& operator=(const VaultSystem&) = delete;

  virtual int make_directory(const char* path);  // 0700
  virtual int remove_directory(const char* path);
  virtual int open_at(int directory, const char* name, int flags);  // 0600; open_beneath()
  virtual ssize_t write(int file, ByteView bytes);
  virtual int sync(int file);
  virtual int truncate(int file, off_t size);
  virtual int rename_at(int directory, const char* from, const char* to);  // replaces
  virtual int unlink_at(int directory, const char* name);
  // How long to wait for the lock of another process.
  [[nodiscard]] virtual std::chrono::milliseconds lock_wait() const { return std::chrono::seconds(10); }
};

// The host's.
VaultSystem& real_vault_system();

}  // namespace cairn
