// SPDX-License-Identifier: GPL-3.0-or-later
// SecretBytes: the one home of key material. Guarded, locked, wiped memory (libsodium sodium_malloc); move-only, not
// printable, not comparable. `reveal()` is the one way in: `grep reveal` is the audit.
#pragma once

#include <cstddef>
#include <utility>

#include "config/base/bytes.h"
#include "config/base/result.h"

namespace cairn {

class SecretBytes {
 public:
  SecretBytes() = default;
  // Zero-filled. Throws NoLockedMemory when none can be had (a key that may be swapped out is no secret): at the next
  // door (config/base/exception_door.h) that is the error memory_not_lockable.
  explicit SecretBytes(std::size_t size);
  static SecretBytes random(std::size_t size);
  // Copies; wiping the source is the caller's.
  static SecretBytes copy_of(ByteView bytes);
  SecretBytes(SecretBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] ByteView reveal() const { return {data_, size_}; }
  [[nodiscard]] MutableBytes reveal() { return {data_, size_}; }
  // Keeps the first `size` bytes and wipes the rest.
  void shrink_to(std::size_t size);

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

// Starts libsodium; call before anything else of this floor. Safe to call again. Ends the process when it fails.
void start_crypto();
// Whether as much memory can be locked as a process with a store open needs, now rather than in the middle of the
// night. Errors: memory_not_lockable, with the limit that is too low.
Result<void> check_lockable_memory();
// No core files, no ptrace by other processes of the user (prctl PR_SET_DUMPABLE, RLIMIT_CORE 0); memory locking limit
// raised as far as allowed. For `main` only.
void harden_process();

}  // namespace cairn
