// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/tracking.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>

#include "config/base/log.h"
#include "config/base/ranges.h"
#include "config/base/units.h"
#include "daemon/queue/job.h"
#include "fs/image/change/qcow2_extents.h"
#include "fs/image/open_image.h"
#include "fs/store/map/map_diff.h"
#include "fs/store/store.h"
#include "fs/store/write/ingest.h"

namespace cairn {
namespace {

constexpr std::uint64_t kMaxRecordBytes = 64 * kKiB;
constexpr std::size_t kRangesNamed = 5;
constexpr std::size_t kPointsNamed = 10;

std::string random_hex() {
  std::array<std::uint8_t, 8> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  return to_hex(bytes);
}

// Where a full read and the tracker disagree.
struct Differences {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  std::vector<ByteRange> first;

  void add(ByteRange range) {
    bytes += range.size;
    if (!first.empty() && extend_range(first.back(), range)) return;
    ++count;
    if (first.size() < kRangesNamed) first.push_back(range);
  }
  [[nodiscard]] std::string text() const {
    std::string named;
    for (const ByteRange& range : first)
      named += fmt::format("{}{}+{}", named.empty() ? "" : ", ", range.offset, range.size);
    return fmt::format("{} in {} range{} of bytes ({}{})", format_size(bytes), count, count == 1 ? "" : "s", named,
                       count > first.size() ? ", ..." : "");
  }
};

// Of others it is not known where their bytes lie.
bool can_be_tracked(const DiskSource& source) {
  return !why_not_tracked(source);
}

// As what a clone of the image is read.
DiskFormat clone_format(const DiskSource& source) {
  return source.is_raw() ? DiskFormat::raw : source.format;
}

// Where the bytes of the disk in a clone lie. `size`: of a raw disk.
Result<Qcow2Extents> extents_in(int clone, DiskFormat format, std::uint64_t size) {
  if (format == DiskFormat::qcow2) return qcow2_extents(clone);
  return Qcow2Extents{extents_of(clone), size};
}

// The record first: a clone without a record is removed by the next run, a record without its clone is passed over.
void drop_clone(Backend& records, const TrackingRecord& record) {
  static_cast<void>(records.remove(record_object(record.machine, record.disk)).has_value());
  static_cast<void>(remove_kept_clone(record.clone));
  remove_clone_folder(record.clone.path.parent_path());
}

}  // namespace

Result<TrackingRecord> load_record(Backend& records, const std::string& machine, const std::string& disk) {
  auto bytes = records.get(record_object(machine, disk), kMaxRecordBytes);
  if (bytes) {
    CAIRN_TRY(TrackingRecord record, read_record(as_text(*bytes)));
    if (record.machine == machine && record.disk == disk) return record;
    return fail(ErrorCode::clone_not_kept, "read", "the record of the reference snapshot",
                "it belongs to another disk");
  }
  Error error = std::move(bytes).error();
  if (error.code != ErrorCode::object_missing) error.code = ErrorCode::clone_not_kept;
  if (error.because.empty()) error.because = error.message();
  return pass_on(std::move(error));
}

namespace {
std::function<bool(const std::string&, const std::string&)> disks_of(const Settings& settings) {
  return [machines = settings.machines](const std::string& name, const std::string& disk) {
    const auto found = machines.find(name);
    if (found == machines.end()) return false;
    // Which disks a domain has, its backup knows.
    if (found->second.guest.kind == GuestSettings::Kind::libvirt) return true;
    return std::any_of(found->second.disks.begin(), found->second.disks.end(),
                       [&](const DiskSettings& known) { return known.name == disk; });
  };
}
}  // namespace

TrackingInputs tracking_inputs(const Settings& settings, const MachineSettings& machine, TrackingPlace place) {
  TrackingInputs inputs;
  inputs.enabled = settings.change_tracking.enabled;
  inputs.clones = settings.change_tracking.clones;
  inputs.place = std::move(place);
  inputs.settings = settings.file.string();
  inputs.full_read = settings.policy_of(machine).full_read;
  inputs.is_known = disks_of(settings);
  return inputs;
}

Tracking::Tracking(const TrackingInputs& inputs, Store& store, StoreWriter& writer, const std::string& machine,
                   UtcTime started, JobContext& job)
    : inputs_(inputs), store_(store), writer_(writer), machine_(machine), started_(started), job_(job) {
  // Without one nothing is ever taken over.
  if (auto epoch = writer.epoch()) epoch_ = *std::move(epoch);
  // We hold the writer lock, and the records are this store's.
  if (inputs_.place.records) static_cast<void>(inputs_.place.records->remove_leftovers().has_value());
}

std::filesystem::path Tracking::clone_folder(const DiskSettings& disk) const {
  if (!inputs_.enabled || !inputs_.place.records || !can_be_tracked(disk.image)) return {};
  return clone_folder_of(disk.image.path, inputs_.clones);
}

std::string Tracking::clone_prefix(const std::string& disk) const {
  return fmt::format("{}@{}.{}.", machine_, disk, inputs_.place.owner);
}

DiskPlan Tracking::plan(const DiskSettings& disk, const ImageReader& image) {
  DiskPlan plan;
  if (inputs_.place.records) {
    auto record = load_record(*inputs_.place.records, machine_, disk.name);
    if (record)
      plan.record = *std::move(record);
    else if (record.error().code == ErrorCode::object_missing)
      plan.why_all = "there is no reference snapshot of an earlier backup yet";
    else
      plan.why_all = "the record of the reference snapshot cannot be used: " + record.error().because;
  }
  decide(disk, image, plan);
  return plan;
}

void Tracking::decide(const DiskSettings& disk, const ImageReader& image, DiskPlan& plan) {
  if (!inputs_.enabled) return plan.give_up("change tracking is switched off in the settings");
  if (!inputs_.place.records) return plan.give_up("no records of clones can be kept: " + inputs_.place.why_none);
  if (image.clone_folder().empty()) return plan.give_up(image.why_not_keepable());
  const DiskFormat format = clone_format(disk.image);
  auto now = extents_in(image.fd(), format, image.size());
  if (!now) return plan.give_up("the new clone: " + now.error().because);
  if (!now->backing.empty())
    for (const BackingFile& file : disk.image.backing) {
      FileBelow below = look_below(file.path, image.fd());
      if (!below.why_not.empty()) return plan.give_up(std::move(below.why_not));
      plan.below.push_back(std::move(below.file));
    }
  if (!plan.record) return;
  if (auto why = find_base(disk, plan)) {
    plan.base.reset();
    return plan.give_up(*std::move(why));
  }
  OpenedClone clone = open_kept_clone(plan.record->clone, image.fd());
  if (!clone.fd) {
    plan.base.reset();
    return plan.give_up(std::move(clone.why_not));
  }
  plan.before = std::move(clone.fd);
  auto before = extents_in(plan.before.get(), format, plan.record->clone.identity.size);
  const std::string why = !before ? "the reference snapshot: " + before.error().because
                          : before->disk_size != plan.base->map.size || now->disk_size != image.size()
                              ? "the reference snapshot has another size than the disk in " + plan.record->point
                          : before->backing != now->backing || plan.record->below != plan.below
                              ? "the files that the image is an overlay of are not what they were"
                              : "";
  if (!why.empty()) {
    plan.base.reset();
    return plan.give_up(why);
  }
  plan.tracker =
      std::make_unique<ChangeTracker>(std::move(before->read), before->disk_size, std::move(now->read), now->disk_size);
  if (inputs_.read_all) return plan.give_up("a full read was asked for");
  if (plan.record->distrusted)
    return plan.give_up("change tracking has missed a change, and no full read has agreed with it since");
  if (started_ < plan.record->full_read || started_ - plan.record->full_read >= inputs_.full_read)
    return plan.give_up(fmt::format("a full read is due: the last one was at {} (full_read: {})",
                                    iso_time(plan.record->full_read), format_duration(inputs_.full_read)));
}

std::optional<std::string> Tracking::find_base(const DiskSettings& disk, DiskPlan& plan) {
  const TrackingRecord& record = *plan.record;
  if (record.store != store_.info().id || record.chunk_size != store_.info().chunk_size)
    return "the reference snapshot belongs to another store";
  if (epoch_.empty() || record.epoch != epoch_)
    return "the store has lost packs, or its index was made anew, since the last backup";
  const auto points = store_.points().list();
  if (!points) return "the recovery points cannot be listed: " + points.error().message();
  // The one that was written last: a clock may have dated another later.
  const auto newest = store_.points().latest(machine_);
  if (!newest) return "the recovery points cannot be listed: " + newest.error().message();
  if (!*newest) return "the machine has no recovery point any more";
  const PointName& last = **newest;
  if (last.text() != record.point) {
    const bool there = std::any_of(points->begin(), points->end(),
                                   [&](const PointName& point) { return point.text() == record.point; });
    return fmt::format(
        "the reference snapshot is that of {}, {}", record.point,
        there ? "and the newest recovery point is " + last.text() : "which is not in the store any more");
  }
  // What it names must stay until this backup has named it too.
  if (const auto held = writer_.hold_point(last); !held)
    return "the newest recovery point cannot be held: " + held.error().message();
  const auto hash = store_.points().hash_of(last);
  if (!hash) return "the newest recovery point cannot be read: " + hash.error().message();
  if (*hash != record.point_hash) return fmt::format("{} is not as it was when the clone was kept", record.point);
  const auto point = store_.points().load(last);
  if (!point) return "the newest recovery point cannot be read: " + point.error().message();
  const DiskRecord* const base = point->disk(disk.name);
  if (base == nullptr) return fmt::format("{} has no such disk", record.point);
  if (record.format != clone_format(disk.image))
    return fmt::format("the image was read as {} for {}", to_string(record.format), record.point);
  plan.base = IngestBase{&store_.chunks(), base->map};
  return std::nullopt;
}

std::string Tracking::points_in_doubt(const TrackingRecord& record) {
  const auto points = store_.points().list_written(machine_);
  const auto read_whole = PointName::parse(record.full_read_point);
  if (!points || !read_whole) return "those since " + record.full_read_point;
  const WrittenOrder order = store_.points().order_of(machine_);
  std::string named;
  std::size_t count = 0;
  // The record's point is the last that was written.
  for (const PointName& point : *points) {
    if (!order.before(read_whole->time, point.time)) continue;
    if (++count <= kPointsNamed) named += (named.empty() ? "" : ", ") + point.text();
  }
  if (count == 0) return "none";
  if (count > kPointsNamed) named += fmt::format(" and {} more, up to {}", count - kPointsNamed, record.point);
  return named;
}

Result<void> Tracking::compare(const DiskSettings& disk, DiskPlan& plan, const MapRecord& now) {
  if (!plan.tracker || !plan.base) return {};
  // The new map's nodes must be found to be read.
  CAIRN_CHECK(writer_.flush());
  Differences differences;
  auto compared = visit_differences(
      store_.chunks(), plan.base->map, now, store_.info().chunk_size, [&](ByteRange chunk) -> Result<void> {
        if (job_.stop().stop_requested())
          return fail(ErrorCode::cancelled, "back up", machine_, "it was asked to stop");
        std::uint64_t unchanged = 0;
        plan.tracker->visit_unchanged(chunk, [&](ByteRange part) { unchanged += part.size; });
        if (unchanged == chunk.size) differences.add(chunk);
        return {};
      });
  if (!compared && compared.error().code == ErrorCode::cancelled) return compared;
  if (!compared) {
    // The previous point is damaged; this one is whole, and the next begins from it.
    job_.warn(fmt::format("disk {}: the full read could not be compared with {}: {}", disk.name, plan.record->point,
                          compared.error().message()));
    return {};
  }
  if (!plan.tracker->trouble().empty()) return {};  // it vouched for nothing more, so nothing can be said of it
  plan.record->distrusted = differences.count != 0;
  if (differences.count == 0) return {};
  const Error error{ErrorCode::tracking_wrong,
                    "vouch for changes of",
                    fmt::format("{}/{}", machine_, disk.name),
                    fmt::format("change tracking said that {} had not changed, and a full read found that they "
                                "had. This recovery point is right. Doubtful there are: {}",
                                differences.text(), points_in_doubt(*plan.record)),
                    0,
                    {}};
  log_error("tracking-wrong", error.object, error);
  job_.warn(fmt::format("disk {}: {} [{}]", disk.name, error.message(), error.name()));
  return {};
}

Result<TrackingRecord> Tracking::keep_new(const DiskSettings& disk, const ImageReader& image, const DiskPlan& plan,
                                          const PointName& point) {
  TrackingRecord record;
  record.settings = inputs_.settings;
  record.store = store_.info().id;
  record.chunk_size = store_.info().chunk_size;
  record.machine = machine_;
  record.disk = disk.name;
  record.image = disk.image.text();
  record.format = clone_format(disk.image);
  record.below = plan.below;
  record.point = point.text();
  record.epoch = epoch_;
  const bool went_on = plan.only_changes() && plan.record;
  record.full_read = went_on ? plan.record->full_read : started_;
  record.full_read_point = went_on ? plan.record->full_read_point : record.point;
  record.distrusted = plan.record && plan.record->distrusted;
  CAIRN_TRY(record.point_hash, store_.points().hash_of(point));
  CAIRN_TRY(record.clone, keep_clone(image.fd(), image.clone_folder(), clone_prefix(disk.name) + random_hex()));
  auto put =
      inputs_.place.records->put(record_object(machine_, disk.name), as_bytes(write_record(record)), IfExists::replace);
  if (!put) {
    // It may be there all the same; without its clone it is passed over.
    static_cast<void>(remove_kept_clone(record.clone));
    return pass_on(std::move(put).error());
  }
  return record;
}

void Tracking::keep(const DiskSettings& disk, const ImageReader& image, DiskPlan& plan, const PointName& point) {
  if (!inputs_.place.records) return;
  plan.tracker.reset();
  plan.before = UniqueFd();
  std::filesystem::path kept;
  if (inputs_.enabled && !image.clone_folder().empty()) {
    const auto record = keep_new(disk, image, plan, point);
    if (record) {
      kept = record->clone.path;
      // From here on the old clone is of no use to anyone.
      if (plan.record) {
        static_cast<void>(remove_kept_clone(plan.record->clone));
        remove_clone_folder(plan.record->clone.path.parent_path());  // when the setting names another one now
      }
    } else {
      job_.warn(fmt::format("disk {}: {} [{}]", disk.name, record.error().message(), record.error().name()));
    }
  }
  if (kept.empty() && plan.record) drop_clone(*inputs_.place.records, *plan.record);
  // What an earlier run left when it was broken off, and clones whose record was lost.
  if (disk.image.kind != DiskSource::Kind::local) return;  // beside a socket nothing was ever kept
  const std::filesystem::path folder = clone_folder_of(disk.image.path, inputs_.clones);
  remove_other_clones(folder, clone_prefix(disk.name), kept);
  if (kept.empty()) remove_clone_folder(folder);
}

void sweep_clones(const TrackingInputs& inputs) {
  if (!inputs.place.records || !inputs.is_known) return;
  const auto objects = inputs.place.records->list("disks/");
  if (!objects) return;
  for (const std::string& object : *objects) {
    const auto bytes = inputs.place.records->get(object, kMaxRecordBytes);
    if (!bytes) continue;
    const auto record = read_record(as_text(*bytes));
    // Another settings file may use the same state directory and store: its disks are its own.
    if (!record || record->settings != inputs.settings || inputs.is_known(record->machine, record->disk)) continue;
    if (object != record_object(record->machine, record->disk)) continue;
    drop_clone(*inputs.place.records, *record);
    log_event(LogLevel::info, "clone-removed", record->machine + "/" + record->disk,
              {{"clone", record->clone.path.string()}, {"reason", "the disk is not in the settings any more"}});
  }
}

void sweep_clones(const Settings& settings, const TrackingPlace& place) {
  TrackingInputs inputs;
  inputs.place = place;
  inputs.settings = settings.file.string();
  inputs.is_known = disks_of(settings);
  sweep_clones(inputs);
}

}  // namespace cairn
