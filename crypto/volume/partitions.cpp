// SPDX-License-Identifier: GPL-3.0-or-later
// Partitions by libblkid. GPT: UEFI specification 2.10, chapter 5; MBR and its chain of extended boot records as
// libblkid's dos.c reads them.
#include "crypto/volume/partitions.h"

#include <blkid/blkid.h>
#include <fmt/format.h>

#include <array>
#include <memory>

#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

// The entries of a GPT take 16 KiB as UEFI wants them; nobody needs 4 MiB.
constexpr std::uint64_t kLargestGptEntries = 4 * 1024 * 1024;
constexpr std::size_t kLongestChain = 256;  // extended boot records

struct FreeProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using Probe = std::unique_ptr<blkid_struct_probe, FreeProbe>;

bool is_extended(std::uint8_t type) {
  return type == 0x05 || type == 0x0F || type == 0x85;
}

bool is_boot_record(ByteView sector) {
  return sector.size() >= 512 && sector[510] == 0x55 && sector[511] == 0xAA;
}

struct GptLook {
  bool here = false;  // a GPT header's signature is at the start (or at the end) of the disk
  bool fits = true;   // and none asks for more than is reasonable
};

Result<GptLook> look_for_gpt(const VolumeSource& disk, std::uint64_t sector_bytes) {
  GptLook look;
  const std::uint64_t sectors = disk.place.size / sector_bytes;
  if (sectors < 2) return look;
  for (const std::uint64_t at : {std::uint64_t{1}, sectors - 1}) {
    CAIRN_TRY(const Buffer header, disk.read(at * sector_bytes, 512));
    if (header.size() < 92 || !as_text(header).starts_with("EFI PART")) continue;
    look.here = true;
    const std::uint64_t count = get_le<std::uint32_t>(ByteView(header).subspan(80));
    const std::uint64_t entry = get_le<std::uint32_t>(ByteView(header).subspan(84));
    if (count * entry > kLargestGptEntries) look.fits = false;
  }
  return look;
}

// Whether the chain of extended boot records ends within kLongestChain steps. A chain that returns to itself does not.
Result<bool> chain_is_short(const VolumeSource& disk, std::uint64_t sector_bytes) {
  CAIRN_TRY(const Buffer first, disk.read(0, 512));
  if (!is_boot_record(first)) return true;
  std::size_t steps = 0;
  for (std::size_t slot = 0; slot < 4; ++slot) {
    const ByteView entry = ByteView(first).subspan(446 + 16 * slot, 16);
    if (!is_extended(entry[4])) continue;
    const std::uint64_t base = get_le<std::uint32_t>(entry.subspan(8));
    std::uint64_t at = base;
    while (true) {
      if (++steps > kLongestChain) return false;
      CAIRN_TRY(const Buffer record, disk.read(at * sector_bytes, 512));
      if (!is_boot_record(record)) break;
      std::optional<std::uint64_t> next;
      for (std::size_t i = 0; i < 4 && !next; ++i) {
        const ByteView link = ByteView(record).subspan(446 + 16 * i, 16);
        if (is_extended(link[4]) && get_le<std::uint32_t>(link.subspan(12)) != 0)
          next = base + get_le<std::uint32_t>(link.subspan(8));
      }
      if (!next) break;
      at = *next;
    }
  }
  return true;
}

Probe open_probe(int fd, const ByteRange& place) {
  Probe probe(blkid_new_probe());
  if (!probe || blkid_probe_set_device(probe.get(), fd, static_cast<blkid_loff_t>(place.offset),
                                       static_cast<blkid_loff_t>(place.size)) != 0)
    return nullptr;
  return probe;
}

void take_partition(blkid_partition entry, std::uint64_t disk_size, PartitionTable& table,
                    std::vector<std::string>& remarks) {
  // An extended partition only holds the logical ones.
  if (blkid_partition_is_extended(entry) != 0) return;
  const int number = blkid_partition_get_partno(entry);
  const auto start = static_cast<std::uint64_t>(blkid_partition_get_start(entry));  // in units of 512 bytes, always
  const auto length = static_cast<std::uint64_t>(blkid_partition_get_size(entry));
  if (number <= 0 || length == 0) return;
  if (start >= disk_size / 512) {
    remarks.push_back(fmt::format("partition {} starts outside of the disk", number));
    return;
  }
  const std::uint64_t offset = start * 512;
  std::uint64_t bytes = disk_size - offset;
  if (length <= bytes / 512)
    bytes = length * 512;
  else
    remarks.push_back(fmt::format("partition {} reaches beyond the end of the disk", number));
  table.partitions.push_back({static_cast<unsigned>(number), {offset, bytes}});
}

}  // namespace

