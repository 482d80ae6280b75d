// SPDX-License-Identifier: GPL-3.0-or-later
// probe_disk: the whole disk first, then its partitions, then what LVM and md have made of these; each is asked for
// every kind of encrypted volume first, and for what else it is afterwards.
#include "crypto/volume/volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "crypto/volume/contents.h"
#include "crypto/volume/fd_source.h"
#include "crypto/volume/image_format.h"
#include "crypto/volume/lvm.h"
#include "crypto/volume/md_member.h"
#include "crypto/volume/partitions.h"
#include "crypto/volume/probe_budget.h"
#include "crypto/volume/segments.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

constexpr unsigned kDeepest = 4;  // md on a partition, LVM on that, and once more
constexpr std::size_t kMostVolumes = 128;

// Partitions that hold no file system by their nature, and are small.
struct PlainPartition {
  std::string_view type;
  std::string_view name;
};
constexpr std::array kPlainPartitions = {PlainPartition{"21686148-6449-6e6f-744e-656564454649", "BIOS boot code"},
                                         PlainPartition{"9e1a2d38-c612-4316-aa26-8b49521e5a8b", "PReP boot code"},
                                         PlainPartition{"0x41", "PReP boot code"},
                                         PlainPartition{"e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"}};
constexpr std::uint64_t kLargestPlain = 128 * kMiB;

// What may hold something encrypted, and is not looked into.
constexpr std::array kTellingPartitions = {
    PlainPartition{"7c3457ef-0000-11aa-aa11-00306543ecac", "an Apple APFS container (FileVault encrypts inside it)"},
    PlainPartition{"53746f72-6167-11aa-aa11-00306543ecac", "Apple CoreStorage (FileVault 2)"}};

std::string_view name_of_type(std::span<const PlainPartition> types, std::string_view type) {
  const auto found = std::ranges::find(types, type, &PlainPartition::type);
  return found == types.end() ? std::string_view() : found->name;
}

// A volume whose own first bytes say what it is.
Result<std::optional<VolumeFacts>> probe_start(const VolumeSource& source, std::vector<std::string>& remarks) {
  CAIRN_TRY(auto luks, probe_luks(source, remarks));
  if (luks) return luks;
  return probe_bitlocker(source, remarks);
}

class Looker {
 public:
  Looker(ByteSource& disk, const std::string& object, DiskFacts& facts) : disk_(disk), object_(object), facts_(facts) {}

  Result<void> run() {
    CAIRN_TRY(facts_.format, find_image_format(disk_));
    const VolumeSource whole{disk_, 0, {0, disk_.size()}, object_};
    CAIRN_TRY(auto volume, probe_start(whole, facts_.remarks));
    // Such a start is no partition table, whatever the rest of the first sector looks like.
    if (volume) {
      facts_.volumes.push_back(*std::move(volume));
      return {};
    }
    CAIRN_TRY(const PartitionTable table, read_partitions(disk_, object_, facts_.remarks));
    facts_.partition_table = table.type;
    if (table.refused) not_known("a partition table that was not read");
    CAIRN_CHECK(look_at_partitions(table));
    CAIRN_TRY(auto remains, probe_luks2_remains(whole, !table.type.empty() || table.refused, facts_.remarks));
    if (remains) facts_.volumes.push_back(*std::move(remains));
    if (!remains && table.type.empty() && !table.refused) CAIRN_CHECK(look_into(whole, 0, {}));
    CAIRN_CHECK(look_at_groups());
    for (const VolumeSource& source : plain_) CAIRN_CHECK(name_contents(source));
    if (!table.type.empty()) CAIRN_CHECK(look_between(table));
    hint_at_headers();
    return {};
  }

 private:
  void not_known(std::string what) { facts_.not_known.push_back(std::move(what)); }
  static std::string at(const VolumeSource& source) {
    const std::string name = volume_name(source.partition, source.within);
    return name.empty() ? std::string() : " on " + name;
  }

