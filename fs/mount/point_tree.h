// SPDX-License-Identifier: GPL-3.0-or-later
// PointTree: the names, inode numbers and attributes of the mount, as data; no FUSE types here. Layout, inode scheme
// and lock rules: fs/mount/MOUNT.md. Listing needs names only; documents of points are read when a point is entered.
// Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/base/clock.h"
#include "config/base/guarded.h"
#include "config/base/result.h"
#include "fs/mount/loaded_points.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

using InodeNumber = std::uint64_t;
inline constexpr InodeNumber kRootInode = 1;
inline constexpr std::uint64_t kBlockBytes = 512;  // the unit of st_blocks, stat(2)

enum class NodeKind { directory, file, link };
enum class Validity { constant, follows_store };  // whether a later look may find something else

struct NodeAttributes {
  InodeNumber inode = 0;
  NodeKind kind = NodeKind::directory;
  std::uint64_t size = 0;    // bytes
  std::uint64_t blocks = 0;  // of kBlockBytes
  std::uint32_t links = 1;
  UtcTime time;                            // mtime and ctime
  Validity validity = Validity::constant;  // of these attributes
};

// A name found in a directory.
struct FoundNode {
  NodeAttributes attributes;
  Validity name_validity = Validity::constant;  // whether the name may vanish or lead elsewhere
};

// What an open file shows. Holds its point in memory.
struct FileContent {
  std::shared_ptr<const LoadedPoint> point;
  const PointImage* image = nullptr;  // a disk or header of `point`; null: `text`
  std::string_view text;              // of `point`
};

// Names that the kernel must forget, and inodes whose attributes it must ask for again.
struct TreeChanges {
  struct Name {
    InodeNumber parent = 0;
    std::string name;
  };
  std::vector<Name> names;
  std::vector<InodeNumber> inodes;
  [[nodiscard]] bool empty() const { return names.empty() && inodes.empty(); }
};

enum class RefreshMode { if_changed, always };

class PointTree {
 public:
  struct Listing;
  // `source` must outlive this. Empty until the first refresh().
  explicit PointTree(PointSource& source);
  ~PointTree();

  // Nothing when there is no such name. Errors: point_damaged and the source's, for names inside a point.
  Result<std::optional<FoundNode>> lookup(InodeNumber parent, std::string_view name);
  // Nothing when the inode is not (or no longer) known. Errors: as lookup.
  Result<std::optional<NodeAttributes>> attributes(InodeNumber inode);
  // Nothing when it is no link.
  std::optional<std::string> link_target(InodeNumber inode);
  // Nothing when it is no file. Errors: as lookup.
  Result<std::optional<FileContent>> open_file(InodeNumber inode);

  // One state of one directory. Cookies are stable: an entry keeps its cookie when others come or go.
  class Directory {
   public:
    // Calls `visit` for each entry behind `after` (0: from the start), "." and ".." among them, until it returns false.
    using Visit = std::function<bool(std::string_view name, const FoundNode& node, std::uint64_t cookie)>;
    void list(std::uint64_t after, const Visit& visit) const;
    [[nodiscard]] Validity validity() const { return validity_; }

   private:
    friend class PointTree;
    InodeNumber inode_ = 0;
    Validity validity_ = Validity::constant;
    std::shared_ptr<const Listing> listing_;
    std::shared_ptr<const LoadedPoint> point_;
  };
  // Nothing when it is no directory. Errors: as lookup.
  Result<std::optional<Directory>> open_directory(InodeNumber inode);

  // Lists the points again: `if_changed` only when the source's token says so or cannot tell. What the kernel must
  // hear of is kept for take_changes(). Errors: the source's; the old state stays.
  Result<void> refresh(RefreshMode mode);
  // What refresh() found since the last call.
  TreeChanges take_changes();
  [[nodiscard]] bool has_changes() const;

  [[nodiscard]] std::size_t point_count() const;

 private:
  [[nodiscard]] std::shared_ptr<const Listing> listing() const;
  Result<std::shared_ptr<const LoadedPoint>> load(const Listing& listing, std::uint64_t serial);

  PointSource& source_;
  LoadedPoints loaded_;
  struct Refreshing {
    std::optional<std::uint64_t> token;
    std::uint64_t next_serial = 1;
  };
  struct Shown {
    std::shared_ptr<const Listing> listing;
    TreeChanges changes;
  };
  Guarded<Refreshing> refreshing_;  // one refresh at a time; locked while the source lists, and before `shown_`
  Guarded<Shown> shown_;            // never locked across I/O
};

}  // namespace cairn
