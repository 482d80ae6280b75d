// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/index/index_check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <optional>
#include <vector>

#include "config/base/bytes.h"

namespace cairn {
namespace {

using PageNumber = std::uint64_t;
constexpr PageNumber kNoPage = ~PageNumber{0};
constexpr std::uint32_t kMagic = 0xBEEFC0DE;
constexpr std::uint32_t kDataVersion = 1;
constexpr std::size_t kPageHeaderBytes = 16;
constexpr std::size_t kTreeBytes = 48;
constexpr std::size_t kMetaBytes = kPageHeaderBytes + 24 + 2 * kTreeBytes + 16;
constexpr std::size_t kNodeHeaderBytes = 8;
constexpr unsigned kMostLevels = 32;  // LMDB's cursors have room for no more
constexpr PageNumber kMetaPages = 2;
constexpr std::uint16_t kBranch = 1;
constexpr std::uint16_t kLeaf = 2;
constexpr std::uint16_t kOverflow = 4;
constexpr std::uint16_t kMeta = 8;
constexpr std::uint16_t kBigValue = 1;  // of a node: its value has pages of its own
constexpr std::uint16_t kSubTree = 2;   // of a node: its value is a named table
constexpr std::uint16_t kIntegerKeys = 8;

// A table's record (MDB_db).
struct Tree {
  std::uint32_t pad = 0;
  std::uint16_t flags = 0;
  std::uint16_t depth = 0;
  std::uint64_t branch_pages = 0;
  std::uint64_t leaf_pages = 0;
  std::uint64_t overflow_pages = 0;
  std::uint64_t entries = 0;
  PageNumber root = kNoPage;
};

Tree tree_of(ByteView bytes) {
  return {get_le<std::uint32_t>(bytes),
          get_le<std::uint16_t>(bytes.subspan(4)),
          get_le<std::uint16_t>(bytes.subspan(6)),
          get_le<std::uint64_t>(bytes.subspan(8)),
          get_le<std::uint64_t>(bytes.subspan(16)),
          get_le<std::uint64_t>(bytes.subspan(24)),
          get_le<std::uint64_t>(bytes.subspan(32)),
          get_le<std::uint64_t>(bytes.subspan(40))};
}

struct Meta {
  Tree free;
  Tree main;
  PageNumber last = 0;
  std::uint64_t transaction = 0;
};

// Of a branch or leaf page.
struct Node {
  std::uint32_t size = 0;  // of the value
  std::uint16_t flags = 0;
  ByteView key;
  ByteView value;  // in the page; of a big one its page number
  PageNumber child = 0;
};

class IndexFile {
 public:
  IndexFile(int file, const std::string& path) : file_(file), path_(path) {}

  Result<void> open();
  [[nodiscard]] const Meta& meta(std::size_t number) const { return metas_.at(number); }
  Result<void> check(const Meta& meta);

 private:
  enum class Kind { free, main, named };
  struct Bounds {  // keys below a branch's entry: from `from`, up to but not including `to`
    std::optional<ByteView> from;
    std::optional<ByteView> to;
  };
  struct Count {
    std::uint64_t branch_pages = 0;
    std::uint64_t leaf_pages = 0;
    std::uint64_t overflow_pages = 0;
    std::uint64_t entries = 0;
  };

  [[nodiscard]] std::unexpected<Error> damaged(const std::string& because) const {
    return fail(ErrorCode::index_damaged, "check index", path_, because);
  }
  [[nodiscard]] std::unexpected<Error> damaged(PageNumber page, const std::string& because) const {
    return damaged("page " + std::to_string(page) + ": " + because);
  }
  Result<void> read(std::uint64_t offset, MutableBytes to) const;
  Result<Meta> read_meta(std::uint64_t offset);
  // Takes pages that nobody has taken yet.
  Result<void> take(PageNumber first, std::uint64_t count);

  Result<void> check_tree(const Tree& tree, Kind kind);
  Result<void> check_page(const Tree& tree, Kind kind, PageNumber number, unsigned level, const Bounds& bounds,
                          Count& count);
  [[nodiscard]] Result<Node> node(PageNumber number, ByteView page, std::size_t place, bool is_branch) const;
  static bool is_before(const Tree& tree, ByteView a, ByteView b);
  Result<void> check_name(const Tree& tree, PageNumber page, ByteView name,
                          const std::optional<ByteView>& before) const;
  Result<void> check_leaf_node(Kind kind, PageNumber page, const Node& node, Count& count);
  Result<void> check_free_pages(PageNumber page, ByteView list);

