// SPDX-License-Identifier: GPL-3.0-or-later
// A file out of XFS: what a plain /boot of some distributions is. There is no library that reads it outside of the
// kernel, so the few structures that lead to a file are read here, within the sealed helper: superblock, inodes,
// folders, extents and their tree. Bytes: "XFS Algorithms & Data Structures", 3rd edition; all are big-endian.
// guest_file_helper.h.
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "config/base/big_endian.h"
#include "config/base/units.h"
#include "crypto/volume/guest_file_helper.h"

namespace cairn::guest_file {
namespace {

constexpr std::uint64_t kLargestFolder = 64 * kMiB;
constexpr std::uint64_t kFolderIndexAt = 32 * kGiB;  // in a folder's own bytes: beyond it lies its index
constexpr int kDeepestTree = 9;
constexpr std::size_t kMostExtents = 1'000'000;

[[noreturn]] void damaged(const char* what) {
  say(FileOutcome::damaged, fmt::format("it is XFS, and {} makes no sense", what));
}

// In blocks; `start` is where it lies, counted as XFS does.
struct Extent {
  std::uint64_t start = 0;
  std::uint64_t count = 0;
  bool written = true;
};

struct Inode {
  std::uint16_t mode = 0;
  std::uint8_t format = 0;  // of what follows: 1 the content itself, 2 extents, 3 a tree of them
  std::uint64_t size = 0;
  std::uint64_t extents = 0;
  bool realtime = false;
  Buffer fork;
};

class Xfs {
 public:
  // Returns when it is no XFS.
  bool open(const Question& question) {
    question_ = &question;
    Buffer super(512);
    if (!is_inside(question, 0, super.size())) return false;
    ask(0, super);
    if (!as_text(super).starts_with("XFSB")) return false;
    block_size_ = get_be<std::uint32_t>(super, 4);
    root_ = get_be<std::uint64_t>(super, 56);
    blocks_of_group_ = get_be<std::uint32_t>(super, 84);
    groups_ = get_be<std::uint32_t>(super, 88);
    const auto version = get_be<std::uint16_t>(super, 100);
    inode_size_ = get_be<std::uint16_t>(super, 104);
    block_log_ = super[120];
    inode_log_ = super[122];
    inodes_of_block_log_ = super[123];
    group_log_ = super[124];
    const unsigned folder_log = super[192];
    version_5_ = (version & 0xFU) == 5;
    const auto known = version_5_ || (version & 0xFU) == 4;
    if (!known || block_log_ < 9 || block_log_ > 16 || block_size_ != 1U << block_log_ || inode_log_ < 8 ||
        inode_log_ > 11 || inode_size_ != 1U << inode_log_ || inode_log_ + inodes_of_block_log_ != block_log_ ||
        group_log_ > 31 || blocks_of_group_ == 0 || groups_ == 0 || blocks_of_group_ > 1ULL << group_log_ ||
        folder_log + block_log_ > 16)
      damaged("its superblock");
    folder_block_ = block_size_ << folder_log;
    constexpr std::uint32_t kTypesIn5 = 1;
    constexpr std::uint32_t kTypesIn4 = 0x200;
    has_types_ = version_5_ ? (get_be<std::uint32_t>(super, 216) & kTypesIn5) != 0
                            : (version & 0x8000U) != 0 && (get_be<std::uint32_t>(super, 200) & kTypesIn4) != 0;
    return true;
  }
  [[nodiscard]] std::uint64_t root() const { return root_; }

  Inode inode(std::uint64_t number) {
    const std::uint64_t group = number >> (group_log_ + inodes_of_block_log_);
    const std::uint64_t block = (number >> inodes_of_block_log_) & mask(group_log_);
    const std::uint64_t index = number & mask(inodes_of_block_log_);
    Buffer bytes(inode_size_);
    read(place_of(group, block) + index * inode_size_, bytes);
    if (as_text(bytes).substr(0, 2) != "IN") damaged("an inode");
    Inode inode;
    inode.mode = get_be<std::uint16_t>(bytes, 2);
    const bool version_3 = bytes[4] >= 3;
    inode.format = bytes[5];
    inode.size = get_be<std::uint64_t>(bytes, 56);
    const bool many = version_3 && (get_be<std::uint64_t>(bytes, 120) & 0x10U) != 0;  // 64 bits of extent numbers
    inode.extents = many ? get_be<std::uint64_t>(bytes, 24) : get_be<std::uint32_t>(bytes, 76);
    inode.realtime = (get_be<std::uint16_t>(bytes, 90) & 1U) != 0;
    const std::size_t from = version_3 ? 176 : 100;
    const std::size_t size = bytes[82] != 0 ? std::size_t{bytes[82]} * 8 : bytes.size() - from;
    if (from + size > bytes.size()) damaged("an inode");
    inode.fork.assign(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                      bytes.begin() + static_cast<std::ptrdiff_t>(from + size));
    return inode;
  }

