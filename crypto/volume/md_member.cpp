// SPDX-License-Identifier: GPL-3.0-or-later
// find_md_member. Source: linux/include/uapi/linux/raid/md_p.h (mdp_superblock_1), mdadm's super1.c for the checksum.
#include "crypto/volume/md_member.h"

#include <fmt/format.h>

#include <array>

namespace cairn {

namespace {

constexpr std::uint32_t kMdMagic = 0xA92B4EFC;
constexpr std::size_t kSuperblock = 4096;  // with as many roles as fit
constexpr std::size_t kRolesAt = 256;
constexpr std::uint64_t kSector = 512;
constexpr std::uint32_t kReshaping = 4;  // feature_map

// The sum of 32-bit words (and of the 16 bits that may be left), its own field as zero, folded once.
bool md_sum_is_right(ByteView block, std::size_t roles) {
  constexpr std::size_t kSumAt = 216;
  const std::size_t size = kRolesAt + 2 * roles;
  std::uint64_t sum = 0;
  std::size_t at = 0;
  for (; at + 4 <= size; at += 4)
    if (at != kSumAt) sum += get_le<std::uint32_t>(block.subspan(at));
  if (at + 2 <= size) sum += get_le<std::uint16_t>(block.subspan(at));
  const auto folded = static_cast<std::uint32_t>((sum & 0xFFFFFFFF) + (sum >> 32));
  return folded == get_le<std::uint32_t>(block.subspan(kSumAt));
}

std::string level_in_words(std::int32_t level, std::uint32_t disks) {
  if (level == -1) return fmt::format("a linear array of {}", disks);
  return fmt::format("RAID{} of {}", level, disks);
}

MdMember read_member(ByteView block, std::uint64_t member_size) {
  MdMember member;
  std::string name = printable(as_text(block.subspan(32, 32)));
  for (char& c : name)
    if (c == '/' || c == '?' || c == ' ') c = '_';
  member.name = "md:" + (name.empty() ? "unnamed" : name);
  const auto level = static_cast<std::int32_t>(get_le<std::uint32_t>(block.subspan(72)));
  const auto disks = get_le<std::uint32_t>(block.subspan(92));
  member.what = level_in_words(level, disks);
  const std::uint64_t data_at = get_le<std::uint64_t>(block.subspan(128));
  const std::uint64_t data_size = get_le<std::uint64_t>(block.subspan(136));
  const std::uint64_t used = get_le<std::uint64_t>(block.subspan(80));
  const auto number = get_le<std::uint32_t>(block.subspan(160));
  const auto roles = get_le<std::uint32_t>(block.subspan(220));
  constexpr std::uint16_t kHighestRole = 0xFF00;  // above: spare, faulty, journal
  const std::uint16_t role =
      number < roles ? get_le<std::uint16_t>(block.subspan(kRolesAt + std::size_t{2} * number)) : std::uint16_t{0xFFFF};
  if ((get_le<std::uint32_t>(block.subspan(8)) & kReshaping) != 0)
    member.why_not = "it is being reshaped";
  else if (role >= kHighestRole)
    member.why_not = "this member is a spare or a faulty one";
  else if (level != 1 && !((level == 0 || level == -1) && disks == 1))
    member.why_not = "its data are spread over several members";
  else if (data_at > member_size / kSector || data_size > member_size / kSector - data_at || data_size == 0)
    member.why_not = "its data would lie outside of this member";
  else
    member.data = {data_at * kSector, (used != 0 && used < data_size ? used : data_size) * kSector};
  return member;
}

}  // namespace

Result<std::optional<MdMember>> find_md_member(const VolumeSource& source) {
  const std::uint64_t sectors = source.place.size / kSector;
  if (sectors < 32) return std::nullopt;
  // Versions 1.2, 1.1 and 1.0; the last lies 8 to 12 KiB before the end.
  for (const std::uint64_t at : {std::uint64_t{8}, std::uint64_t{0}, (sectors - 16) & ~std::uint64_t{7}}) {
    CAIRN_TRY(const Buffer block, source.read(ByteOffset(at * kSector), ByteCount(kSuperblock)));
    if (block.size() < kSuperblock || get_le<std::uint32_t>(ByteView(block)) != kMdMagic) continue;
    const ByteView bytes = block;
    const auto roles = get_le<std::uint32_t>(bytes.subspan(220));
    if (get_le<std::uint32_t>(bytes.subspan(4)) != 1 || get_le<std::uint64_t>(bytes.subspan(144)) != at) continue;
    if (roles > (kSuperblock - kRolesAt) / 2 || !md_sum_is_right(bytes, roles)) continue;
    return read_member(bytes, source.place.size);
  }
  return std::nullopt;
}

}  // namespace cairn
