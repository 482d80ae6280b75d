// SPDX-License-Identifier: GPL-3.0-or-later
// What tests of real mounts share: a store, a mount of it, and what is needed to look at it.
#pragma once

#include "fs/mount/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "config/base/log.h"
#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "fs/mount/mount_point.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/point_lifecycle.h"
#include "fs/store/write/store_writer.h"
#include "tests/support/memory_image.h"
#include "tests/support/sandbox.h"
#include "tests/support/temporary_store.h"

namespace cairn {

namespace filesystem = std::filesystem;
inline constexpr std::chrono::seconds kPatience{20};

inline bool happens(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

inline std::vector<std::string> names_in(const filesystem::path& directory) {
  std::vector<std::string> names;
  DIR* const open = opendir(directory.c_str());
  if (open == nullptr) return {"(cannot open)"};
  while (const dirent* entry = readdir(open)) names.emplace_back(entry->d_name);
  closedir(open);
  return names;
}

class Session : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root may mount here";
    if (!check_fuse()) GTEST_SKIP() << "there is no /dev/fuse";
    filesystem::create_directory(mount_);
    store_ = place_.open();
  }
  void TearDown() override {
    session_.reset();
    redirect_log(nullptr);
    ASSERT_FALSE(value_of(mounted_at(settle_path(mount_)))) << "a mount is left behind";
  }
  // Mounts, anew if it is mounted; serves from the Store that also writes, as the daemon does.
  void mount(const std::function<void(MountOptions&)>& change = [](MountOptions&) {}) {
    session_.reset();
    MountOptions options;
    options.path = mount_;
    options.refresh = std::chrono::milliseconds(20);
    change(options);
    session_ = value_of(MountSession::start(*store_, options));
  }
  RecoveryPoint backup(MemoryImage& image, int seconds = 0, const std::string& machine = "web-01") {
    return value_of(take_backup(*store_, image, machine, test_time(seconds)));
  }
  filesystem::path point(int seconds = 0) const { return mount_ / "web-01" / compact_time(test_time(seconds)); }
  filesystem::path disk(int seconds = 0) const { return point(seconds) / "disks" / "root.img"; }

  const testing::Sandbox sandbox_;
  const filesystem::path mount_ = sandbox_ / "mnt";
  const TemporaryStore place_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<MountSession> session_;
};

inline MemoryImage small_image() {
  MemoryImage image(6 * kMiB + 777);
  image.fill_random(0, 300'000, 1);
  image.fill_random(3 * kMiB, 2 * kMiB, 2);
  image.fill_random(6 * kMiB + 700, 77, 3);
  return image;
}

}  // namespace cairn
