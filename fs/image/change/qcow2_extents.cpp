// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/image/change/qcow2_extents.h"

#include <fmt/format.h>
#include <linux/fiemap.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "config/base/big_endian.h"

namespace cairn {
namespace {

constexpr const char* kReadingTables = "read the tables of";
constexpr const char* kTheClone = "the clone";
constexpr std::size_t kHeader = 104;
constexpr std::uint64_t kMostL1 = 4 * 1024 * 1024;  // entries, as QEMU
// Of a batch: few, as the readers wait while they are asked for.
constexpr std::size_t kBatchParts = 512;
constexpr std::size_t kBatchTables = 64;
constexpr std::size_t kFileExtents = 64;  // asked for at once: parts of a disk need not be neighbours in the file
constexpr std::uint32_t kNowhere = FIEMAP_EXTENT_UNKNOWN;
// A place for what the backing file has, where no disk has one.
constexpr std::uint64_t kBelow = 1ULL << 62;
constexpr std::uint64_t kHeaderOfVersion2 = 72;
constexpr std::uint32_t kLongestName = 1023;
constexpr std::uint64_t kLargestHeader = 2ULL << 20;  // header, extensions and name lie in the first cluster

// Incompatible features: dirty and corrupt say nothing of the mapping, 3 is the compression's kind.
constexpr std::uint64_t kHarmlessFeatures = 1 | 2 | 8;

// Entries of both tables.
constexpr std::uint64_t kOffsetBits = 0x00fffffffffffe00;
constexpr std::uint64_t kCopied = 1ULL << 63;
constexpr std::uint64_t kCompressed = 1ULL << 62;
constexpr std::uint64_t kZeroFlag = 1;

// False: the file ends before.
Result<bool> read_file(int fd, std::uint64_t offset, MutableBytes to) {
  for (std::size_t done = 0; done < to.size();) {
    const ssize_t got = ::pread(fd, to.data() + done, to.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, kReadingTables, kTheClone, ErrorCode::image_unreadable);
    if (got == 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

// What a guest's cluster is.
struct Cluster {
  // below: what the backing file has there.
  enum class Kind { hole, data, nowhere, below };
  Kind kind = Kind::hole;
  std::uint64_t offset = 0;  // of data, in the file
};

class Tables {
 public:
  static Result<std::shared_ptr<Tables>> open(int fd) {
    const auto refused = [](std::string why) {
      return fail(ErrorCode::not_supported_yet, kReadingTables, kTheClone, std::move(why));
    };
    auto tables = std::make_shared<Tables>();
    tables->fd_ = fd;
    Buffer header(kHeader);
    CAIRN_TRY(const bool whole, read_file(fd, 0, header));
    const auto version = get_be<std::uint32_t>(header, 4);
    if (!whole || get_be<std::uint32_t>(header, 0) != 0x514649fb || version < 2 || version > 3)
      return refused("it is no qcow2 of a version that is known");
    if (get_be<std::uint32_t>(header, 32) != 0) return refused("the format itself encrypts it");
    const std::uint64_t features = version == 3 ? get_be<std::uint64_t>(header, 72) : 0;
    if ((features & ~kHarmlessFeatures) != 0)
      return refused(fmt::format("it has features whose changes are not tracked (0x{:x})", features));
    tables->has_zero_flag_ = version == 3;
    CAIRN_TRY(tables->backing_, backing_of(fd, header, version));
    if (tables->backing_ && tables->backing_->empty()) return refused("its header is damaged");
    tables->cluster_bits_ = get_be<std::uint32_t>(header, 20);
    if (tables->cluster_bits_ < 9 || tables->cluster_bits_ > 21) return refused("its header is damaged");
    tables->size_ = get_be<std::uint64_t>(header, 24);
    const std::uint64_t entries = get_be<std::uint32_t>(header, 36);
    const std::uint64_t at = get_be<std::uint64_t>(header, 40);
    const std::uint64_t per_table = tables->bytes_per_table();
    if (entries > kMostL1 || tables->size_ / per_table + (tables->size_ % per_table != 0) > entries || at % 512 != 0 ||
        at > INT64_MAX / 2)
      return refused("its header is damaged");
    Buffer l1(static_cast<std::size_t>(entries * 8));
    CAIRN_TRY(const bool complete, read_file(fd, at, l1));
    if (!complete) return refused("its first table is cut off");
    for (std::size_t i = 0; i < entries; ++i) tables->l1_.push_back(get_be<std::uint64_t>(l1, i * 8));
    return tables;
  }

  // Nothing: it is no overlay.
  [[nodiscard]] const std::optional<std::string>& backing() const { return backing_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::uint64_t cluster() const { return 1ULL << cluster_bits_; }
  // Of the disk.
  [[nodiscard]] std::uint64_t bytes_per_table() const { return cluster() / 8 * cluster(); }
  [[nodiscard]] int fd() const { return fd_; }

  // What table `index` maps: `clusters` has one for each of its entries, or one for all of them.
  Result<void> load(std::uint64_t index, std::vector<Cluster>& clusters) const {
    clusters.clear();
    const std::uint64_t entry = l1_[index];
    const std::uint64_t at = entry & kOffsetBits;
    if ((entry & ~(kOffsetBits | kCopied)) != 0 || at % cluster() != 0) {
      clusters.push_back({Cluster::Kind::nowhere, 0});
      return {};
    }
    if (at == 0) {
      clusters.push_back(not_here());
      return {};
    }
    Buffer table(static_cast<std::size_t>(cluster()));
    CAIRN_TRY(const bool whole, read_file(fd_, at, table));
    if (!whole) {
      clusters.push_back({Cluster::Kind::nowhere, 0});
      return {};
    }
    clusters.reserve(table.size() / 8);
    for (std::size_t i = 0; i < table.size(); i += 8) clusters.push_back(cluster_of(get_be<std::uint64_t>(table, i)));
    return {};
  }

 private:
  // Name and format of the backing file, as they stand in the header with all its extensions; empty text: damaged.
  static Result<std::optional<std::string>> backing_of(int fd, ByteView header, std::uint32_t version) {
    const auto at = get_be<std::uint64_t>(header, 8);
    const auto size = get_be<std::uint32_t>(header, 16);
    if (at == 0) return std::optional<std::string>();
    const std::uint64_t extensions = version == 3 ? get_be<std::uint32_t>(header, 100) : kHeaderOfVersion2;
    if (size == 0 || size > kLongestName || extensions > at || at > kLargestHeader) return std::optional(std::string());
    Buffer bytes(static_cast<std::size_t>(at + size - extensions));
    CAIRN_TRY(const bool whole, read_file(fd, extensions, bytes));
    return std::optional(whole ? std::string(as_text(bytes)) : std::string());
  }
  [[nodiscard]] Cluster not_here() const { return {backing_ ? Cluster::Kind::below : Cluster::Kind::hole, 0}; }
  [[nodiscard]] Cluster cluster_of(std::uint64_t entry) const {
    const std::uint64_t offset = entry & kOffsetBits;
    if ((entry & ~(kOffsetBits | kCopied | kZeroFlag)) != 0) return {Cluster::Kind::nowhere, 0};
    if ((entry & kZeroFlag) != 0) return {has_zero_flag_ ? Cluster::Kind::hole : Cluster::Kind::nowhere, 0};
    if (offset == 0) return not_here();
    if (offset % cluster() != 0) return {Cluster::Kind::nowhere, 0};
    return {Cluster::Kind::data, offset};
  }

  int fd_ = -1;
  unsigned cluster_bits_ = 0;
  bool has_zero_flag_ = false;
  std::uint64_t size_ = 0;
  std::optional<std::string> backing_;
  std::vector<std::uint64_t> l1_;
};

// One look at a part of the disk: the file's extents are asked for anew in each, for the file system may move them.
class Look {
 public:
  explicit Look(const Tables& tables) : tables_(tables) {}

  Result<ExtentBatch> from(std::uint64_t offset) {
    batch_.from = offset;
    batch_.end = UINT64_MAX;
    std::vector<Cluster> clusters;
    std::size_t seen = 0;
    const std::uint64_t per_table = tables_.bytes_per_table();
    for (std::uint64_t at = offset; at < tables_.size(); ++seen) {
      if (seen == kBatchTables) return stop_at(at);
      const std::uint64_t table = at / per_table;
      CAIRN_CHECK(tables_.load(table, clusters));
      const std::uint64_t table_end = std::min((table + 1) * per_table, tables_.size());
      const bool one_for_all = clusters.size() == 1;
      while (at < table_end) {
        if (batch_.extents.size() >= kBatchParts) return stop_at(at);
        const std::uint64_t first = one_for_all ? 0 : at % per_table / tables_.cluster();
        std::uint64_t end = one_for_all ? table_end : at / tables_.cluster() * tables_.cluster() + tables_.cluster();
        const Cluster& begin = clusters[first];
        // Neighbours on the disk that are neighbours in the file.
        for (std::uint64_t next = first + 1; !one_for_all && end < table_end; ++next, end += tables_.cluster()) {
          const Cluster& other = clusters[next];
          if (other.kind != begin.kind ||
              (begin.kind == Cluster::Kind::data && other.offset != begin.offset + (next - first) * tables_.cluster()))
            break;
        }
        end = std::min(end, table_end);
        if (begin.kind == Cluster::Kind::nowhere) {
          batch_.extents.push_back({at, 0, end - at, kNowhere});
        } else if (begin.kind == Cluster::Kind::below) {
          batch_.extents.push_back({at, kBelow + at, end - at, 0});
        } else if (begin.kind == Cluster::Kind::data) {
          CAIRN_CHECK(place(at, begin.offset + at % tables_.cluster(), end - at));
        }
        at = end;
      }
    }
    return std::move(batch_);
  }

 private:
  ExtentBatch stop_at(std::uint64_t end) {
    batch_.end = end;
    return std::move(batch_);
  }

  // The disk's bytes at `at` are the file's at `offset`: where on the host's disk do these lie?
  Result<void> place(std::uint64_t at, std::uint64_t offset, std::uint64_t size) {
    const std::uint64_t file_end = offset + size;
    for (std::uint64_t in_file = offset; in_file < file_end;) {
      if (in_file < known_.from || in_file >= known_.end) {
        CAIRN_TRY(known_, read_extents(tables_.fd(), in_file, kFileExtents, FlushFirst::yes));
      }
      const std::uint64_t until = std::min(file_end, known_.end);
      auto extent = std::ranges::upper_bound(known_.extents, in_file, {}, &MappedExtent::logical);
      if (extent != known_.extents.begin()) --extent;
      for (; extent != known_.extents.end() && extent->logical < until; ++extent) {
        const std::uint64_t from = std::max(extent->logical, in_file);
        const std::uint64_t end = std::min(extent->logical + extent->length, until);
        if (from >= end) continue;
        // A place of 0 means none in particular; with what is added to it that could not be seen any more.
        const bool somewhere = extent->physical != 0;
        batch_.extents.push_back({at + (from - offset), somewhere ? extent->physical + (from - extent->logical) : 0,
                                  end - from, extent->flags | (somewhere ? 0 : kNowhere)});
      }
      in_file = until;
    }
    return {};
  }

  const Tables& tables_;
  ExtentBatch batch_;
  ExtentBatch known_{{}, 1, 0};  // of the file
};

}  // namespace

Result<Qcow2Extents> qcow2_extents(int fd) {
  CAIRN_TRY(const std::shared_ptr<Tables> tables, Tables::open(fd));
  return Qcow2Extents{[tables](std::uint64_t from) { return Look(*tables).from(from); }, tables->size(),
                      tables->backing().value_or(std::string())};
}

}  // namespace cairn
