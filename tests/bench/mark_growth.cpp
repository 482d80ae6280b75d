// SPDX-License-Identifier: GPL-3.0-or-later
// What marking costs as the store grows, by simulation: a disk whose chunks are the names that index_growth put into an
// index; its nodes are made up as they are asked for. Not a test: it prints what it measures.
//
//   mark_growth FOLDER NAMES
//
// FOLDER: made by index_growth with at least NAMES names.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>

#include "fs/store/collect/garbage_marks.h"
#include "tests/bench/made_up_names.h"

namespace {

using namespace cairn;
using namespace cairn::bench;

constexpr std::uint64_t kChunks = 64 * 1024;

// A node's name says which it is: no index knows it, and its names follow.
ChunkName node_name(unsigned level, std::uint64_t index) {
  ChunkName name;
  name.bytes[0] = 1;
  put_le(MutableBytes(name.bytes).subspan(8), std::uint64_t{level});
  put_le(MutableBytes(name.bytes).subspan(16), index);
  return name;
}

class MadeUpNodes final : public ChunkSource {
 public:
  explicit MadeUpNodes(const MapGeometry& geometry) : geometry_(geometry) {}
  Result<SharedBuffer> fetch(RecordKind, const ChunkName& name) override {
    const auto level = static_cast<unsigned>(get_le<std::uint64_t>(name.view().subspan(8)));
    const auto index = get_le<std::uint64_t>(name.view().subspan(16));
    MapNode node{level, std::vector<ChunkName>(geometry_.name_count(level, index))};
    for (std::uint64_t i = 0; i < node.names.size(); ++i)
      node.names[i] =
          level == 0 ? name_of(kPresent, index * kNodeNames + i) : node_name(level - 1, index * kNodeNames + i);
    return std::make_shared<const ChunkBytes>(ByteView(encode_node(node)));
  }

 private:
  const MapGeometry& geometry_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "mark_growth FOLDER NAMES\n");
    return 2;
  }
  const std::uint64_t names = std::strtoull(argv[2], nullptr, 10);
  const auto index = must(Index::open(argv[1], kStore));
  const MapGeometry geometry(names * kChunks, kChunks);
  MadeUpNodes nodes(geometry);
  MapWalk walk(nodes, *index, kChunks);
  RecoveryPoint point;
  point.name = {"vm", UtcTime()};
  point.disks.push_back({"root", {geometry.size(), geometry.size(), node_name(geometry.root_level(), 0)}, {}, {}});
  const double before = status_mib("RssAnon");
  const auto start = SteadyClock::now();
  GarbageMarks marks(must(index->packs()), false);
  must(marks.add(point, walk, {}));
  const double seconds = seconds_since(start);
  if (marks.records() != names) {
    fmt::print(stderr, "{} names were marked of {}\n", marks.records(), names);
    return 1;
  }
  fmt::print(
      "{} names in {:.0f} s, {:.2f} us each; marks {:.1f} MiB, {:.2f} bytes a name; anonymous memory +{:.1f} MiB\n",
      names, seconds, seconds / static_cast<double>(names) * 1e6, static_cast<double>(marks.memory_bytes()) / 1048576,
      static_cast<double>(marks.memory_bytes()) / static_cast<double>(names), status_mib("RssAnon") - before);
  return 0;
}
