// SPDX-License-Identifier: GPL-3.0-or-later
// The backup job: open all disks, probe, ingest, keep header areas, commit. Order and promises: jobs/backup.h.
#include "daemon/backup/backup.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "config/base/log.h"
#include "config/base/ranges.h"
#include "config/base/units.h"
#include "daemon/backup/disk_labels.h"
#include "daemon/backup/guest_session.h"
#include "daemon/backup/header_name.h"
#include "daemon/backup/pack_warning.h"
#include "daemon/backup/take_definition.h"
#include "daemon/keys/detached_file.h"
#include "daemon/keys/disk_look.h"
#include "daemon/keys/header_image.h"
#include "daemon/keys/proof_run.h"
#include "daemon/queue/job.h"
#include "daemon/queue/lock_wait.h"
#include "daemon/source/definition_disks.h"
#include "daemon/source/disk_format.h"
#include "fs/image/open_image.h"
#include "fs/image/tracked_image.h"
#include "fs/store/store.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/room.h"
#include "fs/store/write/store_writer.h"

namespace cairn {
namespace {

using nlohmann::json;

struct OpenDisk {
  const DiskSettings* settings = nullptr;  // of the settled disk
  const SettledDisk* settled = nullptr;
  std::unique_ptr<ImageReader> image;
  DiskPlan plan;
  DiskRecord record;
};

// All missing disks in one error, before a clone is made of any.
Result<void> check_disks(const MachineSettings& machine) {
  std::string missing;
  for (const DiskSettings& disk : machine.disks) {
    if (!image_is_missing(disk.image)) continue;
    if (!missing.empty()) missing += ", ";
    missing += fmt::format("disk {}: {}", disk.name, disk.image.text());
  }
  if (missing.empty()) return {};
  return fail(ErrorCode::image_missing, "back up", machine.name, fmt::format("there is no image for {}", missing));
}

// `settled` must outlive what is returned.
Result<std::vector<OpenDisk>> open_disks(const std::vector<SettledDisk>& settled, const BackupInputs& inputs,
                                         const Tracking& tracking, DiskLabels& labels) {
  std::vector<OpenDisk> disks;
  for (const SettledDisk& one : settled) {
    const DiskSettings& disk = one.disk;
    const auto began = std::chrono::steady_clock::now();
    auto image =
        inputs.open_image ? inputs.open_image(disk.image) : open_clone(disk.image, tracking.clone_folder(disk));
    if (!image) return pass_on(std::move(image).error());
    labels.opened(disk.name, began, std::chrono::steady_clock::now());
    disks.push_back({&disk, &one, *std::move(image), {}, {}});
  }
  return disks;
}

// What the disks and their keys are compared with: the point that was written last and can be read. One that cannot is
// reported where points are listed.
std::optional<RecoveryPoint> last_point(Store& store, const std::string& machine) {
  const auto points = store.points().list_written(machine);
  if (!points) return std::nullopt;
  for (auto name = points->rbegin(); name != points->rend(); ++name)
    if (auto point = store.points().load(*name)) return *std::move(point);
  return std::nullopt;
}

// A point's name is its machine and second. Two points never share one, be the first removed for good, so the second
// backup of a second is dated one later.
UtcTime free_time(const std::set<UtcTime>& taken, UtcTime now) {
  while (taken.contains(now)) now += std::chrono::seconds(1);
  return now;
}

// The machine's points sort by their dates.
void warn_of_the_future(Store& store, const std::string& machine, UtcTime now, JobContext& job) {
  const auto points = store.points().list();
  if (!points) return;
  const auto last =
      std::find_if(points->rbegin(), points->rend(), [&](const PointName& point) { return point.machine == machine; });
  if (last == points->rend() || !is_in_future(last->time, now)) return;
  job.warn(as_warning(Error{ErrorCode::point_in_future,
                            "trust the date of",
                            last->text(),
                            fmt::format("it is later than now ({})", iso_time(now)),
                            0,
                            {}}));
}

// Where the payload of encrypted volumes lies: it cannot be compressed, so nobody should try.
// Partitions of a damaged table may overlap; the store wants ranges that do not.
std::vector<ByteRange> ciphertext_of(const DiskFacts& facts, std::uint64_t disk_size) {
  std::vector<ByteRange> ranges;
  for (const VolumeFacts& volume : facts.volumes) {
    if (!volume.damage.empty() || volume.place.offset >= disk_size || volume.data_offset >= volume.place.size) continue;
    if (!volume.segments.empty()) continue;  // its pieces lie between others; trying to compress them only costs time
    ranges.push_back({volume.place.offset + volume.data_offset, volume.place.size - volume.data_offset});
  }
  return tidy_ranges(std::move(ranges), disk_size);
}

// A disk whose encryption is not known must not be taken for one that has none: its keys would not be kept.
std::unexpected<Error> cannot_probe(const std::string& disk, Error error) {
  const std::string why = error.because.empty() ? "" : ": " + error.because;
  error.because = fmt::format("disk {}: whether it is encrypted cannot be seen{}", disk, why);
  return pass_on(std::move(error));
}

class Backup {
 public:
  Backup(const MachineSettings& machine, const BackupInputs& inputs, GuestSession& guest, JobContext& job)
      : machine_(machine), inputs_(inputs), guest_(guest), job_(job) {}