  int file_;
  const std::string& path_;
  std::uint64_t page_bytes_ = 0;
  std::uint64_t file_bytes_ = 0;
  std::array<Meta, kMetaPages> metas_;
  PageNumber last_ = 0;
  std::vector<bool> taken_;
};

Result<void> IndexFile::read(std::uint64_t offset, MutableBytes to) const {
  while (!to.empty()) {
    const ssize_t got = ::pread(file_, to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    // The disk's fault, and this is only a cache.
    if (got < 0) return fail_errno(errno, "read", path_, errno == EIO ? ErrorCode::index_damaged : ErrorCode::io_error);
    if (got == 0) return damaged("the file is shorter than it was written");
    offset += static_cast<std::uint64_t>(got);
    to = to.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Result<Meta> IndexFile::read_meta(std::uint64_t offset) {
  std::array<std::uint8_t, kMetaBytes> bytes{};
  CAIRN_CHECK(read(offset, bytes));
  const ByteView page(bytes);
  const ByteView fields = page.subspan(kPageHeaderBytes);
  if ((get_le<std::uint16_t>(page.subspan(10)) & kMeta) == 0 || get_le<std::uint32_t>(fields) != kMagic ||
      get_le<std::uint32_t>(fields.subspan(4)) != kDataVersion)
    return damaged("a meta page is none, or of another version of LMDB");
  Meta meta{tree_of(fields.subspan(24)), tree_of(fields.subspan(24 + kTreeBytes)),
            get_le<std::uint64_t>(fields.subspan(24 + 2 * kTreeBytes)),
            get_le<std::uint64_t>(fields.subspan(32 + 2 * kTreeBytes))};
  const std::uint64_t size = meta.free.pad;
  if (!std::has_single_bit(size) || size < 512 || size > 32768 || (page_bytes_ != 0 && size != page_bytes_))
    return damaged("a meta page has a page size that is not possible");
  page_bytes_ = size;
  if (meta.free.flags != kIntegerKeys || meta.main.flags != 0) return damaged("a meta page has unknown flags");
  if (meta.last < kMetaPages - 1 || meta.last >= file_bytes_ / page_bytes_)
    return damaged("the file is shorter than it was written");
  // Transaction n writes page n modulo 2; both begin with 0.
  if (meta.transaction != 0 && meta.transaction % kMetaPages != (offset == 0 ? 0U : 1U))
    return damaged("a meta page has a transaction number that is not possible");
  return meta;
}

Result<void> IndexFile::open() {
  struct stat facts{};
  if (::fstat(file_, &facts) != 0) return fail_errno(errno, "look at", path_);
  file_bytes_ = static_cast<std::uint64_t>(facts.st_size);
  CAIRN_TRY(metas_[0], read_meta(0));
  CAIRN_TRY(metas_[1], read_meta(page_bytes_));
  return {};
}

Result<void> IndexFile::take(PageNumber first, std::uint64_t count) {
  if (first < kMetaPages || first > last_ || count > last_ - first + 1)
    return damaged(first, "it is outside of the file, and something names it");
  for (PageNumber page = first; page < first + count; ++page) {
    if (taken_[page]) return damaged(page, "two things name it");
    taken_[page] = true;
  }
  return {};
}

Result<void> IndexFile::check(const Meta& meta) {
  last_ = meta.last;
  taken_.assign(last_ + 1, false);
  CAIRN_CHECK(check_tree(meta.main, Kind::main));
  return check_tree(meta.free, Kind::free);  // last: the free pages are then what is not taken
}

Result<void> IndexFile::check_tree(const Tree& tree, Kind kind) {
  if (tree.root == kNoPage) {
    if (tree.depth != 0 || tree.entries != 0) return damaged("an empty table says that it is not");
    return {};
  }
  if (tree.depth == 0 || tree.depth > kMostLevels) return damaged("a table has an impossible depth");
  Count count;
  CAIRN_CHECK(check_page(tree, kind, tree.root, 1, {}, count));
  if (count.entries != tree.entries || count.branch_pages != tree.branch_pages || count.leaf_pages != tree.leaf_pages ||
      count.overflow_pages != tree.overflow_pages)
    return damaged("a table has another size than it says");
  return {};
}

Result<Node> IndexFile::node(PageNumber number, ByteView page, std::size_t place, bool is_branch) const {
  const auto offset = get_le<std::uint16_t>(page.subspan(kPageHeaderBytes + 2 * place));
  const auto upper = get_le<std::uint16_t>(page.subspan(14));
  if (offset < upper || offset % 2 != 0 || offset + kNodeHeaderBytes > page.size())
    return damaged(number, "an entry lies outside of it");
  const ByteView bytes = page.subspan(offset);
  const auto low = get_le<std::uint16_t>(bytes);
  const auto high = get_le<std::uint16_t>(bytes.subspan(2));
  Node found;
  found.size = low | static_cast<std::uint32_t>(high) << 16U;
  found.flags = get_le<std::uint16_t>(bytes.subspan(4));
  const auto key_bytes = get_le<std::uint16_t>(bytes.subspan(6));
  const std::size_t rest = bytes.size() - kNodeHeaderBytes;
  if (key_bytes > rest) return damaged(number, "an entry's name reaches out of it");
  found.key = bytes.subspan(kNodeHeaderBytes, key_bytes);
  if (is_branch) {
    found.child = found.size | static_cast<PageNumber>(found.flags) << 32U;
    return found;
  }
  const std::size_t value_bytes = (found.flags & kBigValue) != 0 ? sizeof(PageNumber) : found.size;
  if (value_bytes > rest - key_bytes) return damaged(number, "an entry's value reaches out of it");
  found.value = bytes.subspan(kNodeHeaderBytes + key_bytes, value_bytes);
  return found;
}

// As LMDB orders names: by their bytes, or as numbers of the host's byte order.
bool IndexFile::is_before(const Tree& tree, ByteView a, ByteView b) {
  if ((tree.flags & kIntegerKeys) == 0) return std::ranges::lexicographical_compare(a, b);
  const auto number = [](ByteView bytes) {
    return bytes.size() == 4 ? get_le<std::uint32_t>(bytes) : get_le<std::uint64_t>(bytes);
  };
  return number(a) < number(b);
}

Result<void> IndexFile::check_name(const Tree& tree, PageNumber page, ByteView name,
                                   const std::optional<ByteView>& before) const {
  const bool number = (tree.flags & kIntegerKeys) != 0;
  if (number && name.size() != 4 && name.size() != 8) return damaged(page, "a number has a wrong length");
  if (number && before && before->size() != name.size()) return damaged(page, "a number has a wrong length");
  if (before && !is_before(tree, *before, name)) return damaged(page, "its entries are not in order");
  return {};
}

Result<void> IndexFile::check_page(const Tree& tree, Kind kind, PageNumber number, unsigned level, const Bounds& bounds,
                                   Count& count) {
  CAIRN_CHECK(take(number, 1));
  Buffer bytes(page_bytes_);
  CAIRN_CHECK(read(number * page_bytes_, bytes));
  const ByteView page(bytes);
  const bool is_branch = level < tree.depth;
  const auto lower = get_le<std::uint16_t>(page.subspan(12));
  const auto upper = get_le<std::uint16_t>(page.subspan(14));
  if (get_le<PageNumber>(page) != number || get_le<std::uint16_t>(page.subspan(10)) != (is_branch ? kBranch : kLeaf))
    return damaged(number, "it is another page, or of another kind, than what names it says");
  if (lower < kPageHeaderBytes || lower > upper || upper > page.size() || lower % 2 != 0)
    return damaged(number, "its bounds are impossible");
  const std::size_t nodes = (lower - kPageHeaderBytes) / 2;
  // LMDB merges a branch that has one child only, except for a moment in the list of free pages.
  if (nodes < (is_branch && kind != Kind::free ? 2U : 1U)) return damaged(number, "it has too few entries");
  ++(is_branch ? count.branch_pages : count.leaf_pages);

  std::optional<ByteView> before;
  for (std::size_t place = 0; place < nodes; ++place) {
    CAIRN_TRY(const Node here, node(number, page, place, is_branch));
    // A branch's first name stands for whatever is smaller than the second, and is not looked at.
    if (!is_branch || place != 0) {
      CAIRN_CHECK(check_name(tree, number, here.key, before));
      if (!before && bounds.from && is_before(tree, here.key, *bounds.from))
        return damaged(number, "its entries are smaller than what names it says");
      before = here.key;
    }
    if (!is_branch) {
      CAIRN_CHECK(check_leaf_node(kind, number, here, count));
      continue;
    }
    Bounds below{place == 0 ? bounds.from : std::optional(here.key), bounds.to};
    if (place + 1 < nodes) {
      CAIRN_TRY(const Node next, node(number, page, place + 1, true));
      below.to = next.key;
    }
    CAIRN_CHECK(check_page(tree, kind, here.child, level + 1, below, count));
  }
  if (before && bounds.to && !is_before(tree, *before, *bounds.to))
    return damaged(number, "its entries are larger than what names it says");
  return {};
}

Result<void> IndexFile::check_leaf_node(Kind kind, PageNumber page, const Node& node, Count& count) {
  ++count.entries;
  if (kind == Kind::main) {
    if (node.flags != kSubTree || node.size != kTreeBytes) return damaged(page, "what should be a table is none");
    const Tree named = tree_of(node.value);
    if (named.flags != 0 && named.flags != kIntegerKeys)
      return damaged(page, "a table is of a kind that an index does not have");
    return check_tree(named, Kind::named);
  }
  if ((node.flags & ~kBigValue) != 0) return damaged(page, "an entry has unknown flags");
  if ((node.flags & kBigValue) == 0) return kind == Kind::free ? check_free_pages(page, node.value) : Result<void>();

  const auto first = get_le<PageNumber>(node.value);
  const std::uint64_t needed = (kPageHeaderBytes - 1 + node.size) / page_bytes_ + 1;
  if (first < kMetaPages || first > last_) return damaged(page, "a value lies outside of the file");
  std::array<std::uint8_t, kPageHeaderBytes> header{};
  CAIRN_CHECK(read(first * page_bytes_, header));
  const auto pages = get_le<std::uint32_t>(ByteView(header).subspan(12));
  if (get_le<PageNumber>(header) != first || get_le<std::uint16_t>(ByteView(header).subspan(10)) != kOverflow ||
      pages < needed)
    return damaged(first, "it is not the value's that names it");
  CAIRN_CHECK(take(first, pages));
  count.overflow_pages += pages;
  if (kind != Kind::free) return {};
  Buffer list(node.size);
  CAIRN_CHECK(read(first * page_bytes_ + kPageHeaderBytes, list));
  return check_free_pages(first, list);
}

// What one transaction freed: a count, and that many page numbers, the largest first.
Result<void> IndexFile::check_free_pages(PageNumber page, ByteView list) {
  if (list.size() < sizeof(PageNumber) || list.size() % sizeof(PageNumber) != 0)
    return damaged(page, "a list of free pages has an impossible length");
  const auto count = get_le<std::uint64_t>(list);
  if (count > list.size() / sizeof(PageNumber) - 1) return damaged(page, "a list of free pages is longer than it is");
  PageNumber before = kNoPage;
  for (std::uint64_t i = 1; i <= count; ++i) {
    const auto free = get_le<PageNumber>(list.subspan(i * sizeof(PageNumber)));
    if (free >= before) return damaged(page, "a list of free pages is not in order");
    CAIRN_CHECK(take(free, 1));
    before = free;
  }
  return {};
}

}  // namespace

Result<void> check_index_header(int file, const std::string& path) {
  // A writer may just be writing a meta page, which is not one step for who reads it.
  Result<void> checked;
  for (int attempt = 0; attempt < 3; ++attempt) {
    checked = IndexFile(file, path).open();
    if (checked || checked.error().code != ErrorCode::index_damaged) break;
  }
  return checked;
}

Result<void> check_index_pages(int file, const std::string& path, std::uint64_t snapshot) {
  IndexFile index(file, path);
  CAIRN_CHECK(index.open());
  const Meta& meta = index.meta(snapshot % kMetaPages);
  if (meta.transaction == snapshot) return index.check(meta);
  // Overwritten by a writer that has committed twice since: whoever calls begins a new transaction.
  return fail(ErrorCode::cancelled, "check index", path, "it was changed meanwhile");
}

}  // namespace cairn
