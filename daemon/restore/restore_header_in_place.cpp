// SPDX-License-Identifier: GPL-3.0-or-later
// Header restore in place: look at what is there, save it, write, read back. All that will be written is read from the
// store before the first byte of the device changes.
#include <fcntl.h>
#include <fmt/core.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/base/json.h"
#include "config/base/ranges.h"
#include "config/base/unique_fd.h"
#include "crypto/volume/contents.h"
#include "crypto/volume/fd_source.h"
#include "crypto/volume/partitions.h"
#include "crypto/volume/segments.h"
#include "crypto/volume/volume_source.h"
#include "daemon/keys/stored_headers.h"
#include "daemon/queue/job.h"
#include "daemon/restore/restore.h"
#include "daemon/restore/restore_header.h"
#include "daemon/restore/restore_target.h"
#include "daemon/restore/restored_keys.h"
#include "daemon/restore/target_device.h"
#include "fs/file/direct_io.h"
#include "fs/store/map/disk_reader.h"
#include "fs/store/store.h"

namespace cairn {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// Bytes of the disk, from `offset` on.
struct Area {
  std::uint64_t offset = 0;
  Buffer stored;   // what the recovery point has
  Buffer present;  // what is on the device
};

// As one word of a command line of the shell.
std::string shell_word(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/._-+:@%").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string in_words(const VolumeFacts& volume) {
  return fmt::format("a {} volume with UUID {} at byte {}", to_string(volume.type),
                     volume.uuid.empty() ? "unknown" : volume.uuid, volume.place.offset);
}

bool overlap(const ByteRange& a, const ByteRange& b) {
  return a.offset < b.offset + b.size && b.offset < a.offset + a.size;
}

// It can still be opened, or could be by its slots: losing it would hurt.
bool is_usable(const VolumeFacts& volume) {
  return volume.damage.empty() || !volume.slots.empty();
}

const VolumeFacts* volume_at(const DiskFacts& facts, std::uint64_t offset) {
  for (const VolumeFacts& volume : facts.volumes)
    if (volume.place.offset == offset) return &volume;
  return nullptr;
}

// "sound", "damaged: ...", "not recognised"
std::string state_of(const DiskFacts& facts, const VolumeFacts& wanted) {
  const VolumeFacts* there = volume_at(facts, wanted.place.offset);
  if (there == nullptr) return "not recognised";
  std::string state = there->damage.empty() ? "sound" : "damaged: " + there->damage;
  if (there->type == wanted.type && there->uuid == wanted.uuid) return state;
  return state.append(": ").append(in_words(*there));
}

class HeaderInPlace {
 public:
  HeaderInPlace(Store& store, const HeaderInPlaceTask& task, const Clock& clock, const DiskRecord& disk,
                std::vector<StoredHeader> headers, TargetDevice device)
      : store_(store),
        task_(task),
        clock_(clock),
        disk_(disk),
        headers_(std::move(headers)),
        device_(std::move(device)) {}

  Result<json> run() {
    CAIRN_CHECK(check_size());
    CAIRN_TRY(const DiskFacts before, probe_disk(device_.fd(), device_.size(), device_.path()));
    CAIRN_TRY(const std::vector<std::string> objections, object_to(before));
    if (!objections.empty() && !task_.force)
      return fail(ErrorCode::header_differs, kRestoringHeader, device_.path(),
                  fmt::format("{}", fmt::join(objections, "; ")),
                  "check that it is the right device; if what is there is to be given up: --force");
    CAIRN_CHECK(read_both());
    json result = {{"machine", task_.point.machine}, {"point", task_.point.stamp()},
                   {"name", task_.point.text()},     {"disk", disk_.name},
                   {"device", device_.path()},       {"written_bytes", 0},
                   {"put_back", json::array()},      {"overridden", objections}};
    const bool same = std::all_of(areas_.begin(), areas_.end(), [](const Area& a) { return a.stored == a.present; });
    if (!same) {
      CAIRN_CHECK(save());
      CAIRN_CHECK(write());
      result["saved"] = saved_.string();
      result["put_back"] = put_back();
      result["written_bytes"] = size_of_areas();
    }
    CAIRN_TRY(const DiskFacts after, probe_disk(device_.fd(), device_.size(), device_.path()));
    result["headers"] = rows(before, after);
    return result;
  }

 private:
  Result<void> check_size() const {
    for (const StoredHeader& header : headers_) {
      std::uint64_t end = 0;
      for (const ByteRange& area : header.areas)
        for (const ByteRange& place : places_of(*header.volume, area)) end = std::max(end, end_of(place));
      if (end > device_.size())
        return fail(
            ErrorCode::header_differs, kRestoringHeader, device_.path(),
            fmt::format("it ends at byte {}, and the header {} at byte {}", device_.size(), header.record->name, end),
            "name the device of the whole disk, not of a partition or another disk");
    }
    return {};
  }

