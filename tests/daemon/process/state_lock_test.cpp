// SPDX-License-Identifier: GPL-3.0-or-later
// One daemon a state directory.
#include "daemon/process/state_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

TEST(StateLock, AMissingParentIsNamed) {
  const TemporaryDirectory directory;
  const auto lock = StateLock::take(directory.path() / "no" / "state");
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code, ErrorCode::daemon_failed);
  EXPECT_NE(lock.error().message().find((directory.path() / "no").string() + " is not a directory"), std::string::npos);
}

TEST(StateLock, ALinkInItsPlaceIsNotFollowed) {
  const TemporaryDirectory directory;
  fs::create_symlink(directory.path() / "elsewhere", directory.path() / "cairnd.lock");
  EXPECT_EQ(StateLock::take(directory.path()).error().code, ErrorCode::wrong_file_type);
  EXPECT_FALSE(fs::exists(directory.path() / "elsewhere"));
}

TEST(StateLock, OneDaemonAStateDirectory) {
  const TemporaryDirectory directory;
  const fs::path state = directory.path() / "state";
  {
    const auto lock = StateLock::take(state);
    ASSERT_TRUE(lock);
    const auto second = StateLock::take(state);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::daemon_running);
    EXPECT_THAT(second.error().message(), testing::HasSubstr(std::to_string(getpid())));
  }
  EXPECT_TRUE(StateLock::take(state));
  EXPECT_FALSE(StateLock::take(directory.path() / "no" / "parent"));
}

}  // namespace
}  // namespace cairn