Result<PartitionTable> read_partitions(int fd, std::uint64_t size, const std::string& object,
                                       std::vector<std::string>& remarks) {
  PartitionTable table;
  if (size < 1024) return table;
  const VolumeSource disk{fd, 0, {0, size}, object};
  Probe probe = open_probe(fd, disk.place);
  if (!probe) return fail(ErrorCode::io_error, "look for partitions on", object, "libblkid cannot read it");

  // An image file does not tell its sector size: a GPT stands in the second sector, of 512 bytes or of 4096.
  std::uint64_t sector_bytes = blkid_probe_get_sectorsize(probe.get());
  CAIRN_TRY(GptLook gpt, look_for_gpt(disk, sector_bytes));
  if (!gpt.here && sector_bytes == 512) {
    CAIRN_TRY(const GptLook large, look_for_gpt(disk, 4096));
    if (large.here) {
      gpt = large;
      sector_bytes = 4096;
      blkid_probe_set_sectorsize(probe.get(), 4096);
    }
  }
  if (gpt.here && !gpt.fits) {
    remarks.emplace_back("the partition table (GPT) asks for more entries than a disk can need; it was not read");
    table.refused = true;
    return table;
  }
  CAIRN_TRY(const bool short_chain, chain_is_short(disk, sector_bytes));
  if (!short_chain) {
    remarks.push_back(
        fmt::format("the partition table (MBR) chains more than {} logical partitions, or in a circle; it was not read",
                    kLongestChain));
    table.refused = true;
    return table;
  }

  std::string gpt_name = "gpt";
  std::string dos_name = "dos";
  std::array<char*, 3> kinds = {gpt_name.data(), dos_name.data(), nullptr};
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_probe_filter_partitions_type(probe.get(), BLKID_FLTR_ONLYIN, kinds.data());
  blkid_partlist list = blkid_probe_get_partitions(probe.get());
  blkid_parttable root = list != nullptr ? blkid_partlist_get_table(list) : nullptr;
  if (root == nullptr) {
    if (gpt.here) remarks.emplace_back("the partition table (GPT) is damaged and could not be read");
    return table;
  }
  if (const char* type = blkid_parttable_get_type(root); type != nullptr) table.type = type;
  const int count = blkid_partlist_numof_partitions(list);
  for (int i = 0; i < count; ++i) {
    if (table.partitions.size() >= kMaxPartitions) {
      remarks.push_back(fmt::format("only the first {} of {} partitions were looked at", kMaxPartitions, count));
      break;
    }
    take_partition(blkid_partlist_get_partition(list, i), size, table, remarks);
  }
  return table;
}

Result<std::string> contents_in_words(const VolumeSource& source) {
  constexpr std::size_t kSuperblocks = 256 * 1024;
  CAIRN_TRY(Buffer start, source.read(0, kSuperblocks));
  CAIRN_TRY(HeaderCopy copy, HeaderCopy::make(source));
  CAIRN_CHECK(copy.put(0, std::move(start)));
  const Probe probe = open_probe(copy.fd(), {0, source.place.size});
  if (!probe) return std::string();
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
  // libblkid finds LUKS2's secondary headers too, and looks no further.
  std::string luks = "crypto_LUKS";
  std::array<char*, 2> without = {luks.data(), nullptr};
  blkid_probe_filter_superblocks_type(probe.get(), BLKID_FLTR_NOTIN, without.data());
  // 1: nothing recognised; -2: more than one signature.
  const int found = blkid_do_safeprobe(probe.get());
  if (found == -2) return "contents of more than one type";
  const char* type = nullptr;
  if (found != 0 || blkid_probe_lookup_value(probe.get(), "TYPE", &type, nullptr) != 0 || type == nullptr)
    return std::string();
  return "contents of type " + printable(type);
}

}  // namespace cairn