  // Why the header should not be written to what is there. Errors: io_error.
  Result<std::vector<std::string>> object_to(const DiskFacts& present) const {
    std::vector<std::string> objections;
    if (device_.size() != disk_.map.size)
      objections.push_back(fmt::format("it has {} bytes, and the disk had {}", device_.size(), disk_.map.size));
    if (present.format && present.format->suffix != disk_.stored_as)
      objections.push_back(fmt::format(
          "it looks like a {} file: the header belongs to the disk inside, which qemu-nbd gives as a device, "
          "and written here it would destroy the file",
          present.format->name));
    std::vector<std::string> remarks;
    FdSource source(device_.fd(), device_.size(), device_.path());
    CAIRN_TRY(const PartitionTable table, read_partitions(source, device_.path(), remarks));
    for (const StoredHeader& header : headers_) {
      const VolumeFacts& wanted = *header.volume;
      const VolumeFacts* there = volume_at(present, wanted.place.offset);
      if (there != nullptr && there->type == wanted.type && there->uuid == wanted.uuid) {
        if (there->damage.empty() && !wanted.damage.empty())
          objections.push_back(
              fmt::format("its header is sound, and the one in the recovery point is damaged: {}", wanted.damage));
        continue;
      }
      const std::size_t before = objections.size();
      for (const VolumeFacts& other : present.volumes)
        if (is_usable(other) && overlap(other.place, wanted.place))
          objections.push_back(fmt::format("it holds {}; the header is that of {}", in_words(other), in_words(wanted)));
      if (objections.size() != before || there != nullptr) continue;
      CAIRN_CHECK(object_to_contents(wanted, table, objections));
    }
    return objections;
  }

  // No volume is where one was: is something else there?
  Result<void> object_to_contents(const VolumeFacts& wanted, const PartitionTable& table,
                                  std::vector<std::string>& objections) const {
    // A volume of LVM or md begins somewhere inside of its partition.
    const auto starts_there = [&](const Partition& partition) {
      if (wanted.within.empty()) return partition.place.offset == wanted.place.offset;
      return wanted.partition == partition.number && partition.place.offset <= wanted.place.offset;
    };
    if (!table.type.empty() && (wanted.within.empty() || wanted.partition != 0) &&
        std::none_of(table.partitions.begin(), table.partitions.end(), starts_there)) {
      objections.push_back(fmt::format("it has a partition table ({}) without a partition at byte {}, where {} was",
                                       table.type, wanted.place.offset, in_words(wanted)));
      return {};
    }
    const ByteRange place = {wanted.place.offset, std::min(wanted.place.size, device_.size() - wanted.place.offset)};
    FdSource source(device_.fd(), device_.size(), device_.path());
    SegmentedSource pieces(source, wanted);
    const VolumeSource look = wanted.segments.empty()
                                  ? VolumeSource{source, wanted.partition, place, device_.path()}
                                  : VolumeSource{pieces, wanted.partition, {0, wanted.place.size}, device_.path()};
    CAIRN_TRY(const std::string contents, contents_in_words(look));
    if (!contents.empty())
      objections.push_back(fmt::format("{} lie at byte {}, where {} was", contents, place.offset, in_words(wanted)));
    return {};
  }

  Result<void> read_both() {
    for (const StoredHeader& header : headers_) {
      const auto reader =
          store_.open_disk(header.record->map, fmt::format("{}/{}", task_.point.text(), header.record->name));
      for (const ByteRange& range : header.areas) {
        std::uint64_t offset = range.offset;
        for (const ByteRange& place : places_of(*header.volume, range)) {
          const auto size = static_cast<std::size_t>(place.size);
          Area area{place.offset, Buffer(size), Buffer(size)};
          CAIRN_CHECK(read_header(*reader, offset, area.stored));
          CAIRN_CHECK(device_.read(area.offset, area.present));
          areas_.push_back(std::move(area));
          offset += place.size;
        }
      }
    }
    std::sort(areas_.begin(), areas_.end(), [](const Area& a, const Area& b) { return a.offset < b.offset; });
    return {};
  }

  [[nodiscard]] std::uint64_t size_of_areas() const {
    std::uint64_t size = 0;
    for (const Area& area : areas_) size += area.stored.size();
    return size;
  }

