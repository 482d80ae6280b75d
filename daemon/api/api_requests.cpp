// SPDX-License-Identifier: GPL-3.0-or-later
// Reading requests. Whoever may open the socket may send anything: nothing is taken on trust.
#include "daemon/api/api_requests.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

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

Result<void> take_text(const json& document, const char* name, std::string& to) {
  const auto member = document.find(name);
  if (member == document.end()) return {};
  if (!member->is_string()) return bad(fmt::format("\"{}\" must be a string, not: {}", name, member->type_name()));
  to = member->get<std::string>();
  return {};
}

Result<void> take_flag(const json& document, const char* name, bool& to) {
  const auto member = document.find(name);
  if (member == document.end()) return {};
  if (!member->is_boolean())
    return bad(fmt::format("\"{}\" must be true or false, not: {}", name, member->type_name()));
  to = member->get<bool>();
  return {};
}

Result<void> take_rate(const json& document, std::uint64_t& to) {
  const auto member = document.find("rate");
  if (member == document.end()) return {};
  if (!member->is_number_unsigned())
    return bad(fmt::format("\"rate\" must be a number of bytes a second, 0 for no limit, not: {}", json_text(*member)));
  to = member->get<std::uint64_t>();
  return {};
}

}  // namespace

Result<BackupRequest> parse_backup_request(std::string_view body) {
  CAIRN_TRY(const json document, parse_object(body, {"machines", "all", "full_read"}));
  BackupRequest request;
  CAIRN_CHECK(take_flag(document, "all", request.all));
  CAIRN_CHECK(take_flag(document, "full_read", request.full_read));
  if (const auto machines = document.find("machines"); machines != document.end()) {
    if (!machines->is_array())
      return bad(fmt::format("\"machines\" must be a list of names, not: {}", machines->type_name()));
    for (const json& name : *machines) {
      if (!name.is_string()) return bad(fmt::format("\"machines\" must hold strings, not: {}", name.type_name()));
      request.machines.push_back(name.get<std::string>());
    }
  }
  if (request.machines.empty() && !request.all) return bad("it needs \"machines\" with a name, or \"all\": true");
  if (!request.machines.empty() && request.all) return bad("it has both \"machines\" and \"all\": true");
  return request;
}

Result<RestoreRequest> parse_restore_request(std::string_view body) {
  CAIRN_TRY(const json document, parse_object(body, {"point", "to", "disk", "force", "header_only", "salvage"}));
  RestoreRequest request;
  CAIRN_CHECK(take_text(document, "point", request.point));
  CAIRN_CHECK(take_text(document, "to", request.to));
  CAIRN_CHECK(take_flag(document, "force", request.force));
  CAIRN_CHECK(take_flag(document, "header_only", request.header_only));
  CAIRN_CHECK(take_flag(document, "salvage", request.salvage));
  if (const auto disk = document.find("disk"); disk != document.end() && !disk->is_null()) {
    request.disk.emplace();
    CAIRN_CHECK(take_text(document, "disk", *request.disk));
  }
  if (request.point.empty()) return bad("it needs \"point\": MACHINE@POINT");
  if (request.to.empty()) return bad("it needs \"to\": the directory to write to");
  if (request.header_only && request.salvage)
    return bad(
        "it has both \"header_only\" and \"salvage\", and a header with holes opens nothing: take that of another "
        "point");
  return request;
}

Result<PruneRequest> parse_prune_request(std::string_view body) {
  CAIRN_TRY(const json document, parse_object(body, {"machine", "dry_run", "accept_clock", "accept_damage", "rate"}));
  PruneRequest request;
  CAIRN_CHECK(take_flag(document, "dry_run", request.dry_run));
  CAIRN_CHECK(take_flag(document, "accept_clock", request.accept_clock));
  CAIRN_CHECK(take_flag(document, "accept_damage", request.accept_damage));
  if (const auto machine = document.find("machine"); machine != document.end() && !machine->is_null()) {
    request.machine.emplace();
    CAIRN_CHECK(take_text(document, "machine", *request.machine));
  }
  CAIRN_CHECK(take_rate(document, request.rate));
  return request;
}

Result<ProtectRequest> parse_protect_request(std::string_view body) {
  CAIRN_TRY(const json document, parse_object(body.empty() ? "{}" : body, {"until", "off"}));
  ProtectRequest request;
  CAIRN_CHECK(take_flag(document, "off", request.off));
  if (const auto until = document.find("until"); until != document.end() && !until->is_null()) {
    std::string text;
    CAIRN_CHECK(take_text(document, "until", text));
    request.until = parse_iso_time(text);
    if (!request.until) return bad("\"until\" must be a time like 2027-01-31T00:00:00Z, not: \"" + text + "\"");
  }
  if (request.off && request.until) return bad("it has both \"off\" and \"until\"");
  return request;
}

Result<void> parse_empty_request(std::string_view body) {
  if (body.empty()) return {};
  CAIRN_TRY(const json document, parse_object(body, {}));
  return {};
}

Result<bool> parse_flag(const std::string& name, std::string_view text) {
  if (text == "true" || text == "false") return text == "true";
  return bad(fmt::format("parameter \"{}\" must be true or false, not \"{}\"", name, text));
}

Result<VerifyRequest> parse_verify_request(std::string_view body) {
  CAIRN_TRY(const json document, parse_object(body, {"data_percent", "repair", "from", "accept_gaps", "rate"}));
  VerifyRequest request;
  if (const auto percent = document.find("data_percent"); percent != document.end()) {
    if (!percent->is_number() || percent->get<double>() < 0 || percent->get<double>() > 100)
      return bad("\"data_percent\" must be a number from 0 to 100");
    request.data_percent = percent->get<double>();
  }
  CAIRN_CHECK(take_rate(document, request.rate));
  CAIRN_CHECK(take_flag(document, "repair", request.repair));
  CAIRN_CHECK(take_flag(document, "accept_gaps", request.accept_gaps));
  CAIRN_CHECK(take_text(document, "from", request.from));
  if (!request.from.empty() && !request.repair) return bad("\"from\" goes with \"repair\": true only");
  return request;
}

Result<std::uint64_t> parse_number(const std::string& name, std::string_view text, std::uint64_t at_most) {
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size() || number > at_most)
    return bad(fmt::format("parameter \"{}\" must be a whole number from 0 to {}, not \"{}\"", name, at_most, text));
  return number;
}

int http_status(const Error& error) {
  switch (error.code) {
    case ErrorCode::used_wrongly:
      return 400;
    case ErrorCode::permission_denied:
      return 403;
    case ErrorCode::no_such_machine:
    case ErrorCode::no_such_point:
    case ErrorCode::no_such_disk:
    case ErrorCode::no_such_header:
    case ErrorCode::no_such_job:
    case ErrorCode::point_missing:
    case ErrorCode::point_deleted:
      return 404;
    case ErrorCode::point_immutable:
    case ErrorCode::point_protected:
    case ErrorCode::point_not_deleted:
    case ErrorCode::point_in_use:
    case ErrorCode::clock_jumped:
    case ErrorCode::job_conflict:
    case ErrorCode::store_locked:
    case ErrorCode::ambiguous_point:
    case ErrorCode::target_exists:
    case ErrorCode::object_exists:
      return 409;
    case ErrorCode::target_missing:
      return 422;
    case ErrorCode::shutting_down:
      return 503;
    case ErrorCode::no_space:
    case ErrorCode::space_reserved:
      return 507;
    default:
      return 500;
  }
}

}  // namespace cairn
