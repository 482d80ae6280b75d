// SPDX-License-Identifier: GPL-3.0-or-later
// The restore job: see restore.h. Zero chunks are never written, so holes stay holes.
#include "daemon/restore/restore.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "config/base/error.h"
#include "config/base/exception_door.h"
#include "config/base/guarded.h"
#include "config/base/json.h"
#include "config/base/ranges.h"
#include "config/base/stop_scope.h"
#include "config/base/units.h"
#include "daemon/queue/job.h"
#include "daemon/restore/image_in_use.h"
#include "daemon/restore/restore_target.h"
#include "daemon/restore/restored_keys.h"
#include "fs/file/direct_io.h"
#include "fs/store/map/disk_map.h"
#include "fs/store/map/disk_reader.h"
#include "fs/store/store.h"
#include "fs/store/verify/damage.h"

namespace cairn {
namespace {

using nlohmann::json;

// What a thread takes at a time, or one chunk, if that is larger: more does not make the disk faster, and what is
// opened leaves the processor's cache before it is written.
constexpr std::uint64_t kClaim = 1 * kMiB;
static_assert(kMinChunkSize % kDirectBlock == 0);
// So many pieces of what is lost are kept before neighbours are made one.
constexpr std::size_t kMergeAtLeast = 4096;
// More than cores: those that wait for the disk leave the cores to the others.
constexpr unsigned kMinThreads = 4;
constexpr unsigned kMaxThreads = 8;

enum class OnDamage { fail, leave_zeros };

// What became of a disk.
struct Written {
  std::uint64_t bytes = 0;      // in chunks that were written
  std::vector<ByteRange> lost;  // could not be read: whole chunks, sorted, merged
};

// Writes one disk: threads claim pieces of it, in the disk's order, open their chunks straight into a buffer and write
// from there. So each thread has one request under way, reading or writing, while others decrypt.
class DiskWriter {
 public:
  DiskWriter(Store& store, DiskReader& disk, RestoreTarget& target, JobContext& job, OnDamage on_damage)
      : store_(store), disk_(disk), target_(target), job_(job), on_damage_(on_damage) {}