  // One command for each area. Holes of the saved file are bytes too, so they are written.
  [[nodiscard]] std::vector<std::string> put_back() const {
    std::vector<std::string> commands;
    for (const Area& area : areas_)
      commands.push_back(fmt::format(
          "dd if={} of={} bs=64K skip={} seek={} count={} iflag=skip_bytes,count_bytes "
          "oflag=seek_bytes conv=notrunc,fsync",
          shell_word(saved_.string()), shell_word(device_.path()), area.offset, area.offset, area.present.size()));
    return commands;
  }

  Result<void> save() {
    CAIRN_TRY(const Folder folder, make_folder());
    const std::string stem = fmt::format("{}-{}-{}", task_.point.machine, disk_.name, compact_time(clock_.now()));
    // The name may be taken: two in a second.
    std::string name;
    for (int number = 1; number <= 100; ++number) {
      name = number == 1 ? stem + ".header" : fmt::format("{}-{}.header", stem, number);
      saved_ = task_.keep_in / name;
      auto done = save_as(folder, name);
      if (done || done.error().code != ErrorCode::target_exists) return done;
    }
    return fail(ErrorCode::target_exists, "save what is overwritten as", saved_.string());
  }

  Result<Folder> make_folder() const {
    const auto no_state_dir = [&](Error error) {
      error.doing = "save what is overwritten in";
      if (error.code == ErrorCode::object_missing) error.code = ErrorCode::target_missing;
      return pass_on(std::move(error));
    };
    auto above = Folder::open(task_.keep_in.parent_path(), Folder::Links::own);
    if (!above) return no_state_dir(std::move(above).error());
    auto folder = above->make_folder(task_.keep_in.filename().string());
    if (!folder) return no_state_dir(std::move(folder).error());
    return folder;
  }

  Result<void> save_as(const Folder& folder, const std::string& name) const {
    CAIRN_TRY(RestoreTarget file,
              RestoreTarget::create(folder, name, areas_.back().offset + areas_.back().present.size()));
    std::vector<ByteRange> covers;
    for (const Area& area : areas_) {
      const std::uint64_t begin = direct_floor(area.offset);
      covers.push_back({begin, direct_ceiling(area.offset + area.present.size()) - begin});
    }
    BulkBuffer memory;
    for (const ByteRange& cover : tidy_ranges(std::move(covers), direct_ceiling(device_.size()))) {
      const MutableBytes blocks = room_in(memory, static_cast<std::size_t>(cover.size));
      std::ranges::fill(blocks, std::uint8_t{0});
      for (const Area& area : areas_)
        if (area.offset >= cover.offset && area.offset < cover.offset + cover.size)
          std::ranges::copy(area.present, blocks.begin() + static_cast<std::ptrdiff_t>(area.offset - cover.offset));
      CAIRN_CHECK(file.write(cover.offset, blocks));
    }
    CAIRN_CHECK(file.publish(IfExists::fail));
    return write_description(folder, name + ".json");
  }

  // Beside the saved bytes, for whoever finds them in a year.
  Result<void> write_description(const Folder& folder, const std::string& name) const {
    json areas = json::array();
    for (const Area& area : areas_) areas.push_back({{"offset", area.offset}, {"size", area.present.size()}});
    const json document = {{"what", "bytes of the device that a restored header has replaced, at their offsets"},
                           {"time", iso_time(clock_.now())},
                           {"device", device_.path()},
                           {"device_size", device_.size()},
                           {"replaced_by", fmt::format("{}/{}", task_.point.text(), disk_.name)},
                           {"areas", std::move(areas)},
                           {"put_back", put_back()}};
    const std::string text = json_text(document, JsonForm::pretty);
    CAIRN_TRY(RestoreTarget file, RestoreTarget::create(folder, name, text.size()));
    BulkBuffer memory;
    const MutableBytes blocks = room_in(memory, direct_ceiling(text.size()));
    std::ranges::fill(blocks, std::uint8_t{0});
    std::ranges::copy(as_bytes(text), blocks.begin());
    CAIRN_CHECK(file.write(0, blocks));
    return file.publish(IfExists::replace);
  }

  Result<void> write() {
    for (std::size_t i = 0; i < areas_.size(); ++i) {
      ByteCount written;
      auto done = device_.write(ByteOffset(areas_[i].offset), areas_[i].stored, written);
      if (!done) return broken_off(std::move(done).error(), i, written);
    }
    auto done = device_.sync();
    for (std::size_t i = 0; done && i < areas_.size(); ++i) done = verify(areas_[i]);
    if (done) return {};
    Error error = std::move(done).error();
    error.because += fmt::format("{}all {} areas of the header were written, but the device does not confirm them; {}",
                                 error.because.empty() ? "" : "; ", areas_.size(), where_saved());
    return with_way_back(std::move(error));
  }

