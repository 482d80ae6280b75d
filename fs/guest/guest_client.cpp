// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/guest/guest_client.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "config/base/log.h"
#include "fs/guest/hold_record.h"

extern char** environ;

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr const char* kBegin = "begin";
constexpr const char* kObject = "the guest helper";
// What a hypervisor that answers at all takes; the helper's own limits are shorter.
constexpr milliseconds kPatience{40'000};
// The helper's limits in a hold, beside the longest time itself: its questions, a pause. libvirt waits for up to 30 s
// while something else is done to the domain.
constexpr milliseconds kAround{45'000};

// The process leaves its child to itself and ends at once, so it is waited for here.
Result<void> spawn_helper(const std::filesystem::path& program, int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, socket, kGuestHelperFd);
  posix_spawn_file_actions_addclosefrom_np(&actions, kGuestHelperFd + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  std::string name = kGuestHelperName;
  char* words[] = {name.data(), nullptr};
  pid_t pid = 0;
  const int problem = posix_spawn(&pid, program.c_str(), &actions, &attributes, words, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (problem != 0) return fail_errno(problem, kBegin, kObject, ErrorCode::guest_helper_failed, program.string());
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return fail_errno(errno, kBegin, kObject, ErrorCode::guest_helper_failed);
  }
  if (status != 0) return fail(ErrorCode::guest_helper_failed, kBegin, kObject, program.string() + " did not begin it");
  return {};
}

}  // namespace

Result<GuestClient> GuestClient::start(const GuestPlace& place) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno(errno, kBegin, kObject);
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  // dup2 onto itself would leave it to be closed by the exec.
  if (theirs.get() == kGuestHelperFd) {
    theirs = UniqueFd(::fcntl(kGuestHelperFd, F_DUPFD_CLOEXEC, kGuestHelperFd + 1));
    if (!theirs) return fail_errno(errno, kBegin, kObject);
  }
  CAIRN_CHECK(spawn_helper(place.program, theirs.get()));
  return GuestClient(MessageSocket(std::move(ours), kObject), place.stop);
}

Result<json> GuestClient::ask_unless_stopped(const json& message, milliseconds within) {
  // The helper sees that as our end, and lets go what it has.
  const std::stop_callback cut(stop_, [fd = socket_.fd()] { ::shutdown(fd, SHUT_RDWR); });
  auto answer = ask(message, within);
  if (!answer && stop_.stop_requested()) return fail(ErrorCode::cancelled, "wait for", kObject, "it was asked to stop");
  return answer;
}

Result<json> GuestClient::ask(const json& message, milliseconds within) {
  const auto talk = [&]() -> Result<json> {
    const Deadline until = in(within);
    CAIRN_CHECK(socket_.send(message, until));
    return socket_.message(until);
  };
  auto answer = talk();
  if (!answer && answer.error().code == ErrorCode::guest_unreachable) {
    answer.error().code = ErrorCode::guest_helper_failed;
    return answer;
  }
  if (!answer || !answer->contains("error")) return answer;
  return read_document([&]() -> Result<json> { return pass_on(error_from_answer(*answer)); },
                       [](std::string because) -> Result<json> {
                         return fail(ErrorCode::internal, "understand", kObject, std::move(because));
                       });
}

namespace {

json take_over_message(const std::string& machine, const GuestSettings& guest, const GuestPlace& place) {
  return {{"do", "take-over"}, {"machine", machine}, {"guest", to_json(guest)}, {"notes", place.notes.string()}};
}

template <class Read>
auto understood(Read read) -> Result<decltype(read())> {
  using Value = Result<decltype(read())>;
  return read_document([&]() -> Value { return read(); },
                       [](std::string because) -> Value {
                         return fail(ErrorCode::internal, "understand", kObject, std::move(because));
                       });
}

}  // namespace

Result<GuestClient> GuestClient::open(const std::string& machine, const GuestSettings& guest, const GuestPlace& place) {
  CAIRN_TRY(GuestClient client, start(place));
  const json open{{"do", "open"}, {"machine", machine}, {"guest", to_json(guest)}, {"notes", place.notes.string()}};
  CAIRN_TRY(const json opened, client.ask_unless_stopped(open, kPatience));
  return client;
}

Result<std::vector<ListedGuest>> GuestClient::list(const std::string& uri, const GuestPlace& place) {
  CAIRN_TRY(GuestClient client, start(place));
  CAIRN_TRY(const json answer, client.ask_unless_stopped({{"do", "list"}, {"uri", uri}}, kPatience));
  return understood([&] {
    std::vector<ListedGuest> guests;
    for (const json& row : answer.at("guests")) {
      const auto state = parse_guest_state(row.at("state").get<std::string>());
      if (!state) throw BadDocument{"it names no state of a guest"};
      guests.push_back({row.at("name").get<std::string>(), *state, row.at("definition").get<std::string>()});
    }
    return guests;
  });
}

Result<GuestClient::TakenOver> GuestClient::take_over(const std::string& machine, const GuestSettings& guest,
                                                      const GuestPlace& place) {
  // Mostly there is none, and no helper is needed to know that.
  CAIRN_TRY(const auto noted, HoldRecord::list(place.notes));
  if (std::ranges::find(noted, machine, &HoldRecord::Noted::machine) == noted.end()) return TakenOver{};
  CAIRN_TRY(GuestClient client, start(place));
  CAIRN_TRY(const json answer, client.ask_unless_stopped(take_over_message(machine, guest, place), kPatience));
  return understood([&] {
    TakenOver result;
    result.taken = answer.at("taken").get<bool>();
    if (result.taken) {
      result.seen = answer.at("seen").get<bool>();
      result.because = answer.at("because").get<std::string>();
    }
    return result;
  });
}

Result<void> GuestClient::take_over_all(const std::function<GuestSettings(const std::string&)>& guest_of,
                                        const GuestPlace& place) {
  CAIRN_TRY(const auto noted, HoldRecord::list(place.notes));
  for (const HoldRecord::Noted& note : noted) {
    const auto begun = [&]() -> Result<void> {
      CAIRN_TRY(GuestClient client, start(place));
      return client.socket_.send(take_over_message(note.machine, guest_of(note.machine), place), in(kPatience));
    }();
    if (!begun) log_error("guest-left-held", note.machine, begun.error());
  }
  return {};
}

Result<GuestLook> GuestClient::look() {
  CAIRN_TRY(const json answer, ask_unless_stopped({{"do", "look"}}, kPatience));
  return understood([&] { return look_from_json(answer); });
}

Result<Held> GuestClient::hold(const HoldWish& wish) {
  json message = to_json(wish);
  message["do"] = "hold";
  CAIRN_TRY(const json answer, ask_unless_stopped(message, wish.longest + kAround));
  return understood([&] { return held_from_json(answer); });
}

Result<Released> GuestClient::release() {
  CAIRN_TRY(const json answer, ask({{"do", "release"}}, kAround));
  return understood([&] { return released_from_json(answer); });
}

}  // namespace cairn
