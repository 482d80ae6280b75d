// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/guest/guest_agent.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <sstream>
#include <vector>

#include "config/base/json.h"
#include "crypto/base64.h"
#include "fs/guest/qmp.h"

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

// What one thaw and one look may take: a hook of the guest runs in the thaw.
constexpr milliseconds kThaw{5'000};
constexpr milliseconds kStatus{2'000};

std::unexpected<Error> odd_answer(const GuestAgent& agent, std::string_view command) {
  return fail(ErrorCode::guest_bad_answer, fmt::format("run {} in", command), agent.object(),
              "the answer is not of the kind that the command has");
}

Result<int> counted(GuestAgent& agent, const char* command, milliseconds within) {
  CAIRN_TRY(const json answer, agent.ask(command, json::object(), within));
  if (!answer.is_number_integer() || answer < 0 || answer > 1'000'000) return odd_answer(agent, command);
  return answer.get<int>();
}

// Not a secret: it only tells this question's answer from an earlier one's.
std::uint32_t fresh_number() {
  static std::random_device source;
  return source() & 0x7fffffffU;
}

class SocketAgent final : public GuestAgent {
 public:
  explicit SocketAgent(std::filesystem::path path)
      : path_(std::move(path)), object_("the guest agent at " + path_.string()) {}

  Result<json> ask(std::string_view command, const json& arguments, milliseconds within) override {
    auto answer = ask_once(command, arguments, in(within));
    if (answer || answer.error().code == ErrorCode::guest_refused) return answer;
    // A connection whose other side is out of step is of no use any more, but for one that is only late: the agent is
    // busy with our own command, and leaving now could leave it stuck with an answer that nobody takes.
    if (answer.error().code != ErrorCode::guest_silent) socket_.reset();
    if (answer.error().code == ErrorCode::guest_bad_answer || answer.error().code == ErrorCode::permission_denied)
      return answer;
    return fail(ErrorCode::guest_agent_missing, fmt::format("run {} in", command), object_, answer.error().because,
                answer.error().resolution);
  }
  [[nodiscard]] const std::string& object() const override { return object_; }

 private:
  Result<json> ask_once(std::string_view command, const json& arguments, Deadline until) {
    if (!socket_) {
      CAIRN_TRY(socket_, MessageSocket::connect(path_, object_, until));
    }
    CAIRN_CHECK(synchronise(until));
    json question{{"execute", command}};
    if (!arguments.empty()) question["arguments"] = arguments;
    CAIRN_CHECK(socket_->send(question, until));
    CAIRN_TRY(const json answer, socket_->message(until));
    if (answer.contains("error")) return refused(answer, command, object_);
    const auto value = answer.find("return");
    if (value == answer.end()) return odd_answer(*this, command);
    return *value;
  }

  // qemu-ga-ref, guest-sync-delimited: 0xFF makes the agent drop what it has half read, and its answer begins with one.
  Result<void> synchronise(Deadline until) {
    const std::uint32_t number = fresh_number();
    const json question{{"execute", "guest-sync-delimited"}, {"arguments", {{"id", number}}}};
    CAIRN_CHECK(socket_->send_bytes("\xff" + json_text(question) + "\n", until));
    constexpr int kMostStale = 64;  // lines of earlier answers
    for (int line = 0; line < kMostStale; ++line) {
      CAIRN_TRY(std::string text, socket_->line(until));
      const std::size_t mark = text.rfind('\xff');
      if (mark == std::string::npos) continue;
      const auto answer = parse_json(std::string_view(text).substr(mark + 1));
      if (answer && answer->is_object() && answer->value("return", json()) == json(number)) return {};
    }
    return fail(ErrorCode::guest_bad_answer, "speak with", object_, "it answers other questions than ours");
  }

  std::filesystem::path path_;
  std::string object_;
  std::optional<MessageSocket> socket_;
};

}  // namespace

Result<void> GuestAgent::ping(milliseconds within) {
  CAIRN_TRY(const json answer, ask("guest-ping", json::object(), within));
  return {};
}

Result<int> GuestAgent::freeze(milliseconds within) {
  return counted(*this, "guest-fsfreeze-freeze", within);
}

Result<int> GuestAgent::thaw(milliseconds within) {
  return counted(*this, "guest-fsfreeze-thaw", within);
}

Result<bool> GuestAgent::is_frozen(milliseconds within) {
  constexpr const char* kCommand = "guest-fsfreeze-status";
  CAIRN_TRY(const json answer, ask(kCommand, json::object(), within));
  if (answer == "frozen") return true;
  if (answer == "thawed") return false;
  return odd_answer(*this, kCommand);
}

Result<std::string> GuestAgent::system_id(milliseconds within) {
  constexpr const char* kCommand = "guest-get-osinfo";
  CAIRN_TRY(const json answer, ask(kCommand, json::object(), within));
  const auto id = answer.is_object() ? answer.find("id") : answer.end();
  if (!answer.is_object() || id == answer.end() || !id->is_string()) return odd_answer(*this, kCommand);
  return id->get<std::string>().substr(0, 64);
}

Result<std::string> GuestAgent::file_head(const std::string& path, milliseconds within) {
  constexpr const char* kRead = "guest-file-read";
  CAIRN_TRY(const json handle, ask("guest-file-open", {{"path", path}, {"mode", "r"}}, within));
  const auto answer = ask(kRead, {{"handle", handle}, {"count", 4096}}, within);
  CAIRN_TRY(const json closed, ask("guest-file-close", {{"handle", handle}}, within));
  if (!answer) return pass_on(answer.error());
  const auto bytes = answer->is_object() ? answer->find("buf-b64") : answer->end();
  if (!answer->is_object() || bytes == answer->end() || !bytes->is_string()) return odd_answer(*this, kRead);
  const auto content = from_base64(bytes->get<std::string>());
  if (!content || content->size() > 4096) return odd_answer(*this, kRead);
  return std::string(content->begin(), content->end());
}

namespace {

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

// The scripts that the agent may run: the one that `words` names, or, where they name none, those that it has built in;
// nothing: it runs none.
std::vector<std::string> hooks_of_line(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    for (const std::string_view option : {"--fsfreeze-hook", "-F"}) {
      if (!word.starts_with(option)) continue;
      std::string path = word.substr(option.size());
      if (path.starts_with('=')) path.erase(0, 1);
      if (path.empty()) return {"/etc/qemu/fsfreeze-hook", "/etc/qemu-ga/fsfreeze-hook"};
      return {path};
    }
  }
  return {};
}

// "fsfreeze-hook = /path" of qemu-ga.conf, as an option.
std::vector<std::string> options_of_settings(const std::string& text) {
  std::vector<std::string> words;
  for (std::string line : split(text, '\n')) {
    std::erase_if(line, [](char c) { return c == ' ' || c == '\t' || c == '\r'; });
    if (line.starts_with("fsfreeze-hook=")) words.push_back("--" + line);
  }
  return words;
}

}  // namespace

