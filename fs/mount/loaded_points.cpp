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
    loaded.disks.push_back({disk.file_name(), prefix + disk.name, disk.map});
    for (HeaderRecord& header : disk.headers)
      if (is_file_name(header.name))
        loaded.headers.push_back({header.name, prefix + "headers/" + header.name, header.map});
  }
  loaded.definition = std::move(point.definition);
  return loaded;
}

LoadedPoints::LoadedPoints(PointSource& source, std::size_t max_points, std::size_t max_bytes)
    : source_(source),
      max_points_(max_points),
      points_({.kept = Lru<std::uint64_t, SharedPoint>({.entries = max_points, .cost = max_bytes}), .in_use = {}}) {}

Result<std::shared_ptr<const LoadedPoint>> LoadedPoints::get(std::uint64_t serial, const PointName& name) {
  if (auto known = find(serial)) return known;
  // Two threads may load the same point at once: it costs a document, and waiting for each other would cost a lock.
  CAIRN_TRY(RecoveryPoint point, source_.load_point(name));
  auto loaded = std::make_shared<const LoadedPoint>(lay_out_point(std::move(point)));
  const auto points = points_.lock();
  if (auto known = points->find(serial)) return known;
  const std::size_t bytes = loaded->memory_bytes();
  points->give_up(points->kept.keep(serial, loaded, bytes));
  // Dead entries go when they outnumber what is kept: their number stays bounded by the open files and this.
  if (points->in_use.size() > 2 * max_points_)
    std::erase_if(points->in_use, [](const auto& entry) { return entry.second.expired(); });
  return loaded;
}

std::shared_ptr<const LoadedPoint> LoadedPoints::find(std::uint64_t serial) {
  return points_.lock()->find(serial);
}

LoadedPoints::SharedPoint LoadedPoints::Points::find(std::uint64_t serial) {
  if (const SharedPoint* point = kept.find(serial)) return *point;
  const auto held = in_use.find(serial);
  if (held == in_use.end()) return nullptr;
  auto point = held->second.lock();
  if (!point) in_use.erase(held);
  return point;
}

void LoadedPoints::Points::give_up(const Lru<std::uint64_t, SharedPoint>::Entries& points) {
  for (const auto& entry : points) in_use[entry.key] = entry.value;
}

void LoadedPoints::drop(std::uint64_t serial) {
  const auto points = points_.lock();
  points->give_up(points->kept.drop(serial));
}

std::size_t LoadedPoints::kept_points() const {
  return points_.lock()->kept.size();
}

std::size_t LoadedPoints::kept_bytes() const {
  return points_.lock()->kept.cost();
}

}  // namespace cairn