  [[nodiscard]] Result<void> verify(const Area& area) const {
    Buffer now(area.stored.size());
    CAIRN_CHECK(device_.read(area.offset, now));
    if (now == area.stored) return {};
    const auto differs = std::mismatch(now.begin(), now.end(), area.stored.begin()).first;
    return fail(ErrorCode::io_error, kRestoringHeader, device_.path(),
                fmt::format("what is read back differs from what was written, from byte {} on",
                            area.offset + static_cast<std::uint64_t>(differs - now.begin())));
  }

  // What state the device is in when area `index` failed after `written` bytes.
  [[nodiscard]] std::unexpected<Error> broken_off(Error error, std::size_t index, ByteCount written) const {
    const Area& area = areas_[index];
    if (!error.because.empty()) error.because += "; ";
    error.because += fmt::format(
        "of {} header areas {} {} written whole, and of area {} (bytes {} to {}) the first {}; ", areas_.size(), index,
        index == 1 ? "is" : "are", index + 1, area.offset, area.offset + area.stored.size() - 1, written.bytes());
    error.because += "all else is as it was; " + where_saved();
    return with_way_back(std::move(error));
  }
  [[nodiscard]] std::string where_saved() const { return "what was there before is saved in " + saved_.string(); }
  [[nodiscard]] std::unexpected<Error> with_way_back(Error error) const {
    error.resolution = fmt::format("repair the device and run it again, or put back what was there: {}",
                                   fmt::join(put_back(), " && "));
    return pass_on(std::move(error));
  }

  [[nodiscard]] json rows(const DiskFacts& before, const DiskFacts& after) const {
    json rows = json::array();
    for (const StoredHeader& header : headers_) {
      const VolumeFacts& volume = *header.volume;
      json areas = json::array();
      for (const ByteRange& area : header.areas)
        for (const ByteRange& place : places_of(volume, area))
          areas.push_back({{"offset", place.offset}, {"size", place.size}});
      rows.push_back({{"header", header.record->name},
                      {"volume", to_string(volume.type)},
                      {"partition", volume.partition},
                      {"within", volume.within},
                      {"uuid", volume.uuid},
                      {"areas", std::move(areas)},
                      {"in_point", volume.damage.empty() ? "sound" : "damaged: " + volume.damage},
                      {"was", state_of(before, volume)},
                      {"now", state_of(after, volume)}});
    }
    return rows;
  }

  Store& store_;
  const HeaderInPlaceTask& task_;
  const Clock& clock_;
  const DiskRecord& disk_;
  std::vector<StoredHeader> headers_;
  TargetDevice device_;
  std::vector<Area> areas_;  // ascending
  fs::path saved_;
};

}  // namespace

Result<json> restore_header_in_place(Store& store, const HeaderInPlaceTask& task, const Clock& clock) {
  for (const fs::path& path : {task.device, task.keep_in})
    if (!path.is_absolute())
      return fail(ErrorCode::used_wrongly, kRestoringHeader, path.string(), "the path must be an absolute one",
                  "give the whole path, from / on");
  CAIRN_TRY(const auto hold, store.points().hold(task.point));  // it stays until it is restored
  CAIRN_TRY(const RecoveryPoint point, store.points().load(task.point));
  CAIRN_TRY(const auto disks, wanted_disks(point, task.disk));
  const DiskRecord& disk = *disks.front();
  CAIRN_TRY(auto headers, stored_headers(disk, task.point));
  const std::string object = fmt::format("{}/{}", task.point.text(), task.disk);
  if (headers.empty()) {
    const bool known = disk.facts.encryption() == DiskEncryption::not_encrypted;
    return fail(ErrorCode::no_such_header, "restore the header of", object,
                known ? "the disk was not encrypted" : "no encrypted volume was recognised on the disk");
  }
  // It belongs into a file, not onto the disk.
  std::erase_if(headers, [](const StoredHeader& header) { return !header.volume->detached.empty(); });
  if (headers.empty())
    return fail(ErrorCode::no_such_header, "restore the header of", object,
                "its header is a detached one, which does not lie on the disk",
                "write it to a file: --header-only --to DIRECTORY");
  CAIRN_TRY(TargetDevice device, TargetDevice::open(task.device));
  CAIRN_TRY(json result, HeaderInPlace(store, task, clock, disk, std::move(headers), std::move(device)).run());
  JobContext job;
  for (std::string& warning : point_warnings(point, task.disk, task.now)) job.warn(std::move(warning));
  result["keys"] = keys_at_hand(store, point, disks, task.open_vault, job);
  result["warnings"] = job.view().warnings;
  return result;
}

}  // namespace cairn
