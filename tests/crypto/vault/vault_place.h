// SPDX-License-Identifier: GPL-3.0-or-later
// A place for a local vault in a scratch directory, with a key file's bytes and a clock that stands still.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <string>

#include "crypto/vault/local/local_vault.h"
#include "tests/support/sandbox.h"

namespace cairn {

class StoppedClock final : public Clock {
 public:
  [[nodiscard]] UtcTime now() const override { return UtcTime(std::chrono::seconds(1'795'219'200)); }
};

// Bytes 0, 1, ... 31: a key file for tests only.
inline SecretBytes test_key(std::uint8_t first = 0) {
  SecretBytes key(32);
  for (std::size_t i = 0; i < key.size(); ++i) key.reveal()[i] = static_cast<std::uint8_t>(first + i);
  return key;
}
inline NewKeySlot test_slot() {
  NewKeySlot slot;
  slot.label = "test";
  slot.secret = test_key();
  return slot;
}

class VaultPlace {
 public:
  VaultPlace() { start_crypto(); }
  [[nodiscard]] std::filesystem::path path() const { return sandbox_ / "vault"; }
  [[nodiscard]] std::filesystem::path file() const { return path() / "vault"; }
  [[nodiscard]] std::filesystem::path log() const { return path() / "audit.log"; }
  [[nodiscard]] const cairn::testing::Sandbox& sandbox() const { return sandbox_; }

  Result<void> try_create(VaultSystem& system = real_vault_system()) const {
    return LocalVault::create(path(), test_slot(), "admin", "cairn-backup", clock_, system);
  }
  void create() const {
    const auto made = try_create();
    ASSERT_TRUE(made) << made.error().message();
  }
  Result<std::unique_ptr<LocalVault>> try_open(const std::string& principal = "admin",
                                               VaultSystem& system = real_vault_system()) const {
    return LocalVault::open("main", path(), {KeySlotType::key_file, test_key(), "the test's key"}, principal, clock_,
                            system);
  }
  [[nodiscard]] std::unique_ptr<LocalVault> open(const std::string& principal = "admin") const {
    auto opened = try_open(principal);
    EXPECT_TRUE(opened) << opened.error().message();
    return opened ? *std::move(opened) : nullptr;
  }

 private:
  cairn::testing::Sandbox sandbox_;
  StoppedClock clock_;
};

inline WrappedBek some_bek(std::uint8_t seed = 1) {
  return {BekType::luks_key_file, "web-01.key", "backup", {"1", "X25519-sealed-box", Buffer(80, seed)}, UtcTime()};
}

inline Buffer content_of(const std::filesystem::path& file) {
  return cairn::testing::read_all(file);
}
// Replaces what is there, and keeps the mode.
inline void put_content(const std::filesystem::path& file, ByteView bytes) {
  std::filesystem::resize_file(file, 0);
  cairn::testing::write_at(file, 0, bytes);
}

}  // namespace cairn
