// SPDX-License-Identifier: GPL-3.0-or-later
// Holding a guest and letting it go, whatever becomes of those who do it.
#include "fs/guest/guest_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stop_token>

#include "fs/guest/hold_record.h"
#include "tests/fs/guest/fake_guest.h"

namespace cairn {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class GuestClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "cg-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    place_ = {folder_ / "guests", GUEST_HELPER_PROGRAM};
  }
  void TearDown() override {
    guest_.reset();
    std::filesystem::remove_all(folder_);
  }

  FakeGuest& begin(FakeGuest::Manners manners = {}) { return guest_.emplace(folder_, std::move(manners)); }
  GuestClient connect() {
    auto client = GuestClient::open("web", guest_->settings(), place_);
    if (!client) throw std::runtime_error(client.error().message());
    return *std::move(client);
  }
  [[nodiscard]] std::vector<std::string> notes() const {
    std::vector<std::string> machines;
    const auto all = HoldRecord::list(place_.notes);
    for (const auto& noted : *all) machines.push_back(noted.machine);
    return machines;
  }
  void wait_for_no_notes() const {
    for (const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
         !notes().empty() && std::chrono::steady_clock::now() < until;)
      ::usleep(2000);
    EXPECT_THAT(notes(), IsEmpty());
  }

  std::filesystem::path folder_;
  GuestPlace place_;
  std::optional<FakeGuest> guest_;
};

TEST_F(GuestClientTest, LookingChangesNothing) {
  begin();
  GuestClient client = connect();
  const GuestLook look = client.look().value();
  EXPECT_EQ(look.state, "running");
  EXPECT_TRUE(look.agent);
  EXPECT_EQ(look.system, "debian");
  EXPECT_EQ(look.version, "QEMU 7.2.22");
  EXPECT_FALSE(look.frozen);
  EXPECT_THAT(guest_->commands(), Not(Contains("stop")));
  EXPECT_THAT(guest_->commands(), Not(Contains("guest-fsfreeze-freeze")));
}

TEST_F(GuestClientTest, FreezesAndThaws) {
  begin();
  GuestClient client = connect();
  const Held held = client.hold({}).value();
  EXPECT_EQ(held.hold, Hold::freeze);
  EXPECT_EQ(held.file_systems, 2);
  EXPECT_EQ(held.because, "");
  EXPECT_FALSE(held.hooks);
  EXPECT_TRUE(guest_->frozen());
  EXPECT_THAT(notes(), ElementsAre("web"));
  const Released released = client.release().value();
  EXPECT_TRUE(released.seen);
  EXPECT_TRUE(released.whole) << released.because;
  EXPECT_FALSE(guest_->frozen());
  EXPECT_FALSE(guest_->was_paused());
  EXPECT_THAT(notes(), IsEmpty());
}

TEST_F(GuestClientTest, SeesTheHooksOfTheGuest) {
  begin({.has_hook = true});
  EXPECT_TRUE(connect().hold({})->hooks);
}

// A script that lies there is not run unless the agent was begun with it.
TEST_F(GuestClientTest, AScriptThatTheAgentDoesNotRunIsNoHook) {
  begin({.has_hook = true, .agent_line = "qemu-ga -m virtio-serial"});
  GuestClient client = connect();
  const Held held = client.hold({}).value();
  EXPECT_EQ(held.hold, Hold::freeze);
  EXPECT_FALSE(held.hooks);
  client.release().value();
  guest_.reset();
  std::filesystem::remove(folder_ / "qmp.sock");
  std::filesystem::remove(folder_ / "qga.sock");
  begin({.has_hook = true, .agent_line = "qemu-ga --fsfreeze-hook=/opt/hook"});
  EXPECT_TRUE(connect().hold({})->hooks);
}

TEST_F(GuestClientTest, PausesWhenTheAgentDoesNotAnswer) {
  begin({.agent_answers = false});
  GuestClient client = connect();
  const Held held = client.hold({}).value();
  EXPECT_EQ(held.hold, Hold::pause);
  EXPECT_THAT(held.because, HasSubstr("agent does not answer"));
  EXPECT_TRUE(guest_->paused());
  // An agent that comes to life later must not find a freeze.
  EXPECT_THAT(guest_->commands(), Not(Contains("guest-fsfreeze-freeze")));
  const Released released = client.release().value();
  EXPECT_TRUE(released.seen && released.whole);
  EXPECT_FALSE(guest_->paused());
  EXPECT_THAT(notes(), IsEmpty());
}