  Result<json> run() {
    const auto began = std::chrono::steady_clock::now();
    CAIRN_CHECK(check_disks(machine_));
    CAIRN_TRY(writer_, when_unlocked(job_, inputs_.wait,
                                     [&] { return begin_writing(inputs_.store, "backup of " + machine_.name); }));
    warn_of_packs(inputs_.store, *writer_, inputs_.clock.now(), job_);
    const UtcTime now = inputs_.clock.now();
    Tracking tracking(inputs_.tracking, inputs_.store, *writer_, machine_.name, now, job_);
    const std::optional<RecoveryPoint> previous = last_point(inputs_.store, machine_.name);
    DiskLabels labels(machine_, previous, job_, inputs_.accept_change);
    CAIRN_TRY(const std::vector<SettledDisk> settled, settle_machine(machine_, previous));
    guest_.hold();
    auto opened = open_disks(settled, inputs_, tracking, labels);
    guest_.release();
    if (!opened) return pass_on(std::move(opened).error());
    std::vector<OpenDisk>& disks = *opened;
    for (const OpenDisk& disk : disks) CAIRN_CHECK(disk.image->begin_reading());
    if (const auto& still = guest_.instant()) labels.held(still->from, still->until, still->consistency);
    CAIRN_TRY(const std::set<UtcTime> taken, inputs_.store.points().used_times(machine_.name));
    warn_of_the_future(inputs_.store, machine_.name, now, job_);
    const UtcTime time = free_time(taken, now);
    point_.name = PointName{machine_.name, time};
    std::uint64_t total = 0;
    for (const OpenDisk& disk : disks) total += disk.image->size();
    job_.set_total(total);

    previous_ = previous;
    for (OpenDisk& disk : disks) {
      CAIRN_CHECK(look_at(disk));
      labels.note_cut_off(disk.record, disk.image->size());
    }
    CAIRN_CHECK(check_room(disks, previous_ ? &*previous_ : nullptr));
    PointKeys keys(machine_.name, inputs_.keys, inputs_.store, job_, previous_);
    CAIRN_CHECK(take_headers(disks, keys));
    ProofRun proof(keys, records_of(disks), job_.stop());
    take_definition(machine_, guest_.definition(), point_, job_);
    auto rows = take_disks(disks, tracking, labels, proof.stop_reading());
    // When the proof has failed the backup, that is why the reading ended: its error is the one to return.
    CAIRN_CHECK(proof.finish());
    if (!rows) return pass_on(std::move(rows).error());
    keys.finish(point_, inputs_.clock.now());
    labels.finish(point_);
    point_.guest = guest_.finish(point_.consistency);
    CAIRN_TRY(json result, commit(*std::move(rows), began));
    // The point is there. Nothing from here on can fail the job.
    for (OpenDisk& disk : disks) tracking.keep(*disk.settings, *disk.image, disk.plan, point_.name);
    sweep_clones(inputs_.tracking);
    return result;
  }