  // By where each begins in the file, in blocks.
  std::map<std::uint64_t, Extent> extents(const Inode& inode) {
    std::map<std::uint64_t, Extent> found;
    if (inode.format == 2) {
      if (inode.extents > inode.fork.size() / 16) damaged("the number of extents of an inode");
      add_extents(inode.fork, static_cast<std::size_t>(inode.extents), found);
    } else if (inode.format == 3) {
      if (inode.fork.size() < 4) damaged("an inode's tree");
      const std::size_t room = (inode.fork.size() - 4) / 16;
      const auto count = get_be<std::uint16_t>(inode.fork, 2);
      if (count > room) damaged("an inode's tree");
      for (std::size_t i = 0; i < count; ++i)
        add_tree(get_be<std::uint64_t>(inode.fork, 4 + room * 8 + i * 8), get_be<std::uint16_t>(inode.fork, 0), found);
    } else {
      damaged("an inode's format");
    }
    return found;
  }

  // What the extents have of [from, from + to.size()) of the file; the rest is zeros.
  void read_extents(const std::map<std::uint64_t, Extent>& extents, std::uint64_t from, MutableBytes to) {
    const std::uint64_t end = from + to.size();
    for (const auto& [at, extent] : extents) {
      const std::uint64_t begin = at << block_log_;
      const std::uint64_t first = std::max(begin, from);
      const std::uint64_t last = std::min(begin + (extent.count << block_log_), end);
      if (first >= last || !extent.written) continue;
      const std::uint64_t place = place_of(extent.start >> group_log_, extent.start & mask(group_log_));
      read(place + (first - begin),
           to.subspan(static_cast<std::size_t>(first - from), static_cast<std::size_t>(last - first)));
    }
  }

  // 0: there is none.
  std::uint64_t lookup(const Inode& folder, std::string_view name) {
    if (folder.format == 1) return lookup_short(folder, name);
    if (folder.size > kLargestFolder) damaged("the size of a folder");
    const auto parts = extents(folder);
    Buffer block(folder_block_);
    for (std::uint64_t at = 0; at < std::min(folder.size, kFolderIndexAt); at += folder_block_) {
      std::ranges::fill(block, std::uint8_t{0});
      read_extents(parts, at, block);
      if (const std::uint64_t found = lookup_block(block, name); found != 0) return found;
    }
    return 0;
  }

 private:
  static std::uint64_t mask(unsigned bits) { return (1ULL << bits) - 1; }

  std::uint64_t place_of(std::uint64_t group, std::uint64_t block) const {
    if (group >= groups_ || block >= blocks_of_group_) damaged("the number of a block");
    return (group * blocks_of_group_ + block) << block_log_;
  }

  void read(std::uint64_t offset, MutableBytes to) {
    if (!is_inside(*question_, offset, to.size())) damaged("the place of a block");
    ask(offset, to);
  }

  static void add_extents(ByteView records, std::size_t count, std::map<std::uint64_t, Extent>& found) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto high = get_be<std::uint64_t>(records, i * 16);
      const auto low = get_be<std::uint64_t>(records, i * 16 + 8);
      if (found.size() >= kMostExtents) damaged("the number of extents");
      const std::uint64_t at = (high & ~(1ULL << 63U)) >> 9U;
      if (at >= 1ULL << 47U) damaged("the place of an extent");
      found[at] = {(high & 0x1FFU) << 43U | low >> 21U, low & 0x1FFFFFU, high >> 63U == 0};
    }
  }

  void add_tree(std::uint64_t number, int level, std::map<std::uint64_t, Extent>& found) {
    if (level <= 0 || level > kDeepestTree) damaged("the depth of a tree");
    Buffer block(block_size_);
    read(place_of(number >> group_log_, number & mask(group_log_)), block);
    const std::size_t head = version_5_ ? 72 : 24;
    if (as_text(block).substr(0, 4) != (version_5_ ? "BMA3" : "BMAP") || get_be<std::uint16_t>(block, 4) != level - 1)
      damaged("a block of a tree");
    const std::size_t room = (block.size() - head) / 16;
    const auto count = get_be<std::uint16_t>(block, 6);
    if (count > room) damaged("a block of a tree");
    if (level == 1) return add_extents(ByteView(block).subspan(head), count, found);
    for (std::size_t i = 0; i < count; ++i)
      add_tree(get_be<std::uint64_t>(block, head + room * 8 + i * 8), level - 1, found);
  }

