// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/mark_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "crypto/chunk_name.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr int kMarkVersion = 1;
constexpr std::uint64_t kMaxMarkBytes = 64ULL * 1024;
constexpr std::string_view kDeletionFormat = "cairn-deletion";
constexpr std::string_view kProtectionFormat = "cairn-protection";
constexpr std::string_view kTombstoneFormat = "cairn-tombstone";
constexpr std::string_view kNewestFormat = "cairn-newest-points";
constexpr std::string_view kClockFormat = "cairn-clock";
constexpr const char* kClockObject = "clock";

UtcTime time_from(const json& value) {
  const auto time = parse_iso_time(value.get<std::string>());
  if (!time) throw BadDocument{"a time in it is not one"};
  return *time;
}

json time_or_null(const std::optional<UtcTime>& time) {
  return time ? json(iso_time(*time)) : json(nullptr);
}
std::optional<UtcTime> time_or_none(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(time_from(value));
}

PointName point_from(const json& document) {
  auto name = PointName::parse(document.at("point").get<std::string>());
  if (!name) throw BadDocument{"it does not name a recovery point"};
  return *std::move(name);
}

json document_of(std::string_view format, const PointName& point) {
  return {{"format", format}, {"version", kMarkVersion}, {"point", point.text()}};
}

void put_facts(json& document, const Tombstone& facts) {
  document["hash"] = facts.hash;
  document["previous"] = {{"name", facts.previous_name}, {"hash", facts.previous}};
}
void take_facts(const json& document, Tombstone& facts) {
  facts.hash = document.at("hash").get<std::string>();
  facts.previous_name = document.at("previous").at("name").get<std::string>();
  facts.previous = document.at("previous").at("hash").get<std::string>();
}

DeletionFile deletion_from(const json& document) {
  DeletionFile file;
  file.deletion = {point_from(document), time_from(document.at("deleted")), time_from(document.at("purge_after")),
                   document.at("because").get<std::string>()};
  file.facts.point = file.deletion.point;
  file.facts.purged = file.deletion.deleted;
  file.facts.because = file.deletion.because;
  take_facts(document, file.facts);
  return file;
}

Protection protection_from(const json& document) {
  return {point_from(document), time_from(document.at("since")), time_or_none(document.at("until"))};
}

Tombstone tombstone_from(const json& document) {
  Tombstone tombstone;
  tombstone.point = point_from(document);
  tombstone.purged = time_from(document.at("purged"));
  tombstone.because = document.at("because").get<std::string>();
  take_facts(document, tombstone);
  return tombstone;
}

UtcTime stamp_from(const json& value) {
  const auto time = parse_compact_time(value.get<std::string>());
  if (!time) throw BadDocument{"a stamp in it is not one"};
  return *time;
}

NewestPoints newest_from(const json& document) {
  NewestPoints newest;
  newest.machine = document.at("machine").get<std::string>();
  for (const json& entry : document.at("points"))
    newest.points.push_back({entry.at("name").get<std::string>(), entry.at("hash").get<std::string>()});
  // Records of before these were kept have neither.
  std::vector<WrittenOrder::Overtaken> overtaken;
  if (const auto rows = document.find("overtaken"); rows != document.end())
    for (const json& row : *rows) overtaken.push_back({stamp_from(row.at(0)), stamp_from(row.at(1))});
  newest.order = WrittenOrder(std::move(overtaken));
  if (const auto rows = document.find("gone"); rows != document.end())
    for (const json& row : *rows) newest.gone.push_back(stamp_from(row));
  // An older Cairn counted no changes.
  if (!document.contains("changes")) return newest;
  newest.changes = whole_number<std::uint64_t>(document.at("changes"));
  newest.change_ids = document.at("change_ids").get<std::vector<std::string>>();
  newest.purged_up_to = document.at("purged_up_to").get<std::string>();
  return newest;
}

ClockRecord clock_from(const json& document) {
  ClockRecord record;
  record.last.now = time_from(document.at("now"));
  record.last.boot_id = document.at("boot_id").get<std::string>();
  record.last.since_boot = std::chrono::seconds(whole_number<std::int64_t>(document.at("since_boot_s")));
  record.doubtful = std::chrono::seconds(whole_number<std::int64_t>(document.at("doubtful_s")));
  record.accepted_points = time_or_none(document.at("accepted_points"));
  if (record.doubtful.count() < 0 || record.last.since_boot.count() < 0)
    throw BadDocument{"a duration in it is negative"};
  return record;
}

}  // namespace

std::string deletion_object(const PointName& name) {
  return "deleted/" + name.text();
}
std::string protection_object(const PointName& name) {
  return "protected/" + name.text();
}
std::string tombstone_object(const PointName& name) {
  return "purged/" + name.text();
}
std::string newest_object(const std::string& machine) {
  return std::string(kNewestPrefix) + machine;
}

Result<std::vector<PointName>> MarkFiles::names_in(std::string_view prefix) const {
  CAIRN_TRY(const auto objects, backend_.list(prefix));
  std::vector<PointName> names;
  names.reserve(objects.size());
  for (const std::string& object : objects)
    if (auto name = PointName::parse(std::string_view(object).substr(prefix.size()))) names.push_back(*std::move(name));
  std::ranges::sort(names);
  return names;
}

Result<std::vector<std::string>> MarkFiles::machines_with_newest() const {
  CAIRN_TRY(std::vector<std::string> names, backend_.list(kNewestPrefix));
  for (std::string& name : names) name.erase(0, kNewestPrefix.size());
  std::ranges::sort(names);
  return names;
}

