// SPDX-License-Identifier: GPL-3.0-or-later
// The backup job: open all disks, probe, ingest, keep header areas, commit. Order and promises: jobs/backup.h.
#include "daemon/backup/backup.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "config/base/log.h"
#include "config/base/ranges.h"
#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "daemon/backup/pack_warning.h"
#include "daemon/keys/header_image.h"
#include "daemon/keys/proof_run.h"
#include "daemon/queue/job.h"
#include "fs/image/open_image.h"
#include "fs/image/tracked_image.h"
#include "fs/store/store.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/store_writer.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxDefinition = kMiB;

struct OpenDisk {
  const DiskSettings* settings = nullptr;
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

Result<std::vector<OpenDisk>> open_disks(const MachineSettings& machine, const BackupInputs& inputs,
                                         const Tracking& tracking) {
  std::vector<OpenDisk> disks;
  for (const DiskSettings& disk : machine.disks) {
    auto image = inputs.open_image ? inputs.open_image(disk.image)
                                   : open_image(disk.image, CloneMode::try_clone, tracking.clone_folder(disk));
    if (!image) return pass_on(std::move(image).error());
    disks.push_back({&disk, *std::move(image), {}, {}});
  }
  return disks;
}

Result<std::set<UtcTime>> times_of_points(Store& store, const std::string& machine) {
  // Deleted ones too: their names are taken.
  CAIRN_TRY(const std::vector<PointName> points, store.points().list_stored());
  std::set<UtcTime> times;
  for (const PointName& point : points)
    if (point.machine == machine) times.insert(point.time);
  return times;
}

// What the disks and their keys are compared with. One that cannot be read is reported where points are listed.
std::optional<RecoveryPoint> newest_point(Store& store, const std::string& machine, const std::set<UtcTime>& times) {
  if (times.empty()) return std::nullopt;
  auto point = store.points().load(PointName{machine, *times.rbegin()});
  if (!point) return std::nullopt;
  return *std::move(point);
}

// A point's name is its machine and second. Two points cannot share one, so the second backup of a second is dated one
// later.
UtcTime free_time(const std::set<UtcTime>& taken, const std::string& machine, UtcTime now, JobContext& job) {
  if (!taken.empty() && *taken.rbegin() > now + std::chrono::minutes(1))
    job.warn(fmt::format("the newest recovery point {} is dated later than now ({}): this host's clock was or is wrong",
                         PointName{machine, *taken.rbegin()}.text(), iso_time(now)));
  while (taken.contains(now)) now += std::chrono::seconds(1);
  return now;
}

void read_definition(const MachineSettings& machine, RecoveryPoint& point, JobContext& job) {
  if (!machine.definition) return;
  const std::string path = machine.definition->string();
  // O_NONBLOCK: a pipe put in the file's place must not hang the backup.
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat facts{};
  if (!file || fstat(file.get(), &facts) != 0) {
    job.warn(fail_errno(errno, "read definition", path).error().message());
    return;
  }
  if (!S_ISREG(facts.st_mode)) {
    job.warn(fmt::format("cannot read definition {}: it is not a regular file; the point has none", path));
    return;
  }
  std::string text;
  text.resize(kMaxDefinition + 1);
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      job.warn(fail_errno(errno, "read definition", path).error().message());
      return;
    }
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kMaxDefinition) {
    job.warn(fmt::format("cannot read definition {}: it is larger than {}; the point has none", path,
                         format_size(kMaxDefinition)));
    return;
  }
  text.resize(size);
  point.definition = std::move(text);
}

// Where the payload of encrypted volumes lies: it cannot be compressed, so nobody should try.
// Partitions of a damaged table may overlap; the store wants ranges that do not.
std::vector<ByteRange> ciphertext_of(const DiskFacts& facts, std::uint64_t disk_size) {
  std::vector<ByteRange> ranges;
  for (const VolumeFacts& volume : facts.volumes) {
    if (!volume.damage.empty() || volume.place.offset >= disk_size || volume.data_offset >= volume.place.size) continue;
    ranges.push_back({volume.place.offset + volume.data_offset, volume.place.size - volume.data_offset});
  }
  return tidy_ranges(std::move(ranges), disk_size);
}

