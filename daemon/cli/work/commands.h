// SPDX-License-Identifier: GPL-3.0-or-later
// The commands: what each does and how its document reads as text. One file a command; dispatch in run.cpp.
// The renderers are pure and take documents as daemon/API.md describes them. One thread at a time.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/result.h"
#include "daemon/cli/grammar/arguments.h"

namespace cairn::cli {

class Context;

// Runs one command; its answer is printed by then. An error is printed by the caller.
Result<ExitCode> run(Context& context, const StoreInitCommand& command);
Result<ExitCode> run(Context& context, const StoreInfoCommand& command);
Result<ExitCode> run(Context& context, const RebuildIndexCommand& command);
Result<ExitCode> run(Context& context, const StoreRecoverCommand& command);
Result<ExitCode> run(Context& context, const KeysListCommand& command);
Result<ExitCode> run(Context& context, const KeysAddCommand& command);
Result<ExitCode> run(Context& context, const KeysRemoveCommand& command);
Result<ExitCode> run(Context& context, const ConfigCheckCommand& command);
Result<ExitCode> run(Context& context, const BackupCommand& command);
Result<ExitCode> run(Context& context, const PointsCommand& command);
Result<ExitCode> run(Context& context, const MountCommand& command);
Result<ExitCode> run(Context& context, const UmountCommand& command);
Result<ExitCode> run(Context& context, const RestoreCommand& command);
Result<ExitCode> run(Context& context, const VaultInitCommand& command);
Result<ExitCode> run(Context& context, const VaultListCommand& command);
Result<ExitCode> run(Context& context, const VaultPolicyCommand& command);
Result<ExitCode> run(Context& context, const VaultGrantCommand& command);
Result<ExitCode> run(Context& context, const VaultRevokeCommand& command);
Result<ExitCode> run(Context& context, const VaultAuditCommand& command);
Result<ExitCode> run(Context& context, const KeyCreateCommand& command);
Result<ExitCode> run(Context& context, const KeyRotateCommand& command);
Result<ExitCode> run(Context& context, const KeyImportCommand& command);
Result<ExitCode> run(Context& context, const KeyListCommand& command);
Result<ExitCode> run(Context& context, const KeyShowCommand& command);
Result<ExitCode> run(Context& context, const KeyDeleteCommand& command);
Result<ExitCode> run(Context& context, const KeyRestoreCommand& command);
Result<ExitCode> run(Context& context, const KeyExportCommand& command);
Result<ExitCode> run(Context& context, const KeyDrillCommand& command);
Result<ExitCode> run(Context& context, const VerifyCommand& command);
Result<ExitCode> run(Context& context, const PruneCommand& command);
Result<ExitCode> run(Context& context, const DeleteCommand& command);
Result<ExitCode> run(Context& context, const UndeleteCommand& command);
Result<ExitCode> run(Context& context, const ProtectCommand& command);
Result<ExitCode> run(Context& context, const StatusCommand& command);
Result<ExitCode> run(Context& context, const JobsCommand& command);
Result<ExitCode> run(Context& context, const JobsCancelCommand& command);
Result<ExitCode> run(Context& context, const ExplainCommand& command);
Result<ExitCode> run(Context& context, const VersionCommand& command);
Result<ExitCode> run(Context& context, const HelpCommand& command);
Result<ExitCode> run(Context& context, const CompleteCommand& command);

// cairn restore --header-only --in-place DEVICE.
Result<ExitCode> restore_header_onto(Context& context, const RestoreCommand& command);
std::string render_header_restore(const nlohmann::json& document);

// cairn verify --proof.
Result<ExitCode> verify_proofs(Context& context, const VerifyCommand& command);

// The whole program but for hardening: parses, runs, reports; exceptions of libraries end here.
ExitCode run_command_line(const std::vector<std::string>& words);

std::string render_store_info(const nlohmann::json& document);
std::string render_rebuild(const nlohmann::json& document);
std::string render_key_slots(const nlohmann::json& document);
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
std::string render_recoverable(const nlohmann::json& document);
// What a status says of verifying: lines for its head, and warnings.
std::string render_verify_status(const nlohmann::json& verify, UtcTime now);
void add_verify_warnings(const nlohmann::json& verify, UtcTime now, std::vector<std::string>& warnings);
std::string render_status(const nlohmann::json& document, UtcTime now);
std::string render_jobs(const nlohmann::json& rows);
std::string render_job(const nlohmann::json& job);
std::string render_explanation(const nlohmann::json& document);
std::string render_explanations(const nlohmann::json& rows);
// One finished job in a line or a few: the end of backup and restore.
std::string render_finished_job(const nlohmann::json& job);

// What in a status document somebody should look at.
std::vector<std::string> status_warnings(const nlohmann::json& document, UtcTime now);

}  // namespace cairn::cli
