// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/guest_record.h"

#include <nlohmann/json.hpp>

#include "config/base/json.h"

namespace cairn {

using nlohmann::json;

json to_json(const GuestRecord& guest) {
  return {{"state", guest.state},     {"held", guest.held},
          {"held_ms", guest.held_ms}, {"file_systems", guest.file_systems},
          {"wanted", guest.wanted},   {"because", guest.because}};
}

std::optional<GuestRecord> guest_record_from(const json& point) {
  const auto found = point.find("guest");
  if (found == point.end() || found->is_null()) return std::nullopt;
  return GuestRecord{found->at("state").get<std::string>(),
                     found->at("held").get<std::string>(),
                     whole_number<std::uint64_t>(found->at("held_ms")),
                     whole_number<int>(found->at("file_systems")),
                     found->at("wanted").get<std::string>(),
                     found->at("because").get<std::string>()};
}

}  // namespace cairn
