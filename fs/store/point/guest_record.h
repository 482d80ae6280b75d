// SPDX-License-Identifier: GPL-3.0-or-later
// GuestRecord: what a recovery point says of the guest whose disks it has: whether it ran, and how it was held while
// they were copied. Bytes: fs/store/FORMAT.md "Recovery point". Pure. Any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace cairn {

struct GuestRecord {
  std::string state = "unknown";  // before the backup: running, paused, off, crashed, unknown (it could not be asked)
  std::string held = "none";      // freeze: its file systems; pause: its processors; none
  std::uint64_t held_ms = 0;      // for so long
  int file_systems = 0;           // freeze: so many
  std::string wanted;             // what the policy asks for: crash, filesystem, application
  std::string because;            // why it is not that; empty: it is
};

nlohmann::json to_json(const GuestRecord& guest);
// Of a point's document; nothing: it says nothing of a guest. Throws what nlohmann::json throws: for read_document().
std::optional<GuestRecord> guest_record_from(const nlohmann::json& point);

}  // namespace cairn
