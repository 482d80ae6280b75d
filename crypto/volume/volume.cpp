// SPDX-License-Identifier: GPL-3.0-or-later
// probe_disk: the whole disk first, then its partitions, each asked for every kind of volume.
#include "crypto/volume/volume.h"

#include <array>

#include "crypto/volume/fd_source.h"
#include "crypto/volume/partitions.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

// A volume whose own first bytes say what it is.
Result<std::optional<VolumeFacts>> probe_start(const VolumeSource& source, std::vector<std::string>& remarks) {
  CAIRN_TRY(auto luks, probe_luks(source, remarks));
  if (luks) return luks;
  return probe_bitlocker(source, remarks);
}

Result<void> probe_partitions(ByteSource& disk, const PartitionTable& table, const std::string& object,
                              DiskFacts& facts) {
  for (const Partition& partition : table.partitions) {
    const VolumeSource source{disk, partition.number, partition.place, object};
    CAIRN_TRY(auto volume, probe_start(source, facts.remarks));
    if (!volume) {
      CAIRN_TRY(volume, probe_luks2_remains(source, false, facts.remarks));
    }
    if (!volume) continue;
    if (partition.cut_off && volume->cut_off.empty())
      volume->cut_off = "its partition reaches beyond the end of the disk";
    facts.volumes.push_back(*std::move(volume));
  }
  return {};
}

// Images of other formats are backed up as they are, but what is in them cannot be seen.
Result<void> note_foreign_format(const VolumeSource& disk, std::vector<std::string>& remarks) {
  struct Format {
    std::string_view magic;
    const char* name;
  };
  static constexpr std::array<Format, 3> kFormats = {Format{std::string_view("QFI\xfb", 4), "qcow2"},
                                                     Format{"KDMV", "VMDK"}, Format{"vhdxfile", "VHDX"}};
  CAIRN_TRY(const Buffer start, disk.read(ByteOffset(0), ByteCount(8)));
  for (const Format& format : kFormats) {
    if (as_text(start).starts_with(format.magic))
      remarks.push_back(std::string("the image is a ") + format.name +
                        " file, not a raw disk: it is backed up as it is, and encryption inside it is not seen");
  }
  return {};
}

}  // namespace

Result<DiskFacts> probe_disk(ByteSource& source, const std::string& object) {
  DiskFacts facts;
  const VolumeSource disk{source, 0, {0, source.size()}, object};
  CAIRN_TRY(auto whole, probe_start(disk, facts.remarks));
  if (whole) {
    // Such a start is no partition table, whatever the rest of the first sector looks like.
    facts.volumes.push_back(*std::move(whole));
    return facts;
  }
  CAIRN_TRY(const PartitionTable table, read_partitions(source, object, facts.remarks));
  facts.partition_table = table.type;
  CAIRN_CHECK(probe_partitions(source, table, object, facts));
  CAIRN_TRY(auto remains, probe_luks2_remains(disk, !table.type.empty() || table.refused, facts.remarks));
  if (remains) facts.volumes.push_back(*std::move(remains));
  CAIRN_CHECK(note_foreign_format(disk, facts.remarks));
  return facts;
}

Result<DiskFacts> probe_disk(int fd, std::uint64_t size, const std::string& object) {
  FdSource disk(fd, size, object);
  return probe_disk(disk, object);
}

}  // namespace cairn
