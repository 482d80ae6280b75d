// SPDX-License-Identifier: GPL-3.0-or-later
// GuestClient: our side of the guest helper (helper.h). The helper is begun with it, and ends with it, or later when it
// still has a guest to let go. However a call ends here, a guest that is held is let go: at the latest when this is
// destroyed, or the process dies. One thread.
#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/guest_settings.h"
#include "fs/guest/guest.h"
#include "fs/guest/helper_protocol.h"
#include "fs/guest/message_socket.h"

namespace cairn {

struct GuestPlace {
  std::filesystem::path notes;                       // the folder of the notes (hold_record.h): state_dir/guests
  std::filesystem::path program = "/proc/self/exe";  // what is run as the helper
  std::stop_token stop = {};                         // then nothing is waited for: every call but release() ends
};

class GuestClient {
 public:
  // Begins the helper and has it connect. Errors: those of open_guest(); guest_helper_failed: it cannot be begun.
  static Result<GuestClient> open(const std::string& machine, const GuestSettings& guest, const GuestPlace& place);
  // All domains of a libvirt. Errors: as open().
  static Result<std::vector<ListedGuest>> list(const std::string& uri, const GuestPlace& place);
  // Takes over the note of a machine that nobody takes care of: the helper goes on until that guest runs. `guest`: as
  // the settings have it now, for a note that cannot be read. Errors: guest_helper_failed; io_error and its like.
  struct TakenOver {
    bool taken = false;   // there was such a note
    bool seen = false;    // and its guest runs again already
    std::string because;  // when not
  };
  static Result<TakenOver> take_over(const std::string& machine, const GuestSettings& guest, const GuestPlace& place);
  // The same for all notes of the folder, without waiting for what becomes of them: the helpers' log says it.
  // `guest_of`: of a machine, as the settings have it. Errors: of the folder; one that cannot be begun is logged.
  static Result<void> take_over_all(const std::function<GuestSettings(const std::string&)>& guest_of,
                                    const GuestPlace& place);

  // Errors of these: those of Guest::state(); guest_silent: not in time; guest_helper_failed: the helper has ended;
  // cancelled: it was asked to stop. After these three the client is of no use any more.
  Result<GuestLook> look();
  // A guest that could not be held is no error: Held says so.
  Result<Held> hold(const HoldWish& wish);
  Result<Released> release();

 private:
  GuestClient(MessageSocket socket, std::stop_token stop) : socket_(std::move(socket)), stop_(std::move(stop)) {}
  static Result<GuestClient> start(const GuestPlace& place);
  Result<nlohmann::json> ask(const nlohmann::json& message, std::chrono::milliseconds within);
  Result<nlohmann::json> ask_unless_stopped(const nlohmann::json& message, std::chrono::milliseconds within);

  MessageSocket socket_;
  std::stop_token stop_;
};

}  // namespace cairn
