// SPDX-License-Identifier: GPL-3.0-or-later
// Key derivation in a helper process: it can be stopped, it can be lost, and it holds nothing that others can see.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "config/base/units.h"
#include "crypto/helper_process.h"
#include "tests/crypto/volume/unlocking.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A child of this process that has computed for a while; 0: none yet.
pid_t busy_helper() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string stat = content(entry.path() / "stat");
    const std::size_t after = stat.rfind(") ");
    if (after == std::string::npos || stat.find("(cairn-helper)") == std::string::npos) continue;
    std::istringstream fields(stat.substr(after + 2));
    std::string field;
    long parent = 0;
    long ticks = 0;
    for (int number = 3; number <= 14 && fields >> field; ++number) {
      if (number == 4) parent = std::stol(field);
      if (number == 14) ticks = std::stol(field);
    }
    if (parent == ::getpid() && ticks > 10) return static_cast<pid_t>(std::stol(name));
  }
  return 0;
}

pid_t wait_for_helper() {
  for (int i = 0; i < 600; ++i) {
    if (const pid_t helper = busy_helper(); helper != 0) return helper;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return 0;
}

class UnlockInHelper : public ::testing::Test {
 protected:
  void SetUp() override {
    NEEDS_CRYPTSETUP();
    ASSERT_TRUE(helpers_can_run());
    std::vector<std::string> options = kCheap;
    options.insert(options.end(), {"--type", "luks1"});
    luks_format(image_, options);
    // The slot's iterations (208 + 4), big-endian: 250 s of them, which no one waits for here.
    write_at(image_, 212, Buffer{0x0E, 0xE6, 0xB2, 0x80});
  }
  // Begins in a thread of its own.
  std::future<Result<UnlockedVolume>> begin() {
    return std::async(std::launch::async, [this] {
      const auto facts = probe(image_).volumes.at(0);
      const Buffer bytes = read_all(image_);
      const ReadHeader read = [&](std::uint64_t offset, MutableBytes to) -> Result<void> {
        std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
        return {};
      };
      UnlockLimits limits;
      limits.left = &left_;
      limits.stop = stop_.get_token();
      return unlock_volume(facts, read, BekType::luks_passphrase, secret(kPassphrase), "web-01/root", limits);
    });
  }

  Sandbox box_;
  std::filesystem::path image_ = box_.sparse_file("disk", 20 * kMiB);
  std::stop_source stop_;
  double left_ = 600;
};

TEST_F(UnlockInHelper, AStopEndsAKeyDerivationThatIsUnderWay) {
  auto result = begin();
  const pid_t helper = wait_for_helper();
  ASSERT_NE(helper, 0);
  const auto began = std::chrono::steady_clock::now();
  stop_.request_stop();
  EXPECT_THAT(why(result.get(), ErrorCode::cancelled), HasSubstr("it was asked to stop"));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  EXPECT_NE(::kill(helper, 0), 0) << "it is left";
}

TEST_F(UnlockInHelper, AStopEndsTheWaitForAnothersTurn) {
  auto first = begin();
  ASSERT_NE(wait_for_helper(), 0);
  auto second = begin();
  stop_.request_stop();
  EXPECT_EQ(second.get().error().code, ErrorCode::cancelled);
  EXPECT_EQ(first.get().error().code, ErrorCode::cancelled);
}

TEST_F(UnlockInHelper, AHelperThatIsEndedByOthersIsNoWrongKey) {
  auto result = begin();
  const pid_t helper = wait_for_helper();
  ASSERT_NE(helper, 0);
  ::kill(helper, SIGKILL);
  EXPECT_THAT(why(result.get(), ErrorCode::helper_failed), HasSubstr("ended by signal 9"));
}

TEST_F(UnlockInHelper, MoreWorkThanTheProcessorMayTakeIsTheHeadersFault) {
  auto result = begin();
  const pid_t helper = wait_for_helper();
  ASSERT_NE(helper, 0);
  ::kill(helper, SIGXCPU);  // as the kernel does at the limit
  EXPECT_THAT(why(result.get(), ErrorCode::header_damaged), HasSubstr("took more than 1230 s of the processor"));
  EXPECT_EQ(left_, 0) << "nothing of the budget is left";
}

TEST_F(UnlockInHelper, ItsSecretIsInNoPlaceThatOthersSee) {
  auto result = begin();
  const pid_t helper = wait_for_helper();
  ASSERT_NE(helper, 0);
  const std::filesystem::path proc = "/proc/" + std::to_string(helper);
  EXPECT_EQ(content(proc / "cmdline"), std::string("cairn-helper\0unlock\0", 20));
  EXPECT_THAT(content(proc / "limits"), ::testing::ContainsRegex("Max core file size +0 +0 "));
  const std::string status = content(proc / "status");
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(status, HasSubstr("CapInh:\t0000000000000000"));
  EXPECT_THAT(status, ::testing::ContainsRegex("CapEff:\t000000000000[04]000")) << "CAP_IPC_LOCK at most";
  EXPECT_EQ(content(proc / "oom_score_adj"), "1000\n");
  if (is_root()) {
    EXPECT_THAT(content(proc / "environ"), Not(HasSubstr(std::string(kPassphrase))));
    std::vector<int> open;
    for (const auto& entry : std::filesystem::directory_iterator(proc / "fd"))
      open.push_back(std::stoi(entry.path().filename()));
    std::ranges::sort(open);
    ASSERT_GE(open.size(), 4U);
    for (const int fd : open) {
      const std::string target = std::filesystem::read_symlink(proc / "fd" / std::to_string(fd));
      EXPECT_THAT(target, ::testing::AnyOf(HasSubstr("socket:"), HasSubstr("/dev/null"), HasSubstr("memfd:"),
                                           HasSubstr("/dev/urandom"), HasSubstr("/dev/random")))
          << fd;
    }
  }
  stop_.request_stop();
  EXPECT_FALSE(result.get());
}

}  // namespace
}  // namespace cairn::testing
