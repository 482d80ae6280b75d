// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/volume_facts.h"

namespace cairn {

const char* to_string(VolumeType type) {
  switch (type) {
    case VolumeType::luks1:
      return "LUKS1";
    case VolumeType::luks2:
      return "LUKS2";
    case VolumeType::bitlocker:
      return "BitLocker";
  }
  return "";
}

std::optional<VolumeType> parse_volume_type(std::string_view text) {
  for (const VolumeType type : {VolumeType::luks1, VolumeType::luks2, VolumeType::bitlocker})
    if (text == to_string(type)) return type;
  return std::nullopt;
}

}  // namespace cairn
