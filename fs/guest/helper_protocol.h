// SPDX-License-Identifier: GPL-3.0-or-later
// What we and the guest helper say to each other: JSON messages, one a line, over a pair of sockets. The helper is this
// same program, run again under the name kGuestHelperName; it speaks with the hypervisor and the guest, holds the
// guest, and lets it go whatever becomes of us. Requests and answers: LIVE.md "The helper". Pure.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "config/guest_settings.h"

namespace cairn {

inline constexpr const char* kGuestHelperName = "cairn-guest";
inline constexpr int kGuestHelperFd = 3;  // the helper's end of the pair

// How a guest is held. freeze: its agent has frozen its file systems; pause: its processors stand.
enum class Hold { none, freeze, pause };
std::string_view to_string(Hold hold);

// What is asked for. `freeze` and `pause` may both be: the second is tried when the first fails.
struct HoldWish {
  bool freeze = true;
  bool pause = true;
  std::chrono::milliseconds longest{10'000};  // then the helper lets go by itself
  bool hooks = true;                          // look whether the guest has hooks
};
// What was had.
struct Held {
  Hold hold = Hold::none;
  int file_systems = 0;  // freeze: so many
  bool hooks = false;    // freeze: programs of the guest were asked to settle too (its hooks; VSS of Windows)
  std::string because;   // why not frozen, or not held; empty: frozen
  std::string state;     // of the guest before: to_string(GuestState)
};
struct Released {
  bool seen = false;     // it was seen to run again, thawed
  bool whole = false;    // it was held all the time until then
  std::uint64_t ms = 0;  // so long it was held
  std::string because;   // when not seen, or not whole
};
// What is known of a guest without changing anything.
struct GuestLook {
  std::string state;           // to_string(GuestState)
  bool agent = false;          // it answers
  std::string agent_says;      // why it does not
  bool frozen = false;         // it says that its file systems are frozen
  std::string system;          // its guest-get-osinfo id; empty: not known
  std::string version;         // of the hypervisor: "QEMU 7.2.22"
  std::string definition;      // libvirt XML as it will be started; empty: none
  std::string definition_now;  // of a running guest
};

nlohmann::json to_json(const GuestSettings& guest);
GuestSettings guest_from_json(const nlohmann::json& document);  // these throw what nlohmann throws: for read_document()
nlohmann::json to_json(const HoldWish& wish);
HoldWish wish_from_json(const nlohmann::json& document);
nlohmann::json to_json(const Held& held);
Held held_from_json(const nlohmann::json& document);
nlohmann::json to_json(const Released& released);
Released released_from_json(const nlohmann::json& document);
nlohmann::json to_json(const GuestLook& look);
GuestLook look_from_json(const nlohmann::json& document);
// An error as an answer, and back.
nlohmann::json error_answer(const Error& error);
Error error_from_answer(const nlohmann::json& answer);

}  // namespace cairn
