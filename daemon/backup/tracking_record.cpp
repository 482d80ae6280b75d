// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/tracking_record.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "config/base/json.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr std::string_view kFormat = "cairn-tracking";
// Versions that know nothing of formats read every clone as a raw disk.
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kVersionWithFormat = 2;

std::unexpected<Error> unusable(std::string because) {
  return fail(ErrorCode::clone_not_kept, "read", "the record of the reference snapshot", std::move(because));
}

json to_json(const KeptClone& file) {
  return {{"path", file.path.string()},
          {"inode", file.identity.inode},
          {"size", file.identity.size},
          {"modified_ns", file.identity.modified_ns},
          {"changed_ns", file.identity.changed_ns},
          {"born_ns", file.identity.born_ns}};
}

// Throws what read_document() takes.
KeptClone file_from(const json& row) {
  KeptClone file;
  file.path = row.at("path").get<std::string>();
  file.identity.inode = whole_number<std::uint64_t>(row.at("inode"));
  file.identity.size = whole_number<std::uint64_t>(row.at("size"));
  file.identity.modified_ns = whole_number<std::int64_t>(row.at("modified_ns"));
  file.identity.changed_ns = whole_number<std::int64_t>(row.at("changed_ns"));
  file.identity.born_ns = whole_number<std::int64_t>(row.at("born_ns"));
  return file;
}

}  // namespace

std::string record_object(std::string_view machine, std::string_view disk) {
  return fmt::format("disks/{}@{}.json", machine, disk);
}

std::string write_record(const TrackingRecord& record) {
  const bool raw = record.format == DiskFormat::raw;
  json document{{"format", kFormat},
                {"version", raw ? kVersion : kVersionWithFormat},
                {"settings", record.settings},
                {"store", record.store},
                {"chunk_size", record.chunk_size},
                {"machine", record.machine},
                {"disk", record.disk},
                {"image", record.image},
                {"point", record.point},
                {"point_hash", record.point_hash},
                {"epoch", record.epoch},
                {"clone", to_json(record.clone)},
                {"full_read", iso_time(record.full_read)},
                {"full_read_point", record.full_read_point},
                {"distrusted", record.distrusted}};
  if (!raw) {
    document["image_format"] = to_string(record.format);
    document["below"] = json::array();
    for (const KeptClone& file : record.below) document["below"].push_back(to_json(file));
  }
  return json_text(document, JsonForm::pretty);
}

Result<TrackingRecord> read_record(std::string_view text) {
  const auto parsed = parse_json(text);
  if (!parsed) return unusable("it is not JSON");
  const json& document = *parsed;
  const auto read = [&]() -> Result<TrackingRecord> {
    if (document.at("format").get<std::string>() != kFormat) return unusable("it is no such record");
    const auto version = whole_number<std::uint32_t>(document.at("version"));
    if (version < kVersion || version > kVersionWithFormat)
      return unusable(fmt::format("it has version {}, this is {}", version, kVersionWithFormat));
    TrackingRecord record;
    record.settings = document.at("settings").get<std::string>();
    record.store = document.at("store").get<std::string>();
    record.chunk_size = whole_number<std::uint32_t>(document.at("chunk_size"));
    record.machine = document.at("machine").get<std::string>();
    record.disk = document.at("disk").get<std::string>();
    record.image = document.at("image").get<std::string>();
    if (version >= kVersionWithFormat) {
      const auto format = parse_disk_format(document.at("image_format").get<std::string>());
      if (!format) return unusable("it is of an image format that is not known");
      record.format = *format;
    }
    record.point = document.at("point").get<std::string>();
    record.point_hash = document.at("point_hash").get<std::string>();
    record.epoch = document.at("epoch").get<std::string>();
    record.clone = file_from(document.at("clone"));
    if (version >= kVersionWithFormat)
      for (const json& file : document.at("below")) record.below.push_back(file_from(file));
    const auto full_read = parse_iso_time(document.at("full_read").get<std::string>());
    if (!full_read) return unusable("the time of the last full read is no time");
    record.full_read = *full_read;
    record.full_read_point = document.at("full_read_point").get<std::string>();
    record.distrusted = document.at("distrusted").get<bool>();
    return record;
  };
  return read_document(read, [](const std::string& because) { return unusable("it is damaged: " + because); });
}

}  // namespace cairn
