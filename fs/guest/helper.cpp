// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/guest/helper.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "config/base/exception_door.h"
#include "config/base/json.h"
#include "config/base/log.h"
#include "fs/guest/guest.h"
#include "fs/guest/helper_protocol.h"
#include "fs/guest/hold_record.h"
#include "fs/guest/message_socket.h"

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr const char* kServe = "serve";
constexpr milliseconds kPing{3'000};
constexpr milliseconds kWhole{60'000};  // for a message of our own side, which writes it in one go

class Helper {
 public:
  explicit Helper(MessageSocket socket) : socket_(std::move(socket)) {}

  void run() {
    std::thread([this] { leave_with_our_side(); }).detach();
    const auto served = without_exceptions(kServe, machine_, [&]() -> Result<void> {
      serve();
      return {};
    });
    if (!served) log_error("guest-helper-failed", machine_, served.error());
    // Whatever went wrong: the guest is let go.
    const auto end = [&]() -> Result<void> {
      let_go("the program that asked for it has ended");
      finish_owed(false);
      return {};
    };
    while (!without_exceptions(kServe, machine_, end)) ::poll(nullptr, 0, 1'000);
  }

 private:
  void serve() {
    while (true) {
      if (held_ != Hold::none && !wait_for_word()) let_go("the longest time was over before the copies were made");
      // Also when our side is silent: what holds it up may be what made the hold too long.
      if (held_ == Hold::none && owed()) finish_owed(true);
      auto message = socket_.message(in(std::chrono::hours(24)));
      if (!message) break;
      const json answer = answered(*message);
      if (!socket_.send(answer, in(kWhole))) break;
    }
  }

  // Calls of libvirt have no time limit. A question that nobody waits for any more must not keep a process for ever;
  // but nothing else is cut short.
  void leave_with_our_side() {
    pollfd one{socket_.fd(), POLLRDHUP, 0};
    while (::poll(&one, 1, -1) <= 0) {
    }
    while (true) {
      {
        const std::lock_guard lock(only_asking_);
        if (asking_) ::_exit(0);
      }
      ::poll(nullptr, 0, 1'000);
    }
  }
  // What `question` gives, which does nothing to the guest.
  template <class Question>
  auto asked(Question question) {
    const auto set = [this](bool asking) {
      const std::lock_guard lock(only_asking_);
      asking_ = asking;
    };
    set(!owed() && held_ == Hold::none);
    auto answer = question();
    set(false);
    return answer;
  }

  // Until our side says something, or goes: true. False: the longest time is over.
  bool wait_for_word() {
    const auto left = std::chrono::ceil<milliseconds>(until_ - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    if (socket_.has_line()) return true;
    pollfd one{socket_.fd(), POLLIN, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(left));
    return ready != 0 || until_ > std::chrono::steady_clock::now();
  }

  json answered(const json& message) {
    json answer;
    const auto problem = problem_of_reading([&] {
      auto done = carry_out(message.at("do").get<std::string>(), message);
      answer = done ? *std::move(done) : error_answer(done.error());
    });
    if (!problem) return answer;
    return error_answer(Error{ErrorCode::internal, "understand", "what the guest helper was told", *problem, 0, {}});
  }

  Result<json> carry_out(const std::string& what, const json& message) {
    if (what == "list") {
      const auto uri = message.at("uri").get<std::string>();
      CAIRN_TRY(const auto guests, asked([&] { return list_libvirt_guests(uri); }));
      json rows = json::array();
      for (const ListedGuest& guest : guests)
        rows.push_back({{"name", guest.name}, {"state", to_string(guest.state)}, {"definition", guest.definition}});
      return json{{"guests", std::move(rows)}};
    }
    if (what == "open") {
      machine_ = message.at("machine").get<std::string>();
      settings_ = guest_from_json(message.at("guest"));
      notes_ = message.at("notes").get<std::string>();
      CAIRN_TRY(guest_, asked([&] { return open_guest(settings_); }));
      return json::object();
    }
    if (what == "take-over") return take_over(message);
    if (!guest_) throw BadDocument{"no guest was named"};
    if (what == "look") return asked([&] { return look(); });
    if (what == "hold") return hold(wish_from_json(message));
    if (what == "release") return release();
    throw BadDocument{"it is no request"};
  }

  Result<json> look() {
    GuestLook look;
    CAIRN_TRY(const GuestState state, guest_->state());
    look.state = to_string(state);
    look.version = guest_->version();
    CAIRN_TRY(look.definition, guest_->definition(Guest::Definition::inactive));
    if (state != GuestState::off) {
      CAIRN_TRY(look.definition_now, guest_->definition(Guest::Definition::live));
    }
    GuestAgent* const agent = guest_->agent();
    if (agent == nullptr) {
      look.agent_says = "no guest agent is named in the settings";
    } else if (state == GuestState::running) {
      if (const auto ping = agent->ping(kPing); !ping) {
        look.agent_says = ping.error().because;
      } else {
        look.agent = true;
        look.system = agent->system_id(kPing).value_or(std::string());
        look.frozen = agent->is_frozen(kPing).value_or(false);
      }
    } else {
      look.agent_says = fmt::format("the guest is {}", look.state);
    }
    return to_json(look);
  }

  Result<json> hold(const HoldWish& wish) {
    let_go("another hold was asked for");
    Held held;
    CAIRN_TRY(const GuestState state, guest_->state());
    held.state = to_string(state);
    if (state != GuestState::running) {
      held.because = "the guest is " + held.state;
      return to_json(held);
    }
    now_ = std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
    since_ = {};
    if (wish.freeze) held.because = try_freeze(wish, held);
    // What is left of the time when a freeze was tried; none of it was used up by questions.
    if (since_ == SteadyTime{}) begin_time(wish);
    if (held.hold == Hold::none && wish.pause) {
      // What a frozen guest's agent still has to do it does afterwards.
      if (const std::string why = try_pause(); why.empty())
        held.hold = Hold::pause;
      else
        held.because += (held.because.empty() ? "" : "; ") + why;
    }
    held_ = held.hold;
    released_ = {};
    return to_json(held);
  }

  // The time of the hold counts from here: before anything is done to the guest.
  void begin_time(const HoldWish& wish) {
    since_ = std::chrono::steady_clock::now();
    until_ = since_ + wish.longest;
  }

  // Why it is not frozen; empty: it is.
  std::string try_freeze(const HoldWish& wish, Held& held) {
    GuestAgent* const agent = guest_->agent();
    if (agent == nullptr) return "no guest agent is named in the settings";
    // A question first: an agent that is not there must not find a freeze later.
    if (const auto ping = agent->ping(std::min(kPing, wish.longest)); !ping)
      return "the guest agent does not answer: " + ping.error().because;
    const auto frozen = agent->is_frozen(kPing);
    if (!frozen) return "the guest agent does not say whether the guest is frozen: " + frozen.error().because;
    if (*frozen) return "its file systems are frozen already, and not by Cairn";
    held.hooks = wish.hooks && has_freeze_hooks(*agent, kPing);
    if (std::string why = note({machine_, settings_, true, false, now_}); !why.empty()) return why;
    begin_time(wish);
    freeze_owed_ = true;
    // A quarter is for the copies, or for the pause when the freeze does not come.
    const auto count = agent->freeze(wish.longest - wish.longest / 4);
    if (!count) {
      if (count.error().code == ErrorCode::guest_refused) {
        // It was answered: nothing is frozen, or the agent undoes it. It is asked all the same.
        (void)settle();
      }
      return "the guest could not be frozen: " + count.error().because;
    }
    if (*count == 0) {
      (void)settle();
      return "the guest agent froze no file system";
    }
    frozen_ = true;
    held.hold = Hold::freeze;
    held.file_systems = *count;
    return {};
  }

  std::string try_pause() {
    if (std::string why = note({machine_, settings_, freeze_owed_, true, now_}); !why.empty()) return why;
    pause_owed_ = true;
    const auto paused = guest_->pause();
    if (paused) return {};
    (void)settle();
    return "the guest could not be paused: " + paused.error().because;
  }

  // Without a note nobody would know of the hold after a crash of both processes: then there is none.
  std::string note(const HoldNote& hold) {
    if (record_) {
      const auto written = record_->update(hold);
      return written ? "" : "the hold could not be noted in state_dir: " + written.error().message();
    }
    auto record = HoldRecord::write(notes_, hold);
    if (!record) return "the hold could not be noted in state_dir: " + record.error().message();
    record_.emplace(*std::move(record));
    return {};
  }

  Result<json> release() {
    const bool held = held_ != Hold::none;
    let_go({});
    // One that ended before, and was made up for since.
    if (!held && !owed()) released_.seen = true;
    return to_json(std::exchange(released_, Released{}));
  }

  // Ends the hold, with one attempt; what is owed then is finish_owed()'s. `early`: why it is not our side's doing.
  void let_go(const std::string& early) {
    const Hold had = std::exchange(held_, Hold::none);
    if (had == Hold::none) return;
    Released& out = released_;
    out = {.seen = false, .whole = early.empty(), .ms = 0, .because = early};
    std::string why;
    int thawed = 0;
    // The agent of a guest that was paused because its freeze had failed may be busy with that for long.
    out.seen = had == Hold::pause ? resume(why) : settle(thawed, why);
    out.ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - since_).count());
    if (!out.seen) out.because = why;
    // A guest that thawed by itself meanwhile (Windows does after 10 s) has no file system left for our thaw to find.
    if (had == Hold::freeze && out.seen && thawed == 0 && out.whole) {
      out.whole = false;
      out.because = "the guest had thawed by itself before it was asked to";
    }
    forget_when_settled();
  }

  [[nodiscard]] bool owed() const { return freeze_owed_ || pause_owed_; }

  // One attempt each. True: the guest was seen to run, or to be thawed, or is not there any more; else `why` says more.
  bool resume(std::string& why) {
    if (!pause_owed_) return true;
    const auto resumed = guest_->resume();
    const auto state = guest_->state();
    if (state && *state != GuestState::paused) {
      pause_owed_ = false;
      return true;
    }
    why = !resumed ? resumed.error().message() : state ? "the guest is still paused" : state.error().message();
    return false;
  }
  bool thaw(int& count, std::string& why) {
    if (!freeze_owed_) return true;
    const auto state = guest_->state();
    GuestAgent* const agent = guest_->agent();
    if (agent == nullptr || (state && (*state == GuestState::off || *state == GuestState::crashed))) {
      freeze_owed_ = false;
      return true;
    }
    const Thawed result = thaw_guest(*agent, frozen_ ? WasFrozen::certain : WasFrozen::perhaps);
    count += result.count;
    frozen_ = false;
    if (result.seen) freeze_owed_ = false;
    why = result.last;
    return result.seen;
  }
  // The agent of a guest that stands cannot answer.
  bool settle(int& thawed, std::string& why) { return resume(why) && thaw(thawed, why); }
  bool settle() {
    int thawed = 0;
    std::string why;
    const bool settled = settle(thawed, why);
    forget_when_settled();
    return settled;
  }

  void forget_when_settled() {
    if (owed() || !record_) return;
    // The guest runs; a note that stays only makes the next start look.
    if (const auto removed = record_->remove(); !removed) log_error("guest-note-left", machine_, removed.error());
    record_.reset();
  }

  // Until the guest runs again, however long it takes; with `while_quiet` only until our side says something.
  void finish_owed(bool while_quiet) {
    constexpr int kSoon = 25;     // attempts, 200 ms apart at least
    constexpr int kLater = 60;    // a second
    constexpr int kTooLong = 10;  // that many have failed: somebody should know
    for (int attempt = 0; owed(); ++attempt) {
      std::string why = "it cannot be reached";
      int thawed = 0;
      if (guest_ && settle(thawed, why)) break;
      if (attempt == kTooLong) shout(why);
      const int pause = attempt < kSoon ? 200 : attempt < kLater ? 1'000 : 10'000;
      pollfd one{socket_.fd(), POLLIN, 0};
      if (while_quiet && (socket_.has_line() || ::poll(&one, 1, pause) != 0)) return;
      if (!while_quiet) ::poll(nullptr, 0, pause);
      reconnect();
    }
    forget_when_settled();
  }

  void shout(const std::string& why) {
    log_error("guest-not-thawed", machine_, Error{ErrorCode::guest_not_thawed, "let go", settings_.text(), why, 0, {}});
  }

  // Only when it must be: a monitor takes one client, and an agent that is busy with our freeze wants to answer it.
  void reconnect() {
    if (guest_ && guest_->state()) return;
    guest_.reset();
    auto anew = open_guest(settings_);
    if (anew)
      guest_ = *std::move(anew);
    else if (anew.error().code == ErrorCode::guest_not_found)
      freeze_owed_ = pause_owed_ = false;  // the domain is not there any more
  }

  // A note that nobody takes care of: what it says is let go. Answers at once; the rest is done after our side has
  // gone.
  Result<json> take_over(const json& message) {
    machine_ = message.at("machine").get<std::string>();
    notes_ = message.at("notes").get<std::string>();
    CAIRN_TRY(auto left, HoldRecord::take(notes_, machine_));
    if (!left) return json{{"taken", false}};
    settings_ = left->note.guest;
    if (!settings_) settings_ = guest_from_json(message.at("guest"));
    if (settings_.domain.empty() && settings_.monitor.empty()) {
      const auto lost = fail(ErrorCode::guest_not_thawed, "let go the guest of", machine_,
                             "the note of its hold cannot be read, and the settings name no guest for it",
                             "look whether the guest runs; then remove " + (notes_ / (machine_ + ".json")).string());
      log_error("guest-not-thawed", machine_, lost.error());  // nobody may wait for the answer
      return lost;
    }
    // A note that cannot be read may be of either kind.
    freeze_owed_ = left->note.freeze || !left->note.guest;
    pause_owed_ = left->note.pause;
    record_.emplace(std::move(left->record));
    since_ = std::chrono::steady_clock::now();
    auto guest = open_guest(settings_);
    if (guest) guest_ = *std::move(guest);
    json answer{{"taken", true}, {"seen", false}, {"because", guest ? "" : guest.error().message()}};
    if (!guest) return answer;
    std::string why;
    int thawed = 0;
    answer["seen"] = settle(thawed, why);
    answer["because"] = why;
    forget_when_settled();
    return answer;
  }

  MessageSocket socket_;
  std::string machine_;
  GuestSettings settings_;
  std::filesystem::path notes_;
  UtcTime now_{};
  std::unique_ptr<Guest> guest_;
  std::optional<HoldRecord> record_;
  Hold held_ = Hold::none;
  bool freeze_owed_ = false;  // a freeze was asked for, and no thaw was seen since
  bool frozen_ = false;       // it said so, and was not asked to thaw since
  bool pause_owed_ = false;   // the guest was paused, and not seen to run since
  std::mutex only_asking_;
  bool asking_ = false;  // under only_asking_: what is done now changes nothing, and may end in the middle
  SteadyTime since_{};   // the hold began
  SteadyTime until_{};   // it ends by itself
  Released released_;    // what release() answers
};

}  // namespace

bool is_guest_helper(int argc, char** argv) {
  return argc > 0 && std::strcmp(argv[0], kGuestHelperName) == 0;
}

namespace {

// Events go to the journal or a file. A terminal or a pipe is that of a command, which may end long before this:
// whoever reads the pipe to its end must not wait for a guest.
void settle_log() {
  struct stat facts{};
  const bool is_file = ::fstat(STDERR_FILENO, &facts) == 0 && S_ISREG(facts.st_mode);
  if (is_file || std::getenv("JOURNAL_STREAM") != nullptr) return;
  const UniqueFd nothing(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (nothing) ::dup2(nothing.get(), STDERR_FILENO);
}

}  // namespace

int run_guest_helper() {
  settle_log();
  // Whoever ends a service, or presses Ctrl-C, must not leave a guest frozen.
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGTTOU}) std::signal(signal, SIG_IGN);
  // Nobody's child: who began us need not wait for our end, which may come later than its own.
  const pid_t child = ::fork();
  if (child != 0) ::_exit(child < 0 ? 1 : 0);
  ::setsid();
  ::prctl(PR_SET_NAME, kGuestHelperName, 0, 0, 0);
  // Never destroyed: a thread of its own is in it.
  static Helper helper(MessageSocket(UniqueFd(kGuestHelperFd), "the program that began the guest helper"));
  helper.run();
  // The library of libvirt has threads that go on.
  ::_exit(0);
}

}  // namespace cairn