 private:
  // Reads what changed when that is known, else all of it.
  Result<IngestReport> read_disk(OpenDisk& disk, Tracking& tracking, IngestOptions options) {
    DiskPlan& plan = disk.plan;
    if (plan.only_changes()) {
      TrackedImage changes(*disk.image, *plan.tracker);
      options.base = plan.base;
      auto report = ingest_disk(*writer_, changes, options);
      if (report || report.error().code != ErrorCode::tracking_base_lost) return report;
      log_error("tracking-base-lost", fmt::format("{}/{}", machine_.name, disk.settings->name), report.error());
      plan.give_up("what the previous recovery point has cannot be read: " + report.error().because);
      options.base.reset();
      return ingest_disk(*writer_, *disk.image, options);
    }
    CAIRN_TRY(const IngestReport report, ingest_disk(*writer_, *disk.image, options));
    CAIRN_CHECK(tracking.compare(*disk.settings, plan, report.map));
    return report;
  }

  // A machine that cannot fit must not fill the store for the others first. Of disks that the previous point has, what
  // changed is not known before they are read.
  Result<void> check_room(std::vector<OpenDisk>& disks, const RecoveryPoint* previous) {
    CAIRN_TRY(const auto room, room_for_packs(*writer_));
    if (!room) return {};
    std::uint64_t needed = 0;
    for (OpenDisk& disk : disks) {
      if (previous != nullptr && previous->disk(disk.record.name) != nullptr) continue;
      // What is data on it is at most its size.
      if (disk.image->size() + needed <= room->usable() / 2) continue;
      CAIRN_TRY(const std::uint64_t of_disk, least_room_needed(*writer_, *disk.image, job_.stop()));
      needed += of_disk;
    }
    if (needed <= room->usable()) return {};
    return fail(ErrorCode::space_reserved, "back up", machine_.name,
                fmt::format("it needs at least {}, and {} are free, {} of that kept for pruning; nothing was read "
                            "but a sample of its disks",
                            format_size(needed), format_size(room->free), format_size(room->reserved)));
  }

  // What is on the disk: the facts go into its record.
  Result<void> look_at(OpenDisk& disk) {
    ImageReader& image = *disk.image;
    DiskRecord& record = disk.record;
    record.name = disk.settings->name;
    if (image.size() == 0)
      job_.warn(
          fmt::format("disk {}: the image {} has 0 bytes, and so has the disk in this point; was it cut off by "
                      "accident?",
                      record.name, disk.settings->image.text()));
    auto facts = look_at_disk(*disk.settings, image, disk.settings->image.text());
    if (!facts) return cannot_probe(record.name, std::move(facts).error());
    record.facts = *std::move(facts);
    const SettledDisk& settled = *disk.settled;
    note_format(settled, record);
    if (settled.warning) job_.warn(as_warning(*settled.warning));
    for (const std::string& remark : record.facts.remarks) job_.warn(fmt::format("disk {}: {}", record.name, remark));
    for (const VolumeFacts& volume : record.facts.volumes)
      if (!volume.damage.empty())
        job_.warn(fmt::format("disk {}: the {} header{} is damaged: {}", record.name, to_string(volume.type),
                              in_words(volume), volume.damage));
    return {};
  }

  [[nodiscard]] const DiskRecord* before(const std::string& disk) const {
    return previous_ ? previous_->disk(disk) : nullptr;
  }
  static std::string in_words(const VolumeFacts& volume) {
    const std::string name = volume_name(volume.partition, volume.within);
    return name.empty() ? name : " in " + name;
  }