TEST_F(GuestClientTest, PausesWhenTheFreezeIsRefused) {
  begin({.freeze_refused = true});
  GuestClient client = connect();
  const Held held = client.hold({}).value();
  EXPECT_EQ(held.hold, Hold::pause);
  EXPECT_THAT(held.because, HasSubstr("the hook has failed"));
  EXPECT_TRUE(client.release()->seen);
  EXPECT_TRUE(guest_->wait_until_free());
}

TEST_F(GuestClientTest, DoesNeitherWhenNeitherIsWished) {
  begin({.agent_answers = false});
  const Held held = connect().hold({.freeze = true, .pause = false, .longest = milliseconds(5000)}).value();
  EXPECT_EQ(held.hold, Hold::none);
  EXPECT_FALSE(guest_->was_paused());
}

// The freeze was given up, and happens all the same: the worst that can befall a guest.
TEST_F(GuestClientTest, ThawsAFreezeThatHappensAfterItWasGivenUp) {
  begin({.freeze_takes = milliseconds(1500)});
  GuestClient client = connect();
  const Held held = client.hold({.freeze = true, .pause = true, .longest = milliseconds(300)}).value();
  EXPECT_EQ(held.hold, Hold::pause);
  EXPECT_TRUE(client.release()->seen);
  EXPECT_FALSE(guest_->paused());
  EXPECT_TRUE(guest_->wait_until_frozen());
  EXPECT_TRUE(guest_->wait_until_free());
  wait_for_no_notes();
}

TEST_F(GuestClientTest, ThawsAgainUntilTheGuestReadsBackAsThawed) {
  begin({.deaf_thaws = 3});
  GuestClient client = connect();
  ASSERT_EQ(client.hold({})->hold, Hold::freeze);
  const Released released = client.release().value();
  EXPECT_FALSE(released.seen);
  EXPECT_THAT(released.because, HasSubstr("still frozen"));
  EXPECT_TRUE(guest_->wait_until_free());
  wait_for_no_notes();
}

TEST_F(GuestClientTest, AGuestThatThawedByItselfWasNotHeldAllTheTime) {
  begin({.thaws_itself = milliseconds(0)});
  GuestClient client = connect();
  ASSERT_EQ(client.hold({})->hold, Hold::freeze);
  const Released released = client.release().value();
  EXPECT_TRUE(released.seen);
  EXPECT_FALSE(released.whole);
  EXPECT_THAT(released.because, HasSubstr("by itself"));
}

TEST_F(GuestClientTest, LetsGoWhenTheLongestTimeIsOver) {
  begin();
  GuestClient client = connect();
  ASSERT_EQ(client.hold({.freeze = true, .pause = true, .longest = milliseconds(400)})->hold, Hold::freeze);
  EXPECT_TRUE(guest_->wait_until_free());
  const Released released = client.release().value();
  EXPECT_TRUE(released.seen);
  EXPECT_FALSE(released.whole);
  EXPECT_THAT(released.because, HasSubstr("longest time"));
}

