// SPDX-License-Identifier: GPL-3.0-or-later
// Requests of the control API: strict reading of bodies and query parameters, and the HTTP status of each error.
// Form: daemon/API.md. Pure. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/base/result.h"
#include "daemon/service/service.h"

namespace cairn {

inline constexpr std::size_t kMaxBody = std::size_t{64} * 1024;
inline constexpr std::uint64_t kMaxWaitMs = 60'000;
inline constexpr std::uint64_t kMaxJobsListed = 1000;
inline constexpr std::uint64_t kDefaultJobsListed = 50;

// Errors: used_wrongly: not a JSON object, unknown member, wrong type, something needed is missing.
Result<BackupRequest> parse_backup_request(std::string_view body);
Result<RestoreRequest> parse_restore_request(std::string_view body);
Result<PruneRequest> parse_prune_request(std::string_view body);
// Without the point: that is in the path.
Result<ProtectRequest> parse_protect_request(std::string_view body);
// Nothing, or an object without members.
Result<void> parse_empty_request(std::string_view body);
Result<VerifyRequest> parse_verify_request(std::string_view body);

// "true" or "false", as query parameter `name` has it. Errors: used_wrongly.
Result<bool> parse_flag(const std::string& name, std::string_view text);
// A whole number from 0 to `at_most`, as query parameter `name` has it. Errors: used_wrongly.
Result<std::uint64_t> parse_number(const std::string& name, std::string_view text, std::uint64_t at_most);

int http_status(const Error& error);

}  // namespace cairn