  Result<void> look_at_partitions(const PartitionTable& table) {
    std::vector<std::uint64_t> starts;
    for (const Partition& partition : table.partitions) {
      // The same bytes need not be looked at again; an honest table has no two such partitions.
      if (std::ranges::find(starts, partition.place.offset) != starts.end()) {
        facts_.remarks.push_back(
            fmt::format("partition {} begins where another does, and was not looked at", partition.number));
        continue;
      }
      starts.push_back(partition.place.offset);
      const VolumeSource source{disk_, partition.number, partition.place, object_};
      CAIRN_TRY(auto volume, probe_start(source, facts_.remarks));
      if (!volume) {
        CAIRN_TRY(volume, probe_luks2_remains(source, false, facts_.remarks));
      }
      if (!volume) {
        CAIRN_CHECK(look_into(source, 0, partition.type));
        continue;
      }
      if (partition.cut_off && volume->cut_off.empty())
        volume->cut_off = "its partition reaches beyond the end of the disk";
      facts_.volumes.push_back(*std::move(volume));
    }
    if (table.partitions.size() == kMaxPartitions) not_known("the partitions beyond the first 128");
    return {};
  }

  // Not an encrypted volume itself: does it hold others?
  Result<void> look_into(const VolumeSource& source, unsigned depth, const std::string& type) {
    CAIRN_TRY(const auto md, find_md_member(source));
    if (md) return look_into_md(source, *md, depth);
    CAIRN_TRY(auto lvm, find_lvm_member(source));
    if (lvm) {
      members_.push_back(*std::move(lvm));
      return {};
    }
    if (source.place.size <= kLargestPlain) {
      if (const std::string_view name = name_of_type(kPlainPartitions, type); !name.empty()) {
        CAIRN_TRY(const BytesLook look, look_at_bytes(source));
        if (!look.random) {
          facts_.seen.push_back(std::string(name) + at(source));
          return {};
        }
      }
    }
    if (const std::string_view name = name_of_type(kTellingPartitions, type); !name.empty()) {
      not_known(std::string(name) + at(source));
      return {};
    }
    plain_.push_back(source);
    return {};
  }

  Result<void> look_into_md(const VolumeSource& source, const MdMember& md, unsigned depth) {
    const std::string member = fmt::format("linux_raid_member{} ({}, {})", at(source), md.name, md.what);
    if (md.data.size == 0) {
      not_known(member + ": " + md.why_not);
      return {};
    }
    if (depth >= kDeepest) {
      not_known(member + ": not looked into, since it lies too deep");
      return {};
    }
    const VolumeSource data{disk_,
                            source.partition,
                            {source.place.offset + md.data.offset, md.data.size},
                            object_,
                            source.within.empty() ? md.name : source.within + "/" + md.name};
    CAIRN_TRY(auto volume, probe_start(data, facts_.remarks));
    if (volume) {
      facts_.volumes.push_back(*std::move(volume));
      return {};
    }
    return look_into(data, depth + 1, {});
  }

  // Logical volumes. What is in them is looked at, but not into: no LVM in LVM.
  Result<void> look_at_groups() {
    LvmLayout layout = lay_out_lvm(members_);
    for (std::string& words : layout.not_known) not_known(std::move(words));
    for (LvmPlaced& volume : layout.volumes) {
      VolumeFacts& place = volume.facts;
      if (!volume.why_not.empty()) {
        not_known(place.within + ": " + volume.why_not);
        continue;
      }
      if (facts_.volumes.size() + facts_.seen.size() + facts_.not_known.size() >= kMostVolumes) {
        not_known("more logical volumes than are looked at");
        break;
      }
      if (place.segments.empty()) {
        CAIRN_CHECK(look_at_volume({disk_, place.partition, place.place, object_, place.within}, place));
      } else {
        SegmentedSource bytes(disk_, place);
        CAIRN_CHECK(look_at_volume({bytes, place.partition, {0, place.place.size}, object_, place.within}, place));
      }
    }
    return {};
  }

  Result<void> look_at_volume(const VolumeSource& source, const VolumeFacts& place) {
    CAIRN_TRY(auto volume, probe_start(source, facts_.remarks));
    if (!volume) {
      CAIRN_TRY(volume, probe_luks2_remains(source, false, facts_.remarks));
    }
    if (!volume) return name_contents(source);
    volume->place = place.place;
    volume->segments = place.segments;
    facts_.volumes.push_back(*std::move(volume));
    return {};
  }