bool has_freeze_hooks(GuestAgent& agent, milliseconds within) {
  if (agent.system_id(within).value_or(std::string()) == "mswindows") return true;
  std::vector<std::string> hooks;
  if (const auto line = agent.file_head("/proc/self/cmdline", within)) hooks = hooks_of_line(split(*line, '\0'));
  if (hooks.empty())
    if (const auto text = agent.file_head("/etc/qemu/qemu-ga.conf", within))
      hooks = hooks_of_line(options_of_settings(*text));
  return std::ranges::any_of(hooks, [&](const std::string& hook) { return agent.file_head(hook, within).has_value(); });
}

Thawed thaw_guest(GuestAgent& agent, WasFrozen was) {
  Thawed result;
  if (was == WasFrozen::perhaps) {
    const auto frozen = agent.is_frozen(kThaw);
    result.seen = frozen && !*frozen;
    if (!frozen) result.last = frozen.error().message();
    if (result.seen || !frozen) return result;
  }
  const auto count = agent.thaw(kThaw);
  if (count) result.count = *count;
  const auto frozen = agent.is_frozen(kStatus);
  result.seen = frozen && !*frozen;
  if (result.seen) return result;
  if (!count)
    result.last = count.error().message();
  else
    result.last = frozen ? "its file systems are still frozen" : frozen.error().message();
  return result;
}

std::unique_ptr<GuestAgent> socket_agent(std::filesystem::path path) {
  return std::make_unique<SocketAgent>(std::move(path));
}

}  // namespace cairn
