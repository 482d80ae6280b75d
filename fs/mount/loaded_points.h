// SPDX-License-Identifier: GPL-3.0-or-later
// LoadedPoints: documents of recovery points in memory, the least recently used given up first; bounded in number and
// bytes. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/base/guarded.h"
#include "config/base/lru.h"
#include "config/base/result.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

// What the tree needs of a store; tests replace it. Any thread. Calls as Store has them.
class PointSource {
 public:
  virtual ~PointSource() = default;
  virtual Result<std::vector<PointName>> list_points() = 0;
  virtual Result<std::optional<std::uint64_t>> points_token() = 0;
  // Of each machine among `names` (sorted) the point that was written last.
  virtual Result<std::vector<PointName>> latest_points(const std::vector<PointName>& names) = 0;
  virtual Result<RecoveryPoint> load_point(const PointName& name) = 0;
};

// A disk or a header of a point, as a file.
struct PointImage {
  std::string file_name;  // "root.img", "root.luks2"
  std::string object;     // in messages: "web-01@20261121T020000Z/root"
  MapRecord map;
};

// A point as the mount shows it. Constant.
struct LoadedPoint {
  PointName name;
  std::vector<PointImage> disks;
  std::vector<PointImage> headers;
  std::string document;                   // recovery-point.json
  std::optional<std::string> definition;  // machine.xml
  [[nodiscard]] std::size_t memory_bytes() const;
};

// Header names that could not be file names are left out.
LoadedPoint lay_out_point(RecoveryPoint point);

class LoadedPoints {
 public:
  // Points that somebody still holds (open files) are found again without loading, and are not counted once given up.
  explicit LoadedPoints(PointSource& source, std::size_t max_points = 256, std::size_t max_bytes = 32 * 1024 * 1024);

  // Errors: as PointSource::load_point. Failures are not kept.
  Result<std::shared_ptr<const LoadedPoint>> get(std::uint64_t serial, const PointName& name);
  // Without loading: null when it is not in memory.
  std::shared_ptr<const LoadedPoint> find(std::uint64_t serial);
  // Gives the point up; who holds it keeps it.
  void drop(std::uint64_t serial);
  [[nodiscard]] std::size_t kept_points() const;
  [[nodiscard]] std::size_t kept_bytes() const;

 private:
  using SharedPoint = std::shared_ptr<const LoadedPoint>;
  struct Points {
    Lru<std::uint64_t, SharedPoint> kept;                                        // by serial; costs: bytes
    std::unordered_map<std::uint64_t, std::weak_ptr<const LoadedPoint>> in_use;  // given up, perhaps still held
    SharedPoint find(std::uint64_t serial);
    void give_up(const Lru<std::uint64_t, SharedPoint>::Entries& points);
  };

  PointSource& source_;
  const std::size_t max_points_;
  Guarded<Points> points_;  // not locked while loading
};

}  // namespace cairn
