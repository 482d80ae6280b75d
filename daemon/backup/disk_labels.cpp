// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/disk_labels.h"

#include <fmt/format.h>

#include <algorithm>

#include "config/base/units.h"
#include "daemon/keys/key_rules.h"
#include "daemon/queue/job.h"

namespace cairn {
namespace {

Suspicion compared_with(const DiskRecord& before, const std::string& point) {
  // A suspect disk is no measure: what it was compared with is.
  if (before.suspicion) return {{}, before.suspicion->point, before.suspicion->size, before.suspicion->data_bytes};
  return {{}, point, before.map.size, before.map.data_bytes};
}

bool is_named(const MachineSettings& machine, const std::string& disk) {
  return std::ranges::find(machine.disks, disk, &DiskSettings::name) != machine.disks.end();
}

}  // namespace

std::optional<Suspicion> suspicion_of(const MapRecord& now, const DiskRecord* before, const std::string& point) {
  if (before == nullptr) return std::nullopt;
  Suspicion suspicion = compared_with(*before, point);
  if (now.size < suspicion.size) {
    // A few bytes less do not show in units.
    const bool alike = format_size(now.size) == format_size(suspicion.size);
    const auto words = [&](std::uint64_t size) { return alike ? fmt::format("{} bytes", size) : format_size(size); };
    suspicion.because =
        fmt::format("it has {}, and had {} in {}", words(now.size), words(suspicion.size), suspicion.point);
    return suspicion;
  }
  if (now.data_bytes == 0 && suspicion.data_bytes > 0) {
    suspicion.because = fmt::format("all of it is zeros, and {} of it was data in {}",
                                    format_size(suspicion.data_bytes), suspicion.point);
    return suspicion;
  }
  return std::nullopt;
}

std::vector<LeftOutDisk> left_out_disks(const RecoveryPoint& previous, const MachineSettings& machine) {
  std::vector<LeftOutDisk> disks = previous.left_out;
  for (const DiskRecord& disk : previous.disks) {
    std::erase_if(disks, [&](const LeftOutDisk& known) { return known.disk == disk.name; });
    disks.push_back({disk.name, previous.name.text()});
  }
  std::erase_if(disks,
                [&](const LeftOutDisk& disk) { return is_named(machine, disk.disk) || machine.leaves_out(disk.disk); });
  return disks;
}

Error left_out_error(const std::string& machine, const LeftOutDisk& disk) {
  return Error{ErrorCode::disk_left_out,
               "find in the settings",
               disk_object(machine, disk.disk),
               fmt::format("the last recovery point that has this disk is {}", disk.point),
               0,
               {}};
}

void DiskLabels::opened(const std::string& disk, Instant from, Instant until) {
  opened_[disk] = {from, until};
}

void DiskLabels::note_cut_off(DiskRecord& record, std::uint64_t size) const {
  if (!previous_ || accept_change_) return;
  const auto suspicion = suspicion_of(MapRecord{.size = size, .data_bytes = size, .root = {}},
                                      previous_->disk(record.name), previous_->name.text());
  if (!suspicion || suspicion->size <= size) return;
  for (VolumeFacts& volume : record.facts.volumes)
    if (volume.partition == 0 && volume.cut_off.empty()) volume.cut_off = "the disk " + suspicion->because.substr(3);
}

Result<void> DiskLabels::read(ImageReader& image, std::string how, DiskRecord& record) {
  using Kind = ImageChange::Kind;
  // What is not seen to change now was the same until now.
  const Instant looked = std::chrono::steady_clock::now();
  CAIRN_TRY(const std::optional<ImageChange> change, image.changed_underneath());
  const Opened& open = opened_[record.name];
  DiskReading& reading = record.reading;
  reading.how = std::move(how);
  reading.consistency = Consistency::crash;
  StateTime time{StateTime::Kind::throughout, ms(open.until), ms(looked)};
  if (image.is_snapshot() && held_) {
    // Whichever instant of the hold the clone is of, the disk was like that in all of it.
    reading.consistency = held_->consistency;
    time = {StateTime::Kind::throughout, ms(held_->during.from), ms(held_->during.until)};
  } else if (image.is_snapshot()) {
    time = {StateTime::Kind::once, ms(open.from), ms(open.until)};
  }
  if (change && change->kind != Kind::untouched) {
    reading.consistency = change->kind == Kind::torn ? Consistency::torn : Consistency::unknown;
    reading.reason = change->words;
    time = {StateTime::Kind::spread, ms(open.from), ms(std::chrono::steady_clock::now())};
  }
  times_.push_back(time);
  if (change && change->kind == Kind::torn)
    job_.warn(as_warning(
        Error{ErrorCode::disk_torn, "copy whole", disk_object(machine_.name, record.name), change->words, 0, {}}));
  else if (change)
    job_.warn(fmt::format("disk {}: {}", record.name, change->words));
  suspect(record);
  return {};
}

void DiskLabels::suspect(DiskRecord& record) {
  const DiskRecord* const before = previous_ ? previous_->disk(record.name) : nullptr;
  auto suspicion = suspicion_of(record.map, before, previous_ ? previous_->name.text() : std::string());
  if (!suspicion || accept_change_) return;
  job_.warn(as_warning(Error{ErrorCode::disk_suspect,
                             "take for a new state",
                             disk_object(machine_.name, record.name),
                             suspicion->because + "; the recovery point is marked suspect",
                             0,
                             {}}));
  record.suspicion = std::move(suspicion);
}

void DiskLabels::finish(RecoveryPoint& point) {
  point.consistency = consistency_of(point.disks);
  point.apart_ms = apart_ms(times_);
  if (!previous_) return;
  point.left_out = left_out_disks(*previous_, machine_);
  for (const LeftOutDisk& disk : point.left_out) job_.warn(as_warning(left_out_error(machine_.name, disk)));
}

}  // namespace cairn
