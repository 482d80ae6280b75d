// SPDX-License-Identifier: GPL-3.0-or-later
// What the watched calls (interpose.cpp) and their Watch share: which objects and descriptors are watched, what has
// been recorded, and which call the fault strikes. All of it under the lock that guard() takes.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/faults/interpose.h"

namespace cairn::faults {

inline constexpr int kMostDescriptors = 65536;
inline constexpr std::int32_t kNotWatched = -1;

struct State {
  std::mutex mutex;
  std::string root;                                     // with a slash at its end
  std::map<std::pair<dev_t, ino_t>, ObjectId> objects;  // that have a name
  ObjectId next = 0;
  std::vector<StartObject> start;
  std::vector<Operation> log;
  Fault fault;
  bool struck = false;
  std::array<std::uint64_t, 16> calls{};
  std::array<std::int32_t, kMostDescriptors> object_of{};  // of each descriptor; kNotWatched
  std::array<bool, kMostDescriptors> durable{};
};

State& state();

// Locked while something is watched; the lock is held during the call, so that the log has the order of the effects.
using Guard = std::unique_lock<std::mutex>;
std::optional<Guard> guard();

bool is_watched(int fd);
std::optional<ObjectId> object_at(const struct stat& facts);

// A name below the watched directory, and the folder it stands in.
struct Place {
  std::string path;
  ObjectId folder = 0;
  std::string name;
  std::optional<struct stat> facts;  // of what is there
};

// Nothing: it is outside. Names relative to a descriptor are resolved by the kernel's own link to it.
std::optional<Place> place_of(int folder_fd, const char* path);

// What a call does, for the faults that meet it.
enum Applies : unsigned {
  kReads = 1U,
  kWrites = 2U,
  kSyncs = 4U,
  kOpens = 8U,
  kMakes = 16U,  // needs space for a name or for growth
  kNames = 32U,  // changes names
  kMaps = 64U
};

// Counts the call. Nothing: it goes on. Else what it must fail with, 0: with half of its bytes.
std::optional<int> fault_at(unsigned to);

Operation& record(Change change);
void record_entry(Change change, const Place& place, ObjectId object);
// A new object at this place; what had its number before is gone.
ObjectId made(const Place& place, Change change);

}  // namespace cairn::faults
