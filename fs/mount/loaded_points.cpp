// SPDX-License-Identifier: GPL-3.0-or-later
// LoadedPoints: see loaded_points.h.
#include "fs/mount/loaded_points.h"

#include <nlohmann/json.hpp>

#include "config/base/json.h"

namespace cairn {
namespace {

constexpr std::size_t kMaxFileName = 255;  // NAME_MAX

bool is_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= kMaxFileName &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

}  // namespace

std::size_t LoadedPoint::memory_bytes() const {
  std::size_t bytes = sizeof(*this) + document.capacity() + (definition ? definition->capacity() : 0);
  for (const auto* images : {&disks, &headers})
    for (const PointImage& image : *images)
      bytes += sizeof(image) + image.file_name.capacity() + image.object.capacity();
  return bytes;
}

LoadedPoint lay_out_point(RecoveryPoint point) {
  LoadedPoint loaded;
  loaded.name = point.name;
  // Bytes that are not UTF-8 (a strange label) are replaced: a document that can be shown beats an error.
  loaded.document = json_text(to_json(point), JsonForm::pretty);
  const std::string prefix = point.name.text() + "/";
  for (DiskRecord& disk : point.disks) {
    loaded.disks.push_back({disk.name + ".img", prefix + disk.name, disk.map});
    for (HeaderRecord& header : disk.headers)
      if (is_file_name(header.name))
        loaded.headers.push_back({header.name, prefix + "headers/" + header.name, header.map});
  }
  loaded.definition = std::move(point.definition);
  return loaded;
}

LoadedPoints::LoadedPoints(PointSource& source, std::size_t max_points, std::size_t max_bytes)
    : source_(source), max_points_(max_points), max_bytes_(max_bytes) {}

Result<std::shared_ptr<const LoadedPoint>> LoadedPoints::get(std::uint64_t serial, const PointName& name) {
  if (auto known = find(serial)) return known;
  // Two threads may load the same point at once: it costs a document, and waiting for each other would cost a lock.
  CAIRN_TRY(RecoveryPoint point, source_.load_point(name));
  auto loaded = std::make_shared<const LoadedPoint>(lay_out_point(std::move(point)));
  const std::lock_guard lock(mutex_);
  if (auto known = find_locked(serial)) return known;
  keep_locked(serial, loaded);
  return loaded;
}

std::shared_ptr<const LoadedPoint> LoadedPoints::find(std::uint64_t serial) {
  const std::lock_guard lock(mutex_);
  return find_locked(serial);
}

std::shared_ptr<const LoadedPoint> LoadedPoints::find_locked(std::uint64_t serial) {
  if (const auto kept = kept_.find(serial); kept != kept_.end()) {
    recent_.splice(recent_.begin(), recent_, kept->second);
    return kept->second->point;
  }
  const auto in_use = in_use_.find(serial);
  if (in_use == in_use_.end()) return nullptr;
  auto point = in_use->second.lock();
  if (!point) in_use_.erase(in_use);
  return point;
}

void LoadedPoints::keep_locked(std::uint64_t serial, std::shared_ptr<const LoadedPoint> point) {
  const std::size_t bytes = point->memory_bytes();
  recent_.push_front({serial, std::move(point), bytes});
  kept_[serial] = recent_.begin();
  bytes_ += bytes;
  while (!recent_.empty() && (recent_.size() > max_points_ || bytes_ > max_bytes_))
    give_up_locked(std::prev(recent_.end()));
  // Dead entries go when they outnumber what is kept: their number stays bounded by the open files and this.
  if (in_use_.size() > 2 * max_points_)
    std::erase_if(in_use_, [](const auto& entry) { return entry.second.expired(); });
}

void LoadedPoints::give_up_locked(std::list<Kept>::iterator kept) {
  in_use_[kept->serial] = kept->point;
  bytes_ -= kept->bytes;
  kept_.erase(kept->serial);
  recent_.erase(kept);
}

void LoadedPoints::drop(std::uint64_t serial) {
  const std::lock_guard lock(mutex_);
  if (const auto kept = kept_.find(serial); kept != kept_.end()) give_up_locked(kept->second);
}

std::size_t LoadedPoints::kept_points() const {
  const std::lock_guard lock(mutex_);
  return recent_.size();
}

std::size_t LoadedPoints::kept_bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace cairn
