// SPDX-License-Identifier: GPL-3.0-or-later
// Point items: what lies inside a machine's directory and inside a point, by number: an inode number is the serial of
// the machine or point and the number of the item. For PointTree alone. Pure. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "fs/mount/loaded_points.h"
#include "fs/mount/point_tree.h"

namespace cairn {

inline constexpr unsigned kItemBits = 16;

// Items of machines and points.
enum Item : std::uint64_t {
  kMachineDirectory = 1,
  kPointDirectory = 2,
  kLatestLink = 3,  // the machine's `latest` while it leads to this point: a new target is a new inode
  kDisksDirectory = 4,
  kHeadersDirectory = 5,
  kDocumentFile = 6,
  kDefinitionFile = 7,
  kFirstDisk = 0x1000,
  kFirstHeader = 0x8000,
  kEndOfItems = 0x10000,
};

inline constexpr const char* kLatestName = "latest";
inline constexpr const char* kDisksName = "disks";
inline constexpr const char* kHeadersName = "headers";
inline constexpr const char* kDocumentName = "recovery-point.json";
inline constexpr const char* kDefinitionName = "machine.xml";

constexpr InodeNumber inode_of(std::uint64_t serial, std::uint64_t item) {
  return serial << kItemBits | item;
}
constexpr std::uint64_t serial_of(InodeNumber inode) {
  return inode >> kItemBits;
}
constexpr std::uint64_t item_of(InodeNumber inode) {
  return inode & (kEndOfItems - 1);
}

// `subdirectories` without "." and "..".
NodeAttributes directory_attributes(InodeNumber inode, std::uint32_t subdirectories, UtcTime time, Validity validity);
// Attributes of what lies inside a point, by item; nothing when the point has none such.
std::optional<NodeAttributes> item_attributes(const LoadedPoint& point, InodeNumber inode);
// The item called `name` in the directory `item` of the point.
std::optional<std::uint64_t> find_item(const LoadedPoint& point, std::uint64_t item, std::string_view name);
// The image that `item` stands for; null when the point has none such.
const PointImage* image_of(const LoadedPoint& point, std::uint64_t item);
// How many of its images the point shows: no more than there are numbers for.
std::size_t shown_disks(const LoadedPoint& point);
std::size_t shown_headers(const LoadedPoint& point);

}  // namespace cairn
