// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/mount/point_items.h"

#include <algorithm>

namespace cairn {
namespace {

std::uint64_t blocks_of(std::uint64_t bytes) {
  return bytes / kBlockBytes + (bytes % kBlockBytes != 0 ? 1 : 0);
}

NodeAttributes text_attributes(InodeNumber inode, std::string_view text, UtcTime time) {
  return {inode, NodeKind::file, text.size(), blocks_of(text.size()), 1, time, Validity::constant};
}

NodeAttributes image_attributes(InodeNumber inode, const MapRecord& map, UtcTime time) {
  return {inode, NodeKind::file, map.size,          std::min(blocks_of(map.data_bytes), blocks_of(map.size)),
          1,     time,           Validity::constant};
}

std::size_t shown_images(const std::vector<PointImage>& images, std::uint64_t first, std::uint64_t end) {
  return std::min<std::size_t>(images.size(), end - first);
}

}  // namespace

NodeAttributes directory_attributes(InodeNumber inode, std::uint32_t subdirectories, UtcTime time, Validity validity) {
  return {inode, NodeKind::directory, 0, 0, 2 + subdirectories, time, validity};
}

const PointImage* image_of(const LoadedPoint& point, std::uint64_t item) {
  const bool header = item >= kFirstHeader;
  const auto& images = header ? point.headers : point.disks;
  const std::uint64_t number = item - (header ? kFirstHeader : kFirstDisk);
  return item >= kFirstDisk && number < images.size() ? &images[number] : nullptr;
}

std::size_t shown_disks(const LoadedPoint& point) {
  return shown_images(point.disks, kFirstDisk, kFirstHeader);
}
std::size_t shown_headers(const LoadedPoint& point) {
  return shown_images(point.headers, kFirstHeader, kEndOfItems);
}

std::optional<NodeAttributes> item_attributes(const LoadedPoint& point, InodeNumber inode) {
  const UtcTime time = point.name.time;
  switch (const std::uint64_t item = item_of(inode)) {
    case kDisksDirectory:
    case kHeadersDirectory:
      return directory_attributes(inode, 0, time, Validity::constant);
    case kDocumentFile:
      return text_attributes(inode, point.document, time);
    case kDefinitionFile:
      if (!point.definition) return {};
      return text_attributes(inode, *point.definition, time);
    default:
      if (const PointImage* image = image_of(point, item)) return image_attributes(inode, image->map, time);
      return {};
  }
}

std::optional<std::uint64_t> find_item(const LoadedPoint& point, std::uint64_t item, std::string_view name) {
  const auto numbered = [&](const std::vector<PointImage>& images, std::uint64_t first,
                            std::size_t shown) -> std::optional<std::uint64_t> {
    for (std::size_t i = 0; i < shown; ++i)
      if (images[i].file_name == name) return first + i;
    return {};
  };
  switch (item) {
    case kPointDirectory:
      if (name == kDisksName) return kDisksDirectory;
      if (name == kHeadersName) return kHeadersDirectory;
      if (name == kDocumentName) return kDocumentFile;
      if (name == kDefinitionName && point.definition) return kDefinitionFile;
      return {};
    case kDisksDirectory:
      return numbered(point.disks, kFirstDisk, shown_disks(point));
    case kHeadersDirectory:
      return numbered(point.headers, kFirstHeader, shown_headers(point));
    default:
      return {};
  }
}

}  // namespace cairn
