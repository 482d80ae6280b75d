// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/log.h"

#include <fmt/format.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

#include "config/base/guarded.h"

namespace cairn {
namespace {

Guarded<std::string*> g_sink;
std::atomic<bool> g_for_journald = false;

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("cairn", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%SZ %l %v", spdlog::pattern_time_type::utc);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// sd-daemon(3): SD_DEBUG "<7>" and so on.
std::string_view journald_prefix(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "<7>";
    case LogLevel::info:
      return "<6>";
    case LogLevel::warning:
      return "<4>";
    case LogLevel::error:
      return "<3>";
  }
  return "<3>";
}

bool needs_quotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char c : value)
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '\\' || c == '=' || c == 0x7f) return true;
  return false;
}

void append_value(std::string& line, std::string_view value) {
  if (!needs_quotes(value)) {
    line += value;
    return;
  }
  line += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (c == '\n') {
      line += "\\n";
    } else if (byte < ' ' || byte == 0x7f) {
      line += fmt::format("\\x{:02x}", byte);
    } else {
      line += c;
    }
  }
  line += '"';
}

}  // namespace

void set_up_log(LogLevel lowest, bool for_journald) {
  g_for_journald = for_journald;
  logger().set_level(to_spdlog(lowest));
  if (for_journald) logger().set_pattern("%v");
}

void log_event(LogLevel level, std::string_view verb, std::string_view object, std::initializer_list<LogField> fields) {
  std::string line(g_for_journald ? journald_prefix(level) : "");
  line += verb;
  if (!object.empty()) {
    line += ' ';
    append_value(line, object);
  }
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    append_value(line, field.value);
  }
  {
    const auto sink = g_sink.lock();
    if (*sink != nullptr) {
      **sink += line + '\n';
      return;
    }
  }
  logger().log(to_spdlog(level), "{}", line);
}

void log_error(std::string_view verb, std::string_view object, const Error& error) {
  log_event(LogLevel::error, verb, object, {{"error", error.name()}, {"message", error.message()}});
}

void redirect_log(std::string* sink) {
  *g_sink.lock() = sink;
}

}  // namespace cairn
