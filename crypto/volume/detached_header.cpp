// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/detached_header.h"

#include <fmt/core.h>

#include <algorithm>

#include "crypto/volume/contents.h"
#include "crypto/volume/partitions.h"
#include "crypto/volume/probe_budget.h"
#include "crypto/volume/volume_source.h"

namespace cairn {
namespace {

// Boot code fits into less, and no one encrypts less.
constexpr std::uint64_t kWorthEncrypting = 8 * kMiB;

// Where nothing is recognised: random bytes apart from others.
struct Candidates {
  std::vector<Partition> random;
  std::vector<Partition> other;
};

Result<Candidates> find_candidates(ByteSource& disk, const DiskFacts& facts, const std::string& object) {
  std::vector<std::string> remarks;  // said already, when the disk was looked at
  CAIRN_TRY(const PartitionTable table, read_partitions(disk, object, remarks));
  Candidates found;
  for (const Partition& partition : table.partitions) {
    const auto is_it = [&](const VolumeFacts& volume) { return volume.partition == partition.number; };
    if (partition.place.size < kWorthEncrypting || std::ranges::any_of(facts.volumes, is_it)) continue;
    const VolumeSource source{disk, partition.number, partition.place, object};
    CAIRN_TRY(const Contents contents, recognise_contents(source));
    if (contents.kind != Contents::Kind::nothing) continue;
    CAIRN_TRY(const BytesLook look, look_at_bytes(source));
    (look.random ? found.random : found.other).push_back(partition);
  }
  return found;
}

}  // namespace

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

Result<void> place_detached_volume(ByteSource& disk, VolumeFacts& volume, DiskFacts& facts, const std::string& object) {
  BudgetedSource bounded(disk, {});
  CAIRN_TRY(const Candidates found, find_candidates(bounded, facts, object));
  const std::vector<Partition>& likely = found.random.empty() ? found.other : found.random;
  if (likely.size() != 1) {
    facts.remarks.push_back(fmt::format("which partition the detached header {} is of cannot be seen: {}",
                                        volume.detached,
                                        likely.empty() ? "none looks encrypted" : "several look encrypted"));
    return {};
  }
  const Partition& partition = likely.front();
  volume.partition = partition.number;
  volume.place = partition.place;
  if (volume.data_offset >= partition.place.size)
    add_damage(volume, "its partition ends before the place where the header says that its data begin");
  const std::string name = fmt::format("{} on {}", kNothingRecognised, volume_name(partition.number, {}));
  std::erase_if(facts.not_known,
                [&](const std::string& words) { return words == name || words.starts_with(name + ","); });
  return {};
}

}  // namespace cairn