// Our side may be held up by the very thing that made the hold too long: nobody says anything.
TEST_F(GuestClientTest, ThawsAgainWhenTheLongestTimeIsOverAndNobodySpeaks) {
  begin({.deaf_thaws = 2});
  GuestClient client = connect();
  ASSERT_EQ(client.hold({.freeze = true, .pause = true, .longest = milliseconds(400)})->hold, Hold::freeze);
  EXPECT_TRUE(guest_->wait_until_free(milliseconds(10'000)));
  wait_for_no_notes();
}

TEST_F(GuestClientTest, TheTimeOfAHoldIsNotUsedUpByAFreezeThatDoesNotCome) {
  begin({.freeze_takes = milliseconds(5000)});
  GuestClient client = connect();
  const auto longest = milliseconds(4000);
  ASSERT_EQ(client.hold({.freeze = true, .pause = true, .longest = longest})->hold, Hold::pause);
  EXPECT_TRUE(guest_->paused());
  const Released released = client.release().value();
  EXPECT_TRUE(released.whole) << released.because;
  EXPECT_TRUE(guest_->wait_until_frozen());
  EXPECT_TRUE(guest_->wait_until_free());
  wait_for_no_notes();
}

TEST_F(GuestClientTest, AMonitorThatNeverStopsSendingIsSilent) {
  begin({.floods = true});
  GuestClient client = connect();
  const auto look = client.look();
  ASSERT_FALSE(look);
  EXPECT_EQ(look.error().code, ErrorCode::guest_silent);
  EXPECT_THAT(look.error().object, HasSubstr("monitor")) << "the helper gave up, and not only we";
}

// A hypervisor that hangs must hold up neither who is asked to stop, nor a process for ever.
TEST_F(GuestClientTest, WaitsNoLongerWhenItIsAskedToStop) {
  begin({.agent_answers = false});
  std::stop_source stop;
  place_.stop = stop.get_token();
  GuestClient client = connect();
  stop.request_stop();
  const auto began = std::chrono::steady_clock::now();
  const auto held = client.hold({});
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().code, ErrorCode::cancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2));
  EXPECT_TRUE(guest_->wait_until_free());
  wait_for_no_notes();
}

TEST_F(GuestClientTest, LetsGoWhenItIsDestroyed) {
  begin();
  {
    GuestClient client = connect();
    ASSERT_EQ(client.hold({})->hold, Hold::freeze);
  }
  EXPECT_TRUE(guest_->wait_until_free());
  wait_for_no_notes();
}

TEST_F(GuestClientTest, LetsGoWhenItsProcessIsKilled) {
  for (const bool freeze : {true, false}) {
    guest_.reset();
    std::filesystem::remove(folder_ / "qmp.sock");
    std::filesystem::remove(folder_ / "qga.sock");
    begin();
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);  // a test that fails leaves nothing behind
      auto client = GuestClient::open("web", guest_->settings(), place_);
      const bool held = client && client->hold({.freeze = freeze, .pause = true, .longest = milliseconds(30'000)});
      (void)!::write(ready[1], held ? "y" : "n", 1);
      while (true) ::pause();
    }
    char word = 0;
    ASSERT_EQ(::read(ready[0], &word, 1), 1);
    ASSERT_EQ(word, 'y');
    EXPECT_TRUE(freeze ? guest_->frozen() : guest_->paused());
    ::kill(child, SIGKILL);
    const auto killed = std::chrono::steady_clock::now();
    EXPECT_TRUE(guest_->wait_until_free());
    EXPECT_LT(std::chrono::steady_clock::now() - killed, std::chrono::seconds(2));
    ::waitpid(child, nullptr, 0);
    ::close(ready[0]);
    ::close(ready[1]);
    wait_for_no_notes();
  }
}

TEST_F(GuestClientTest, LeavesAGuestAloneThatSomebodyElseHasFrozen) {
  begin({.frozen = true});
  GuestClient client = connect();
  EXPECT_TRUE(client.look()->frozen);
  const Held held = client.hold({.freeze = true, .pause = false, .longest = milliseconds(5000)}).value();
  EXPECT_EQ(held.hold, Hold::none);
  EXPECT_THAT(held.because, HasSubstr("frozen already"));
  EXPECT_TRUE(guest_->frozen());
}

TEST_F(GuestClientTest, HoldsNothingThatDoesNotRun) {
  for (const auto* status : {"paused", "io-error", "shutdown", "guest-panicked"}) {
    SCOPED_TRACE(status);
    guest_.reset();
    std::filesystem::remove(folder_ / "qmp.sock");
    std::filesystem::remove(folder_ / "qga.sock");
    begin({.status = status});
    const Held held = connect().hold({}).value();
    EXPECT_EQ(held.hold, Hold::none);
    EXPECT_NE(held.state, "running");
    EXPECT_FALSE(guest_->was_frozen() || guest_->was_paused());
  }
}

TEST_F(GuestClientTest, AQemuThatIsNotThereIsOff) {
  GuestSettings settings;
  settings.kind = GuestSettings::Kind::qmp;
  settings.monitor = folder_ / "qmp.sock";
  auto client = GuestClient::open("web", settings, place_);
  ASSERT_TRUE(client) << client.error().message();
  EXPECT_EQ(client->look()->state, "off");
}

TEST_F(GuestClientTest, AMonitorThatSomebodyElseHasIsBusy) {
  begin({.greets = false});
  const auto client = GuestClient::open("web", guest_->settings(), place_);
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ErrorCode::guest_busy);
}

TEST_F(GuestClientTest, RubbishIsAnErrorAndNothingElse) {
  for (const auto* says : {"rubbish", "[1]", "{\"return\":", "{}", "\x01\x02"}) {
    SCOPED_TRACE(says);
    guest_.reset();
    std::filesystem::remove(folder_ / "qmp.sock");
    std::filesystem::remove(folder_ / "qga.sock");
    begin({.agent_says = says});
    const Held held = connect().hold({.freeze = true, .pause = true, .longest = milliseconds(1000)}).value();
    EXPECT_EQ(held.hold, Hold::pause) << held.because;
    EXPECT_FALSE(guest_->was_frozen());
    wait_for_no_notes();
  }
}

TEST_F(GuestClientTest, ALineWithoutAnEndIsNotRead) {
  begin({.monitor_says = std::string(9 * 1024 * 1024, 'x')});
  GuestClient client = connect();
  const auto look = client.look();
  ASSERT_FALSE(look);
  EXPECT_THAT(look.error().code, ::testing::AnyOf(ErrorCode::guest_bad_answer, ErrorCode::guest_silent));
}

TEST_F(GuestClientTest, ANoteThatWasLeftIsTakenOver) {
  begin();
  // Frozen, and both processes gone.
  {
    const auto note = HoldRecord::write(place_.notes, {"web", guest_->settings(), true, false, UtcTime{}});
    ASSERT_TRUE(note) << note.error().message();
    ASSERT_TRUE(socket_agent(guest_->settings().agent)->freeze(milliseconds(5000)));
    ASSERT_TRUE(guest_->frozen());
    // While somebody takes care of it, it is nobody else's.
    EXPECT_FALSE(GuestClient::take_over("web", guest_->settings(), place_)->taken);
    EXPECT_TRUE(guest_->frozen());
  }
  EXPECT_THAT(notes(), ElementsAre("web"));
  const auto over = GuestClient::take_over("web", guest_->settings(), place_).value();
  EXPECT_TRUE(over.taken);
  EXPECT_TRUE(over.seen) << over.because;
  EXPECT_FALSE(guest_->frozen());
  wait_for_no_notes();
  EXPECT_FALSE(GuestClient::take_over("web", guest_->settings(), place_)->taken);
}

TEST_F(GuestClientTest, ANoteThatCannotBeReadIsAFreezeOfThatMachine) {
  begin({.frozen = true});
  std::filesystem::create_directory(place_.notes);
  std::ofstream(place_.notes / "web.json") << "{\"guest\":";
  EXPECT_TRUE(GuestClient::take_over("web", guest_->settings(), place_)->taken);
  EXPECT_TRUE(guest_->wait_until_free());
  wait_for_no_notes();
}

TEST_F(GuestClientTest, WithoutANoteThereIsNoHold) {
  begin();
  std::ofstream(place_.notes) << "no folder";
  const Held held = connect().hold({}).value();
  EXPECT_EQ(held.hold, Hold::none);
  EXPECT_THAT(held.because, HasSubstr("could not be noted"));
  EXPECT_FALSE(guest_->was_frozen() || guest_->was_paused());
  std::filesystem::remove(place_.notes);
}

// As on a full disk: what is left of the note must not have a guest thawed that somebody else froze.
TEST_F(GuestClientTest, ANoteThatCannotBeWrittenIsNotLeft) {
  begin();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto heeded = std::signal(SIGXFSZ, SIG_IGN);
  rlimit none = before;
  none.rlim_cur = 10;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
  const auto note = HoldRecord::write(place_.notes, {"web", guest_->settings(), true, false, UtcTime{}});
  const bool written = note.has_value();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, heeded);
  EXPECT_FALSE(written);
  EXPECT_THAT(notes(), IsEmpty());
}

TEST_F(GuestClientTest, AHelperThatCannotBeBegunIsAnError) {
  begin();
  const auto client = GuestClient::open("web", guest_->settings(), {place_.notes, "/nonexistent"});
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ErrorCode::guest_helper_failed);
}

}  // namespace
}  // namespace cairn
