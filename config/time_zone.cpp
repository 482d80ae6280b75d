// SPDX-License-Identifier: GPL-3.0-or-later
// Time zones through Howard Hinnant's date library, which Debian builds to read the system's compiled tzdata.
// Its exceptions end here. Any thread.
#include "config/time_zone.h"

#include <date/tz.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <vector>

namespace cairn {
namespace {

// Names that mean UTC, so that hosts without tzdata (containers) need none.
bool means_utc(std::string_view name) {
  return name == "UTC" || name == "Etc/UTC" || name == "Etc/UCT" || name == "UCT" || name == "Zulu" ||
         name == "Etc/Zulu";
}

// nullptr when there is no such zone, or no data at all. Reads the zone's data, so that later calls do not throw.
const date::time_zone* locate(std::string_view name) {
  if (name.empty()) return nullptr;
  try {
    const date::time_zone* zone = date::locate_zone(name);
    static_cast<void>(zone->get_info(date::sys_seconds{}));
    return zone;
  } catch (const std::exception&) {
    return nullptr;
  }
}

const date::time_zone& zone_of(const void* data) {
  return *static_cast<const date::time_zone*>(data);
}

std::vector<std::string> zone_names() {
  std::vector<std::string> names;
  try {
    for (const date::time_zone& zone : date::get_tzdb().zones) {
      // posix/ and right/ repeat all the others.
      if (zone.name().starts_with("posix/") || zone.name().starts_with("right/")) continue;
      names.push_back(zone.name());
    }
  } catch (const std::exception&) {  // no tzdata
    names.clear();
  }
  if (std::ranges::find(names, "UTC") == names.end()) names.emplace_back("UTC");
  return names;
}

std::string folded(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == ' ') c = '_';
  }
  return result;
}

std::string_view city_of(std::string_view name) {
  return name.substr(name.rfind('/') + 1);
}

}  // namespace

Result<TimeZone> TimeZone::find(std::string_view name) {
  TimeZone result;
  if (means_utc(name)) {
    result.name_ = name;
    return result;
  }
  const date::time_zone* zone = locate(name);
  if (zone == nullptr) {
    const auto nearest = nearest_zone_name(name);
    return fail(ErrorCode::settings_invalid, "find time zone", std::string(name),
                "it is not an IANA time zone name of this host's tzdata",
                nearest ? "did you mean \"" + *nearest + "\"?" : "\"timedatectl list-timezones\" lists them");
  }
  result.name_ = name;
  result.data_ = zone;
  return result;
}

TimeZone TimeZone::host() {
  if (const char* variable = std::getenv("TZ"); variable != nullptr && *variable != '\0') {
    if (auto zone = find(*variable == ':' ? variable + 1 : variable)) return *zone;
  }
  try {
    if (auto zone = find(date::current_zone()->name())) return *zone;
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): as the next line says
    // Neither /etc/localtime nor /etc/timezone: the C library takes UTC then, and so do we.
  }
  return {};
}

TimeZone::Period TimeZone::period_at(UtcTime time) const {
  if (data_ == nullptr) return {UtcTime::min(), UtcTime::max(), std::chrono::seconds{0}};
  const date::sys_info info = zone_of(data_).get_info(time);
  return {info.begin, info.end, info.offset};
}

LocalTime TimeZone::to_local(UtcTime time) const {
  return LocalTime{time.time_since_epoch() + period_at(time).offset};
}

UtcTime TimeZone::first_instant_of(LocalTime time) const {
  if (data_ == nullptr) return UtcTime{time.time_since_epoch()};
  return zone_of(data_).to_sys(date::local_seconds{time.time_since_epoch()}, date::choose::earliest);
}

std::optional<std::string> nearest_zone_name(std::string_view wanted) {
  const std::vector<std::string> names = zone_names();
  const std::string wanted_folded = folded(wanted);
  for (const std::string& name : names)
    if (folded(name) == wanted_folded) return name;
  for (const std::string& name : names)
    if (folded(city_of(name)) == wanted_folded) return name;
  return nearest_name(wanted, names);
}

}  // namespace cairn
