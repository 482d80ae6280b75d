// SPDX-License-Identifier: GPL-3.0-or-later
// Reading the store's key: files and commands, and every way in which a command can go wrong.
#include "crypto/unlock_key.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using std::chrono::milliseconds;

class UnlockTest : public testing::Test {
 protected:
  void SetUp() override { start_crypto(); }
  std::filesystem::path write(const std::string& name, const std::string& content, mode_t mode = 0600) {
    const auto path = directory_.path() / name;
    std::ofstream(path) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  static std::string text_of(const SecretBytes& secret) { return std::string(as_text(secret.reveal())); }
  static std::string shell(const std::string& command, milliseconds at_most = std::chrono::seconds(30)) {
    auto result = run_passphrase_command({"sh", "-c", command}, at_most);
    if (result) return text_of(*result);
    EXPECT_EQ(result.error().code, ErrorCode::passphrase_command_failed);
    return "error: " + result.error().because;
  }

  TemporaryDirectory directory_;
};

TEST_F(UnlockTest, AKeyFileIsItsBytes) {
  KeySettings settings;
  settings.key_file = write("key", "0123456789\n");
  const UnlockKey key = value_of(read_unlock_key(settings));
  EXPECT_EQ(key.type, KeySlotType::key_file);
  EXPECT_EQ(key.source, settings.key_file->string());
}

TEST_F(UnlockTest, APassphraseFileLosesOneNewlineOnly) {
  KeySettings settings;
  settings.passphrase_file = write("a", "correct horse\n");
  EXPECT_EQ(text_of(value_of(read_unlock_key(settings)).secret), "correct horse");
  settings.passphrase_file = write("b", "correct horse\n\n");
  EXPECT_EQ(text_of(value_of(read_unlock_key(settings)).secret), "correct horse\n");
  settings.passphrase_file = write("c", "no newline");
  EXPECT_EQ(text_of(value_of(read_unlock_key(settings)).secret), "no newline");
  settings.passphrase_file = write("d", "\n");
  EXPECT_EQ(read_unlock_key(settings).error().code, ErrorCode::key_file_invalid);
}

TEST_F(UnlockTest, AFileThatOthersCanReadIsRefused) {
  KeySettings settings;
  settings.passphrase_file = write("a", "secret\n", 0644);
  EXPECT_EQ(read_unlock_key(settings).error().code, ErrorCode::key_file_permissions);
  settings.passphrase_file = directory_.path() / "none";
  EXPECT_EQ(read_unlock_key(settings).error().code, ErrorCode::key_file_missing);
  EXPECT_EQ(read_unlock_key({}).error().code, ErrorCode::settings_invalid);
}

TEST_F(UnlockTest, ACommandsOutputIsThePassphrase) {
  EXPECT_EQ(shell("echo 'correct horse'"), "correct horse");
  EXPECT_EQ(shell("printf 'a\\n\\n'"), "a\n");
  EXPECT_EQ(shell("cat; printf x"), "x") << "its standard input is empty";
  KeySettings settings;
  settings.passphrase_command = {"printf", "%s", "a b; $HOME"};
  const UnlockKey key = value_of(read_unlock_key(settings));
  EXPECT_EQ(key.type, KeySlotType::passphrase);
  EXPECT_EQ(text_of(key.secret), "a b; $HOME") << "no shell";
}

TEST_F(UnlockTest, ACommandThatFailsSaysWhatItWrote) {
  EXPECT_EQ(shell("echo 'no such secret' >&2; exit 3"), "error: it ended with exit status 3; it wrote: no such secret");
  EXPECT_EQ(shell("kill -TERM $$"), "error: it was ended by signal 15");
  EXPECT_EQ(shell("true"), "error: it wrote no passphrase");
  EXPECT_EQ(shell("printf '\\n'"), "error: it wrote no passphrase");
  const auto missing = run_passphrase_command({"/no/such/command"});
  EXPECT_EQ(missing.error().code, ErrorCode::passphrase_command_failed);
  EXPECT_EQ(missing.error().sys_errno, ENOENT);
  EXPECT_EQ(run_passphrase_command({}).error().code, ErrorCode::passphrase_command_failed);
}

TEST_F(UnlockTest, ACommandMayWrite8KiBAndNoMore) {
  EXPECT_EQ(shell("head -c 8192 /dev/zero | tr '\\0' x").size(), 8192U);
  EXPECT_EQ(shell("head -c 8192 /dev/zero | tr '\\0' x; echo").size(), 8192U);
  EXPECT_EQ(shell("head -c 8193 /dev/zero | tr '\\0' x"), "error: it wrote more than 8192 bytes");
  EXPECT_EQ(shell("yes"), "error: it wrote more than 8192 bytes") << "an endless one is ended";
}

TEST_F(UnlockTest, ACommandThatHangsEndsWhenTheDaemonIsToldToStop) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  for (const char* command : {"sleep 600", "exec >&- 2>&-; sleep 600"}) {
    // The command itself says when it runs.
    const auto mark = directory_.path() / "runs";
    std::filesystem::remove(mark);
    std::thread stopper([&] {
      while (!std::filesystem::exists(mark)) std::this_thread::yield();
      ASSERT_EQ(::write(ends[1], "x", 1), 1);
    });
    const auto result =
        run_passphrase_command({"sh", "-c", "touch " + mark.string() + "; " + command}, std::chrono::hours(1), ends[0]);
    stopper.join();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::cancelled);
    char byte = 0;
    EXPECT_EQ(::read(ends[0], &byte, 1), 1) << "left to be read by whoever waits for it";
  }
  close(ends[0]);
  close(ends[1]);
}

TEST_F(UnlockTest, ACommandThatHangsIsKilled) {
  EXPECT_EQ(shell("echo thinking >&2; sleep 600", milliseconds(300)).find("error: it took longer than 0.3 s"), 0U);
  EXPECT_EQ(shell("exec >&- 2>&-; sleep 600", milliseconds(300)).find("error: it took longer than 0.3 s"), 0U);
}

TEST_F(UnlockTest, LongComplaintsDoNotBlockIt) {
  EXPECT_EQ(shell("head -c 200000 /dev/zero >&2; echo fine"), "fine");
}

}  // namespace
}  // namespace cairn
