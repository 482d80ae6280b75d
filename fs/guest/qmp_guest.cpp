// SPDX-License-Identifier: GPL-3.0-or-later
// A guest whose QEMU the user runs: its monitor socket and its agent's.
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>

#include "config/base/enum_words.h"
#include "fs/guest/guest.h"
#include "fs/guest/qmp.h"

namespace cairn {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr milliseconds kMonitor{5'000};  // for a command that QEMU carries out at once

constexpr EnumWords<GuestState, 4> kStates{{{GuestState::running, "running"},
                                            {GuestState::paused, "paused"},
                                            {GuestState::off, "off"},
                                            {GuestState::crashed, "crashed"}}};

class QmpGuest final : public Guest {
 public:
  QmpGuest(const GuestSettings& settings, std::optional<Qmp> monitor) : monitor_(std::move(monitor)) {
    if (!settings.agent.empty()) agent_ = socket_agent(settings.agent);
  }

  Result<GuestState> state() override {
    if (!monitor_) return GuestState::off;
    CAIRN_TRY(const json answer, monitor_->execute("query-status", json::object(), kMonitor));
    const auto status = answer.is_object() ? answer.find("status") : answer.end();
    if (!answer.is_object() || status == answer.end() || !status->is_string())
      return fail(ErrorCode::guest_bad_answer, "run query-status in", monitor_->object(),
                  "the answer is not of the kind that the command has");
    // RunState of qapi/run-state.json.
    const auto word = status->get<std::string>();
    if (word == "running") return GuestState::running;
    if (word == "shutdown") return GuestState::off;
    if (word == "guest-panicked" || word == "internal-error") return GuestState::crashed;
    return GuestState::paused;
  }
  GuestAgent* agent() override { return agent_.get(); }
  Result<void> pause() override { return run("stop"); }
  Result<void> resume() override { return run("cont"); }
  Result<std::string> definition(Definition /*which*/) override { return std::string(); }
  [[nodiscard]] std::string version() const override { return monitor_ ? "QEMU " + monitor_->version() : ""; }

 private:
  Result<void> run(const char* command) {
    if (!monitor_) return {};
    CAIRN_TRY(const json answer, monitor_->execute(command, json::object(), kMonitor));
    return {};
  }

  std::optional<Qmp> monitor_;  // nothing: no QEMU listens there
  std::unique_ptr<GuestAgent> agent_;
};

}  // namespace

Result<std::unique_ptr<Guest>> open_qmp_guest(const GuestSettings& settings) {
  auto monitor = Qmp::connect(settings.monitor, kMonitor);
  if (monitor) return std::make_unique<QmpGuest>(settings, *std::move(monitor));
  const Error& error = monitor.error();
  // QEMU makes the socket when it starts and listens as long as it lives.
  if (error.code == ErrorCode::guest_unreachable && (error.sys_errno == ENOENT || error.sys_errno == ECONNREFUSED))
    return std::make_unique<QmpGuest>(settings, std::nullopt);
  return pass_on(std::move(monitor).error());
}

Result<std::unique_ptr<Guest>> open_guest(const GuestSettings& settings) {
  CAIRN_ASSERT(settings.kind != GuestSettings::Kind::none);
  return settings.kind == GuestSettings::Kind::libvirt ? open_libvirt_guest(settings) : open_qmp_guest(settings);
}

std::string_view to_string(GuestState state) {
  return word_of(kStates, state);
}

std::optional<GuestState> parse_guest_state(std::string_view text) {
  return value_of_word(kStates, text);
}

}  // namespace cairn
