// SPDX-License-Identifier: GPL-3.0-or-later
// Commands with secrets on their standard input and output, and what is left of them afterwards.
#include "crypto/secret_command.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <thread>

#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

class SecretCommandTest : public testing::Test {
 protected:
  void SetUp() override { start_crypto(); }
  static SecretCommand shell(const std::string& script) {
    SecretCommand command;
    command.argv = {"sh", "-c", script};
    command.doing = "ask test vault";
    command.object = "sh";
    command.failed = ErrorCode::vault_command_failed;
    command.at_most = std::chrono::seconds(60);
    return command;
  }
  static std::string text_of(const SecretBytes& secret) { return std::string(as_text(secret.reveal())); }
  // Waits until nobody runs under `pid` any more, or is dead and waits to be reaped by whoever inherited it.
  static bool is_gone(pid_t pid) {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < patience) {
      std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
      std::string number, name, state;
      if (!(file >> number >> name >> state) || state == "Z" || state == "X") return true;
      std::this_thread::yield();
    }
    return false;
  }
  static pid_t number_in(const std::filesystem::path& file) {
    pid_t pid = 0;
    std::ifstream(file) >> pid;
    return pid;
  }

  TemporaryDirectory directory_;
};

TEST_F(SecretCommandTest, InputGoesInAndComesOutUnchanged) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{65'536}, std::size_t{1'000'000}}) {
    SCOPED_TRACE(size);
    const SecretBytes input = SecretBytes::random(size);
    SecretCommand command = shell("cat");
    command.input = &input;
    command.most_output = size;
    const CommandOutput output = value_of(run_secret_command(command));
    EXPECT_EQ(as_text(output.bytes.reveal()), as_text(input.reveal()));
  }
}

TEST_F(SecretCommandTest, ACommandNeedNotReadItsInput) {
  ASSERT_NE(signal(SIGPIPE, SIG_DFL), SIG_ERR);  // as in a program that has not thought of it
  const SecretBytes input = SecretBytes::random(1'000'000);
  for (const char* script : {"echo fine", "exec <&-; echo fine", "head -c 1 >/dev/null; echo fine"}) {
    SecretCommand command = shell(script);
    command.input = &input;
    EXPECT_EQ(text_of(value_of(run_secret_command(command)).bytes), "fine\n") << script;
  }
}

TEST_F(SecretCommandTest, ACommandThatReadsNothingAndHangsIsKilled) {
  const SecretBytes input = SecretBytes::random(1'000'000);
  SecretCommand command = shell("sleep 600");
  command.input = &input;
  command.at_most = std::chrono::milliseconds(300);
  const auto result = run_secret_command(command);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::vault_command_failed);
  EXPECT_EQ(result.error().because, "it took longer than 0.3 s");
  EXPECT_EQ(result.error().doing, "ask test vault");
}

TEST_F(SecretCommandTest, WhatItStartedIsKilledWithIt) {
  const auto file = directory_.path() / "pid";
  const std::string start = "sleep 600 & echo $! >" + file.string() + "; ";
  SecretCommand hangs = shell(start + "wait");
  hangs.at_most = std::chrono::milliseconds(500);
  ASSERT_FALSE(run_secret_command(hangs));
  ASSERT_GT(number_in(file), 0);
  EXPECT_TRUE(is_gone(number_in(file)));

  // Also when all went well: its output is closed, so nobody waits for it.
  std::filesystem::remove(file);
  const SecretCommand leaves_one = shell("(exec >/dev/null 2>&1; " + start + "); echo done");
  EXPECT_EQ(text_of(value_of(run_secret_command(leaves_one)).bytes), "done\n");
  ASSERT_GT(number_in(file), 0);
  EXPECT_TRUE(is_gone(number_in(file)));
}

TEST_F(SecretCommandTest, OutputIsLimitedExactly) {
  SecretCommand command = shell("head -c 100000 /dev/zero | tr '\\0' x; echo");
  command.most_output = 100'000;
  EXPECT_EQ(value_of(run_secret_command(command)).bytes.size(), 100'001U) << "a newline at the end is not counted";
  command.most_output = 99'999;
  const auto result = run_secret_command(command);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().because, "it wrote more than 99999 bytes");
  command = shell("yes");
  command.most_output = 1024;
  EXPECT_EQ(run_secret_command(command).error().because, "it wrote more than 1024 bytes");
}

TEST_F(SecretCommandTest, NoOutputIsTheCallersToJudge) {
  const CommandOutput output = value_of(run_secret_command(shell("echo hm >&2")));
  EXPECT_TRUE(output.bytes.empty());
  EXPECT_EQ(output.complaints, "hm\n");
  EXPECT_EQ(command_failed(shell("x"), "it wrote no list", output.complaints).error().because,
            "it wrote no list; it wrote: hm");
}

TEST_F(SecretCommandTest, SignalsThatThisProcessIgnoresAreItsOwnAgain) {
  ASSERT_NE(signal(SIGPIPE, SIG_IGN), SIG_ERR);
  // `yes` ends by the signal, without a word about a broken pipe.
  const CommandOutput output = value_of(run_secret_command(shell("yes | head -n 1")));
  ASSERT_NE(signal(SIGPIPE, SIG_DFL), SIG_ERR);
  EXPECT_EQ(text_of(output.bytes), "y\n");
  EXPECT_EQ(output.complaints, "");
}

TEST_F(SecretCommandTest, AMissingProgramIsTold) {
  SecretCommand command = shell("");
  command.argv = {"/no/such/program"};
  const auto result = run_secret_command(command);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::vault_command_failed);
  EXPECT_EQ(result.error().sys_errno, ENOENT);
}

}  // namespace
}  // namespace cairn
