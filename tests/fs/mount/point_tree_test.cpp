// SPDX-License-Identifier: GPL-3.0-or-later
// The mount's names, inode numbers and attributes.
#include "fs/mount/point_tree.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/fs/mount/fake_points.h"

namespace cairn {
namespace {

using test::FakePoints;
using test::point_name;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::Not;

constexpr std::int64_t kTuesday = 1795226400;  // 2026-11-21T02:00:00Z

struct Tree {
  FakePoints points;
  PointTree tree{points};

  void refresh() { ASSERT_TRUE(tree.refresh(RefreshMode::if_changed)); }
  std::optional<FoundNode> find(const std::string& path) {
    FoundNode at;
    at.attributes.inode = kRootInode;
    std::size_t from = 0;
    while (from < path.size()) {
      const std::size_t end = std::min(path.find('/', from), path.size());
      const auto found = tree.lookup(at.attributes.inode, path.substr(from, end - from));
      if (!found || !*found) return {};
      at = **found;
      from = end + 1;
    }
    return at;
  }
  InodeNumber inode(const std::string& path) {
    const auto found = find(path);
    return found ? found->attributes.inode : 0;
  }
  // Names in the directory, read in steps of `step` entries, each step from the last one's cookie.
  std::vector<std::string> list(const std::string& path, std::size_t step = 1000000) {
    std::vector<std::string> names;
    std::uint64_t after = 0;
    bool more = true;
    while (more) {
      const auto directory = tree.open_directory(path.empty() ? kRootInode : inode(path));
      if (!directory || !*directory) return {"(not a directory)"};
      more = false;
      std::size_t taken = 0;
      (*directory)->list(after, [&](std::string_view name, const FoundNode&, std::uint64_t cookie) {
        if (taken == step) {
          more = true;
          return false;
        }
        EXPECT_GT(cookie, after);
        after = cookie;
        ++taken;
        names.emplace_back(name);
        return true;
      });
    }
    return names;
  }
};

RecoveryPoint web_point(std::int64_t seconds) {
  RecoveryPoint point;
  point.name = point_name("web-01", seconds);
  point.definition = "<domain/>";
  DiskRecord disk;
  disk.name = "root";
  disk.map.size = 1000000;
  disk.map.data_bytes = 65536;
  disk.headers.push_back({"root.luks2", {4096, 512, {}}});
  disk.headers.push_back({"../escape", {4096, 512, {}}});
  point.disks.push_back(disk);
  disk = {};
  disk.name = "tail";
  disk.map.size = 700;
  disk.map.data_bytes = 65536;  // more than the disk: the last chunk is counted whole
  point.disks.push_back(disk);
  return point;
}

TEST(PointTree, IsLaidOutAsTheDesignSays) {
  Tree t;
  t.points.add(web_point(kTuesday));
  t.points.add(point_name("db", kTuesday));
  t.refresh();
  EXPECT_THAT(t.list(""), ElementsAre(".", "..", "db", "web-01"));
  EXPECT_THAT(t.list("web-01"), ElementsAre(".", "..", "latest", "20261121T020000Z"));
  EXPECT_THAT(t.list("web-01/20261121T020000Z"),
              ElementsAre(".", "..", "disks", "headers", "recovery-point.json", "machine.xml"));
  EXPECT_THAT(t.list("db/20261121T020000Z"), ElementsAre(".", "..", "disks", "headers", "recovery-point.json"));
  EXPECT_THAT(t.list("web-01/20261121T020000Z/disks"), ElementsAre(".", "..", "root.img", "tail.img"));
  EXPECT_THAT(t.list("web-01/20261121T020000Z/headers"), ElementsAre(".", "..", "root.luks2"));
  EXPECT_EQ(t.tree.link_target(t.inode("web-01/latest")), "20261121T020000Z");
}

TEST(PointTree, GivesSizesBlocksLinksAndTimes) {
  Tree t;
  t.points.add(web_point(kTuesday));
  t.refresh();
  const NodeAttributes disk = t.find("web-01/20261121T020000Z/disks/root.img")->attributes;
  EXPECT_EQ(disk.kind, NodeKind::file);
  EXPECT_EQ(disk.size, 1000000U);
  EXPECT_EQ(disk.blocks, 128U);
  EXPECT_EQ(disk.links, 1U);
  EXPECT_EQ(disk.time.time_since_epoch().count(), kTuesday);
  EXPECT_EQ(disk.validity, Validity::constant);
  EXPECT_EQ(t.find("web-01/20261121T020000Z/disks/tail.img")->attributes.blocks, 2U);
  EXPECT_EQ(t.find("web-01")->attributes.links, 3U);
  EXPECT_EQ(t.find("web-01")->name_validity, Validity::follows_store);
  EXPECT_EQ(t.find("web-01/20261121T020000Z")->attributes.links, 4U);
  EXPECT_EQ(t.find("web-01/latest")->attributes.size, 16U);
  EXPECT_EQ(t.find("web-01/20261121T020000Z/machine.xml")->attributes.size, 9U);
}

TEST(PointTree, AttributesOfAnInodeAreThoseOfTheLookup) {
  Tree t;
  t.points.add(web_point(kTuesday));
  t.refresh();
  for (const std::string path :
       {"", "web-01", "web-01/latest", "web-01/20261121T020000Z", "web-01/20261121T020000Z/disks",
        "web-01/20261121T020000Z/headers", "web-01/20261121T020000Z/disks/tail.img",
        "web-01/20261121T020000Z/headers/root.luks2", "web-01/20261121T020000Z/machine.xml"}) {
    SCOPED_TRACE(path);
    const auto found = path.empty() ? FoundNode{} : *t.find(path);
    const InodeNumber inode = path.empty() ? kRootInode : found.attributes.inode;
    const auto again = t.tree.attributes(inode);
    ASSERT_TRUE(again);
    ASSERT_TRUE(*again);
    EXPECT_EQ((*again)->inode, inode);
    if (path.empty()) continue;
    EXPECT_EQ((*again)->size, found.attributes.size);
    EXPECT_EQ((*again)->kind, found.attributes.kind);
    EXPECT_EQ((*again)->links, found.attributes.links);
  }
}

TEST(PointTree, ShowsTheDocumentAsJson) {
  Tree t;
  t.points.add(web_point(kTuesday));
  t.refresh();
  const auto content = t.tree.open_file(t.inode("web-01/20261121T020000Z/recovery-point.json"));
  ASSERT_TRUE(content);
  ASSERT_TRUE(*content);
  const auto document = nlohmann::json::parse((*content)->text);
  EXPECT_EQ(document, to_json(web_point(kTuesday)));
  EXPECT_EQ((*content)->text.back(), '\n');
}

TEST(PointTree, OpensDisksAndHeadersByTheirRecords) {
  Tree t;
  t.points.add(web_point(kTuesday));
  t.refresh();
  const auto disk = t.tree.open_file(t.inode("web-01/20261121T020000Z/disks/tail.img"));
  ASSERT_TRUE(disk && *disk && (*disk)->image);
  EXPECT_EQ((*disk)->image->map.size, 700U);
  EXPECT_EQ((*disk)->image->object, "web-01@20261121T020000Z/tail");
  const auto header = t.tree.open_file(t.inode("web-01/20261121T020000Z/headers/root.luks2"));
  ASSERT_TRUE(header && *header && (*header)->image);
  EXPECT_EQ((*header)->image->object, "web-01@20261121T020000Z/headers/root.luks2");
  const auto directory = t.tree.open_file(t.inode("web-01/20261121T020000Z/disks"));
  ASSERT_TRUE(directory);
  EXPECT_FALSE(*directory);
}

TEST(PointTree, KnowsNoOtherNames) {
  Tree t;
  t.points.add(web_point(kTuesday));
  t.refresh();
  for (const std::string path :
       {"web-02", "web-01/20261121T020001Z", "web-01/nonsense", "web-01/20261121T020000Z/machine",
        "web-01/20261121T020000Z/disks/root", "web-01/20261121T020000Z/headers/../escape"})
    EXPECT_FALSE(t.find(path)) << path;
  for (const InodeNumber inode : {InodeNumber{0}, InodeNumber{2}, InodeNumber{99} << 16 | 1, t.inode("web-01") + 3,
                                  t.inode("web-01/20261121T020000Z/disks/tail.img") + 1}) {
    const auto attributes = t.tree.attributes(inode);
    ASSERT_TRUE(attributes);
    EXPECT_FALSE(*attributes) << inode;
    EXPECT_TRUE(t.tree.open_directory(inode) && !*t.tree.open_directory(inode)) << inode;
  }
}

TEST(PointTree, ListsTenThousandPointsWithoutReadingOne) {
  Tree t;
  for (int i = 0; i < 10000; ++i) t.points.add(point_name("web-01", kTuesday + i * 3600));
  t.refresh();
  EXPECT_EQ(t.tree.point_count(), 10000U);
  const auto whole = t.list("web-01");
  EXPECT_EQ(whole.size(), 10003U);
  EXPECT_EQ(t.list("web-01", 7), whole);
  EXPECT_EQ(t.points.loads, 0);
}

TEST(PointTree, ReadingOnWhilePointsComeAndGoSkipsNothingAndRepeatsNothing) {
  Tree t;
  for (int i = 0; i < 100; ++i) t.points.add(point_name("web-01", kTuesday + i * 10));
  t.refresh();
  std::vector<std::string> names;
  std::uint64_t after = 0;
  for (int round = 0;; ++round) {
    const auto directory = t.tree.open_directory(t.inode("web-01"));
    const std::uint64_t before = after;
    int taken = 0;
    (*directory)->list(after, [&](std::string_view name, const FoundNode&, std::uint64_t cookie) {
      if (taken++ == 5) return false;
      after = cookie;
      names.emplace_back(name);
      return true;
    });
    if (after == before) break;
    t.points.remove(point_name("web-01", kTuesday + round * 10));  // behind the reader, but for the first rounds
    t.points.add(point_name("web-01", kTuesday - round));
    t.refresh();
  }
  for (int i = 30; i < 100; ++i)
    EXPECT_EQ(std::ranges::count(names, compact_time(UtcTime(std::chrono::seconds(kTuesday + i * 10)))), 1) << i;
}

TEST(PointTree, TellsWhatTheKernelMustForget) {
  Tree t;
  t.points.add(point_name("db", kTuesday));
  t.points.add(point_name("web-01", kTuesday));
  t.refresh();
  t.tree.take_changes();
  const InodeNumber web = t.inode("web-01");

  t.points.add(point_name("web-01", kTuesday + 60));
  t.refresh();
  EXPECT_TRUE(t.tree.has_changes());
  TreeChanges changes = t.tree.take_changes();
  ASSERT_EQ(changes.names.size(), 1U);
  EXPECT_EQ(changes.names[0].parent, web);
  EXPECT_EQ(changes.names[0].name, "latest");
  EXPECT_THAT(changes.inodes, Contains(web));
  EXPECT_EQ(t.tree.link_target(t.inode("web-01/latest")), "20261121T020100Z");

  t.points.remove(point_name("web-01", kTuesday));
  t.points.remove(point_name("db", kTuesday));
  t.refresh();
  changes = t.tree.take_changes();
  std::vector<std::string> names;
  for (const auto& name : changes.names) names.push_back(std::to_string(name.parent) + "/" + name.name);
  EXPECT_THAT(names, Contains(std::to_string(web) + "/20261121T020000Z"));
  EXPECT_THAT(names, Contains("1/db"));
  EXPECT_THAT(names, Not(Contains(std::to_string(web) + "/latest")));
  EXPECT_THAT(changes.inodes, Contains(kRootInode));
  EXPECT_FALSE(t.tree.has_changes());
}

TEST(PointTree, LatestLeadsToThePointThatWasWrittenLastWhateverItsDate) {
  Tree t;
  const PointName ahead = point_name("web-01", kTuesday + 100'000'000);
  t.points.add(point_name("web-01", kTuesday));
  t.points.add(ahead);
  t.refresh();
  EXPECT_EQ(t.tree.link_target(t.inode("web-01/latest")), ahead.stamp());
  t.tree.take_changes();
  // The clock was set right, and the next point has an earlier date.
  const PointName now = point_name("web-01", kTuesday + 60);
  t.points.written_last.insert(now);
  t.points.add(now);
  t.refresh();
  EXPECT_EQ(t.tree.link_target(t.inode("web-01/latest")), now.stamp());
  const TreeChanges changes = t.tree.take_changes();
  ASSERT_EQ(changes.names.size(), 1U);
  EXPECT_EQ(changes.names[0].name, "latest");
  t.points.remove(now);
  t.refresh();
  EXPECT_EQ(t.tree.link_target(t.inode("web-01/latest")), ahead.stamp());
}

TEST(PointTree, KeepsInodeNumbersAndNeverUsesOneTwice) {
  Tree t;
  t.points.add(point_name("web-01", kTuesday));
  t.refresh();
  const InodeNumber machine = t.inode("web-01");
  const InodeNumber point = t.inode("web-01/20261121T020000Z");
  const InodeNumber latest = t.inode("web-01/latest");
  t.points.add(point_name("web-01", kTuesday - 60));
  t.points.add(point_name("aaa", kTuesday));
  t.refresh();
  EXPECT_EQ(t.inode("web-01"), machine);
  EXPECT_EQ(t.inode("web-01/20261121T020000Z"), point);
  EXPECT_EQ(t.inode("web-01/latest"), latest);
  t.points.remove(point_name("web-01", kTuesday));
  t.refresh();
  EXPECT_NE(t.inode("web-01/latest"), latest);
  t.points.add(point_name("web-01", kTuesday));
  t.refresh();
  EXPECT_NE(t.inode("web-01/20261121T020000Z"), point);
}

TEST(PointTree, ListsAgainOnlyWhenTheTokenChangedOrCannotTell) {
  Tree t;
  t.refresh();
  t.refresh();
  EXPECT_EQ(t.points.lists, 1);
  ASSERT_TRUE(t.tree.refresh(RefreshMode::always));
  EXPECT_EQ(t.points.lists, 2);
  t.points.hide_token();
  t.refresh();
  t.refresh();
  EXPECT_EQ(t.points.lists, 4);
}

TEST(PointTree, KeepsTheOldStateWhenTheStoreCannotBeListed) {
  Tree t;
  t.points.add(point_name("web-01", kTuesday));
  t.refresh();
  t.points.add(point_name("web-01", kTuesday + 1));
  t.points.broken = true;
  EXPECT_FALSE(t.tree.refresh(RefreshMode::if_changed));
  EXPECT_EQ(t.tree.point_count(), 1U);
  t.points.broken = false;
  t.refresh();
  EXPECT_EQ(t.tree.point_count(), 2U);
}

TEST(PointTree, ListsADamagedPointAndRefusesToEnterIt) {
  Tree t;
  t.points.add(web_point(kTuesday));
  t.points.add(web_point(kTuesday + 60));
  t.points.damage(point_name("web-01", kTuesday));
  t.refresh();
  EXPECT_THAT(t.list("web-01"), Contains("20261121T020000Z"));
  const InodeNumber point = t.inode("web-01/20261121T020000Z");
  ASSERT_NE(point, 0U);
  const auto inside = t.tree.lookup(point, "disks");
  ASSERT_FALSE(inside);
  EXPECT_EQ(inside.error().code, ErrorCode::point_damaged);
  EXPECT_FALSE(t.tree.open_directory(point));
  EXPECT_TRUE(t.find("web-01/20261121T020100Z/disks/root.img"));
  t.points.repair(point_name("web-01", kTuesday));
  EXPECT_TRUE(t.tree.open_directory(point)) << "a failure must not be kept";
}

TEST(PointTree, AnOpenFileOutlivesItsPoint) {
  Tree t;
  t.points.add(web_point(kTuesday));
  t.refresh();
  const InodeNumber inode = t.inode("web-01/20261121T020000Z/disks/root.img");
  auto content = t.tree.open_file(inode);
  t.points.remove(point_name("web-01", kTuesday));
  t.refresh();
  EXPECT_EQ((*content)->image->map.size, 1000000U);
  const auto attributes = t.tree.attributes(inode);
  ASSERT_TRUE(attributes && *attributes) << "fstat(2) of an open file must go on working";
  EXPECT_EQ((*attributes)->size, 1000000U);
  content = std::optional<FileContent>{};
  EXPECT_TRUE(t.tree.attributes(inode) && !*t.tree.attributes(inode));
}

TEST(LoadedPoints, KeepsTheMostRecentlyUsedWithinItsBounds) {
  FakePoints points;
  for (int i = 0; i < 10; ++i) points.add(point_name("web-01", i));
  LoadedPoints loaded(points, 3);
  const auto get = [&](int i) { return *loaded.get(static_cast<std::uint64_t>(i), point_name("web-01", i)); };
  const auto held = get(0);
  get(1), get(2), get(1), get(3);
  EXPECT_EQ(points.loads, 4);
  EXPECT_EQ(loaded.kept_points(), 3U);
  get(1), get(3);
  EXPECT_EQ(points.loads, 4);
  EXPECT_EQ(get(0), held) << "what is in use is found without loading";
  EXPECT_EQ(points.loads, 4);
  get(4), get(5), get(6);
  get(1);
  EXPECT_EQ(points.loads, 8);
  EXPECT_EQ(loaded.kept_points(), 3U);
}

TEST(LoadedPoints, CountsBytesToo) {
  FakePoints points;
  RecoveryPoint big;
  big.name = point_name("web-01", 1);
  big.definition = std::string(100000, 'x');
  points.add(big);
  points.add(point_name("web-01", 2));
  LoadedPoints loaded(points, 100, 50000);
  EXPECT_TRUE(loaded.get(1, big.name));
  EXPECT_EQ(loaded.kept_points(), 0U) << "it is larger than all that may be kept";
  EXPECT_TRUE(loaded.get(2, point_name("web-01", 2)));
  EXPECT_EQ(loaded.kept_points(), 1U);
  EXPECT_LE(loaded.kept_bytes(), 50000U);
}

}  // namespace
}  // namespace cairn
