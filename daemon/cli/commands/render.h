// SPDX-License-Identifier: GPL-3.0-or-later
// The documents of the commands as text, as daemon/API.md describes them; each is defined in its command's file. Here
// for tests, and for commands that show a part of another's. They take any document, also one that lacks what they look
// for. Pure. Any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "config/base/clock.h"

namespace cairn::cli {

std::string render_store_info(const nlohmann::json& document);
std::string render_rebuild(const nlohmann::json& document);
std::string render_key_slots(const nlohmann::json& document);
std::string render_machines(const nlohmann::json& document);
std::string render_config_check(const nlohmann::json& document);
std::string render_points(const nlohmann::json& rows, UtcTime now);
std::string render_point(const nlohmann::json& document);
// The result of a prune: every point when it was a dry run, else those that went.
std::string render_prune(const nlohmann::json& result);
std::string render_deletions(const nlohmann::json& document);
std::string render_vaults(const nlohmann::json& rows);
std::string render_policy(const nlohmann::json& document);
std::string render_audit(const nlohmann::json& rows);
std::string render_keys(const nlohmann::json& document);
std::string render_key(const nlohmann::json& document);
std::string render_key_restore(const nlohmann::json& document);
std::string render_drill(const nlohmann::json& document);
std::string render_verify(const nlohmann::json& report);
std::string render_keyless(const nlohmann::json& report);
// What it could not know.
std::vector<std::string> keyless_warnings(const nlohmann::json& report);
std::string render_recoverable(const nlohmann::json& document);
// What a status says of verifying: lines for its head, and warnings.
std::string render_verify_status(const nlohmann::json& verify, UtcTime now);
void add_verify_warnings(const nlohmann::json& verify, UtcTime now, std::vector<std::string>& warnings);
std::string render_status(const nlohmann::json& document, UtcTime now);
std::string render_jobs(const nlohmann::json& rows);
std::string render_job(const nlohmann::json& job);
std::string render_explanation(const nlohmann::json& document);
std::string render_explanations(const nlohmann::json& rows);
std::string render_header_restore(const nlohmann::json& document);

// What a status says of a store that is older than it was ("rollback").
void add_rollback_warnings(const nlohmann::json& rollback, std::vector<std::string>& warnings);

// What in a status document somebody should look at.
std::vector<std::string> status_warnings(const nlohmann::json& document, UtcTime now);

}  // namespace cairn::cli
