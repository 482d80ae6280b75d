// SPDX-License-Identifier: GPL-3.0-or-later
// Job records and errors as JSON documents. Form: daemon/API.md. Any thread.
#include "daemon/queue/job_record.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "config/base/enum_words.h"
#include "config/base/json.h"

namespace cairn {
namespace {

using nlohmann::json;

// In the journal and in the API: scripts match on them.
constexpr EnumWords<JobKind, 4> kKinds{{{JobKind::backup, "backup"},
                                        {JobKind::restore, "restore"},
                                        {JobKind::prune, "prune"},
                                        {JobKind::verify, "verify"}}};
constexpr EnumWords<JobState, 6> kStates{{{JobState::queued, "Queued"},
                                          {JobState::in_progress, "InProgress"},
                                          {JobState::completed, "Completed"},
                                          {JobState::completed_with_warnings, "CompletedWithWarnings"},
                                          {JobState::failed, "Failed"},
                                          {JobState::cancelled, "Cancelled"}}};
constexpr EnumWords<JobTrigger, 3> kTriggers{
    {{JobTrigger::on_demand, "on-demand"}, {JobTrigger::schedule, "schedule"}, {JobTrigger::catch_up, "catch-up"}}};

template <class Value, std::size_t N>
Result<Value> read_word(const EnumWords<Value, N>& words, const std::string& text) {
  if (const auto value = value_of_word(words, text)) return *value;
  return fail(ErrorCode::journal_damaged, "read job", text, "it is not a word that a job's document has here");
}

Result<UtcTime> time_in(const json& member) {
  const auto time = parse_iso_time(member.get<std::string>());
  if (!time) return fail(ErrorCode::journal_damaged, "read job", json_text(member), "it is not a time");
  return *time;
}

Result<std::optional<UtcTime>> maybe_time_in(const json& member) {
  if (member.is_null()) return std::optional<UtcTime>();
  CAIRN_TRY(const UtcTime time, time_in(member));
  return std::optional<UtcTime>(time);
}

std::string text_in(const json& document, const char* name) {
  const auto member = document.find(name);
  return member != document.end() && member->is_string() ? member->get<std::string>() : std::string();
}

Result<JobRecord> read_job(const json& document) {
  JobRecord record;
  record.id = document.at("id").get<std::string>();
  CAIRN_TRY(record.kind, read_word(kKinds, document.at("kind").get<std::string>()));
  record.object = document.at("object").get<std::string>();
  CAIRN_TRY(record.state, read_word(kStates, document.at("state").get<std::string>()));
  CAIRN_TRY(record.trigger, read_word(kTriggers, document.at("trigger").get<std::string>()));
  CAIRN_TRY(record.queued, time_in(document.at("queued")));
  CAIRN_TRY(record.started, maybe_time_in(document.at("started")));
  CAIRN_TRY(record.ended, maybe_time_in(document.at("ended")));
  if (const json& point = document.at("point"); !point.is_null()) record.point = point.get<std::string>();
  record.waiting_for = text_in(document, "waiting_for");  // not in documents of earlier versions
  record.revision = whole_number<std::uint64_t>(document.at("revision"));
  const json& progress = document.at("progress");
  record.done_bytes = whole_number<std::uint64_t>(progress.at("done_bytes"));
  record.total_bytes = whole_number<std::uint64_t>(progress.at("total_bytes"));
  if (const json& result = document.at("result"); !result.is_null()) record.result = json_text(result);
  record.warnings = document.at("warnings").get<std::vector<std::string>>();
  if (const json& error = document.at("error"); !error.is_null()) record.error = error_from_json(error);
  return record;
}

}  // namespace

json time_or_null(const std::optional<UtcTime>& time) {
  return time ? json(iso_time(*time)) : json(nullptr);
}

std::string_view to_string(JobKind kind) {
  return word_of(kKinds, kind);
}
std::string_view to_string(JobState state) {
  return word_of(kStates, state);
}
std::optional<JobState> parse_job_state(std::string_view text) {
  return value_of_word(kStates, text);
}
std::string_view to_string(JobTrigger trigger) {
  return word_of(kTriggers, trigger);
}

json to_json(const JobRecord& record) {
  return json{{"id", record.id},
              {"kind", to_string(record.kind)},
              {"object", record.object},
              {"state", to_string(record.state)},
              {"trigger", to_string(record.trigger)},
              {"queued", iso_time(record.queued)},
              {"started", time_or_null(record.started)},
              {"ended", time_or_null(record.ended)},
              {"point", record.point.empty() ? json(nullptr) : json(record.point)},
              {"waiting_for", record.waiting_for.empty() ? json(nullptr) : json(record.waiting_for)},
              {"revision", record.revision},
              {"progress", {{"done_bytes", record.done_bytes}, {"total_bytes", record.total_bytes}}},
              {"result", record.result.empty() ? json(nullptr) : parse_json(record.result).value_or(nullptr)},
              {"warnings", record.warnings},
              {"error", record.error ? to_json(*record.error) : json(nullptr)}};
}

Result<JobRecord> job_from_json(const json& document) {
  return read_document([&] { return read_job(document); },
                       [](std::string because) {
                         return fail(ErrorCode::journal_damaged, "read job", "a job's document", std::move(because));
                       });
}

json to_json(const Error& error) {
  const CatalogueEntry& entry = catalogue_entry(error.code);
  return json{{"name", error.name()},
              {"message", error.message()},
              {"resolution", error.resolution.empty() ? std::string(entry.resolution) : error.resolution},
              {"doing", error.doing},
              {"object", error.object},
              {"because", error.because},
              {"errno", error.sys_errno}};
}

Error error_from_json(const json& document) {
  if (!document.is_object())
    return Error{ErrorCode::daemon_failed, "read error", "the daemon's answer", "it is not an error document", 0, {}};
  const CatalogueEntry* entry = find_catalogue_entry(text_in(document, "name"));
  Error error;
  error.code = entry != nullptr ? entry->code : ErrorCode::daemon_failed;
  error.doing = text_in(document, "doing");
  error.object = text_in(document, "object");
  error.because = text_in(document, "because");
  if (const auto number = document.find("errno"); number != document.end() && number->is_number_integer())
    error.sys_errno = number->get<int>();
  // The catalogue's long resolution stands in the document when the error has none of its own.
  const std::string resolution = text_in(document, "resolution");
  if (entry == nullptr || resolution != entry->resolution) error.resolution = resolution;
  if (entry == nullptr && error.because.empty()) error.because = text_in(document, "message");
  return error;
}

}  // namespace cairn
