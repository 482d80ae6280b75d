// SPDX-License-Identifier: GPL-3.0-or-later
// Change tracking of a backup job: decides for each disk whether its reference snapshot (the clone kept by the last
// backup) says what changed, checks full reads against that, and keeps the new clone once the point is committed. What
// it relies on, every fall-back, the order of writing: fs/image/TRACKING.md. One thread, under the store's writer.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/settings.h"
#include "daemon/backup/tracking_place.h"
#include "daemon/backup/tracking_record.h"
#include "fs/image/change/change_tracker.h"
#include "fs/image/image_reader.h"
#include "fs/io/backend.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/store_writer.h"

namespace cairn {

class JobContext;
class Store;

// Errors: object_missing; clone_not_kept, with the reason in `because`: it cannot be used.
Result<TrackingRecord> load_record(Backend& records, const std::string& machine, const std::string& disk);

struct TrackingInputs {
  bool enabled = false;
  std::filesystem::path clones;  // change_tracking.clones
  TrackingPlace place;
  std::string settings;  // the settings file
  std::chrono::seconds full_read = std::chrono::days{30};
  bool read_all = false;  // asked for: cairn backup --full-read
  // Whether that disk is in the settings: clones of others are removed.
  std::function<bool(const std::string& machine, const std::string& disk)> is_known;
};
TrackingInputs tracking_inputs(const Settings& settings, const MachineSettings& machine, TrackingPlace place);

// How one disk is going to be read.
struct DiskPlan {
  std::string why_all;  // why all of it is read; empty: only what changed
  // Both are there when there is an earlier point to take over from, or to compare with.
  std::unique_ptr<ChangeTracker> tracker;
  std::optional<IngestBase> base;
  std::optional<TrackingRecord> record;  // of the previous backup, used or not
  UniqueFd before;                       // the reference snapshot, which the tracker reads
  std::vector<KeptClone> below = {};     // what the image is an overlay of, as it is now

  [[nodiscard]] bool only_changes() const { return why_all.empty(); }
  // From here on all of it is read.
  void give_up(std::string why) { why_all = std::move(why); }
};

// Removes the reference snapshots of disks that are not in the settings any more, and what they kept from being freed.
void sweep_clones(const TrackingInputs& inputs);
void sweep_clones(const Settings& settings, const TrackingPlace& place);

class Tracking {
 public:
  // All must outlive this. `started` is the job's time.
  Tracking(const TrackingInputs& inputs, Store& store, StoreWriter& writer, const std::string& machine, UtcTime started,
           JobContext& job);

  // Where the disk's clone is to be made so that it can be kept; empty: nowhere.
  [[nodiscard]] std::filesystem::path clone_folder(const DiskSettings& disk) const;
  DiskPlan plan(const DiskSettings& disk, const ImageReader& image);
  // After a full read gave `now`: compares it with what the tracker says. A difference is reported (warning of
  // the job, log) and remembered. Errors: io_error and the like of the store: the job cannot go on.
  Result<void> compare(const DiskSettings& disk, DiskPlan& plan, const MapRecord& now);
  // After the point was committed: keeps the clone and removes the previous one. What cannot be done is warned about.
  void keep(const DiskSettings& disk, const ImageReader& image, DiskPlan& plan, const PointName& point);

 private:
  void decide(const DiskSettings& disk, const ImageReader& image, DiskPlan& plan);
  // Words, or nothing when plan.record's point is the base.
  std::optional<std::string> find_base(const DiskSettings& disk, DiskPlan& plan);
  [[nodiscard]] std::string points_in_doubt(const TrackingRecord& record);
  Result<TrackingRecord> keep_new(const DiskSettings& disk, const ImageReader& image, const DiskPlan& plan,
                                  const PointName& point);
  [[nodiscard]] std::string clone_prefix(const std::string& disk) const;

  const TrackingInputs& inputs_;
  Store& store_;
  StoreWriter& writer_;
  const std::string& machine_;
  UtcTime started_;
  JobContext& job_;
  std::string epoch_;
};

}  // namespace cairn
