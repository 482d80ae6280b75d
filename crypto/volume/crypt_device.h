// SPDX-License-Identifier: GPL-3.0-or-later
// CryptDevice: libcryptsetup's crypt_device on a private header copy, silenced; what it would print is kept instead.
// libcryptsetup keeps state of the process (random generator, crypto backend) without locks, so a CryptDevice holds the
// one lock that all of Cairn's use of libcryptsetup stands under, as long as it lives. Keep it short.
#pragma once

#include <mutex>
#include <string>

struct crypt_device;

namespace cairn {

class CryptDevice {
 public:
  // `path`: of a HeaderCopy, never of a user's disk: libcryptsetup repairs damaged headers in place.
  explicit CryptDevice(const std::string& path);
  ~CryptDevice();
  CryptDevice(const CryptDevice&) = delete;
  CryptDevice& operator=(const CryptDevice&) = delete;

  // `type`: CRYPT_LUKS1, CRYPT_LUKS2, CRYPT_BITLK. 0, or a negative errno.
  [[nodiscard]] int load(const char* type);
  // Why load() failed: libcryptsetup's words where it has any, else the errno's.
  [[nodiscard]] std::string why() const;
  // After load().
  [[nodiscard]] crypt_device* get() const { return device_; }

 private:
  static void keep_first_error(int level, const char* text, void* self);
  std::unique_lock<std::mutex> lock_;
  crypt_device* device_ = nullptr;
  int error_ = 0;
  std::string message_;
};

}  // namespace cairn
