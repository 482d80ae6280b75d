// SPDX-License-Identifier: GPL-3.0-or-later
// TrackedMachine: a machine whose disk image lies on a file system of its own, its store, and backups of it with change
// tracking. For tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <random>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "daemon/backup/backup.h"
#include "daemon/backup/tracking.h"
#include "daemon/queue/job.h"
#include "fs/io/local_backend.h"
#include "tests/daemon/manual_clock.h"
#include "tests/support/memory_backend.h"
#include "tests/support/memory_image.h"
#include "tests/support/sandbox.h"
#include "tests/support/temporary_store.h"

namespace cairn::testing {

inline Buffer random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Buffer bytes((size + 7) / 8 * 8);
  for (std::size_t i = 0; i < bytes.size(); i += 8) put_le(MutableBytes(bytes).subspan(i), random());
  bytes.resize(size);
  return bytes;
}

class TrackedMachine : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kChunk = kMinChunkSize;
  static constexpr const char* kChanges = "changes between reflink clones";

  // False: skipped.
  bool mount_file_system(const std::string& type, std::uint64_t size = 700 * kMiB) {
    if (!is_root()) return skip("needs root to mount");
    std::vector<std::string> mkfs = {"mkfs." + type, "-q"};
    if (type == "xfs") mkfs.insert(mkfs.end(), {"-f", "-m", "reflink=1"});
    if (type == "btrfs") mkfs.emplace_back("-f");
    if (type == "ext4") mkfs.emplace_back("-F");
    if (!have_program(mkfs.front())) return skip(mkfs.front() + " is not installed");
    mounted_ = std::make_unique<MountedFileSystem>(box_ / "file-system", size, mkfs, box_ / "mnt");
    if (!mounted_->ok()) return skip(mounted_->reason());
    image_ = box_ / "mnt/disk.img";
    settings_.file = box_ / "cairn.yaml";
    settings_.state_dir = box_ / "state";
    settings_.policies["default"].name = "default";
    MachineSettings& machine = settings_.machines["web"];
    machine.name = "web";
    machine.disks = {DiskSettings{"root", image_, {}, {}}};
    return true;
  }

  [[nodiscard]] TrackingInputs inputs() {
    TrackingInputs inputs = tracking_inputs(settings_, settings_.machines["web"], place());
    if (records_) inputs.place.records = records_;
    inputs.read_all = read_all_;
    return inputs;
  }
  [[nodiscard]] TrackingPlace place() { return tracking_place(settings_.state_dir, store_->info().id); }

  // One backup of "web"; the job's result. Its warnings are in warnings_.
  nlohmann::json back_up(const std::string& machine = "web") {
    clock_.advance(std::chrono::seconds(10));
    JobContext job;
    BackupInputs all{*store_, clock_, {}, inputs()};
    all.accept_change = true;  // disks shrink here because they are meant to
    nlohmann::json result = value_of(run_backup(settings_.machines[machine], all, job));
    warnings_ = job.view().warnings;
    return result;
  }
  // The row of its first disk; checks that the point has what the image has.
  nlohmann::json backed_up() {
    const nlohmann::json row = back_up()["disks"][0];
    EXPECT_TRUE(point_equals(image_));
    return row;
  }
  static bool only_changes(const nlohmann::json& row) { return row["how"] == kChanges && !row.contains("note"); }
  static std::uint64_t read_of(const nlohmann::json& row) { return row["read_bytes"].get<std::uint64_t>(); }
  static std::string note_of(const nlohmann::json& row) { return row.value("note", ""); }

  RecoveryPoint newest(const std::string& machine = "web") {
    return value_of(store_->points().load(value_of(store_->points().find(machine + "@latest"))));
  }
  // The disk of the newest point, byte for byte; sparse parts are compared as extents of zeros would be.
  [[nodiscard]] bool point_equals(const std::filesystem::path& file, const std::string& machine = "web") {
    const RecoveryPoint point = newest(machine);
    const auto reader = store_->open_disk(point.disks[0].map, "test");
    const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    const auto size = static_cast<std::uint64_t>(::lseek(fd.get(), 0, SEEK_END));
    if (reader->size() != size) return false;
    Buffer expected(kMiB);
    Buffer found(kMiB);
    std::uint64_t data_bytes = 0;
    for (std::uint64_t at = 0; at < size; at += kMiB) {
      if (size > 10 * kGiB) {
        // Where both have nothing there is nothing to compare.
        const off_t next = ::lseek(fd.get(), static_cast<off_t>(at), SEEK_DATA);
        const auto data = value_of(reader->seek_data(at));
        const std::uint64_t nearest = std::min(next < 0 ? size : static_cast<std::uint64_t>(next), data.value_or(size));
        if (nearest >= size) break;
        at = std::max(at, nearest / kMiB * kMiB);
      }
      const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kMiB, size - at));
      if (::pread(fd.get(), expected.data(), length, static_cast<off_t>(at)) != static_cast<ssize_t>(length))
        return false;
      if (value_of(reader->read(at, MutableBytes(found).first(length))) != length) return false;
      if (!same_bytes(ByteView(expected).first(length), ByteView(found).first(length))) return false;
      for (std::size_t i = 0; i < length; i += kChunk) {
        const ByteView chunk = ByteView(found).subspan(i, std::min<std::size_t>(kChunk, length - i));
        if (!is_all_zero(chunk)) data_bytes += chunk.size();
      }
    }
    return data_bytes == point.disks[0].map.data_bytes;
  }

  TrackingRecord record(const std::string& machine = "web") {
    return value_of(load_record(*place().records, machine, "root"));
  }
  void put_record(const TrackingRecord& record) {
    expect_ok(place().records->put(record_object(record.machine, record.disk), as_bytes(write_record(record)),
                                   IfExists::replace));
  }
  [[nodiscard]] std::filesystem::path record_file() const {
    return settings_.state_dir / "tracking" / store_->info().id / "disks" / "web@root.json";
  }
  [[nodiscard]] std::vector<std::filesystem::path> clones() const { return clones_in(box_ / "mnt/.cairn-clones"); }
  static std::vector<std::filesystem::path> clones_in(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> found;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) found.push_back(entry.path());
    return found;
  }

  // --- what guests and administrators do to the image
  void write(std::uint64_t offset, ByteView bytes) const { write_at(image_, offset, bytes); }
  [[nodiscard]] bool allocate(int mode, std::uint64_t offset, std::uint64_t size) const {
    const UniqueFd fd(::open(image_.c_str(), O_RDWR | O_CLOEXEC));
    return ::fallocate(fd.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(size)) == 0;
  }
  [[nodiscard]] bool reflink(const std::filesystem::path& from, std::uint64_t source, std::uint64_t size,
                             std::uint64_t target) const {
    const UniqueFd in(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd out(::open(image_.c_str(), O_RDWR | O_CLOEXEC));
    struct file_clone_range range{};
    range.src_fd = in.get();
    range.src_offset = source;
    range.src_length = size;
    range.dest_offset = target;
    return ::ioctl(out.get(), FICLONERANGE, &range) == 0;
  }

  Sandbox box_;
  std::unique_ptr<MountedFileSystem> mounted_;
  std::filesystem::path image_;
  Settings settings_;
  TemporaryStore directory_;
  std::unique_ptr<Store> store_ = directory_.open();
  ManualClock clock_;
  std::shared_ptr<Backend> records_;  // null: those of the state directory
  bool read_all_ = false;
  std::vector<std::string> warnings_;

 private:
  bool skip(const std::string& why) {
    why_skipped_ = why;
    return false;
  }

 protected:
  std::string why_skipped_;
};

}  // namespace cairn::testing