  // When all of the disk has been read it may be known better.
  void say_encryption(const OpenDisk& disk, DiskRecord& record) {
    const std::string object = disk_object(machine_.name, record.name);
    if (record.facts.encryption() == DiskEncryption::unknown && record.map.data_bytes == 0) {
      take_for_empty(record.facts);
      if (const auto idle = keys_not_needed(*disk.settings, record.facts, before(record.name), object))
        job_.warn(as_warning(*idle));
    }
    if (const auto unknown = encryption_unknown(*disk.settings, record.facts, before(record.name), object))
      job_.warn(as_warning(*unknown));
  }

  // The keys first, then the headers. After that ProofRun tries the keys on the headers as they are stored: a point is
  // proved when every encrypted volume opened with the keys in that point.
  Result<void> take_headers(std::vector<OpenDisk>& disks, PointKeys& keys) {
    for (const OpenDisk& disk : disks) keys.gather(*disk.settings, disk.record.facts);
    CAIRN_CHECK(keys.verdict());
    for (OpenDisk& disk : disks)
      for (const VolumeFacts& volume : disk.record.facts.volumes)
        CAIRN_CHECK(take_header(*disk.image, volume, disk.record));
    return header_names_.empty() ? Result<void>() : writer_->flush();
  }
  static std::vector<DiskRecord> records_of(const std::vector<OpenDisk>& disks) {
    std::vector<DiskRecord> records;
    for (const OpenDisk& disk : disks) records.push_back(disk.record);
    return records;
  }

  // What the job's report says of each disk.
  Result<json> take_disks(std::vector<OpenDisk>& disks, Tracking& tracking, DiskLabels& labels,
                          const std::stop_token& stop) {
    json rows = json::array();
    for (OpenDisk& disk : disks) {
      CAIRN_TRY(json row, take_disk(disk, tracking, labels, stop));
      rows.push_back(std::move(row));
    }
    return rows;
  }

  Result<json> take_disk(OpenDisk& disk, Tracking& tracking, DiskLabels& labels, const std::stop_token& stop) {
    if (stop.stop_requested()) return cancelled();
    ImageReader& image = *disk.image;
    DiskRecord& record = disk.record;
    IngestOptions options;
    options.ciphertext = ciphertext_of(record.facts, image.size());
    options.progress = [this](std::uint64_t bytes) { job_.add_done(bytes); };
    options.stop = stop;
    disk.plan = tracking.plan(*disk.settings, image);
    CAIRN_TRY(const IngestReport report, read_disk(disk, tracking, std::move(options)));
    record.map = report.map;
    count(report);
    say_encryption(disk, record);

    std::string how = disk.plan.only_changes() ? TrackedImage(image, *disk.plan.tracker).how() : image.how();
    CAIRN_CHECK(labels.read(image, how, record));
    for (const Error& finding : image.findings()) job_.warn(as_warning(finding));
    json row{{"name", record.name},
             {"size", record.map.size},
             {"read_bytes", report.read_bytes},
             {"new_bytes", report.new_bytes},
             {"stored_bytes", report.stored_bytes},
             {"carried_bytes", report.carried_bytes},
             {"encryption", to_string(record.facts.encryption())},
             {"seen", record.facts.seen},
             {"not_known", record.facts.not_known},
             {"how", std::move(how)},
             {"format", disk.settled->format == DiskFormat::not_said ? json(nullptr) : json(record.format)},
             {"format_from", record.format_from},
             {"consistency", to_string(record.reading.consistency)},
             {"suspect", record.suspicion ? json(record.suspicion->because) : json(nullptr)}};
    if (const std::string note = note_of(disk); !note.empty()) row["note"] = note;
    point_.disks.push_back(std::move(record));
    return row;
  }

  // Why it was not read in a better way; empty: it was read in the best.
  [[nodiscard]] std::string note_of(const OpenDisk& disk) const {
    if (!disk.plan.only_changes()) {
      const std::string note = disk.image->note();
      // Why there is no clone is said already.
      if (!note.empty() && !disk.image->is_snapshot()) return note;
      if (!inputs_.tracking.enabled) return note;
      return (note.empty() ? "" : note + "; ") + "read whole: " + disk.plan.why_all;
    }
    return TrackedImage(*disk.image, *disk.plan.tracker).note();
  }

