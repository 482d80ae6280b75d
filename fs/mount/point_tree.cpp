// SPDX-License-Identifier: GPL-3.0-or-later
// PointTree: see point_tree.h. An inode number is `serial << 16 | item`: machines and points get serials in the order
// in which they are first seen, never the same twice, so no state is kept for what the kernel has looked up.
#include "fs/mount/point_tree.h"

#include <algorithm>
#include <map>

#include "fs/mount/point_items.h"

namespace cairn {
namespace {

// Cookies of directory entries. A point's cookie is its time, so it does not depend on the other entries.
constexpr std::uint64_t kDotCookie = 1;
constexpr std::uint64_t kDotDotCookie = 2;
constexpr std::uint64_t kLatestCookie = 3;
constexpr std::uint64_t kFirstCookie = 16;
constexpr std::int64_t kTimeBias = std::int64_t{1} << 40;

std::uint64_t cookie_of(UtcTime time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count() + kTimeBias);
}

struct ListedPoint {
  UtcTime time;
  std::uint64_t serial = 0;
};

struct ListedMachine {
  std::string name;
  std::uint64_t serial = 0;
  std::vector<ListedPoint> points;  // by time; never empty
  UtcTime last_written;             // of one of them
  [[nodiscard]] const ListedPoint& latest() const {
    const ListedPoint* const last = find(last_written);
    return last != nullptr ? *last : points.back();
  }
  [[nodiscard]] const ListedPoint* find(UtcTime time) const {
    const auto at = std::ranges::lower_bound(points, time, {}, &ListedPoint::time);
    return at != points.end() && at->time == time ? &*at : nullptr;
  }
};

}  // namespace

// One state of the whole tree. Constant once it is published.
struct PointTree::Listing {
  struct Place {
    const ListedMachine* machine = nullptr;
    std::optional<UtcTime> time;  // nothing: the machine itself
  };
  std::map<std::string, ListedMachine, std::less<>> machines;
  std::map<std::uint64_t, const ListedMachine*> by_serial;  // the root's order
  std::unordered_map<std::uint64_t, Place> places;          // by serial
  std::size_t point_count = 0;

  [[nodiscard]] const Place* place(std::uint64_t serial) const {
    const auto at = places.find(serial);
    return at == places.end() ? nullptr : &at->second;
  }
  void index() {
    for (const auto& [name, machine] : machines) {
      by_serial[machine.serial] = &machine;
      places[machine.serial] = {&machine, {}};
      for (const ListedPoint& point : machine.points) places[point.serial] = {&machine, point.time};
      point_count += machine.points.size();
    }
  }
};

namespace {

NodeAttributes root_attributes(const PointTree::Listing& listing) {
  UtcTime newest{};
  for (const auto& [name, machine] : listing.machines) newest = std::max(newest, machine.latest().time);
  return directory_attributes(kRootInode, static_cast<std::uint32_t>(listing.machines.size()), newest,
                              Validity::follows_store);
}

NodeAttributes machine_attributes(const ListedMachine& machine) {
  return directory_attributes(inode_of(machine.serial, kMachineDirectory),
                              static_cast<std::uint32_t>(machine.points.size()), machine.latest().time,
                              Validity::follows_store);
}

// Always `disks` and `headers`, so the document need not be read to know the number of links.
NodeAttributes point_attributes(const ListedPoint& point) {
  return directory_attributes(inode_of(point.serial, kPointDirectory), 2, point.time, Validity::constant);
}

NodeAttributes link_attributes(const ListedPoint& point) {
  return {inode_of(point.serial, kLatestLink),
          NodeKind::link,
          compact_time(point.time).size(),
          0,
          1,
          point.time,
          Validity::constant};
}

}  // namespace

PointTree::PointTree(PointSource& source)
    : source_(source), loaded_(source), shown_({std::make_shared<const Listing>(), {}}) {}
PointTree::~PointTree() = default;

std::shared_ptr<const PointTree::Listing> PointTree::listing() const {
  return shown_.lock()->listing;
}

std::size_t PointTree::point_count() const {
  return listing()->point_count;
}

// The point with this serial: listed, or vanished but still held by an open file. Null: neither.
Result<std::shared_ptr<const LoadedPoint>> PointTree::load(const Listing& listing, std::uint64_t serial) {
  const Listing::Place* place = listing.place(serial);
  if (place == nullptr) return loaded_.find(serial);
  if (!place->time) return nullptr;
  return loaded_.get(serial, PointName{place->machine->name, *place->time});
}