Result<void> MarkFiles::put(const std::string& object, const json& document) const {
  return put_document(backend_, object, json_text(document), seal_);
}

Result<json> MarkFiles::get(const std::string& object, std::string_view format) const {
  const std::string path = backend_.location() + "/" + object;
  CAIRN_TRY(const auto text, get_document(backend_, object, kMaxMarkBytes, seal_));
  if (!text) return json(nullptr);
  json document = parse_json(as_text(*text)).value_or(nullptr);
  if (!document.is_object() || !document.contains("format") || document["format"] != format)
    return fail(ErrorCode::store_damaged, "read", path, "it is not what its name says");
  if (document.at("version") != kMarkVersion)
    return fail(ErrorCode::store_too_new, "read", path, "it has another version than 1");
  return document;
}

template <class Read>
auto MarkFiles::read(const std::string& object, std::string_view format, Read as) const
    -> Result<std::optional<decltype(as(std::declval<const json&>()))>> {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::store_damaged, "read", backend_.location() + "/" + object, std::move(because));
  };
  const auto read = [&]() -> Result<std::optional<decltype(as(std::declval<const json&>()))>> {
    CAIRN_TRY(const json document, get(object, format));
    if (document.is_null()) return std::nullopt;
    return std::optional(as(document));
  };
  return read_document(read, damaged);
}

Result<std::optional<DeletionFile>> MarkFiles::deletion(const PointName& name) const {
  return read(deletion_object(name), kDeletionFormat, deletion_from);
}
Result<std::optional<Protection>> MarkFiles::protection(const PointName& name) const {
  return read(protection_object(name), kProtectionFormat, protection_from);
}
Result<std::optional<Tombstone>> MarkFiles::tombstone(const PointName& name) const {
  return read(tombstone_object(name), kTombstoneFormat, tombstone_from);
}
Result<std::optional<NewestPoints>> MarkFiles::newest(const std::string& machine) const {
  auto newest = read(newest_object(machine), kNewestFormat, newest_from);
  if (newest || newest.error().code != ErrorCode::store_damaged) return newest;
  Error error = std::move(newest).error();
  error.because +=
      "; with it is lost which points a clock dated too late (they count in the order of their stamps now), which "
      "point "
      "is the newest, and which names were purged; the next backup, or \"cairn verify --repair\", makes it anew "
      "without that";
  return pass_on(std::move(error));
}
Result<std::optional<ClockRecord>> MarkFiles::clock() const {
  return read(kClockObject, kClockFormat, clock_from);
}

Result<std::optional<std::string>> MarkFiles::hash_of(const std::string& object) const {
  const auto bytes = backend_.get(object, kMaxMarkBytes);
  if (!bytes && bytes.error().code == ErrorCode::object_missing) return std::optional<std::string>();
  if (!bytes) return pass_on(bytes.error());
  return std::optional(Blake3::hex_of(*bytes));
}

Result<void> MarkFiles::write(const DeletionFile& file) const {
  json document = document_of(kDeletionFormat, file.deletion.point);
  document["deleted"] = iso_time(file.deletion.deleted);
  document["purge_after"] = iso_time(file.deletion.purge_after);
  document["because"] = file.deletion.because;
  put_facts(document, file.facts);
  return put(deletion_object(file.deletion.point), document);
}

Result<void> MarkFiles::write(const Protection& protection) const {
  json document = document_of(kProtectionFormat, protection.point);
  document["since"] = iso_time(protection.since);
  document["until"] = time_or_null(protection.until);
  return put(protection_object(protection.point), document);
}

Result<void> MarkFiles::write(const Tombstone& tombstone) const {
  json document = document_of(kTombstoneFormat, tombstone.point);
  document["purged"] = iso_time(tombstone.purged);
  document["because"] = tombstone.because;
  put_facts(document, tombstone);
  return put(tombstone_object(tombstone.point), document);
}

Result<void> MarkFiles::write(const NewestPoints& newest) const {
  if (newest.points.empty() && newest.gone.empty() && newest.changes == 0) return remove(newest_object(newest.machine));
  json points = json::array();
  for (const NewestPoints::Entry& entry : newest.points)
    points.push_back({{"name", entry.point}, {"hash", entry.hash}});
  json overtaken = json::array();
  for (const WrittenOrder::Overtaken& entry : newest.order.overtaken())
    overtaken.push_back({compact_time(entry.point), compact_time(entry.by)});
  json gone = json::array();
  for (const UtcTime time : newest.gone) gone.push_back(compact_time(time));
  return put(newest_object(newest.machine), {{"format", kNewestFormat},
                                             {"version", kMarkVersion},
                                             {"machine", newest.machine},
                                             {"points", std::move(points)},
                                             {"overtaken", std::move(overtaken)},
                                             {"gone", std::move(gone)},
                                             {"changes", newest.changes},
                                             {"change_ids", newest.change_ids},
                                             {"purged_up_to", newest.purged_up_to}});
}

Result<void> MarkFiles::write(const ClockRecord& record) const {
  return put(kClockObject, {{"format", kClockFormat},
                            {"version", kMarkVersion},
                            {"now", iso_time(record.last.now)},
                            {"boot_id", record.last.boot_id},
                            {"since_boot_s", record.last.since_boot.count()},
                            {"doubtful_s", record.doubtful.count()},
                            {"accepted_points", time_or_null(record.accepted_points)}});
}

Result<void> MarkFiles::remove(const std::string& object) const {
  auto removed = backend_.remove(object);
  if (!removed && removed.error().code == ErrorCode::object_missing) return {};
  return removed;
}

}  // namespace cairn