  Result<void> name_contents(const VolumeSource& source) {
    CAIRN_TRY(const Contents contents, recognise_contents(source));
    if (contents.kind == Contents::Kind::known) {
      facts_.seen.push_back(contents.type + at(source));
      return {};
    }
    if (contents.kind == Contents::Kind::unknown) {
      not_known(contents.type + at(source) + ": not looked into");
      return {};
    }
    CAIRN_TRY(const BytesLook look, look_at_bytes(source));
    if (look.all_zero && look.whole)
      facts_.seen.push_back("nothing but zeros" + at(source));
    else if (look.all_zero)
      not_known(std::string(kNothingRecognised) + at(source) + ", and zeros wherever it was sampled");
    else if (look.random)
      not_known(
          "nothing recognised" + at(source) +
          ", but its bytes look random: a LUKS volume whose header is kept elsewhere or destroyed, plain dm-crypt, "
          "or a lost partition table");
    else
      not_known(std::string(kNothingRecognised) + at(source));
    return {};
  }

  // Where a header that is kept elsewhere may be: on a partition whose file system can be read.
  void hint_at_headers() {
    constexpr std::string_view kOnPartition = " on partition ";
    const auto plain = std::ranges::find_if(facts_.seen, [&](const std::string& seen) {
      return (seen.starts_with("ext") || seen.starts_with("xfs ")) && seen.find(kOnPartition) != std::string::npos;
    });
    if (plain == facts_.seen.end()) return;
    const std::string number = plain->substr(plain->find(kOnPartition) + kOnPartition.size());
    for (std::string& words : facts_.not_known)
      if (words.starts_with(kNothingRecognised) && words.find("header is kept elsewhere") != std::string::npos)
        words +=
            fmt::format("; a header that lies as a file on partition {0} is named header: partition:{0}/PATH", number);
  }

  // What lies beside the partitions may be those of a lost table.
  Result<void> look_between(const PartitionTable& table) {
    constexpr std::uint64_t kWorthALook = 8 * kMiB;
    std::vector<ByteRange> taken;
    for (const Partition& partition : table.partitions) taken.push_back(partition.place);
    std::ranges::sort(taken, {}, &ByteRange::offset);
    std::uint64_t from = kMiB;  // boot loaders have the first
    const auto look_at_gap = [&](std::uint64_t to) -> Result<void> {
      if (to <= from || to - from < kWorthALook) return {};
      const VolumeSource gap{disk_, 0, {from, to - from}, object_};
      CAIRN_TRY(const BytesLook look, look_at_bytes(gap));
      if (look.random)
        not_known(
            fmt::format("bytes that look random outside of every partition, from byte {} on: an encrypted volume "
                        "that the partition table has lost?",
                        from));
      return {};
    };
    for (const ByteRange& place : taken) {
      CAIRN_CHECK(look_at_gap(place.offset));
      from = std::max(from, place.offset + place.size);
    }
    CAIRN_CHECK(look_at_gap(disk_.size()));
    if (table.partitions.empty()) facts_.seen.push_back("a partition table without partitions");
    return {};
  }

  ByteSource& disk_;
  const std::string& object_;
  DiskFacts& facts_;
  std::vector<LvmMember> members_;
  std::vector<VolumeSource> plain_;  // neither encrypted nor a container; named last, when all volumes are found
};

}  // namespace

Result<DiskFacts> probe_disk(ByteSource& source, const std::string& object, const ProbeLimits& limits) {
  DiskFacts facts;
  BudgetedSource disk(source, limits);
  auto looked = Looker(disk, object, facts).run();
  if (!looked && !disk.is_spent()) return pass_on(std::move(looked).error());
  if (!looked) {
    const std::string words = "its partition tables and headers ask for more work than they may: not all was looked at";
    facts.remarks.push_back(words);
    facts.not_known.push_back(words);
  }
  if (facts.format) {
    const ImageFormat& format = *facts.format;
    facts.not_known.push_back(fmt::format("the image looks like a {} file{}{}: what is in it is not seen", format.name,
                                          format.detail.empty() ? "" : ", ", format.detail));
  }
  facts.all_known = facts.not_known.empty();
  return facts;
}

Result<DiskFacts> probe_disk(int fd, std::uint64_t size, const std::string& object) {
  FdSource disk(fd, size, object);
  return probe_disk(disk, object);
}

}  // namespace cairn
