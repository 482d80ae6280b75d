// SPDX-License-Identifier: GPL-3.0-or-later
// What tests of restored headers share: a machine with one disk, its backup, and both ways to restore its header.
#pragma once

#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "config/base/units.h"
#include "daemon/backup/backup.h"
#include "daemon/queue/job.h"
#include "daemon/restore/restore_header.h"
#include "tests/crypto/volume/probe.h"
#include "tests/daemon/manual_clock.h"
#include "tests/support/temporary_store.h"

namespace cairn {

inline constexpr std::uint64_t kHeaderDisk = 24 * kMiB;

class HeaderRestore : public ::testing::Test {
 protected:
  HeaderRestore() { machine_.name = "web"; }

  void luks(const std::string& type = "luks2") {
    std::vector<std::string> options = testing::kCheap;
    options.insert(options.end(), {"--type", type});
    testing::luks_format(image_, options);
  }
  PointName back_up() {
    machine_.disks = {DiskSettings{"root", image_, {}, {}}};
    clock_.advance(std::chrono::seconds(10));
    JobContext job;
    BackupInputs inputs{*store_, clock_};
    inputs.keys.on_missing_keys = OnMissingKeys::warn;  // it is the headers that matter here
    const nlohmann::json result = value_of(run_backup(machine_, inputs, job));
    return *PointName::parse(result.at("name").get<std::string>());
  }
  Result<nlohmann::json> to_files(const PointName& point, bool force = false, std::optional<std::string> disk = {}) {
    std::filesystem::create_directories(out_);
    return restore_header_files(*store_, {point, out_, std::move(disk), force}, job_);
  }
  Result<nlohmann::json> in_place(const PointName& point, bool force = false) { return in_place(point, image_, force); }
  Result<nlohmann::json> in_place(const PointName& point, const std::filesystem::path& device, bool force) {
    return restore_header_in_place(*store_, {point, "root", device, kept_, force}, clock_);
  }
  // Refused with that code, and nothing has changed.
  std::string why(const PointName& point, ErrorCode code, bool force = false) {
    const Buffer before = testing::read_all(image_);
    const auto refused = in_place(point, force);
    EXPECT_TRUE(testing::same_bytes(testing::read_all(image_), before)) << "it was changed";
    EXPECT_FALSE(std::filesystem::exists(kept_)) << "something was saved";
    if (refused) return "it was written";
    EXPECT_EQ(refused.error().code, code) << refused.error().message();
    EXPECT_THAT(refused.error().message(), ::testing::HasSubstr(image_.string()));
    return refused.error().because;
  }
  void zero(std::uint64_t offset, std::uint64_t size) { testing::write_at(image_, offset, Buffer(size, 0)); }

  testing::Sandbox box_;
  TemporaryStore place_;
  std::unique_ptr<Store> store_ = place_.open();
  ManualClock clock_;
  MachineSettings machine_;
  std::filesystem::path image_ = box_.sparse_file("web.img", kHeaderDisk);
  std::filesystem::path out_ = box_ / "out";
  std::filesystem::path kept_ = box_ / "kept";
  JobContext job_;
};
}  // namespace cairn
