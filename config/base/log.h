// SPDX-License-Identifier: GPL-3.0-or-later
// Logs: one event a line, `verb object key=value ...`. `error` means that a person must act. Any thread.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "config/base/error.h"

namespace cairn {

enum class LogLevel { debug, info, warning, error };

// Where lines go and from which level on. Lines go to stderr; with `for_journald` they carry the sd-daemon(3)
// priority prefix in place of time and level. Call before threads start.
void set_up_log(LogLevel lowest, bool for_journald);

struct LogField {
  std::string_view key;
  std::string value;
  LogField(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  template <std::integral Number>
  LogField(std::string_view k, Number v) : key(k), value(std::to_string(v)) {}
};

// log_event(LogLevel::info, "backup-completed", "web-01@20261121T020000Z", {{"new_bytes", 4096}});
// Values with spaces or quotes are quoted; control characters are escaped, so an event stays one line.
void log_event(LogLevel level, std::string_view verb, std::string_view object,
               std::initializer_list<LogField> fields = {});
// The error's name and message as fields.
void log_error(std::string_view verb, std::string_view object, const Error& error);

// Tests: lines go to `sink` instead; pass nullptr to end. Not for use while other threads log.
void redirect_log(std::string* sink);

}  // namespace cairn
