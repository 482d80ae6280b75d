// SPDX-License-Identifier: GPL-3.0-or-later
// find_table_areas. GPT: UEFI specification 2.10, chapter 5; MBR, its chain of extended boot records and the tables
// nested in its partitions as libblkid's gpt.c and dos.c read them.
#include "crypto/volume/table_areas.h"

#include <fmt/format.h>

#include <optional>

#include "config/base/units.h"

namespace cairn {

namespace {

// The entries of a GPT take 16 KiB as UEFI wants them; nobody needs 4 MiB.
constexpr std::uint64_t kLargestGptEntries = 4 * kMiB;
constexpr std::size_t kLongestChain = 256;  // extended boot records
// The start of a disk or partition, where libblkid looks for what else it may be: FAT and exFAT, BSD, Solaris.
constexpr std::uint64_t kStart = 64 * kKiB;
constexpr std::uint64_t kNtfsRecords = 64 * kKiB;  // the first four of NTFS's master file table, at their largest

bool is_extended(std::uint8_t type) {
  return type == 0x05 || type == 0x0F || type == 0x85;
}

bool is_boot_record(ByteView sector) {
  return sector.size() >= 512 && sector[510] == 0x55 && sector[511] == 0xAA;
}

ByteView entry_of(ByteView boot_record, std::size_t slot) {
  return boot_record.subspan(446 + 16 * slot, 16);
}

struct GptLook {
  bool here = false;
  bool fits = true;  // no header asks for more entries than is reasonable
  std::vector<ByteRange> areas;
};

Result<GptLook> look_for_gpt(const VolumeSource& disk, std::uint64_t sector_bytes) {
  GptLook look;
  const std::uint64_t sectors = disk.place.size / sector_bytes;
  if (sectors < 2) return look;
  for (const std::uint64_t at : {std::uint64_t{1}, sectors - 1}) {
    CAIRN_TRY(const Buffer header, disk.read(ByteOffset(at * sector_bytes), ByteCount(512)));
    if (header.size() < 92 || !as_text(header).starts_with("EFI PART")) continue;
    look.here = true;
    const std::uint64_t entries_at = get_le<std::uint64_t>(ByteView(header).subspan(72));
    const std::uint64_t count = get_le<std::uint32_t>(ByteView(header).subspan(80));
    const std::uint64_t entry = get_le<std::uint32_t>(ByteView(header).subspan(84));
    look.areas.push_back({at * sector_bytes, sector_bytes});
    if (count * entry > kLargestGptEntries)
      look.fits = false;
    else if (entries_at < sectors)
      look.areas.push_back({entries_at * sector_bytes, count * entry});
  }
  return look;
}

// Adds the extended boot records. False when a chain does not end within kLongestChain steps: one that returns to
// itself never does.
Result<bool> follow_chains(const VolumeSource& disk, ByteView first, std::uint64_t sector_bytes,
                           std::vector<ByteRange>& areas) {
  std::size_t steps = 0;
  for (std::size_t slot = 0; slot < 4; ++slot) {
    const ByteView entry = entry_of(first, slot);
    if (!is_extended(entry[4])) continue;
    const std::uint64_t base = get_le<std::uint32_t>(entry.subspan(8));
    std::uint64_t at = base;
    while (true) {
      if (++steps > kLongestChain) return false;
      CAIRN_TRY(const Buffer record, disk.read(ByteOffset(at * sector_bytes), ByteCount(512)));
      if (!is_boot_record(record)) break;
      areas.push_back({at * sector_bytes, 512});
      std::optional<std::uint64_t> next;
      for (std::size_t i = 0; i < 4 && !next; ++i) {
        const ByteView link = entry_of(record, i);
        if (is_extended(link[4]) && get_le<std::uint32_t>(link.subspan(12)) != 0)
          next = base + get_le<std::uint32_t>(link.subspan(8));
      }
      if (!next) break;
      at = *next;
    }
  }
  return true;
}

}  // namespace

std::optional<ByteRange> ntfs_records(ByteView boot) {
  if (boot.size() < 512 || as_text(boot.subspan(3, 8)) != "NTFS    ") return std::nullopt;
  // Sectors to a cluster, as NTFS writes large ones: a negative power of two.
  const std::uint64_t sectors = boot[13] <= 0x80 ? boot[13] : std::uint64_t{1} << ((0x100U - boot[13]) & 31U);
  const std::uint64_t cluster = sectors * get_le<std::uint16_t>(boot.subspan(11));
  const std::uint64_t number = get_le<std::uint64_t>(boot.subspan(48));
  if (cluster == 0 || number > (std::uint64_t{1} << 62) / cluster) return std::nullopt;
  return ByteRange{number * cluster, kNtfsRecords};
}

Result<TableAreas> find_table_areas(const VolumeSource& disk) {
  TableAreas found;
  // An image file does not say how large its sectors are: a GPT stands in the second sector, of 512 bytes or of 4096.
  found.sector_bytes = disk.disk.sector_bytes();
  CAIRN_TRY(GptLook gpt, look_for_gpt(disk, found.sector_bytes));
  if (!gpt.here && found.sector_bytes == 512) {
    CAIRN_TRY(GptLook large, look_for_gpt(disk, 4096));
    if (large.here) {
      gpt = std::move(large);
      found.sector_bytes = 4096;
    }
  }
  found.gpt = gpt.here;
  if (!gpt.fits) {
    found.refused = "the partition table (GPT) asks for more entries than a disk can need; it was not read";
    return found;
  }
  found.areas = std::move(gpt.areas);
  found.areas.push_back({0, kStart});
  CAIRN_TRY(const Buffer first, disk.read(ByteOffset(0), ByteCount(512)));
  if (const auto records = ntfs_records(first)) found.areas.push_back(*records);
  if (!is_boot_record(first)) return found;
  CAIRN_TRY(const bool ends, follow_chains(disk, first, found.sector_bytes, found.areas));
  if (!ends) {
    found.refused =
        fmt::format("the partition table (MBR) chains more than {} logical partitions, or in a circle; it was not read",
                    kLongestChain);
    return found;
  }
  // A partition may hold a table of its own.
  for (std::size_t slot = 0; slot < 4; ++slot)
    if (const ByteView entry = entry_of(first, slot); entry[4] != 0 && !is_extended(entry[4]))
      found.areas.push_back({get_le<std::uint32_t>(entry.subspan(8)) * found.sector_bytes, kStart});
  return found;
}

}  // namespace cairn
