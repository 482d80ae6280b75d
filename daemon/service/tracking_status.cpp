// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/tracking_status.h"

#include <nlohmann/json.hpp>

#include "daemon/backup/tracking.h"
#include "daemon/source/disk_format.h"
#include "fs/image/open_image.h"

namespace cairn {
namespace {

using nlohmann::json;

struct Answer {
  const char* state;  // "on", "starting", "off"
  std::string reason;
};

Answer state_of(const Settings& settings, const DiskSettings& disk, const TrackingPlace& place,
                const Result<TrackingRecord>& record, const std::optional<PointName>& newest) {
  if (!settings.change_tracking.enabled) return {"off", "change tracking is switched off in the settings"};
  if (disk.image.path.empty()) return {"starting", "its image is found by the machine's next backup"};
  if (!place.records) return {"off", "no records of clones can be kept: " + place.why_none};
  if (auto why = why_not_tracked(disk.image)) return {"off", *std::move(why)};
  if (auto why = why_no_clones(disk.image.path, clone_folder_of(disk.image.path, settings.change_tracking.clones)))
    return {"off", *std::move(why)};
  if (!record && record.error().code == ErrorCode::object_missing)
    return {"starting", "there is no reference snapshot yet: the next backup reads all of the disk and keeps one"};
  if (!record) return {"starting", "the record of the reference snapshot cannot be used: " + record.error().because};
  if (record->distrusted)
    return {"off", "change tracking has missed a change: all is read until a full read finds no difference"};
  if (!newest || newest->text() != record->point)
    return {"starting",
            "the reference snapshot is that of " + record->point + ", which is not the newest recovery point"};
  if (auto why = why_not_as_kept(record->clone)) return {"starting", *std::move(why)};
  return {"on", {}};
}

}  // namespace

json unknown_tracking(const MachineSettings& machine) {
  json rows = json::array();
  for (const DiskSettings& disk : machine.disks)
    rows.push_back({{"disk", disk.name},
                    {"tracking", "unknown"},
                    {"reason", "a disk of the machine does not answer"},
                    {"last_full_read", nullptr},
                    {"clone", nullptr},
                    {"clone_bytes", nullptr},
                    {"clone_bytes_complete", nullptr}});
  return rows;
}

json tracking_status(const Settings& settings, const MachineSettings& machine, const TrackingPlace& place,
                     const std::optional<PointName>& newest) {
  json rows = json::array();
  const std::vector<DefinedDisk> defined = defined_disks(machine);
  for (const DiskSettings& named : machine.disks) {
    // What cannot be settled is said by the backup.
    const auto settled = settle_disk(named, defined, nullptr, named.name);
    const DiskSettings& disk = settled ? settled->disk : named;
    Result<TrackingRecord> record = fail(ErrorCode::object_missing, "read", "record");
    if (place.records) record = load_record(*place.records, machine.name, disk.name);
    const Answer answer = state_of(settings, disk, place, record, newest);
    json row{{"disk", disk.name},
             {"tracking", answer.state},
             {"reason", answer.reason.empty() ? json(nullptr) : json(answer.reason)},
             {"last_full_read", nullptr},
             {"clone", nullptr},
             {"clone_bytes", nullptr},
             {"clone_bytes_complete", nullptr}};
    if (record) {
      row["last_full_read"] = iso_time(record->full_read);
      row["clone"] = record->clone.path.string();
      if (const auto space = space_of(record->clone.path)) {
        row["clone_bytes"] = space->own_bytes;
        row["clone_bytes_complete"] = space->complete;
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace cairn
