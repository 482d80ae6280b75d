// SPDX-License-Identifier: GPL-3.0-or-later
// Reading requests. Whoever may open the socket may send anything: nothing is taken on trust.
#include "daemon/api/api_requests.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>
#include <vector>

#include "config/base/json.h"

namespace cairn {
namespace {

using nlohmann::json;

std::unexpected<Error> bad(std::string because) {
  return fail(ErrorCode::used_wrongly, "read", "request", std::move(because), "see daemon/API.md for its form");
}

Result<json> parse_object(std::string_view body, const std::vector<std::string>& members) {
  auto parsed = parse_json(body);
  if (!parsed) return bad("the body " + parsed.error().text());
  json document = *std::move(parsed);
  if (!document.is_object()) return bad(fmt::format("the body is not a JSON object but: {}", document.type_name()));
  for (const auto& entry : document.items()) {
    bool known = false;
    for (const std::string& member : members) known = known || member == entry.key();
    if (known) continue;
    const auto nearest = nearest_name(entry.key(), members);
    return bad(nearest ? fmt::format("unknown member \"{}\"; did you mean \"{}\"?", entry.key(), *nearest)
                       : fmt::format("unknown member \"{}\"; known are: {}", entry.key(), fmt::join(members, ", ")));
  }
  return document;
}

std::unexpected<Error> wrong_type(const char* name, const char* wanted, const json& found) {
  return bad(fmt::format("\"{}\" must be {}, not: {}", name, wanted, found.type_name()));
}

// What a member of each type takes, and what it writes. `member` has the name, the meaning and the bounds.
template <class Member>
Result<void> take(const Member& member, const json& found, bool& to) {
  if (!found.is_boolean()) return wrong_type(member.name, "true or false", found);
  to = found.get<bool>();
  return {};
}
template <class Member>
Result<void> take(const Member& member, const json& found, std::string& to) {
  if (!found.is_string()) return wrong_type(member.name, "a string", found);
  to = found.get<std::string>();
  return {};
}
template <class Member>
Result<void> take(const Member& member, const json& found, std::uint64_t& to) {
  if (!found.is_number_unsigned())
    return bad(
        fmt::format("\"{}\" must be a whole number ({}), not: {}", member.name, member.meaning, json_text(found)));
  to = found.get<std::uint64_t>();
  return {};
}
template <class Member>
Result<void> take(const Member& member, const json& found, double& to) {
  if (!found.is_number() || found.get<double>() < 0 || found.get<double>() > member.most)
    return bad(fmt::format("\"{}\" must be a number from 0 to {}", member.name, member.most));
  to = found.get<double>();
  return {};
}
template <class Member>
Result<void> take(const Member& member, const json& found, UtcTime& to) {
  std::string text;
  CAIRN_CHECK(take(member, found, text));
  const auto time = parse_iso_time(text);
  if (!time) return bad(fmt::format("\"{}\" must be a time like 2027-01-31T00:00:00Z, not: \"{}\"", member.name, text));
  to = *time;
  return {};
}
template <class Member>
Result<void> take(const Member& member, const json& found, std::vector<std::string>& to) {
  if (!found.is_array()) return wrong_type(member.name, "a list of names", found);
  for (const json& name : found)
    if (!name.is_string()) return bad(fmt::format("\"{}\" must hold strings, not: {}", member.name, name.type_name()));
  to = found.get<std::vector<std::string>>();
  return {};
}
template <class Member, class Type>
Result<void> take(const Member& member, const json& found, std::optional<Type>& to) {
  if (found.is_null()) return {};
  return take(member, found, to.emplace());
}

template <class Type>
json written(const Type& value) {
  return value;
}
json written(UtcTime time) {
  return iso_time(time);
}
template <class Type>
json written(const std::optional<Type>& value) {
  return value ? written(*value) : json(nullptr);
}

// What is wrong with the members together; empty: nothing.
std::string conflict_in(const BackupRequest& request) {
  if (request.machines.empty() && !request.all) return "it needs \"machines\" with a name, or \"all\": true";
  return !request.machines.empty() && request.all ? "it has both \"machines\" and \"all\": true" : "";
}
std::string conflict_in(const RestoreRequest& request) {
  if (!request.header_only || !request.salvage) return {};
  return "it has both \"header_only\" and \"salvage\", and a header with holes opens nothing: take that of another "
         "point";
}
std::string conflict_in(const PruneRequest&) {
  return {};
}
std::string conflict_in(const DeleteRequest&) {
  return {};
}
std::string conflict_in(const ProtectRequest& request) {
  return request.off && request.until ? "it has both \"off\" and \"until\"" : "";
}
std::string conflict_in(const VerifyRequest& request) {
  return !request.from.empty() && !request.repair ? "\"from\" goes with \"repair\": true only" : "";
}

}  // namespace

template <class Request>
Result<Request> parse_request(std::string_view body) {
  std::vector<std::string> names;
  for_each_member<Request>([&](const auto& member) { names.emplace_back(member.name); });
  CAIRN_TRY(const json document, parse_object(body, names));
  Request request;
  Result<void> taken;
  for_each_member<Request>([&](const auto& member) {
    if (!taken) return;
    const auto found = document.find(member.name);
    if (found != document.end()) taken = take(member, *found, request.*member.place);
    if (taken && member.need == Need::required && request.*member.place == Request().*member.place)
      taken = bad(fmt::format("it needs \"{}\": {}", member.name, member.meaning));
  });
  CAIRN_CHECK(taken);
  if (std::string conflict = conflict_in(request); !conflict.empty()) return bad(std::move(conflict));
  return request;
}

template <class Request>
json body_of(const Request& request) {
  json body = json::object();
  for_each_member<Request>([&](const auto& member) {
    if (request.*member.place != Request().*member.place) body[member.name] = written(request.*member.place);
  });
  return body;
}

template Result<BackupRequest> parse_request(std::string_view);
template Result<RestoreRequest> parse_request(std::string_view);
template Result<PruneRequest> parse_request(std::string_view);
template Result<DeleteRequest> parse_request(std::string_view);
template Result<ProtectRequest> parse_request(std::string_view);
template Result<VerifyRequest> parse_request(std::string_view);
template json body_of(const BackupRequest&);
template json body_of(const RestoreRequest&);
template json body_of(const PruneRequest&);
template json body_of(const DeleteRequest&);
template json body_of(const ProtectRequest&);
template json body_of(const VerifyRequest&);

Result<void> parse_empty_request(std::string_view body) {
  if (body.empty()) return {};
  CAIRN_TRY(const json document, parse_object(body, {}));
  return {};
}

Result<bool> parse_flag(const std::string& name, std::string_view text) {
  if (text == "true" || text == "false") return text == "true";
  return bad(fmt::format("parameter \"{}\" must be true or false, not \"{}\"", name, text));
}

Result<std::uint64_t> parse_number(const std::string& name, std::string_view text, std::uint64_t at_most) {
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size() || number > at_most)
    return bad(fmt::format("parameter \"{}\" must be a whole number from 0 to {}, not \"{}\"", name, at_most, text));
  return number;
}

