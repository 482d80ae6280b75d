// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/verify/damage.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "fs/store/point/sealed_document.h"
#include "fs/store/store.h"
#include "fs/store/store_state.h"
#include "fs/store/verify/damage_walk.h"
#include "fs/store/write/store_writer.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr const char* kObject = "damage";
constexpr const char* kFormat = "cairn-damage";
constexpr int kVersion = 1;
constexpr std::uint64_t kMaxBytes = 128ULL * 1024 * 1024;

json gaps_json(const std::vector<PointGap>& gaps) {
  json list = json::array();
  for (const PointGap& gap : gaps)
    list.push_back({{"after", gap.after}, {"missing", gap.missing}, {"hash", gap.hash}, {"because", gap.because}});
  return list;
}

json packs_json(const std::vector<DamagedPack>& packs) {
  json list = json::array();
  for (const DamagedPack& pack : packs)
    list.push_back({{"name", pack.name},
                    {"state", to_string(pack.state)},
                    {"found", iso_time(pack.found)},
                    {"because", pack.because}});
  return list;
}

json points_json(const std::vector<PointDamage>& points, std::size_t most_ranges) {
  json list = json::array();
  for (const PointDamage& point : points) {
    json disks = json::array();
    for (const DiskDamage& disk : point.disks)
      disks.push_back({{"disk", disk.disk},
                       {"size", disk.size},
                       {"bytes", disk.bytes},
                       {"ranges", ranges_json(disk.ranges, most_ranges)}});
    list.push_back({{"point", point.point.text()}, {"because", point.because}, {"disks", std::move(disks)}});
  }
  return list;
}

std::vector<PointGap> gaps_from(const json& list) {
  std::vector<PointGap> gaps;
  for (const json& gap : list)
    gaps.push_back({gap.at("after").get<std::string>(), gap.at("missing").get<std::string>(),
                    gap.at("hash").get<std::string>(), gap.at("because").get<std::string>()});
  return gaps;
}

template <class Value>
Value or_bad(std::optional<Value> value, const char* because) {
  if (!value) throw BadDocument{because};
  return *std::move(value);
}

Damage damage_from(const json& document) {
  Damage damage;
  if (document.at("format") != kFormat || document.at("version") != kVersion)
    throw BadDocument{"it is of another kind"};
  damage.found = or_bad(parse_iso_time(document.at("found").get<std::string>()), "a time is none");
  for (const json& pack : document.at("packs"))
    damage.packs.push_back({pack.at("name").get<std::string>(),
                            or_bad(parse_pack_state(pack.at("state").get<std::string>()), "a pack's state is none"),
                            or_bad(parse_iso_time(pack.at("found").get<std::string>()), "a time is none"),
                            pack.at("because").get<std::string>()});
  for (const char* kind : {"chunks", "nodes"})
    for (const json& name : document.at("lost").at(kind))
      damage.lost.push_back({or_bad(ChunkName::parse(name.get<std::string>()), "a chunk's name is none"),
                             kind == std::string_view("chunks") ? RecordKind::chunk : RecordKind::node});
  damage.lost_more = document.at("lost").at("more").get<bool>();
  for (const json& point : document.at("points")) {
    PointDamage read{or_bad(PointName::parse(point.at("point").get<std::string>()), "a point's name is none"),
                     point.at("because").get<std::string>(),
                     {}};
    for (const json& disk : point.at("disks")) {
      DiskDamage found{disk.at("disk").get<std::string>(),
                       whole_number<std::uint64_t>(disk.at("size")),
                       whole_number<std::uint64_t>(disk.at("bytes")),
                       {}};
      for (const json& range : disk.at("ranges"))
        found.ranges.push_back({whole_number<std::uint64_t>(range.at(0)), whole_number<std::uint64_t>(range.at(1))});
      read.disks.push_back(std::move(found));
    }
    damage.points.push_back(std::move(read));
  }
  damage.gaps = gaps_from(document.at("gaps"));
  damage.accepted_gaps = gaps_from(document.at("accepted_gaps"));
  damage.documents = document.at("documents").get<std::vector<std::string>>();
  return damage;
}

json document_of(const Damage& damage) {
  json chunks = json::array();
  json nodes = json::array();
  std::size_t kept = 0;
  for (const LostRecord& record : damage.lost) {
    if (kept++ == kMostLostRecords) break;
    (record.kind == RecordKind::chunk ? chunks : nodes).push_back(record.name.hex());
  }
  // Many damaged points share the room; `bytes` tells how much there is all the same.
  std::size_t disks = 1;
  for (const PointDamage& point : damage.points) disks += point.disks.size();
  return {{"format", kFormat},
          {"version", kVersion},
          {"found", iso_time(damage.found)},
          {"packs", packs_json(damage.packs)},
          {"lost",
           {{"chunks", std::move(chunks)},
            {"nodes", std::move(nodes)},
            {"more", damage.lost_more || damage.lost.size() > kMostLostRecords}}},
          {"points", points_json(damage.points, std::max<std::size_t>(16, kMostRangesKept / disks))},
          {"gaps", gaps_json(damage.gaps)},
          {"accepted_gaps", gaps_json(damage.accepted_gaps)},
          {"documents", damage.documents}};
}

}  // namespace

json to_report(const Damage& damage, std::size_t ranges) {
  return {{"found", damage.none() ? json(nullptr) : json(iso_time(damage.found))},
          {"packs", packs_json(damage.packs)},
          {"lost_chunks", damage.lost.size()},
          {"points", points_json(damage.points, ranges)},
          {"gaps", gaps_json(damage.gaps)},
          {"documents", damage.documents}};
}

json ranges_json(const std::vector<ByteRange>& ranges, std::size_t most) {
  json list = json::array();
  for (const ByteRange& range : ranges) {
    if (list.size() == most) break;
    list.push_back({range.offset, range.size});
  }
  return list;
}

