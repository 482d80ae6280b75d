// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/nbd_image.h"

#include <algorithm>
#include <iterator>

namespace cairn {
namespace {

// Asked for at once. A server may answer for less, and for a fragmented image does.
constexpr std::uint64_t kMostAsked = 1ULL << 30;
// Where a server fails to tell extents (a damaged table of the image), what is around that is asked for in halves, down
// to this; what remains is data, and reading it tells.
constexpr std::uint64_t kLeastAsked = 64 * 1024;
constexpr std::uint64_t kSector = 4096;  // no server wants larger ones asked for

}  // namespace

Result<std::vector<NbdExtent>> NbdImage::ask(std::uint64_t from) {
  for (std::uint64_t size = kMostAsked;; size /= 2) {
    auto told = server_->extents(from, std::min(size, server_->size() - from));
    if (told || told.error().code != ErrorCode::image_unreadable) return told;
    if (size <= kLeastAsked)
      return std::vector<NbdExtent>{{from, std::min(kLeastAsked, server_->size() - from), false}};
  }
}

Result<ImageExtent> NbdImage::extent_at(std::uint64_t offset) {
  CAIRN_ASSERT(offset < size());
  if (!server_->tells_extents()) return ImageExtent{offset, size() - offset, ExtentKind::data};
  const auto window = window_.lock();
  auto& extents = window->extents;
  const auto holds = [&] {
    return !extents.empty() && extents.front().offset <= offset && offset < extents.back().offset + extents.back().size;
  };
  // An answer may end before `offset`, which need not be the beginning of a run.
  for (std::uint64_t from = offset / kSector * kSector; !holds(); from = extents.back().offset + extents.back().size) {
    CAIRN_TRY(extents, ask(from));
  }
  auto found = std::ranges::upper_bound(extents, offset, {}, &NbdExtent::offset);
  const NbdExtent& extent = *std::prev(found);
  return ImageExtent{offset, extent.offset + extent.size - offset, extent.zero ? ExtentKind::hole : ExtentKind::data};
}

Result<std::optional<ImageChange>> NbdImage::changed_underneath() {
  return std::optional(ImageChange{ImageChange::Kind::not_known,
                                   "whether it was written to while it was read is not known: an NBD server gave it"});
}

std::string NbdImage::note() const {
  return server_->tells_extents() ? std::string() : "the NBD server does not tell holes: all of the disk is read";
}

Result<std::unique_ptr<ImageReader>> open_nbd_image(const DiskSource& source, NbdLimits limits) {
  CAIRN_TRY(auto server, NbdConnections::open(source.uri, source.text(), limits));
  return std::make_unique<NbdImage>(std::move(server));
}

}  // namespace cairn
