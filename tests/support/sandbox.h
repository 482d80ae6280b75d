// SPDX-License-Identifier: GPL-3.0-or-later
// Sandbox: a scratch directory, programs to run in it, and loop devices and mounts that never outlive their test.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/bytes.h"

namespace cairn::testing {

// A directory of its own below `parent` (empty: the system's for temporary files), removed with all it holds.
class Sandbox {
 public:
  explicit Sandbox(const std::filesystem::path& parent = {});
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  // A new file of that size, all holes.
  [[nodiscard]] std::filesystem::path sparse_file(std::string_view name, std::uint64_t size) const;

 private:
  std::filesystem::path path_;
};

struct ProgramResult {
  int status = -1;     // exit status; 128 + signal
  std::string output;  // stdout and stderr
};
// Runs a program, found by PATH and the sbin directories, with `input` on its standard input.
ProgramResult run(const std::vector<std::string>& command, std::string_view input = {});
bool have_program(std::string_view name);
bool is_root();

Buffer read_all(const std::filesystem::path& file);
// As ==, but as fast in a debug build.
inline bool same_bytes(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}
// Writes at `offset` of an existing file, or a new one.
void write_at(const std::filesystem::path& file, std::uint64_t offset, ByteView bytes);
std::uint64_t seed();  // for random tests: $CAIRN_TEST_SEED or a fixed one; prints it

// losetup on a file; name() is empty when the machine has no loop devices. Detached at the end.
class LoopDevice {
 public:
  explicit LoopDevice(const std::filesystem::path& file, std::initializer_list<std::string> options = {});
  ~LoopDevice();
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
};

// A file system made in `file` (grown to `size`) with `mkfs`, mounted on `at`; ok() says whether it is. Unmounted at
// the end.
class MountedFileSystem {
 public:
  MountedFileSystem(const std::filesystem::path& file, std::uint64_t size, std::vector<std::string> mkfs,
                    std::filesystem::path at);
  ~MountedFileSystem();
  MountedFileSystem(const MountedFileSystem&) = delete;
  MountedFileSystem& operator=(const MountedFileSystem&) = delete;
  [[nodiscard]] bool ok() const { return reason_.empty(); }
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  std::filesystem::path at_;
  std::string reason_ = "not mounted";
};

// A ramfs mounted on a directory of its own: a file system that refuses O_DIRECT. Unmounted at the end.
class RamFileSystem {
 public:
  RamFileSystem();
  ~RamFileSystem();
  RamFileSystem(const RamFileSystem&) = delete;
  RamFileSystem& operator=(const RamFileSystem&) = delete;
  [[nodiscard]] bool ok() const { return reason_.empty(); }
  [[nodiscard]] const std::string& reason() const { return reason_; }
  [[nodiscard]] const std::filesystem::path& path() const { return directory_.path(); }

 private:
  Sandbox directory_;
  std::string reason_;
};

}  // namespace cairn::testing
