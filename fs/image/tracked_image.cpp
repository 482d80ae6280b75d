// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/tracked_image.h"

#include <algorithm>

namespace cairn {

Result<ImageExtent> TrackedImage::extent_at(std::uint64_t offset) {
  const ChangeTracker::Run run = tracker_.at(offset);
  if (run.unchanged) return ImageExtent{offset, run.end - offset, ExtentKind::as_before};
  CAIRN_TRY(ImageExtent extent, clone_.extent_at(offset));
  extent.size = std::min(extent.size, run.end - offset);
  return extent;
}

std::string TrackedImage::note() const {
  if (tracker_.trouble().empty()) return clone_.note();
  return "a part was read whole: " + tracker_.trouble();
}

}  // namespace cairn
