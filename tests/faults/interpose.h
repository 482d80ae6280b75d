// SPDX-License-Identifier: GPL-3.0-or-later
// The file calls of the whole process, LMDB's, SQLite's and libstdc++'s included, seen and made to fail. This program
// defines open(), write(), fsync() and their like itself; they call the C library's and count only what lies below one
// watched directory. One watch at a time; calls from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "config/base/bytes.h"

namespace cairn::faults {

// A file or folder, whatever it is called. The watched directory is number 0.
using ObjectId = std::uint32_t;
inline constexpr ObjectId kWatchedRoot = 0;

enum class Change : std::uint8_t {
  make_file,    // folder, name, object
  make_folder,  // folder, name, object
  link,         // folder, name, object
  remove,       // folder, name
  rename,       // folder, name -> folder2, name2; object
  exchange,     // folder, name <-> folder2, name2; object, object2
  write,        // object, offset, data
  truncate,     // object, offset: the new size
  sync          // object: a file's data, a folder's entries
};

struct Operation {
  Change change{};
  ObjectId object = 0;
  ObjectId object2 = 0;
  ObjectId folder = 0;
  ObjectId folder2 = 0;
  std::string name;
  std::string name2;
  std::uint64_t offset = 0;
  Buffer data;
  bool durable = false;  // a write to a file opened with O_DSYNC or O_SYNC
};

// What the watched directory held when the watch began.
struct StartObject {
  ObjectId id = 0;
  ObjectId folder = 0;
  std::string name;
  bool is_folder = false;
  std::shared_ptr<const Buffer> data;  // of a file
};

// What a call is made to do, once or from then on. Each applies to some calls only, and only those are counted.
enum class Flavour : std::uint8_t {
  none,
  io_error,        // EIO: reading, writing, syncing, changing names
  no_space,        // ENOSPC: writing, growing, making files and names
  no_descriptors,  // EMFILE: opening
  interrupted,     // EINTR: reading, writing
  half,            // half of the bytes are read or written
  no_memory,       // ENOMEM: mapping
  sync_failed      // EIO: fsync, fdatasync, and writes that are to be durable; what was unsynced is lost for good
};
inline constexpr Flavour kAllFlavours[] = {Flavour::io_error,    Flavour::no_space, Flavour::no_descriptors,
                                           Flavour::interrupted, Flavour::half,     Flavour::no_memory,
                                           Flavour::sync_failed};
const char* to_string(Flavour flavour);

struct Fault {
  Flavour flavour = Flavour::none;
  std::uint64_t at = 0;  // the call, of those that the flavour applies to, from 0
  bool lasting = false;  // this one and all after it
};

// Watches `root` as long as it lives.
class Watch {
 public:
  explicit Watch(const std::filesystem::path& root, const Fault& fault = {});
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // What there was at the beginning; number 0 is the root itself.
  [[nodiscard]] const std::vector<StartObject>& start() const;
  // How many operations were recorded so far.
  [[nodiscard]] std::size_t position() const;
  // Calls so far to which the flavour applies.
  [[nodiscard]] std::uint64_t calls(Flavour flavour) const;
  // Whether the fault has struck.
  [[nodiscard]] bool struck() const;
  // From now on calls go well.
  void disarm();
  // Ends the watch.
  std::vector<Operation> take_log();
};

}  // namespace cairn::faults