std::string_view suffix_of(VolumeType type) {
  switch (type) {
    case VolumeType::luks1:
      return "luks1";
    case VolumeType::luks2:
      return "luks2";
    case VolumeType::bitlocker:
      return "bitlocker";
  }
  return "header";
}

// "root.luks2", "root-part2.bitlocker". All headers of a point share one folder of the mount, so a name that is taken
// (disks "a" and "a-part1") gets a number.
std::string header_name(const std::string& disk, const VolumeFacts& volume, std::set<std::string>& taken) {
  const std::string stem = volume.partition == 0 ? disk : fmt::format("{}-part{}", disk, volume.partition);
  std::string name = fmt::format("{}.{}", stem, suffix_of(volume.type));
  for (int number = 2; !taken.insert(name).second; ++number)
    name = fmt::format("{}-{}.{}", stem, number, suffix_of(volume.type));
  return name;
}

// A disk whose encryption is not known must not be taken for one that has none: its keys would not be kept.
std::unexpected<Error> cannot_probe(const std::string& disk, Error error) {
  const std::string why = error.because.empty() ? "" : ": " + error.because;
  error.because = fmt::format("disk {}: whether it is encrypted cannot be seen{}", disk, why);
  return pass_on(std::move(error));
}

class Backup {
 public:
  Backup(const MachineSettings& machine, const BackupInputs& inputs, JobContext& job)
      : machine_(machine), inputs_(inputs), job_(job) {}

