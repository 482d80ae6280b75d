// SPDX-License-Identifier: GPL-3.0-or-later
// NbdImage: a disk that an NBD server gives, as the backup reads it. What holds no data is told by "base:allocation".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/base/guarded.h"
#include "config/base/result.h"
#include "config/disk_source.h"
#include "fs/image/image_reader.h"
#include "fs/image/nbd_connections.h"

namespace cairn {

// The one reader of NBD exports. Nothing can be said of changes: is_snapshot() is false, and changed_underneath() says
// that it is not known, whatever the server does. extent_at() by any thread.
class NbdImage : public ImageReader {
 public:
  explicit NbdImage(std::unique_ptr<NbdConnections> server) : server_(std::move(server)) {}

  [[nodiscard]] std::uint64_t size() const override { return server_->size(); }
  Result<ImageExtent> extent_at(std::uint64_t offset) override;
  Result<void> read(std::uint64_t offset, MutableBytes to) override { return server_->read(offset, to); }
  [[nodiscard]] int fd() const override { return -1; }
  Result<std::optional<ImageChange>> changed_underneath() override;
  [[nodiscard]] std::string how() const override { return "NBD"; }
  [[nodiscard]] std::string note() const override;
  [[nodiscard]] std::string why_not_keepable() const override { return "an NBD server does not say what changed"; }

 private:
  // The extents that were asked for last, ascending and without gaps.
  struct Window {
    std::vector<NbdExtent> extents;
  };
  Result<std::vector<NbdExtent>> ask(std::uint64_t from);

  std::unique_ptr<NbdConnections> server_;
  Guarded<Window> window_;
};

// Opens the disk that `source` (of Kind::nbd) names. Errors: those of NbdConnections::open().
Result<std::unique_ptr<ImageReader>> open_nbd_image(const DiskSource& source, NbdLimits limits = {});

}  // namespace cairn
