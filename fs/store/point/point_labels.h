// SPDX-License-Identifier: GPL-3.0-or-later
// What a recovery point says of its own making: whether its disks are of one instant each and together, whether one of
// them looks as if it had been lost, and which disks it has no more. Bytes: fs/store/FORMAT.md "Recovery point". What
// was not looked at is `unknown`, never the good state. Pure. Any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/clock.h"

namespace cairn {

// What a disk's copy is like. crash: what a power cut would have left; filesystem, application: these were asked to
// write everything before; torn: it was written to while it was read, so its parts are of different times; unknown: not
// looked at, or it cannot be seen.
enum class Consistency { crash, filesystem, application, torn, unknown };
std::string_view to_string(Consistency consistency);  // the words above
std::optional<Consistency> parse_consistency(std::string_view text);

// How a disk was read, and what that makes of its copy.
struct DiskReading {
  Consistency consistency = Consistency::unknown;
  std::string reason;  // why it is torn or unknown
  std::string how;     // "reflink clone", "file", "block device"; empty: not recorded
};
// That of all disks together: the worst of them; none: unknown.
Consistency worst_of(std::span<const DiskReading> disks);

// When a disk was in the state that was read: milliseconds since the backup began, by a clock that nobody sets.
struct StateTime {
  // throughout: all the time; once: at one instant between; spread: its parts are of different instants.
  enum class Kind { throughout, once, spread };
  Kind kind = Kind::spread;
  double from_ms = 0;
  double until_ms = 0;
};
// How far the disks of a machine may be apart, in whole milliseconds, rounded up. 0: there was an instant at which all
// of them were as they were read.
std::uint64_t apart_ms(std::span<const StateTime> disks);

// A disk that is smaller than it was, or empty where it had data: perhaps not a new state, but the loss of the disk.
struct Suspicion {
  std::string because;
  // What it was compared with: the disk in the newest point in which it is not suspect.
  std::string point;
  std::uint64_t size = 0;        // bytes
  std::uint64_t data_bytes = 0;  // in chunks that are not zero
};

// A disk that earlier points have and this one has not, since the settings did not name it any more.
struct LeftOutDisk {
  std::string disk;
  std::string point;  // the last that has it, as far as the backup knew
};

// A clock may be this much ahead of another before a point is called one of the future.
inline constexpr std::chrono::seconds kClockSlack = std::chrono::minutes(1);
inline bool is_in_future(UtcTime point, UtcTime now) {
  return point > now + kClockSlack;
}

// As they stand in the point's document. What is not there reads as unknown, or as nothing.
void put_reading(nlohmann::json& disk, const DiskReading& reading);
DiskReading reading_from(const nlohmann::json& disk);
void put_suspicion(nlohmann::json& disk, const std::optional<Suspicion>& suspicion);
// Throws BadDocument and what nlohmann::json throws: for read_document().
std::optional<Suspicion> suspicion_from(const nlohmann::json& disk);
nlohmann::json to_json(const std::vector<LeftOutDisk>& disks);
std::vector<LeftOutDisk> left_out_from(const nlohmann::json& point);

}  // namespace cairn
