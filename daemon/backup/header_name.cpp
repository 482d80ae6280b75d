// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/header_name.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>

namespace cairn {
namespace {

std::string_view suffix_of(VolumeType type) {
  switch (type) {
    case VolumeType::luks1:
      return "luks1";
    case VolumeType::luks2:
      return "luks2";
    case VolumeType::bitlocker:
      return "bitlocker";
  }
  return "header";
}

}  // namespace

std::string header_name(const std::string& disk, const VolumeFacts& volume, std::set<std::string>& taken) {
  std::string stem = volume.partition == 0 ? disk : fmt::format("{}-part{}", disk, volume.partition);
  if (!volume.within.empty()) stem += "-" + volume.within;
  // "lv:vg0/root" is no file name.
  std::ranges::replace_if(stem, [](char c) { return c == '/' || c == ':'; }, '-');
  constexpr std::size_t kLongestStem = 200;
  if (stem.size() > kLongestStem) stem.resize(kLongestStem);
  std::string name = fmt::format("{}.{}", stem, suffix_of(volume.type));
  for (int number = 2; !taken.insert(name).second; ++number)
    name = fmt::format("{}-{}.{}", stem, number, suffix_of(volume.type));
  return name;
}

}  // namespace cairn
