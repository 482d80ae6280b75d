// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/secret_bytes.h"

#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "config/base/exception_door.h"
#include "config/base/result.h"
#include "config/base/units.h"
#include "crypto/chunk_name.h"

namespace cairn {
namespace {
// The two rooms of OpenSSL's keys (crypto/locked_heap.h), with guard pages, and as much again for all others.
constexpr std::size_t kLockedAtLeast = std::size_t{1024} * 1024;
}  // namespace

SecretBytes::SecretBytes(std::size_t size) : size_(size) {
  if (size == 0) return;
  data_ = static_cast<std::uint8_t*>(sodium_malloc(size));
  // sodium_malloc goes on without the lock when the limit is reached; a key that can be swapped out is no secret.
  if (data_ == nullptr || sodium_mlock(data_, size) != 0) {
    sodium_free(std::exchange(data_, nullptr));
    throw NoLockedMemory();
  }
  sodium_memzero(data_, size);
}

SecretBytes SecretBytes::random(std::size_t size) {
  SecretBytes bytes(size);
  if (size != 0) randombytes_buf(bytes.data_, size);
  return bytes;
}

SecretBytes SecretBytes::copy_of(ByteView from) {
  SecretBytes bytes(from.size());
  if (bytes.data_ != nullptr) std::memcpy(bytes.data_, from.data(), from.size());
  return bytes;
}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    sodium_free(data_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

SecretBytes::~SecretBytes() {
  sodium_free(data_);
}

void SecretBytes::shrink_to(std::size_t size) {
  CAIRN_ASSERT(size <= size_);
  if (data_ != nullptr) sodium_memzero(data_ + size, size_ - size);
  size_ = size;
}

void start_crypto() {
  if (sodium_init() < 0) {
    std::fputs("cairn: libsodium did not start\n", stderr);
    std::abort();
  }
  // BLAKE3 looks at the CPU on its first use and notes it without a lock: that must not be in several threads at once.
  static_cast<void>(Blake3::hex_of({}));
}

Result<void> check_lockable_memory() {
  static std::atomic<bool> was_enough = false;  // by now some of it is in use
  if (was_enough) return {};
  auto* const memory = static_cast<std::uint8_t*>(sodium_malloc(kLockedAtLeast));
  const bool locked = memory != nullptr && sodium_mlock(memory, kLockedAtLeast) == 0;
  sodium_free(memory);
  was_enough = locked;
  if (locked) return {};
  rlimit limit{};
  (void)getrlimit(RLIMIT_MEMLOCK, &limit);
  return fail(
      ErrorCode::memory_not_lockable, "keep", "keys in memory",
      "at most " + format_size(limit.rlim_cur) + " can be locked, and " + format_size(kLockedAtLeast) + " are needed");
}

void harden_process() {
  const rlimit no_core{0, 0};
  static_cast<void>(setrlimit(RLIMIT_CORE, &no_core));
  static_cast<void>(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
  rlimit locked{};
  if (getrlimit(RLIMIT_MEMLOCK, &locked) == 0) {
    locked.rlim_cur = locked.rlim_max;
    static_cast<void>(setrlimit(RLIMIT_MEMLOCK, &locked));
  }
}

}  // namespace cairn
