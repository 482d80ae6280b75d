// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/detached_header.h"

#include "crypto/volume/probe_budget.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

Result<std::optional<VolumeFacts>> probe_detached_header(ByteSource& file, const std::string& path,
                                                         std::uint64_t disk_size, std::vector<std::string>& remarks) {
  BudgetedSource bounded(file, {});
  VolumeSource source{bounded, 0, {0, file.size()}, path, kDetached};
  source.is_header_file = true;
  CAIRN_TRY(auto volume, probe_luks(source, remarks));
  if (!volume) return std::nullopt;
  if (volume->data_offset >= disk_size && disk_size != 0)
    add_damage(*volume, "the disk ends before the place where the header says that its data begin");
  volume->place = {0, disk_size};
  volume->detached = path;
  return volume;
}

}  // namespace cairn
