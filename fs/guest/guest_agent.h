// SPDX-License-Identifier: GPL-3.0-or-later
// GuestAgent: commands to the agent inside a guest (qemu-ga; docs/interop/qemu-ga-ref.rst), and the few that we need.
// The agent is a program of the guest: it may be absent, slow, hung, or lie. It does one command after the other: an
// answer to a later command says that the earlier one is over. One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "fs/guest/message_socket.h"

namespace cairn {

class GuestAgent {
 public:
  virtual ~GuestAgent() = default;

  // What the command returns. Errors: guest_agent_missing: nothing answers, now or within that time; guest_refused: the
  // agent's own error; guest_bad_answer.
  virtual Result<nlohmann::json> ask(std::string_view command, const nlohmann::json& arguments,
                                     std::chrono::milliseconds within) = 0;
  [[nodiscard]] virtual const std::string& object() const = 0;  // for messages

  Result<void> ping(std::chrono::milliseconds within);
  // How many file systems were frozen. An error does not mean that nothing is frozen, now or soon: see thaw_guest().
  Result<int> freeze(std::chrono::milliseconds within);
  // How many were thawed: 0: none was frozen.
  Result<int> thaw(std::chrono::milliseconds within);
  Result<bool> is_frozen(std::chrono::milliseconds within);
  // What the system is called: "mswindows", "debian".
  Result<std::string> system_id(std::chrono::milliseconds within);
  // The first 4 KiB of a file of the guest. Errors: guest_refused: it is not there, or the agent may not look.
  Result<std::string> file_head(const std::string& path, std::chrono::milliseconds within);
};

// Whether programs of the guest are asked to settle when the agent freezes: Windows' agent freezes through VSS;
// elsewhere it runs a script, when it was begun with one (qemu-ga(8), --fsfreeze-hook): its own command line and
// settings say so, and the script is there. False also where that cannot be seen. `within`: for each of some questions.
bool has_freeze_hooks(GuestAgent& agent, std::chrono::milliseconds within);

// The agent's socket of a QEMU that the user runs (-chardev socket,server=on ... -device
// virtserialport,name=org.qemu.guest_agent.0). One client at a time. Connects when it is first asked, and again after a
// failure. Each question begins with guest-sync-delimited, so that answers to earlier ones are not taken for its own.
std::unique_ptr<GuestAgent> socket_agent(std::filesystem::path path);

// What became of a guest that was, or may have been, frozen.
struct Thawed {
  bool seen = false;  // it reads back as thawed
  int count = 0;      // file systems that our thaws found frozen
  std::string last;   // when not seen: what the last attempt said
};
// Thaws and looks whether the guest reads back as thawed. That makes up for a freeze whatever became of it: also for
// one that was given up and happens late, since the agent answers in order. certain: it was frozen. perhaps: it is
// asked first, since each thaw runs the guest's hooks.
enum class WasFrozen { certain, perhaps };
Thawed thaw_guest(GuestAgent& agent, WasFrozen was);

}  // namespace cairn
