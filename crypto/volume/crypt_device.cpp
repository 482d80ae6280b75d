// SPDX-License-Identifier: GPL-3.0-or-later
// CryptDevice. See libcryptsetup.h.
#include "crypto/volume/crypt_device.h"

#include <libcryptsetup.h>

#include <cstring>

#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

std::mutex& library_lock() {
  static std::mutex mutex;
  return mutex;
}

void say_nothing(int /*level*/, const char* /*text*/, void* /*unused*/) {}

}  // namespace

CryptDevice::CryptDevice(const std::string& path) : lock_(library_lock()) {
  // The copy is private: nobody else can hold its metadata lock, and the lock directory need not exist or be writable.
  static const int unlocked = crypt_metadata_locking(nullptr, 0);
  static_cast<void>(unlocked);
  crypt_set_log_callback(nullptr, say_nothing, nullptr);
  error_ = crypt_init(&device_, path.c_str());
  if (error_ < 0)
    device_ = nullptr;
  else
    crypt_set_log_callback(device_, keep_first_error, this);
}

CryptDevice::~CryptDevice() {
  if (device_ != nullptr) crypt_free(device_);
}

int CryptDevice::load(const char* type) {
  if (device_ != nullptr) error_ = crypt_load(device_, type, nullptr);
  return error_;
}

std::string CryptDevice::why() const {
  if (!message_.empty()) return message_;
  return error_ < 0 ? std::strerror(-error_) : std::string();
}

void CryptDevice::keep_first_error(int level, const char* text, void* self) {
  auto* device = static_cast<CryptDevice*>(self);
  if (level != CRYPT_LOG_ERROR || !device->message_.empty() || text == nullptr) return;
  std::string_view line(text);
  while (!line.empty() && (line.back() == '\n' || line.back() == '.')) line.remove_suffix(1);
  device->message_ = printable(line);
}

}  // namespace cairn
