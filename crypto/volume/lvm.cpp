// SPDX-License-Identifier: GPL-3.0-or-later
// LVM2. Source: lvm2, lib/label/label.c, lib/format_text/layout.h; checksums: lib/misc/crc.c.
#include "crypto/volume/lvm.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "crypto/volume/segments.h"

namespace cairn {

namespace {

constexpr std::size_t kLabelSectors = 4;
constexpr std::size_t kLabelBytes = 512;
constexpr std::size_t kIdBytes = 32;
constexpr std::size_t kMostAreas = 16;
constexpr std::uint32_t kCrcStart = 0xF597A6CF;
constexpr std::string_view kMdaMagic = " LVM2 x[5A%r0N*>";

std::uint32_t lvm_crc(ByteView bytes, std::uint32_t crc = kCrcStart) {
  static constexpr std::array<std::uint32_t, 16> kTable = {
      0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
      0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    crc = (crc >> 4) ^ kTable[crc & 15];
    crc = (crc >> 4) ^ kTable[crc & 15];
  }
  return crc;
}

// The areas of a list that ends with an offset of zero, `at` moved behind it.
std::vector<ByteRange> areas_at(ByteView header, std::size_t& at) {
  std::vector<ByteRange> areas;
  while (at + 16 <= header.size()) {
    const ByteRange area{get_le<std::uint64_t>(header.subspan(at)), get_le<std::uint64_t>(header.subspan(at + 8))};
    at += 16;
    if (area.offset == 0 || areas.size() >= kMostAreas) break;
    areas.push_back(area);
  }
  return areas;
}

// The metadata in one area; empty: there are none. The text may go round the area's end to behind its header.
Result<std::string> text_in_area(const VolumeSource& source, const ByteRange& area, std::string& why_not) {
  constexpr std::uint64_t kMdaHeader = 512;
  CAIRN_TRY(const Buffer header, source.read(ByteOffset(area.offset), ByteCount(kMdaHeader)));
  const ByteView bytes = header;
  if (header.size() < kMdaHeader || as_text(bytes.subspan(4, kMdaMagic.size())) != kMdaMagic ||
      lvm_crc(bytes.subspan(4)) != get_le<std::uint32_t>(bytes)) {
    why_not = "its metadata area is damaged";
    return std::string();
  }
  const std::uint64_t size = get_le<std::uint64_t>(bytes.subspan(32));
  const std::uint64_t text_at = get_le<std::uint64_t>(bytes.subspan(40));
  const std::uint64_t text_size = get_le<std::uint64_t>(bytes.subspan(48));
  constexpr std::uint32_t kIgnored = 1;
  if (text_at == 0 || (get_le<std::uint32_t>(bytes.subspan(60)) & kIgnored) != 0) return std::string();
  if (text_size > kMaxLvmText || size < kMdaHeader || text_at < kMdaHeader || text_at >= size ||
      text_size > size - kMdaHeader) {
    why_not = "its metadata have an impossible place or size";
    return std::string();
  }
  const std::uint64_t first = std::min(text_size, size - text_at);
  CAIRN_TRY(Buffer text, source.read(ByteOffset(area.offset + text_at), ByteCount(first)));
  CAIRN_TRY(const Buffer rest, source.read(ByteOffset(area.offset + kMdaHeader), ByteCount(text_size - first)));
  text.insert(text.end(), rest.begin(), rest.end());
  if (text.size() != text_size || lvm_crc(text) != get_le<std::uint32_t>(bytes.subspan(56))) {
    why_not = "its metadata are damaged: their checksum is wrong";
    return std::string();
  }
  return std::string(as_text(text));
}

// Where the physical volume with this id lies; null: not on this disk, or twice.
const LvmMember* member_of(std::span<const LvmMember> members, const std::string& id) {
  const LvmMember* found = nullptr;
  for (const LvmMember& member : members) {
    if (member.id != id) continue;
    if (found != nullptr) return nullptr;
    found = &member;
  }
  return found;
}

class GroupLayout {
 public:
  GroupLayout(const LvmGroup& group, std::span<const LvmMember> members) : group_(group), members_(members) {}

  LvmPlaced place(const LvmLogicalVolume& volume) {
    LvmPlaced placed;
    placed.facts.within = "lv:" + group_.name + "/" + volume.name;
    placed.why_not = volume.why_not;
    std::uint64_t size = 0;
    for (const LvmSegment& segment : volume.segments) {
      if (!placed.why_not.empty()) return placed;
      if (segment.start * group_.extent_bytes != size) placed.why_not = "its segments leave a gap";
      placed.facts.segments.push_back(place(segment, size, placed));
      size += segment.extents * group_.extent_bytes;
    }
    if (!placed.why_not.empty()) return placed;
    if (!are_whole(placed.facts.segments, size)) {
      placed.why_not = "its segments do not fit together";
      return placed;
    }
    placed.facts.place = {placed.facts.segments.front().at.front(), size};
    if (placed.facts.segments.size() == 1 && placed.facts.segments.front().stripe_bytes == 0)
      placed.facts.segments.clear();
    return placed;
  }