Result<std::optional<FoundNode>> PointTree::lookup(InodeNumber parent, std::string_view name) {
  const auto current = listing();
  if (parent == kRootInode) {
    const auto machine = current->machines.find(name);
    if (machine == current->machines.end()) return std::nullopt;
    return FoundNode{machine_attributes(machine->second), Validity::follows_store};
  }
  const std::uint64_t serial = serial_of(parent);
  const std::uint64_t item = item_of(parent);
  if (item == kMachineDirectory) {
    const Listing::Place* place = current->place(serial);
    if (place == nullptr || place->time) return std::nullopt;
    if (name == kLatestName) return FoundNode{link_attributes(place->machine->latest()), Validity::follows_store};
    const auto time = parse_compact_time(name);
    const ListedPoint* point = time ? place->machine->find(*time) : nullptr;
    if (point == nullptr) return std::nullopt;
    return FoundNode{point_attributes(*point), Validity::follows_store};
  }
  CAIRN_TRY(const auto point, load(*current, serial));
  if (!point) return std::nullopt;
  const auto found = find_item(*point, item, name);
  if (!found) return std::nullopt;
  const auto attributes = item_attributes(*point, inode_of(serial, *found));
  if (!attributes) return std::nullopt;
  return FoundNode{*attributes, Validity::constant};
}

Result<std::optional<NodeAttributes>> PointTree::attributes(InodeNumber inode) {
  const auto current = listing();
  if (inode == kRootInode) return root_attributes(*current);
  const std::uint64_t serial = serial_of(inode);
  const Listing::Place* place = current->place(serial);
  switch (item_of(inode)) {
    case kMachineDirectory:
      if (place == nullptr || place->time) return std::nullopt;
      return machine_attributes(*place->machine);
    case kPointDirectory:
      if (place == nullptr || !place->time) return std::nullopt;
      return point_attributes({*place->time, serial});
    case kLatestLink:
      if (place == nullptr || !place->time) return std::nullopt;
      return link_attributes({*place->time, serial});
    default: {
      CAIRN_TRY(const auto point, load(*current, serial));
      if (!point) return std::nullopt;
      return item_attributes(*point, inode);
    }
  }
}

std::optional<std::string> PointTree::link_target(InodeNumber inode) {
  if (item_of(inode) != kLatestLink) return {};
  const auto current = listing();
  const Listing::Place* place = current->place(serial_of(inode));
  if (place == nullptr || !place->time) return {};
  return compact_time(*place->time);
}

Result<std::optional<FileContent>> PointTree::open_file(InodeNumber inode) {
  const auto current = listing();
  const std::uint64_t item = item_of(inode);
  if (inode == kRootInode || item < kDocumentFile) return std::nullopt;
  CAIRN_TRY(auto point, load(*current, serial_of(inode)));
  if (!point) return std::nullopt;
  FileContent content;
  if (item == kDocumentFile) {
    content.text = point->document;
  } else if (item == kDefinitionFile) {
    if (!point->definition) return std::nullopt;
    content.text = *point->definition;
  } else {
    content.image = image_of(*point, item);
    if (content.image == nullptr) return std::nullopt;
  }
  content.point = std::move(point);
  return content;
}

Result<std::optional<PointTree::Directory>> PointTree::open_directory(InodeNumber inode) {
  Directory directory;
  directory.inode_ = inode;
  directory.listing_ = listing();
  const std::uint64_t serial = serial_of(inode);
  const Listing::Place* place = directory.listing_->place(serial);
  switch (item_of(inode)) {
    case kMachineDirectory:  // and the root, which is number 1 of no serial
      if (inode != kRootInode && (place == nullptr || place->time)) return std::nullopt;
      directory.validity_ = Validity::follows_store;
      return directory;
    case kPointDirectory:
    case kDisksDirectory:
    case kHeadersDirectory: {
      CAIRN_TRY(directory.point_, load(*directory.listing_, serial));
      if (!directory.point_) return std::nullopt;
      return directory;
    }
    default:
      return std::nullopt;
  }
}