  Result<json> run() {
    const auto began = std::chrono::steady_clock::now();
    CAIRN_CHECK(check_disks(machine_));
    CAIRN_TRY(writer_, begin_writing(inputs_.store, "backup of " + machine_.name));
    warn_of_packs(inputs_.store, *writer_, inputs_.clock.now(), job_);
    const UtcTime now = inputs_.clock.now();
    Tracking tracking(inputs_.tracking, inputs_.store, *writer_, machine_.name, now, job_);
    CAIRN_TRY(std::vector<OpenDisk> disks, open_disks(machine_, inputs_, tracking));
    CAIRN_TRY(const std::set<UtcTime> taken, times_of_points(inputs_.store, machine_.name));
    const UtcTime time = free_time(taken, machine_.name, now, job_);
    point_.name = PointName{machine_.name, time};
    job_.set_point(point_.name.text());
    std::uint64_t total = 0;
    for (const OpenDisk& disk : disks) total += disk.image->size();
    job_.set_total(total);

    for (OpenDisk& disk : disks) CAIRN_CHECK(look_at(disk));
    PointKeys keys(machine_.name, inputs_.keys, inputs_.store, job_, newest_point(inputs_.store, machine_.name, taken));
    CAIRN_CHECK(take_headers(disks, keys));
    ProofRun proof(keys, records_of(disks), job_.stop());
    read_definition(machine_, point_, job_);
    auto rows = take_disks(disks, tracking, proof.stop_reading());
    // When the proof has failed the backup, that is why the reading ended: its error is the one to return.
    CAIRN_CHECK(proof.finish());
    if (!rows) return pass_on(std::move(rows).error());
    keys.finish(point_, inputs_.clock.now());
    CAIRN_TRY(json result, commit(*std::move(rows), began));
    // The point is there. Nothing from here on can fail the job.
    for (OpenDisk& disk : disks) tracking.keep(*disk.settings, *disk.image, disk.plan, point_.name);
    tracking.sweep();
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
    auto facts = probe_disk(image, disk.settings->image.text());
    if (!facts) return cannot_probe(record.name, std::move(facts).error());
    record.facts = *std::move(facts);
    for (const std::string& remark : record.facts.remarks) job_.warn(fmt::format("disk {}: {}", record.name, remark));
    for (const VolumeFacts& volume : record.facts.volumes)
      if (!volume.damage.empty())
        job_.warn(fmt::format("disk {}: the {} header{} is damaged: {}", record.name, to_string(volume.type),
                              volume.partition == 0 ? "" : fmt::format(" in partition {}", volume.partition),
                              volume.damage));
    return {};
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
  Result<json> take_disks(std::vector<OpenDisk>& disks, Tracking& tracking, const std::stop_token& stop) {
    json rows = json::array();
    for (OpenDisk& disk : disks) {
      CAIRN_TRY(json row, take_disk(disk, tracking, stop));
      rows.push_back(std::move(row));
    }
    return rows;
  }

  Result<json> take_disk(OpenDisk& disk, Tracking& tracking, const std::stop_token& stop) {
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

    CAIRN_TRY(const std::optional<std::string> changed, image.changed_underneath());
    if (changed) job_.warn(fmt::format("disk {}: {}", record.name, *changed));
    json row{{"name", record.name},
             {"size", record.map.size},
             {"read_bytes", report.read_bytes},
             {"new_bytes", report.new_bytes},
             {"stored_bytes", report.stored_bytes},
             {"carried_bytes", report.carried_bytes},
             {"how", disk.plan.only_changes() ? TrackedImage(image, *disk.plan.tracker).how() : image.how()}};
    if (const std::string note = note_of(disk); !note.empty()) row["note"] = note;
    point_.disks.push_back(std::move(record));
    return row;
  }

  // Why it was not read in a better way; empty: it was read in the best.
  [[nodiscard]] std::string note_of(const OpenDisk& disk) const {
    if (!disk.plan.only_changes()) {
      // Why there is no clone is said already.
      if (const std::string note = disk.image->note(); !note.empty()) return note;
      return inputs_.tracking.enabled ? "read whole: " + disk.plan.why_all : std::string();
    }
    return TrackedImage(*disk.image, *disk.plan.tracker).note();
  }

  Result<void> take_header(ImageReader& image, const VolumeFacts& volume, DiskRecord& record) {
    HeaderImage header(image, volume);
    if (header.size() == 0) return {};
    IngestOptions options;
    options.stop = job_.stop();
    CAIRN_TRY(const IngestReport report, ingest_disk(*writer_, header, options));
    count(report);
    record.headers.push_back({header_name(record.name, volume, header_names_), report.map, volume.partition});
    return {};
  }

  void count(const IngestReport& report) {
    point_.read_bytes += report.read_bytes;
    point_.new_bytes += report.new_bytes;
    point_.stored_bytes += report.stored_bytes;
  }

  Result<json> commit(json rows, std::chrono::steady_clock::time_point began) {
    if (job_.stop().stop_requested()) return cancelled();
    point_.consistency = Consistency::crash;
    if (inputs_.immutable) point_.immutable_until = point_.name.time + *inputs_.immutable;
    point_.warnings = job_.view().warnings;
    point_.made_by = "cairn " CAIRN_VERSION;
    char host[256] = {};
    if (gethostname(host, sizeof host - 1) == 0) point_.host = host;
    using std::chrono::milliseconds;
    point_.duration_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - began).count());
    CAIRN_CHECK(writer_->commit(point_));
    return json{{"machine", machine_.name},
                {"point", point_.name.stamp()},
                {"name", point_.name.text()},
                {"read_bytes", point_.read_bytes},
                {"new_bytes", point_.new_bytes},
                {"stored_bytes", point_.stored_bytes},
                {"duration_ms", point_.duration_ms},
                {"consistency", to_string(point_.consistency)},
                {"proof", to_string(point_.proof.state)},
                {"disks", std::move(rows)}};
  }

  [[nodiscard]] std::unexpected<Error> cancelled() const {
    return fail(ErrorCode::cancelled, "back up", machine_.name, "it was asked to stop");
  }

  const MachineSettings& machine_;
  const BackupInputs& inputs_;
  JobContext& job_;
  std::shared_ptr<StoreWriter> writer_;
  RecoveryPoint point_;
  std::set<std::string> header_names_;
};

}  // namespace

Result<json> run_backup(const MachineSettings& machine, const BackupInputs& inputs, JobContext& job) {
  return Backup(machine, inputs, job).run();
}

}  // namespace cairn
