// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/recovery_point.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "crypto/base64.h"
#include "crypto/volume/segments.h"

namespace cairn {
namespace {

using nlohmann::json;
constexpr int kPointVersion = 1;

json range_json(const ByteRange& range) {
  return {{"offset", range.offset}, {"size", range.size}};
}
ByteRange range_from(const json& document) {
  return {whole_number<std::uint64_t>(document.at("offset")), whole_number<std::uint64_t>(document.at("size"))};
}

json map_json(const MapRecord& map) {
  return {{"size", map.size}, {"data_bytes", map.data_bytes}, {"root", map.root.hex()}};
}

json volume_json(const VolumeFacts& volume) {
  json slots = json::array();
  for (const KeySlotFacts& slot : volume.slots) slots.push_back({{"number", slot.number}, {"kind", slot.kind}});
  json segments = json::array();
  for (const VolumeSegment& segment : volume.segments)
    segments.push_back(
        {{"start", segment.start}, {"size", segment.size}, {"stripe_bytes", segment.stripe_bytes}, {"at", segment.at}});
  json header = json::array();
  for (const ByteRange& range : volume.header) header.push_back(range_json(range));
  return {{"type", to_string(volume.type)},
          {"partition", volume.partition},
          {"within", volume.within},
          {"segments", segments},
          {"detached", volume.detached},
          {"place", range_json(volume.place)},
          {"uuid", volume.uuid},
          {"label", volume.label},
          {"cipher", volume.cipher},
          {"key_bits", volume.key_bits},
          {"sector_bytes", volume.sector_bytes},
          {"data_offset", volume.data_offset},
          {"slots", slots},
          {"header", header},
          {"damage", volume.damage},
          {"cut_off", volume.cut_off}};
}

MapRecord map_from(const json& document) {
  MapRecord map;
  map.size = whole_number<std::uint64_t>(document.at("size"));
  if (map.size > static_cast<std::uint64_t>(INT64_MAX)) throw BadDocument{"a disk's size is impossible"};
  map.data_bytes = whole_number<std::uint64_t>(document.at("data_bytes"));
  const auto root = ChunkName::parse(document.at("root").get<std::string>());
  if (!root) throw BadDocument{"a map root is not a chunk name"};
  map.root = *root;
  return map;
}

// What earlier versions did not write is as it was for all of theirs: volumes in one piece, header and all.
void place_from(const json& document, VolumeFacts& volume) {
  volume.partition = whole_number<unsigned>(document.at("partition"));
  volume.place = range_from(document.at("place"));
  if (!document.contains("within")) return;
  volume.within = document.at("within").get<std::string>();
  volume.detached = document.at("detached").get<std::string>();
  for (const json& row : document.at("segments")) {
    VolumeSegment segment{whole_number<std::uint64_t>(row.at("start")),
                          whole_number<std::uint64_t>(row.at("size")),
                          whole_number<std::uint64_t>(row.at("stripe_bytes")),
                          {}};
    for (const json& at : row.at("at")) segment.at.push_back(whole_number<std::uint64_t>(at));
    volume.segments.push_back(std::move(segment));
  }
  if (!volume.segments.empty() && !are_whole(volume.segments, volume.place.size))
    throw BadDocument{"a volume's segments do not make it up"};
}

// A disk of an earlier version without encrypted volumes was called not encrypted whatever lay on it: not known.
void encryption_from(const json& document, DiskFacts& facts) {
  if (!document.contains("encryption")) return;
  const auto state = parse_disk_encryption(document.at("encryption").get<std::string>());
  if (!state) throw BadDocument{"a disk's encryption is an unknown state"};
  facts.seen = document.at("seen").get<std::vector<std::string>>();
  facts.not_known = document.at("not_known").get<std::vector<std::string>>();
  // An unknown disk of an earlier version has nothing in not_known.
  facts.all_known = *state != DiskEncryption::unknown && facts.not_known.empty();
  if (facts.encryption() != *state) throw BadDocument{"a disk's encryption is not what was seen on it"};
}

VolumeFacts volume_from(const json& document) {
  VolumeFacts volume;
  const auto type = parse_volume_type(document.at("type").get<std::string>());
  if (!type) throw BadDocument{"a volume has an unknown type"};
  volume.type = *type;
  place_from(document, volume);
  volume.uuid = document.at("uuid").get<std::string>();
  volume.label = document.at("label").get<std::string>();
  volume.cipher = document.at("cipher").get<std::string>();
  volume.key_bits = whole_number<unsigned>(document.at("key_bits"));
  volume.sector_bytes = whole_number<unsigned>(document.at("sector_bytes"));
  volume.data_offset = whole_number<std::uint64_t>(document.at("data_offset"));
  for (const json& slot : document.at("slots"))
    volume.slots.push_back({whole_number<int>(slot.at("number")), slot.at("kind").get<std::string>()});
  for (const json& range : document.at("header")) volume.header.push_back(range_from(range));
  volume.damage = document.at("damage").get<std::string>();
  volume.cut_off = document.value("cut_off", std::string());
  return volume;
}

DiskRecord disk_from(const json& document) {
  DiskRecord disk;
  disk.name = document.at("name").get<std::string>();
  if (!is_valid_name(disk.name)) throw BadDocument{"a disk's name is not one"};
  disk.map = map_from(document);
  disk.facts.partition_table = document.at("partition_table").get<std::string>();
  for (const json& volume : document.at("volumes")) disk.facts.volumes.push_back(volume_from(volume));
  disk.facts.remarks = document.at("remarks").get<std::vector<std::string>>();
  encryption_from(document, disk.facts);
  if (document.contains("image")) {
    disk.image = document.at("image").get<std::string>();
    disk.inode = whole_number<std::uint64_t>(document.at("inode"));
    disk.stored_as = document.at("stored_as").get<std::string>();
    if (!disk.stored_as.empty() && !is_valid_name(disk.stored_as)) throw BadDocument{"a disk's format is not one"};
    disk.format = document.value("format", std::string());
    disk.format_from = document.value("format_from", std::string());
  }
  for (const json& header : document.at("headers")) {
    HeaderRecord record{header.at("name").get<std::string>(), map_from(header),
                        header.contains("partition") ? whole_number<unsigned>(header.at("partition")) : 0U};
    // Earlier versions did not say whose it is: they kept one for each volume, in order.
    const std::size_t number = disk.headers.size();
    if (!header.contains("partition") && number < disk.facts.volumes.size())
      record.partition = disk.facts.volumes[number].partition;
    if (header.contains("within")) record.within = header.at("within").get<std::string>();
    if (!is_file_name(record.name)) throw BadDocument{"a header's name is not a file name"};
    disk.headers.push_back(std::move(record));
  }
  if (document.contains("keys"))  // points of before there were key vaults have none
    for (const json& row : document.at("keys")) {
      auto record = bek_record_from(row, disk.name);
      if (!record) throw BadDocument{record.error().because};
      disk.beks.push_back(*std::move(record));
    }
  disk.reading = reading_from(document);
  disk.suspicion = suspicion_from(document);
  return disk;
}

UtcTime time_member(const json& value) {
  const auto time = parse_iso_time(value.get<std::string>());
  if (!time) throw BadDocument{"its time is not a time"};
  return *time;
}

}  // namespace

std::string PointName::text() const {
  return machine + "@" + stamp();
}

std::optional<PointName> PointName::parse(std::string_view text) {
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos || !is_valid_name(text.substr(0, at))) return std::nullopt;
  const auto time = parse_compact_time(text.substr(at + 1));
  if (!time) return std::nullopt;
  return PointName{std::string(text.substr(0, at)), *time};
}