void PointTree::Directory::list(std::uint64_t after, const Visit& visit) const {
  const Listing& listing = *listing_;
  const std::uint64_t serial = serial_of(inode_);
  const Listing::Place* place = listing.place(serial);
  const auto dots = [&](const NodeAttributes& own, InodeNumber parent) {
    NodeAttributes up;
    up.inode = parent;
    return (after >= kDotCookie || visit(".", {own, Validity::constant}, kDotCookie)) &&
           (after >= kDotDotCookie || visit("..", {up, Validity::constant}, kDotDotCookie));
  };

  if (inode_ == kRootInode) {
    if (!dots(root_attributes(listing), kRootInode)) return;
    const std::uint64_t seen = after < kFirstCookie ? 0 : after - kFirstCookie;
    for (auto at = listing.by_serial.upper_bound(seen); at != listing.by_serial.end(); ++at)
      if (!visit(at->second->name, {machine_attributes(*at->second), Validity::follows_store},
                 kFirstCookie + at->first))
        return;
    return;
  }

  if (!point_) {
    const ListedMachine& machine = *place->machine;
    if (!dots(machine_attributes(machine), kRootInode)) return;
    if (after < kLatestCookie &&
        !visit(kLatestName, {link_attributes(machine.latest()), Validity::follows_store}, kLatestCookie))
      return;
    const auto first =
        std::ranges::upper_bound(machine.points, after, {}, [](const ListedPoint& p) { return cookie_of(p.time); });
    for (auto at = first; at != machine.points.end(); ++at)
      if (!visit(compact_time(at->time), {point_attributes(*at), Validity::follows_store}, cookie_of(at->time))) return;
    return;
  }

  // Inside a point nothing ever changes: the item's number is the cookie.
  const auto show = [&](std::string_view name, std::uint64_t item) {
    const std::uint64_t cookie = kFirstCookie + item;
    if (cookie <= after) return true;
    const auto attributes = item_attributes(*point_, inode_of(serial, item));
    return !attributes || visit(name, {*attributes, Validity::constant}, cookie);
  };
  const auto show_images = [&](const std::vector<PointImage>& images, std::uint64_t first_item, std::size_t shown) {
    for (std::size_t i = 0; i < shown; ++i)
      if (!show(images[i].file_name, first_item + i)) return;
  };
  const InodeNumber own_point = inode_of(serial, kPointDirectory);
  switch (item_of(inode_)) {
    case kPointDirectory: {
      const InodeNumber parent = place != nullptr ? inode_of(place->machine->serial, kMachineDirectory) : kRootInode;
      if (!dots(point_attributes({point_->name.time, serial}), parent)) return;
      if (show(kDisksName, kDisksDirectory) && show(kHeadersName, kHeadersDirectory) &&
          show(kDocumentName, kDocumentFile))
        show(kDefinitionName, kDefinitionFile);
      return;
    }
    case kDisksDirectory:
      if (dots(*item_attributes(*point_, inode_), own_point))
        show_images(point_->disks, kFirstDisk, shown_disks(*point_));
      return;
    case kHeadersDirectory:
      if (dots(*item_attributes(*point_, inode_), own_point))
        show_images(point_->headers, kFirstHeader, shown_headers(*point_));
      return;
    default:
      return;
  }
}

Result<void> PointTree::refresh(RefreshMode mode) {
  // Held while the source lists: whoever needs the new state waits for it instead of listing again.
  const auto refreshing = refreshing_.lock();
  // The token is taken first: a point that comes while we list changes it again, and is seen the next time.
  CAIRN_TRY(const auto token, source_.points_token());
  if (mode == RefreshMode::if_changed && token && token == refreshing->token) return {};
  CAIRN_TRY(auto names, source_.list_points());
  std::ranges::sort(names);
  const auto [first, last] = std::ranges::unique(names);
  names.erase(first, last);

  const auto old = listing();
  auto fresh = std::make_shared<Listing>();
  TreeChanges changes;
  for (const PointName& name : names) {
    ListedMachine& machine = fresh->machines[name.machine];
    const auto known = old->machines.find(name.machine);
    const ListedMachine* before = known == old->machines.end() ? nullptr : &known->second;
    if (machine.points.empty()) {
      machine.name = name.machine;
      machine.serial = before != nullptr ? before->serial : refreshing->next_serial++;
    }
    const ListedPoint* same = before != nullptr ? before->find(name.time) : nullptr;
    machine.points.push_back({name.time, same != nullptr ? same->serial : refreshing->next_serial++});
  }
  CAIRN_TRY(const auto latest, source_.latest_points(names));
  for (const PointName& name : latest)
    if (const auto machine = fresh->machines.find(name.machine); machine != fresh->machines.end())
      machine->second.last_written = name.time;
  for (const auto& [name, machine] : old->machines) {
    const auto now = fresh->machines.find(name);
    const InodeNumber directory = inode_of(machine.serial, kMachineDirectory);
    const ListedMachine* after = now == fresh->machines.end() ? nullptr : &now->second;
    bool vanished = false;
    for (const ListedPoint& point : machine.points) {
      if (after != nullptr && after->find(point.time) != nullptr) continue;
      changes.names.push_back({directory, compact_time(point.time)});
      loaded_.drop(point.serial);
      vanished = true;
    }
    if (after == nullptr) {
      changes.names.push_back({kRootInode, name});
    } else {
      if (after->latest().serial != machine.latest().serial) changes.names.push_back({directory, kLatestName});
      if (vanished || after->points.size() != machine.points.size()) changes.inodes.push_back(directory);
    }
  }
  const bool machines_changed = !std::ranges::equal(
      old->machines, fresh->machines, {}, [](const auto& entry) { return entry.second.serial; },
      [](const auto& entry) { return entry.second.serial; });
  if (machines_changed || !changes.inodes.empty()) changes.inodes.push_back(kRootInode);
  fresh->index();

  refreshing->token = token;
  const auto shown = shown_.lock();
  shown->listing = std::move(fresh);
  std::ranges::move(changes.names, std::back_inserter(shown->changes.names));
  std::ranges::move(changes.inodes, std::back_inserter(shown->changes.inodes));
  return {};
}

TreeChanges PointTree::take_changes() {
  return std::exchange(shown_.lock()->changes, {});
}

bool PointTree::has_changes() const {
  return !shown_.lock()->changes.empty();
}

}  // namespace cairn
