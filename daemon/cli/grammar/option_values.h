// SPDX-License-Identifier: GPL-3.0-or-later
// The values of options that several commands have: what `parsed_value` calls. `doing` is for the error: "prune".
// Errors: used_wrongly. Pure. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "config/base/clock.h"
#include "config/base/result.h"

namespace cairn::cli {

// The value of --rate: a size with its unit, in bytes a second; 0 when it is empty.
Result<std::uint64_t> parse_rate(const std::string& text, const char* doing);
// The value of --limit: 1 to `most`.
Result<std::size_t> parse_limit(const std::string& text, std::size_t most, const char* doing);
// The value of --since or --until: "2027-01-31T12:00:00Z", or "2027-01-31" for the beginning of that day, UTC. `option`
// is for the error.
Result<UtcTime> parse_time(const std::string& text, const char* option, const char* doing);
// The value of --label: what check_key_label accepts.
Result<std::string> parse_label(const std::string& text, const char* doing);

}  // namespace cairn::cli
