// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/keys/detached_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "config/base/units.h"
#include "crypto/volume/detached_header.h"
#include "crypto/volume/guest_file.h"
#include "fs/image/open_image.h"

namespace cairn {
namespace {

// A file that has been read.
class ReadFile final : public ImageReader {
 public:
  ReadFile(Buffer bytes, std::string name) : bytes_(std::move(bytes)), name_(std::move(name)) {}
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }
  Result<ImageExtent> extent_at(std::uint64_t offset) override {
    return ImageExtent{offset, bytes_.size() - offset, ExtentKind::data};
  }
  Result<void> read(std::uint64_t offset, MutableBytes to) override {
    if (offset > bytes_.size() || to.size() > bytes_.size() - offset)
      return fail(ErrorCode::image_shrank, "read", name_, "read beyond its end");
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
    return {};
  }
  [[nodiscard]] int fd() const override { return -1; }
  Result<std::optional<ImageChange>> changed_underneath() override { return std::optional<ImageChange>(); }
  [[nodiscard]] std::string how() const override { return "file on the disk"; }

 private:
  const Buffer bytes_;
  const std::string name_;
};

Result<std::unique_ptr<ImageReader>> open_header_file(const std::string& path) {
  constexpr const char* kUsing = "use as the header of a disk";
  auto file = open_image(DiskSource(path), CloneMode::never);
  if (!file) {
    Error error = std::move(file).error();
    const std::string why = error.because.empty() ? std::string(catalogue_entry(error.code).title) : error.because;
    return fail(ErrorCode::detached_header_unusable, kUsing, path, why);
  }
  if ((*file)->size() > kMaxHeaderFile)
    return fail(ErrorCode::detached_header_unusable, kUsing, path,
                fmt::format("it has {}, and no header has more than {}", format_size((*file)->size()),
                            format_size(kMaxHeaderFile)));
  return file;
}

}  // namespace

std::string detached_header_of(const DiskSettings& disk) {
  return disk.header_inside ? disk.header_inside->text() : disk.header.string();
}

Result<std::unique_ptr<ImageReader>> open_detached_header(const std::string& where, ImageReader& disk,
                                                          const std::string& object) {
  const auto inside = parse_header_inside(where);
  if (!inside) return open_header_file(where);
  CAIRN_TRY(Buffer bytes, read_guest_file(disk, *inside, object));
  return std::make_unique<ReadFile>(std::move(bytes), object + ", " + where);
}

}  // namespace cairn