 private:
  VolumeSegment place(const LvmSegment& segment, std::uint64_t start, LvmPlaced& placed) {
    const std::uint64_t extents = segment.extents / segment.stripes.size();
    VolumeSegment on_disk{start, segment.extents * group_.extent_bytes, segment.stripe_bytes, {}};
    for (const LvmStripe& stripe : segment.stripes) {
      const auto physical = std::ranges::find(group_.physical, stripe.section, &LvmPhysicalVolume::section);
      const LvmMember* member = physical == group_.physical.end() ? nullptr : member_of(members_, physical->id);
      if (member == nullptr) {
        placed.why_not = "part of it lies on another disk";
        return on_disk;
      }
      // Below 2^62 each: parse_lvm_group() sees to it.
      const std::uint64_t from = physical->start + stripe.extent * group_.extent_bytes;
      const std::uint64_t bytes = extents * group_.extent_bytes;
      if (from > member->place.size || bytes > member->place.size - from || stripe.extent + extents > physical->extents)
        placed.why_not = "part of it would lie outside of its physical volume";
      if (start == 0 && on_disk.at.empty()) placed.facts.partition = member->partition;
      on_disk.at.push_back(member->place.offset + from);
    }
    return on_disk;
  }

  const LvmGroup& group_;
  std::span<const LvmMember> members_;
};

std::string member_in_words(const LvmMember& member) {
  return member.partition == 0 ? "LVM2_member" : fmt::format("LVM2_member on partition {}", member.partition);
}

}  // namespace

Result<std::optional<LvmMember>> find_lvm_member(const VolumeSource& source) {
  CAIRN_TRY(const Buffer start, source.read(ByteOffset(0), ByteCount(kLabelSectors * kLabelBytes)));
  for (std::size_t sector = 0; (sector + 1) * kLabelBytes <= start.size(); ++sector) {
    const ByteView label = ByteView(start).subspan(sector * kLabelBytes, kLabelBytes);
    if (as_text(label.first(8)) != "LABELONE" || as_text(label.subspan(24, 8)) != "LVM2 001") continue;
    if (get_le<std::uint64_t>(label.subspan(8)) != sector ||
        lvm_crc(label.subspan(20)) != get_le<std::uint32_t>(label.subspan(16)))
      continue;
    const auto header_at = get_le<std::uint32_t>(label.subspan(20));
    if (header_at < 32 || header_at > kLabelBytes - kIdBytes - 8) continue;
    LvmMember member;
    member.partition = source.partition;
    member.place = source.place;
    member.id = printable(as_text(label.subspan(header_at, kIdBytes)));
    std::size_t at = header_at + kIdBytes + 8;
    static_cast<void>(areas_at(label, at));  // of data: the metadata text says it better
    for (const ByteRange& area : areas_at(label, at)) {
      CAIRN_TRY(member.text, text_in_area(source, area, member.why_not));
      if (!member.text.empty()) break;
    }
    if (member.text.empty() && member.why_not.empty()) member.why_not = "it has no metadata of its group";
    return member;
  }
  return std::nullopt;
}

LvmLayout lay_out_lvm(std::span<const LvmMember> members) {
  LvmLayout layout;
  std::map<std::string, LvmGroup> groups;  // by name, the newest description of each
  std::vector<std::string> known;          // ids of physical volumes that a group names
  for (const LvmMember& member : members) {
    if (member.text.empty()) continue;
    auto group = parse_lvm_group(member.text);
    if (!group) {
      layout.not_known.push_back(fmt::format("{}: {}", member_in_words(member), group.error()));
      known.push_back(member.id);
      continue;
    }
    const auto [there, is_new] = groups.try_emplace(group->name, *group);
    if (!is_new && there->second.id != group->id) {
      layout.not_known.push_back(
          fmt::format("{}: two volume groups are called {}", member_in_words(member), group->name));
      known.push_back(member.id);
    } else if (!is_new && there->second.sequence < group->sequence) {
      there->second = *std::move(group);
    }
  }
  for (const auto& [name, group] : groups) {
    for (const LvmPhysicalVolume& physical : group.physical) known.push_back(physical.id);
    GroupLayout places(group, members);
    for (const LvmLogicalVolume& volume : group.logical) layout.volumes.push_back(places.place(volume));
  }
  // One without metadata of its own is described by others of its group, or nobody knows what is on it.
  for (const LvmMember& member : members)
    if (std::ranges::find(known, member.id) == known.end())
      layout.not_known.push_back(fmt::format("{}: {}", member_in_words(member),
                                             member.why_not.empty() ? "its group does not name it" : member.why_not));
  return layout;
}

}  // namespace cairn
