// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/local/vault_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "config/base/open_beneath.h"

namespace cairn {

int VaultSystem::make_directory(const char* path) {
  return ::mkdir(path, 0700);
}
int VaultSystem::remove_directory(const char* path) {
  return ::rmdir(path);
}
int VaultSystem::open_at(int directory, const char* name, int flags) {
  return open_beneath(directory, name, flags);
}
ssize_t VaultSystem::write(int file, ByteView bytes) {
  return ::write(file, bytes.data(), bytes.size());
}
int VaultSystem::sync(int file) {
  return ::fsync(file);
}
int VaultSystem::truncate(int file, off_t size) {
  return ::ftruncate(file, size);
}
int VaultSystem::rename_at(int directory, const char* from, const char* to) {
  return ::renameat(directory, from, directory, to);
}
int VaultSystem::unlink_at(int directory, const char* name) {
  return ::unlinkat(directory, name, 0);
}

VaultSystem& real_vault_system() {
  static VaultSystem system;
  return system;
}

}  // namespace cairn