std::optional<PointName> newest_before(const PointName& point, std::span<const PointName> points) {
  std::optional<PointName> newest;
  for (const PointName& other : points)
    if (other.machine == point.machine && other.time < point.time) newest = std::max(newest, std::optional(other));
  return newest;
}

const HeaderRecord* DiskRecord::header_of(const VolumeFacts& volume) const {
  for (const HeaderRecord& header : headers)
    if (header.partition == volume.partition && header.within == volume.within) return &header;
  return nullptr;
}

std::string DiskRecord::file_name() const {
  return name + "." + (stored_as.empty() ? "img" : stored_as);
}

const DiskRecord* RecoveryPoint::disk(std::string_view disk_name) const {
  for (const DiskRecord& candidate : disks)
    if (candidate.name == disk_name) return &candidate;
  return nullptr;
}

bool RecoveryPoint::suspect() const {
  return std::ranges::any_of(disks, [](const DiskRecord& disk) { return disk.suspicion.has_value(); });
}

Consistency consistency_of(std::span<const DiskRecord> disks) {
  std::vector<DiskReading> readings;
  for (const DiskRecord& disk : disks) readings.push_back(disk.reading);
  return worst_of(readings);
}

const KekRecord* RecoveryPoint::kek_of(const BekRecord& bek) const {
  for (const KekRecord& kek : keks)
    if (kek.wraps(bek)) return &kek;
  return nullptr;
}

