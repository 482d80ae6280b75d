// SPDX-License-Identifier: GPL-3.0-or-later
// DiskLabels: what a backup finds out about the state of the disks it reads: torn or not, of one instant or not,
// suspect or not, and which disks are not there any more. What is to be looked at becomes a warning of the job. The
// words: fs/store/point/point_labels.h. One thread.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "config/settings.h"
#include "fs/image/image_reader.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class JobContext;

// Why the disk is not to be taken for a new state. `before`: the disk in the last point that was written, `point`: that
// point's name. Pure.
std::optional<Suspicion> suspicion_of(const MapRecord& now, const DiskRecord* before, const std::string& point);
// Disks that `previous` or points before it have, less those of `machine` and those that it leaves out. Pure.
std::vector<LeftOutDisk> left_out_disks(const RecoveryPoint& previous, const MachineSettings& machine);
// As an error to be shown as a warning: disk_left_out.
Error left_out_error(const std::string& machine, const LeftOutDisk& disk);

class DiskLabels {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  // `machine` and `job` must outlive this. `previous`: the point that was written last, if any.
  DiskLabels(const MachineSettings& machine, const std::optional<RecoveryPoint>& previous, JobContext& job,
             bool accept_change)
      : machine_(machine), previous_(previous), job_(job), accept_change_(accept_change) {}

  // The machine stood still between the two instants, in which all disks were opened; clones of then are `consistency`.
  void held(Instant from, Instant until, Consistency consistency) { held_ = Held{{from, until}, consistency}; }
  // The disk was opened between the two instants.
  void opened(const std::string& disk, Instant from, Instant until);
  // A volume that takes the whole disk, and the disk is smaller than it was: a part of it is missing, whatever its
  // header says. `size`: of the disk, bytes. Before the keys are tried.
  void note_cut_off(DiskRecord& record, std::uint64_t size) const;
  // All of it was read. Before that, `reading_ended`, nobody has looked for changes. Puts reading and suspicion into
  // `record`, whose map must be known. Errors: image_unreadable.
  Result<void> read(ImageReader& image, std::string how, DiskRecord& record);
  // After all disks: what is said of them together.
  void finish(RecoveryPoint& point);

 private:
  struct Opened {
    Instant from;
    Instant until;
  };
  struct Held {
    Opened during;
    Consistency consistency;
  };
  void suspect(DiskRecord& record);
  [[nodiscard]] double ms(Instant at) const { return std::chrono::duration<double, std::milli>(at - began_).count(); }

  const MachineSettings& machine_;
  const std::optional<RecoveryPoint>& previous_;
  JobContext& job_;
  const bool accept_change_;
  const Instant began_ = std::chrono::steady_clock::now();
  std::map<std::string, Opened> opened_;
  std::optional<Held> held_;
  std::vector<StateTime> times_;
};

}  // namespace cairn