  // With leave_zeros no damage is an error, unless nothing is left to write for it.
  Result<Written> run() {
    const unsigned count = std::clamp(2 * std::thread::hardware_concurrency(), kMinThreads, kMaxThreads);
    {
      std::vector<std::jthread> threads;
      for (unsigned i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
    }
    const auto shared = shared_.lock();
    if (shared->error) return pass_on(*std::move(shared->error));
    if (shared->first_lost && written_ == 0) return nothing_left(*shared->first_lost);
    merge_ranges(shared->lost);
    return Written{written_, std::move(shared->lost)};
  }

 private:
  // What the threads share.
  struct Shared {
    std::uint64_t next = 0;      // where claiming goes on
    std::optional<Error> error;  // the first
    std::vector<ByteRange> lost;
    std::size_t merge_at = kMergeAtLeast;
    std::optional<Error> first_lost;  // the first that was met

    void lose(ByteRange range, const Error& because) {
      if (!first_lost) first_lost = because;
      lost.push_back(range);
      if (lost.size() < merge_at) return;
      // Neighbours come from several threads; that they are one keeps the list as short as what is reported in the end.
      merge_ranges(lost);
      merge_at = std::max(kMergeAtLeast, 2 * lost.size());
    }
  };

  // A piece of the disk that begins with a chunk that holds data.
  struct Claim {
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };

  // Opens chunks to their places in the claim's buffer.
  class Receiver : public ChunkReceiver {
   public:
    Receiver(const DiskReader& disk, std::uint64_t first, MutableBytes buffer, std::span<const std::size_t> places,
             OnDamage on_damage)
        : disk_(disk), first_(first), buffer_(buffer), places_(places), on_damage_(on_damage) {}
    MutableBytes room(std::size_t index, std::size_t bytes) override {
      const std::size_t place = places_[index];
      if (bytes == disk_.chunk_bytes(first_ + place)) return buffer_.subspan(place * disk_.chunk_size(), bytes);
      keep_error(place, fail(ErrorCode::map_damaged, "read disk", disk_.object(),
                             "a chunk has another length than its place in the disk")
                            .error());
      return {};
    }
    void opened(std::size_t) override {}
    void failed(std::size_t index, Error error) override { keep_error(places_[index], std::move(error)); }
    // The failure that comes first in the disk, if any; without those in lost().
    [[nodiscard]] std::optional<Error>& error() { return error_; }
    // With leave_zeros, the places that are damaged, in any order, and why.
    struct Lost {
      std::size_t place = 0;
      Error because;
    };
    [[nodiscard]] const std::vector<Lost>& lost() const { return lost_; }

   private:
    void keep_error(std::size_t place, Error error) {
      if (on_damage_ == OnDamage::leave_zeros && is_damage_error(error)) {
        lost_.push_back({place, std::move(error)});
        return;
      }
      if (error_ && place > failed_place_) return;
      failed_place_ = place;
      error_ = std::move(error);
    }
    const DiskReader& disk_;
    const std::uint64_t first_;
    const MutableBytes buffer_;
    const std::span<const std::size_t> places_;
    const OnDamage on_damage_;
    std::vector<Lost> lost_;
    std::size_t failed_place_ = 0;
    std::optional<Error> error_;
  };

  // The door: an exception (out of memory) must not leave a thread.
  void work() {
    const StopScope scope(job_.stop());  // it may run in a thread of its own
    auto done = without_exceptions("restore to", target_.path(), [&]() -> Result<void> {
      BulkBuffer buffer;
      for (;;) {
        auto claimed = claim();
        if (!claimed) return pass_on(std::move(claimed).error());
        if (!*claimed) return {};
        CAIRN_CHECK(restore(**claimed, buffer));
      }
    });
    if (!done) give_up(std::move(done).error());
  }

  void give_up(Error error) {
    const auto shared = shared_.lock();
    if (!shared->error) shared->error = std::move(error);
  }

  // The next piece with data, within one claim's size and alignment; nothing when there is none left or something
  // failed. Reads map nodes with the lock held: they are few, and everybody needs the same next one.
  Result<std::optional<Claim>> claim() {
    const auto shared = shared_.lock();
    if (shared->error) return std::optional<Claim>();
    if (job_.stop().stop_requested())
      return fail(ErrorCode::cancelled, "restore to", target_.path(), "it was asked to stop");
    if (shared->next >= disk_.size()) return std::optional<Claim>();
    CAIRN_TRY(const std::optional<std::uint64_t> data, next_data(*shared));
    const std::uint64_t skipped_from = shared->next;
    const std::uint64_t begin = data.value_or(disk_.size());
    const std::uint64_t claim = std::max<std::uint64_t>(kClaim, disk_.chunk_size());
    const std::uint64_t end = std::min(disk_.size(), (begin / claim + 1) * claim);
    shared->next = data ? end : disk_.size();
    job_.add_done(begin - skipped_from);
    if (!data) return std::optional<Claim>();
    return std::optional<Claim>(Claim{begin, end - begin});
  }

  // Where data goes on, past what is lost of the map.
  Result<std::optional<std::uint64_t>> next_data(Shared& shared) {
    if (on_damage_ == OnDamage::fail) return disk_.seek_data(shared.next);
    auto data = disk_.seek_data_past_damage(shared.next,
                                            [&](ByteRange lost, const Error& because) { shared.lose(lost, because); });
    if (data || !is_damage_error(data.error())) return data;
    shared.lose({shared.next, disk_.size() - shared.next}, data.error());  // the root: all there is
    return std::optional<std::uint64_t>();
  }

  std::unexpected<Error> nothing_left(const Error& because) const {
    const std::string why =
        because.because.empty() ? std::string(catalogue_entry(because.code).title) : because.because;
    return fail(because.code, "salvage", disk_.object(),
                fmt::format("nothing of it can be read: {}: {}", because.object, why),
                "restore another recovery point (\"cairn points\"), or see \"cairn verify --repair\"");
  }

  Result<void> restore(const Claim& claim, BulkBuffer& memory) {
    // seek_data gives chunk starts, and a claim's end is a whole number of chunks or the disk's end.
    const std::uint64_t chunk_size = disk_.chunk_size();
    const std::uint64_t first = claim.offset / chunk_size;
    auto named = disk_.chunk_names(first, (claim.size + chunk_size - 1) / chunk_size);
    if (!named) {
      if (on_damage_ == OnDamage::fail || !is_damage_error(named.error())) return pass_on(std::move(named).error());
      shared_.lock()->lose({claim.offset, claim.size}, named.error());
      job_.add_done(claim.size);
      return {};
    }
    std::vector<ChunkName>& names = *named;
    std::vector<std::size_t> places = drop_zero_names(names);  // counted from `first`
    const MutableBytes buffer = room_in(memory, direct_ceiling(claim.size));
    // The disk's end may lie within a block: the target writes whole ones.
    std::ranges::fill(buffer.subspan(claim.size), std::uint8_t{0});
    Receiver receiver(disk_, first, buffer, places, on_damage_);
    store_.chunks().fetch_into(RecordKind::chunk, names, receiver);
    if (receiver.error()) return pass_on(*std::move(receiver.error()));
    if (!receiver.lost().empty()) {
      const auto shared = shared_.lock();
      for (const auto& lost : receiver.lost()) {
        shared->lose({(first + lost.place) * chunk_size, disk_.chunk_bytes(first + lost.place)}, lost.because);
        std::erase(places, lost.place);  // what lies in the buffer there is nothing
      }
    }
    for (std::size_t i = 0; i < places.size();) {
      std::size_t next = i + 1;
      while (next < places.size() && places[next] == places[next - 1] + 1) ++next;
      const std::uint64_t from = places[i] * chunk_size;
      const std::uint64_t end = std::min<std::uint64_t>(buffer.size(), (places[next - 1] + 1) * chunk_size);
      CAIRN_CHECK(target_.write(claim.offset + from, buffer.subspan(from, end - from)));
      written_ += std::min(end, claim.size) - from;
      i = next;
    }
    job_.add_done(claim.size);
    return {};
  }

  Store& store_;
  DiskReader& disk_;
  RestoreTarget& target_;
  JobContext& job_;
  const OnDamage on_damage_;
  std::atomic<std::uint64_t> written_ = 0;
  Guarded<Shared> shared_;
};

// What can be done about damage besides repairing it.
Error naming_salvage(Error error) {
  if (!is_damage_error(error)) return error;
  if (error.resolution.empty()) error.resolution = catalogue_entry(error.code).hint;
  error.resolution += "; or restore with --salvage, which writes all the rest, and zeros in its place";
  return error;
}

// Null: nothing is lost.
json damage_document(const std::vector<ByteRange>& lost) {
  if (lost.empty()) return nullptr;
  std::uint64_t bytes = 0;
  for (const ByteRange& range : lost) bytes += range.size;
  return {{"bytes", bytes}, {"ranges", ranges_json(lost)}};
}

Result<json> restore_disk(Store& store, const RestoreTask& task, const Folder& to, const DiskRecord& record,
                          JobContext& job) {
  CAIRN_TRY(RestoreTarget file, RestoreTarget::create(to, record.file_name(), record.map.size));
  const auto disk = store.open_disk(record.map, fmt::format("{}/{}", task.point.text(), record.name));
  auto written = DiskWriter(store, *disk, file, job, task.flags.salvage ? OnDamage::leave_zeros : OnDamage::fail).run();
  if (!written)
    return pass_on(task.flags.salvage ? std::move(written).error() : naming_salvage(std::move(written).error()));
  // A store that went away meanwhile (unmounted) looks as if all the rest of it were missing: then this fails.
  if (!written->lost.empty()) CAIRN_CHECK(store.points().load(task.point));
  CAIRN_CHECK(check_not_in_use(file.path()));  // again: a machine may have been started meanwhile
  CAIRN_CHECK(file.publish(task.flags.force ? IfExists::replace : IfExists::fail));
  json damaged = damage_document(written->lost);
  if (damaged.is_object())
    job.warn(fmt::format("the disk {} is not whole: {} of {} cannot be read, and are zeros in {}", record.name,
                         format_size(damaged["bytes"].get<std::uint64_t>()), format_size(record.map.size),
                         file.path()));
  return json{{"disk", record.name},
              {"path", file.path()},
              {"size", record.map.size},
              {"data_bytes", written->lost.empty() ? record.map.data_bytes : written->bytes},
              {"consistency", to_string(record.reading.consistency)},
              {"damaged", std::move(damaged)}};
}

Result<void> check_target(const RecoveryPoint& point, const RestoreTask& task, const Folder& to) {
  CAIRN_TRY(const auto disks, wanted_disks(point, task.disk));
  std::uint64_t needed = 0;
  for (const DiskRecord* disk : disks) {
    needed += disk->map.data_bytes;
    CAIRN_CHECK(check_restore_name(to, disk->file_name(), task.flags.force ? IfExists::replace : IfExists::fail));
    if (task.flags.force) CAIRN_CHECK(check_not_in_use(to.path_of(disk->file_name())));
  }
  struct statvfs room{};
  if (fstatvfs(to.fd(), &room) != 0) return fail_errno(errno, "restore to", task.to.string());
  const std::uint64_t free_bytes = static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize;
  if (needed > free_bytes)
    return fail(
        ErrorCode::no_space, "restore to", task.to.string(),
        fmt::format("{} needs {} and {} are free", task.point.text(), format_size(needed), format_size(free_bytes)));
  return {};
}

}  // namespace

Result<std::vector<const DiskRecord*>> wanted_disks(const RecoveryPoint& point,
                                                    const std::optional<std::string>& disk_name) {
  std::vector<const DiskRecord*> disks;
  std::vector<std::string> names;
  for (const DiskRecord& disk : point.disks) {
    names.push_back(disk.name);
    if (!disk_name || *disk_name == disk.name) disks.push_back(&disk);
  }
  if (!disks.empty() || !disk_name) return disks;
  const auto nearest = nearest_name(*disk_name, names);
  return fail(ErrorCode::no_such_disk, "restore", fmt::format("{}/{}", point.name.text(), *disk_name),
              nearest ? fmt::format("the point has no such disk; did you mean \"{}\"?", *nearest)
                      : fmt::format("the point has no such disk, only: {}", fmt::join(names, ", ")));
}

Result<void> check_restore(Store& store, const RestoreTask& task) {
  CAIRN_TRY(const RecoveryPoint point, store.points().load(task.point));
  CAIRN_TRY(const Folder to, open_restore_folder(task.to));
  return check_target(point, task, to);
}

Result<json> run_restore(Store& store, const RestoreTask& task, JobContext& job) {
  const auto began = std::chrono::steady_clock::now();
  job.set_point(task.point.text());
  CAIRN_TRY(const auto hold, store.points().hold(task.point));  // it stays until it is restored
  CAIRN_TRY(const RecoveryPoint point, store.points().load(task.point));
  CAIRN_TRY(const Folder to, open_restore_folder(task.to));  // once, for all disks
  CAIRN_CHECK(check_target(point, task, to));
  CAIRN_TRY(const auto disks, wanted_disks(point, task.disk));
  std::uint64_t total = 0;
  for (const DiskRecord* disk : disks) total += disk->map.size;
  job.set_total(total);
  for (std::string& warning : point_warnings(point, task.disk, task.now)) job.warn(std::move(warning));
  json files = json::array();
  std::optional<Error> lost;  // a disk of which there is nothing
  for (const DiskRecord* disk : disks) {
    auto file = restore_disk(store, task, to, *disk, job);
    if (file) {
      files.push_back(*std::move(file));
      continue;
    }
    if (!task.flags.salvage || !is_damage_error(file.error())) return pass_on(std::move(file).error());
    if (lost) job.warn(file.error().message());
    if (!lost) lost = std::move(file).error();
  }
  json keys = keys_at_hand(store, point, disks, task.open_vault, job);
  if (const auto index = store.unlisted().met())
    job.warn(fmt::format("{} [{}]; the packs were gone by instead", index->message(), index->name()));
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  const bool some = !files.empty();
  json result{{"machine", task.point.machine}, {"point", task.point.stamp()}, {"name", task.point.text()},
              {"to", task.to.string()},        {"files", std::move(files)},   {"keys", std::move(keys)},
              {"duration_ms", took.count()}};
  if (!lost) return result;
  if (some) job.keep_result(json_text(result));
  return pass_on(*std::move(lost));
}

}  // namespace cairn