json to_json(const RecoveryPoint& point, KeyMaterial material) {
  json disks = json::array();
  for (const DiskRecord& disk : point.disks) {
    json document = map_json(disk.map);
    document["name"] = disk.name;
    document["partition_table"] = disk.facts.partition_table;
    document["remarks"] = disk.facts.remarks;
    document["encryption"] = to_string(disk.facts.encryption());
    document["seen"] = disk.facts.seen;
    document["not_known"] = disk.facts.not_known;
    document["image"] = disk.image;
    document["inode"] = disk.inode;
    document["stored_as"] = disk.stored_as;
    if (!disk.format.empty()) document["format"] = disk.format;
    if (!disk.format_from.empty()) document["format_from"] = disk.format_from;
    document["volumes"] = json::array();
    for (const VolumeFacts& volume : disk.facts.volumes) document["volumes"].push_back(volume_json(volume));
    document["headers"] = json::array();
    for (const HeaderRecord& header : disk.headers) {
      json row = map_json(header.map);
      row["name"] = header.name;
      row["partition"] = header.partition;
      if (!header.within.empty()) row["within"] = header.within;
      document["headers"].push_back(std::move(row));
    }
    document["keys"] = json::array();
    for (const BekRecord& bek : disk.beks) {
      json row = to_json(bek, material);
      // In escrow itself, or wrapped by a KEK whose backup here opens it: either way the point gives it back.
      const KekRecord* kek = point.kek_of(bek);
      row["in_escrow"] = !bek.escrowed.empty() || (kek != nullptr && kek->backup.portable);
      document["keys"].push_back(std::move(row));
    }
    put_reading(document, disk.reading);
    put_suspicion(document, disk.suspicion);
    disks.push_back(std::move(document));
  }
  json document = {{"format", "cairn-recovery-point"},
                   {"version", kPointVersion},
                   {"machine", point.name.machine},
                   {"point", point.name.stamp()},
                   {"time", iso_time(point.name.time)},
                   {"consistency", to_string(point.consistency)},
                   {"disks", disks},
                   {"previous", {{"name", point.previous_name}, {"hash", point.previous}}},
                   {"proof", to_json(point.proof)},
                   {"warnings", point.warnings},
                   {"read_bytes", point.read_bytes},
                   {"new_bytes", point.new_bytes},
                   {"stored_bytes", point.stored_bytes},
                   {"duration_ms", point.duration_ms},
                   {"made_by", point.made_by},
                   {"host", point.host}};
  document["apart_ms"] = point.apart_ms ? json(*point.apart_ms) : json(nullptr);
  document["left_out"] = to_json(point.left_out);
  document["guest"] = point.guest ? to_json(*point.guest) : json(nullptr);
  if (point.trusted_time) document["trusted_time"] = iso_time(*point.trusted_time);
  if (point.immutable_until) document["immutable_until"] = iso_time(*point.immutable_until);
  document["keks"] = json::array();
  for (const KekRecord& kek : point.keks) document["keks"].push_back(to_json(kek, material));
  // The definition's bytes need not be UTF-8.
  if (point.definition) document["definition_base64"] = to_base64(as_bytes(*point.definition));
  return document;
}

Result<RecoveryPoint> point_from_json(const json& document, const std::string& object) {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::point_damaged, "read recovery point", object, std::move(because));
  };
  const auto read = [&]() -> Result<RecoveryPoint> {
    if (document.at("format").get<std::string>() != "cairn-recovery-point")
      return damaged("it is not a recovery point");
    if (const int version = whole_number<int>(document.at("version")); version != kPointVersion)
      return fail(ErrorCode::store_too_new, "read recovery point", object,
                  "it has version " + std::to_string(version) + ", this is 1");
    RecoveryPoint point;
    point.name = {document.at("machine").get<std::string>(), time_member(document.at("time"))};
    if (!is_valid_name(point.name.machine)) return damaged("its machine's name is not one");
    static_cast<void>(document.at("consistency").get<std::string>());
    for (const json& disk : document.at("disks")) point.disks.push_back(disk_from(disk));
    point.consistency = consistency_of(point.disks);
    if (const auto apart = document.find("apart_ms"); apart != document.end() && !apart->is_null())
      point.apart_ms = whole_number<std::uint64_t>(*apart);
    point.left_out = left_out_from(document);
    point.guest = guest_record_from(document);
    if (const auto trusted = document.find("trusted_time"); trusted != document.end())
      point.trusted_time = time_member(*trusted);
    point.previous_name = document.at("previous").at("name").get<std::string>();
    point.previous = document.at("previous").at("hash").get<std::string>();
    CAIRN_TRY(point.proof, proof_from(document.at("proof"), object));
    if (point.proof.state == ProofState::not_encrypted &&
        std::ranges::any_of(point.disks, [](const DiskRecord& disk) { return !disk.facts.all_known; }))
      point.proof.state = ProofState::unknown;
    if (const auto until = document.find("immutable_until"); until != document.end())
      point.immutable_until = time_member(*until);
    if (document.contains("keks"))
      for (const json& row : document.at("keks")) {
        CAIRN_TRY(KekRecord kek, kek_record_from(row, object));
        point.keks.push_back(std::move(kek));
      }
    point.warnings = document.at("warnings").get<std::vector<std::string>>();
    point.read_bytes = whole_number<std::uint64_t>(document.at("read_bytes"));
    point.new_bytes = whole_number<std::uint64_t>(document.at("new_bytes"));
    point.stored_bytes = whole_number<std::uint64_t>(document.at("stored_bytes"));
    point.duration_ms = whole_number<std::uint64_t>(document.at("duration_ms"));
    point.made_by = document.at("made_by").get<std::string>();
    point.host = document.at("host").get<std::string>();
    if (document.contains("definition_base64")) {
      const auto bytes = from_base64(document.at("definition_base64").get<std::string>());
      if (!bytes) return damaged("its definition is not base64");
      point.definition = std::string(as_text(*bytes));
    }
    return point;
  };
  return read_document(read, damaged);
}

}  // namespace cairn