  std::uint64_t lookup_short(const Inode& folder, std::string_view name) const {
    const ByteView bytes = folder.fork;
    if (bytes.size() < 6) damaged("a folder");
    const std::size_t count = bytes[0];
    const std::size_t number_size = bytes[1] != 0 ? 8 : 4;
    std::size_t at = 2 + number_size;
    for (std::size_t i = 0; i < count; ++i) {
      if (at >= bytes.size()) damaged("a folder");
      const std::size_t length = bytes[at];
      const std::size_t number_at = at + 3 + length + (has_types_ ? 1 : 0);
      if (number_at + number_size > bytes.size()) damaged("a folder");
      if (as_text(bytes.subspan(at + 3, length)) == name)
        return number_size == 8 ? get_be<std::uint64_t>(bytes, number_at) : get_be<std::uint32_t>(bytes, number_at);
      at = number_at + number_size;
    }
    return 0;
  }

  std::uint64_t lookup_block(ByteView block, std::string_view name) const {
    const std::string_view magic = as_text(block).substr(0, 4);
    if (is_all_zero(block)) return 0;                            // a hole
    const bool alone = magic == (version_5_ ? "XDB3" : "XD2B");  // with its index at its end
    if (!alone && magic != (version_5_ ? "XDD3" : "XD2D")) damaged("a block of a folder");
    std::size_t end = block.size();
    if (alone) {
      const std::uint64_t index = 8 + std::uint64_t{get_be<std::uint32_t>(block, block.size() - 8)} * 8;
      if (index > block.size()) damaged("a block of a folder");
      end -= static_cast<std::size_t>(index);
    }
    for (std::size_t at = version_5_ ? 64 : 16; at + 12 <= end;) {
      if (get_be<std::uint16_t>(block, at) == 0xFFFF) {
        const std::size_t length = get_be<std::uint16_t>(block, at + 2);
        if (length < 8) damaged("a block of a folder");
        at += length;
        continue;
      }
      const std::size_t length = block[at + 8];
      const std::size_t whole = (8 + 1 + length + (has_types_ ? 1 : 0) + 2 + 7) / 8 * 8;
      if (length == 0 || whole > end - at) damaged("a block of a folder");
      if (as_text(block.subspan(at + 9, length)) == name) return get_be<std::uint64_t>(block, at);
      at += whole;
    }
    return 0;
  }

  const Question* question_ = nullptr;
  std::uint64_t root_ = 0;
  std::uint64_t blocks_of_group_ = 0;
  std::uint64_t groups_ = 0;
  std::uint32_t block_size_ = 0;
  std::uint32_t folder_block_ = 0;
  std::uint32_t inode_size_ = 0;
  unsigned block_log_ = 0;
  unsigned inode_log_ = 0;
  unsigned inodes_of_block_log_ = 0;
  unsigned group_log_ = 0;
  bool version_5_ = false;
  bool has_types_ = false;  // folders tell what each entry is
};

}  // namespace

void read_from_xfs(const Question& question) {
  Xfs xfs;
  if (!xfs.open(question)) return;
  Inode at = xfs.inode(xfs.root());
  for (std::string_view path = question.path; !path.empty();) {
    const std::string_view so_far = std::string_view(question.path).substr(0, question.path.size() - path.size());
    const std::string_view name = next_name(path);
    if (S_ISLNK(at.mode)) say_link_in_the_way(so_far);
    if (!S_ISDIR(at.mode)) say(FileOutcome::no_such_file, "");
    const std::uint64_t number = xfs.lookup(at, name);
    if (number == 0) say(FileOutcome::no_such_file, " (what the guest wrote in the last seconds may not be seen yet)");
    at = xfs.inode(number);
  }
  if (S_ISLNK(at.mode)) say_link();
  if (!S_ISREG(at.mode)) say(FileOutcome::not_a_file, "is no ordinary file");
  if (at.realtime) say(FileOutcome::not_a_file, "lies on the file system's realtime device, which is not read");
  if (at.size > question.most) say(FileOutcome::too_large, fmt::format("{}", at.size));
  Buffer bytes(static_cast<std::size_t>(at.size));
  xfs.read_extents(xfs.extents(at), 0, bytes);
  say(FileOutcome::read, "", bytes);
}

}  // namespace cairn::guest_file
