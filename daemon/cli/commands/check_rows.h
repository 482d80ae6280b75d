// SPDX-License-Identifier: GPL-3.0-or-later
// The rows of `cairn config check`: what was looked at, and what was found. Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "config/base/error.h"

namespace cairn::cli {

// note: worth knowing, and nothing to repair: the exit code does not change.
enum class Verdict { ok, note, warning, error };

// {"check","object","state","detail","error"}.
nlohmann::json good(const char* check, const std::string& object, const std::string& detail);
nlohmann::json remark(const char* check, const std::string& object, const std::string& detail);
nlohmann::json doubtful(const char* check, const std::string& object, const std::string& detail);
nlohmann::json doubtful(const char* check, const std::string& object, const Error& error);
nlohmann::json bad(const char* check, const std::string& object, const Error& error);
bool found_in(const nlohmann::json& check, Verdict verdict);

}  // namespace cairn::cli
