// SPDX-License-Identifier: GPL-3.0-or-later
// Requests of the control API: writing bodies, strict reading of bodies and query parameters, and the HTTP status of
// each error. Form: daemon/API.md. Pure. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "daemon/queue/job_filter.h"
#include "daemon/service/requests.h"

namespace cairn {

inline constexpr std::size_t kMaxBody = std::size_t{64} * 1024;
inline constexpr std::uint64_t kMaxWaitMs = 60'000;
inline constexpr std::uint64_t kMaxJobsListed = 1000;
inline constexpr std::uint64_t kDefaultJobsListed = 50;

// For each Request of daemon/service/requests.h. Errors: used_wrongly: not a JSON object, unknown member, wrong type,
// something needed is missing, members that exclude each other.
template <class Request>
Result<Request> parse_request(std::string_view body);
// The body that parse_request() reads; what is as the struct has it anyway is left out.
template <class Request>
nlohmann::json body_of(const Request& request);
// RFC 3986: everything but unreserved characters, so that a name can hold anything.
std::string percent_encode(std::string_view text);

// The query parameters of GET /v1/jobs, and the filter that they say. Errors: used_wrongly.
std::string query_of(const JobFilter& filter);
Result<JobFilter> job_filter_of(const std::function<std::optional<std::string>(const std::string& name)>& parameter);

// Nothing, or an object without members.
Result<void> parse_empty_request(std::string_view body);

// "true" or "false", as query parameter `name` has it. Errors: used_wrongly.
Result<bool> parse_flag(const std::string& name, std::string_view text);
// A whole number from 0 to `at_most`, as query parameter `name` has it. Errors: used_wrongly.
Result<std::uint64_t> parse_number(const std::string& name, std::string_view text, std::uint64_t at_most);

}  // namespace cairn