std::string percent_encode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_' || c == '~')
      encoded += c;
    else
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

std::string query_of(const JobFilter& filter) {
  std::string query = fmt::format("limit={}", std::min<std::uint64_t>(filter.limit, kMaxJobsListed));
  if (filter.machine) query += "&machine=" + percent_encode(*filter.machine);
  if (filter.kind) query.append("&kind=").append(to_string(*filter.kind));
  if (filter.state) query.append("&state=").append(to_string(*filter.state));
  if (filter.since) query += "&since=" + percent_encode(iso_time(*filter.since));
  if (!filter.empty_prunes) query += "&empty_prunes=false";
  return query;
}

Result<JobFilter> job_filter_of(const std::function<std::optional<std::string>(const std::string& name)>& parameter) {
  JobFilter filter;
  filter.limit = kDefaultJobsListed;
  if (const auto limit = parameter("limit")) {
    CAIRN_TRY(filter.limit, parse_number("limit", *limit, kMaxJobsListed));
  }
  filter.machine = parameter("machine");
  if (const auto kind = parameter("kind")) {
    filter.kind = parse_job_kind(*kind);
    if (!filter.kind) return bad(fmt::format("parameter \"kind\" is no kind of job: \"{}\"", *kind));
  }
  if (const auto state = parameter("state")) {
    filter.state = parse_job_state(*state);
    if (!filter.state) return bad(fmt::format("parameter \"state\" is no state of a job: \"{}\"", *state));
  }
  if (const auto since = parameter("since")) {
    filter.since = parse_iso_time(*since);
    if (!filter.since)
      return bad(fmt::format("parameter \"since\" is no time like 2026-11-21T02:00:00Z: \"{}\"", *since));
  }
  if (const auto empty = parameter("empty_prunes")) {
    CAIRN_TRY(filter.empty_prunes, parse_flag("empty_prunes", *empty));
  }
  return filter;
}

}  // namespace cairn