  Result<void> take_header(ImageReader& image, const VolumeFacts& volume, DiskRecord& record) {
    std::unique_ptr<ImageReader> file;
    if (!volume.detached.empty()) {
      CAIRN_TRY(file, open_detached_header(volume.detached, image, disk_object(machine_.name, record.name)));
    }
    HeaderImage header(file ? *file : image, volume);
    if (header.size() == 0) return {};
    IngestOptions options;
    options.stop = job_.stop();
    CAIRN_TRY(const IngestReport report, ingest_disk(*writer_, header, options));
    count(report);
    record.headers.push_back(
        {header_name(record.name, volume, header_names_), report.map, volume.partition, volume.within});
    return {};
  }

  void count(const IngestReport& report) {
    point_.read_bytes += report.read_bytes;
    point_.new_bytes += report.new_bytes;
    point_.stored_bytes += report.stored_bytes;
  }

  Result<json> commit(json rows, std::chrono::steady_clock::time_point began) {
    if (job_.stop().stop_requested()) return cancelled();
    take_trusted_time();
    point_.warnings = job_.view().warnings;
    point_.made_by = "cairn " CAIRN_VERSION;
    char host[256] = {};
    if (gethostname(host, sizeof host - 1) == 0) point_.host = host;
    using std::chrono::milliseconds;
    point_.duration_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - began).count());
    CAIRN_CHECK(writer_->commit(point_));
    job_.set_point(point_.name.text());  // not before: a name of what is not there would be looked for
    return json{{"machine", machine_.name},
                {"point", point_.name.stamp()},
                {"name", point_.name.text()},
                {"read_bytes", point_.read_bytes},
                {"new_bytes", point_.new_bytes},
                {"stored_bytes", point_.stored_bytes},
                {"duration_ms", point_.duration_ms},
                {"consistency", to_string(point_.consistency)},
                {"apart_ms", point_.apart_ms ? json(*point_.apart_ms) : json(nullptr)},
                {"guest", point_.guest ? to_json(*point_.guest) : json(nullptr)},
                {"proof", to_string(point_.proof.state)},
                {"disks", std::move(rows)}};
  }

  // Immutability counts from the time that is trusted: a clock that ran ahead must not make it last for years.
  void take_trusted_time() {
    UtcTime taken = point_.name.time;
    const ClockReading reading = inputs_.read_clock ? inputs_.read_clock() : read_clock(inputs_.clock);
    const auto verdict = inputs_.store.points().check_clock(reading, true);
    if (verdict && verdict->trusted < reading.now - kClockTolerance) {
      taken = verdict->trusted;
      point_.trusted_time = taken;
    }
    if (inputs_.immutable) point_.immutable_until = taken + *inputs_.immutable;
  }

  [[nodiscard]] std::unexpected<Error> cancelled() const {
    return fail(ErrorCode::cancelled, "back up", machine_.name, "it was asked to stop");
  }

  const MachineSettings& machine_;
  const BackupInputs& inputs_;
  GuestSession& guest_;
  JobContext& job_;
  std::shared_ptr<StoreWriter> writer_;
  RecoveryPoint point_;
  std::optional<RecoveryPoint> previous_;  // what this one is compared with
  std::set<std::string> header_names_;
};

}  // namespace

Result<json> run_backup(const MachineSettings& machine, const BackupInputs& inputs, JobContext& job) {
  GuestSession guest(machine, inputs.guest, job);
  CAIRN_TRY(const MachineSettings whole, guest.find_disks());
  BackupInputs of_whole = inputs;
  if (machine.guest.kind == GuestSettings::Kind::libvirt && inputs.tracking.is_known)
    of_whole.tracking.is_known = [&](const std::string& name, const std::string& disk) {
      if (name != whole.name) return inputs.tracking.is_known(name, disk);
      return std::ranges::find(whole.disks, disk, &DiskSettings::name) != whole.disks.end();
    };
  return Backup(whole, of_whole, guest, job).run();
}

}  // namespace cairn
