// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/proof_status.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fs/store/point/key_records.h"
#include "fs/store/point/point_labels.h"

namespace cairn {

using nlohmann::json;

std::chrono::seconds proof_may_be_old(const Schedule& schedule, UtcTime now) {
  constexpr std::chrono::seconds kLeast = std::chrono::days(1);
  const auto next = schedule.next_after(now);
  const auto after = next ? schedule.next_after(*next) : std::nullopt;
  if (!after) return kLeast;
  return std::max(kLeast, 2 * std::chrono::duration_cast<std::chrono::seconds>(*after - *next));
}

json proof_status(const std::function<std::optional<json>()>& next_row, const Schedule* schedule, UtcTime now) {
  constexpr int kMostRows = 100;
  json status{{"needed", false},
              {"newest", nullptr},
              {"last_proved", nullptr},
              {"last_proved_time", nullptr},
              {"wanting", false}};
  bool asked = false;
  for (int i = 0; i < kMostRows; ++i) {
    const auto row = next_row();
    if (!row) break;
    if (row->contains("error")) continue;  // it is damaged, and listed as that
    if (status["newest"].is_null()) status["newest"] = row->at("proof");
    // It may be a disk that was lost: what it seems to need says nothing.
    if (row->value("suspect", false)) continue;
    if (!asked) {
      asked = true;
      status["needed"] = row->at("encrypted");
      if (status["needed"] == false) return status;
    }
    if (row->at("proof") != to_string(ProofState::proved)) continue;
    const std::string consistency = row->value("consistency", std::string());
    const bool torn = consistency == to_string(Consistency::torn) || consistency == to_string(Consistency::unknown);
    if (status["last_proved"].is_null()) {
      const auto time = parse_iso_time(row->at("time").get<std::string>());
      status["wanting"] = schedule != nullptr && (!time || now - *time > proof_may_be_old(*schedule, now));
    } else if (torn) {
      continue;
    }
    status["last_proved"] = row->at("name");
    status["last_proved_time"] = row->at("time");
    if (!torn) return status;  // else one that is not is preferred
  }
  // Also before the first backup: whether its disks are encrypted is not known then.
  if (!asked) status["needed"] = nullptr;
  if (status["last_proved"].is_null()) status["wanting"] = status["needed"] != false && schedule != nullptr;
  return status;
}

}  // namespace cairn