Result<Damage> load_damage(Store& store) {
  StoreState& state = store.state();
  const std::string path = state.backend->location() + "/" + kObject;
  CAIRN_TRY(const auto text, get_document(*state.backend, kObject, kMaxBytes, state.seal()));
  if (!text) return Damage{};
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::store_damaged, "read known damage", path, std::move(because),
                "\"cairn verify\" writes it anew");
  };
  const auto document = parse_json(as_text(*text));
  if (!document) return damaged("it " + document.error().text());
  return read_document([&]() -> Result<Damage> { return damage_from(*document); }, damaged);
}

Result<void> save_damage(Store& store, const Damage& damage) {
  StoreState& state = store.state();
  if (damage.none() && damage.accepted_gaps.empty()) {
    auto removed = state.backend->remove(kObject);
    if (!removed && removed.error().code != ErrorCode::object_missing) return removed;
    return {};
  }
  const std::string text = json_text(document_of(damage));
  return put_document(*state.backend, kObject, text, state.seal());
}

Result<void> keep_findings(Store& store, const PackFindings& findings, UtcTime now) {
  if (findings.none()) return {};
  CAIRN_TRY(Damage damage, load_damage(store));
  const bool first = damage.none();
  const std::size_t before = damage.packs.size();
  const auto keep = [&](const std::string& name, PackState state, const char* because) {
    if (std::ranges::find(damage.packs, name, &DamagedPack::name) == damage.packs.end())
      damage.packs.push_back({name, state, now, because});
  };
  for (const std::string& name : findings.missing) keep(name, PackState::missing, "the file is not there");
  for (const std::string& name : findings.other_size)
    keep(name, PackState::damaged, "it has another size than it was written with");
  if (damage.packs.size() == before) return {};
  std::ranges::sort(damage.packs, {}, &DamagedPack::name);
  if (first) damage.found = now;
  return save_damage(store, damage);
}

namespace {

// True: something that was lost has been stored again, or a damaged point is gone.
Result<bool> has_news(Store& store, Index& index, const Damage& damage) {
  std::vector<ChunkName> names;
  for (const LostRecord& record : damage.lost) names.push_back(record.name);
  const auto found = std::make_unique<bool[]>(names.size());
  CAIRN_CHECK(index.contains(names, {found.get(), names.size()}));
  if (std::any_of(found.get(), found.get() + names.size(), [](bool is) { return is; })) return true;
  CAIRN_TRY(const auto stored, store.points().list_stored());
  return std::ranges::any_of(
      damage.points, [&](const PointDamage& point) { return !std::ranges::binary_search(stored, point.point); });
}

}  // namespace

Result<std::vector<PointDamage>> damaged_disks(Store& store, DamageWalk& walk, std::span<const PointName> points,
                                               const std::stop_token& stop, std::uint64_t& disks) {
  std::vector<PointDamage> damaged;
  for (const PointName& name : points) {
    // Held, so that garbage collection does not take away what is being walked.
    const auto held = store.points().hold(name);
    if (!held) continue;  // removed since it was listed
    const auto point = store.points().load(name);
    if (!point) continue;  // somebody else's to tell
    PointDamage damage{name, {}, {}};
    const auto look = [&](const std::string& disk, const MapRecord& map) -> Result<void> {
      ++disks;
      CAIRN_TRY(std::vector<ByteRange> ranges, walk.walk(map, name.text() + "/" + disk, stop));
      if (ranges.empty()) return {};
      DiskDamage found{disk, map.size, 0, std::move(ranges)};
      for (const ByteRange& range : found.ranges) found.bytes += range.size;
      damage.disks.push_back(std::move(found));
      return {};
    };
    for (const DiskRecord& disk : point->disks) {
      CAIRN_CHECK(look(disk.name, disk.map));
      for (const HeaderRecord& header : disk.headers) CAIRN_CHECK(look(header.name, header.map));
    }
    if (!damage.disks.empty()) damaged.push_back(std::move(damage));
  }
  return damaged;
}

Result<bool> refresh_damage(Store& store) {
  CAIRN_TRY(Damage damage, load_damage(store));
  if (damage.lost.empty() && damage.points.empty()) return false;
  CAIRN_TRY(const auto writer, begin_writing(store, "verify"));
  StoreState& state = store.state();
  CAIRN_TRY(const auto index, state.index.get());
  CAIRN_TRY(const bool news, has_news(store, *index, damage));
  if (!news) return false;
  state.packs.clear();
  CAIRN_TRY(const auto rows, index->packs());
  BadPacks bad;
  for (const PackRow& row : rows)
    if (row.retired == Retired::damaged) bad[row.number].unsure = true;
  DamageWalk walk(store.chunks(), *index, state.keys.namer(), state.document.chunk_size, rows, bad);
  std::vector<PointName> points;
  std::vector<PointDamage> unopened;
  CAIRN_TRY(const auto stored, store.points().list_stored());
  for (PointDamage& point : damage.points) {
    if (!std::ranges::binary_search(stored, point.point)) continue;
    if (point.because.empty())
      points.push_back(point.point);
    else
      unopened.push_back(std::move(point));
  }
  std::uint64_t disks = 0;
  CAIRN_TRY(damage.points, damaged_disks(store, walk, points, {}, disks));
  if (walk.unreadable()) return pass_on(*walk.unreadable());  // the next backup looks again
  damage.points.insert(damage.points.end(), unopened.begin(), unopened.end());
  damage.lost.clear();
  damage.lost_more = false;
  for (const auto& [name, kind] : walk.lost()) damage.lost.push_back({name, kind});
  CAIRN_CHECK(save_damage(store, damage));
  return true;
}

}  // namespace cairn
