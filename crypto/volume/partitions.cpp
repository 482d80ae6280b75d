// SPDX-License-Identifier: GPL-3.0-or-later
// Partitions by libblkid, on a copy of the tables (TableAreas).
#include "crypto/volume/partitions.h"

#include <blkid/blkid.h>
#include <fmt/format.h>

#include <array>

#include "config/base/ranges.h"
#include "config/base/text.h"
#include "crypto/volume/contents.h"
#include "crypto/volume/table_areas.h"

namespace cairn {

namespace {

// As large as the disk, with nothing in it but its partition tables.
Result<HeaderCopy> copy_tables(const VolumeSource& disk, const TableAreas& tables) {
  CAIRN_TRY(HeaderCopy copy, HeaderCopy::make(disk.place.size, disk.object));
  for (const ByteRange& area : tidy_ranges(tables.areas, disk.place.size)) {
    CAIRN_TRY(const Buffer bytes, disk.read(ByteOffset(area.offset), ByteCount(area.size)));
    if (!is_all_zero(bytes)) CAIRN_CHECK(copy.fill(area.offset, bytes));
  }
  return copy;
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
  const bool cut_off = length > bytes / 512;
  if (!cut_off)
    bytes = length * 512;
  else
    remarks.push_back(fmt::format("partition {} reaches beyond the end of the disk", number));
  const char* guid = blkid_partition_get_type_string(entry);
  table.partitions.push_back(
      {static_cast<unsigned>(number),
       {offset, bytes},
       guid != nullptr ? lower_ascii(printable(guid)) : fmt::format("{:#04x}", blkid_partition_get_type(entry)),
       cut_off});
}

}  // namespace

Result<PartitionTable> read_partitions(ByteSource& source, const std::string& object,
                                       std::vector<std::string>& remarks) {
  PartitionTable table;
  const std::uint64_t size = source.size();
  if (size < 1024) return table;
  const VolumeSource disk{source, 0, {0, size}, object};
  CAIRN_TRY(const TableAreas tables, find_table_areas(disk));
  if (!tables.refused.empty()) {
    remarks.push_back(tables.refused);
    table.refused = true;
    return table;
  }
  CAIRN_TRY(const HeaderCopy copy, copy_tables(disk, tables));
  const BlkidProbe probe = open_blkid_probe(copy, size);
  if (!probe) return fail(ErrorCode::io_error, "look for partitions on", object, "libblkid cannot read it");
  blkid_probe_set_sectorsize(probe.get(), static_cast<unsigned>(tables.sector_bytes));

  std::string gpt_name = "gpt";
  std::string dos_name = "dos";
  std::array<char*, 3> kinds = {gpt_name.data(), dos_name.data(), nullptr};
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_probe_filter_partitions_type(probe.get(), BLKID_FLTR_ONLYIN, kinds.data());
  blkid_partlist list = blkid_probe_get_partitions(probe.get());
  blkid_parttable root = list != nullptr ? blkid_partlist_get_table(list) : nullptr;
  if (root == nullptr) {
    if (tables.gpt) remarks.emplace_back("the partition table (GPT) is damaged and could not be read");
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

}  // namespace cairn
