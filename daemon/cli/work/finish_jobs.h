// SPDX-License-Identifier: GPL-3.0-or-later
// The common end of backup, prune and restore: wait for the jobs, show them, name what went wrong. And what a salvaged
// disk lacks, as text: store recover says it, too.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "config/base/result.h"

namespace cairn::cli {

class Context;

// A job's result as text, below its line.
using ResultText = std::string (*)(const nlohmann::json& result);

// `started`: {"jobs":[Job]}. The answer is {"jobs":[Job]} with every job ended, and "error" when one failed.
// `result_text`: what the command shows of a result besides; null: nothing. `warnings`: the command's own.
// The same error of several jobs is said once, with all of them.
Result<ExitCode> finish_jobs(Context& context, const nlohmann::json& started, ResultText result_text = nullptr,
                             std::vector<std::string> warnings = {});

// One finished job in a line or a few.
std::string render_finished_job(const nlohmann::json& job, ResultText result_text = nullptr);

// `keys`: of a restore's result: a line for each encrypted volume, with what opens it and whether that is to be had
// now; the commands that bring it back below.
std::string render_keys_at_hand(const nlohmann::json& keys);

// `file`: of a restore's result. A line for each range that is zeros because it cannot be read, so many of them; none
// when it has all.
std::string render_zeros(const nlohmann::json& file);

}  // namespace cairn::cli
