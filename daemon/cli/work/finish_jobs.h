// SPDX-License-Identifier: GPL-3.0-or-later
// The common end of backup, prune and restore: wait for the jobs, show them, name what went wrong. And what a salvaged
// disk lacks, as text: store recover says it, too.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "config/base/result.h"

namespace cairn::cli {

class Context;

// A job's result as text, below its line.
using ResultText = std::string (*)(const nlohmann::json& result);

// `started`: {"jobs":[Job]}. The answer is {"jobs":[Job]} with every job ended, and "error" when one failed.
// `result_text`: what the command shows of a result besides; null: nothing.
Result<ExitCode> finish_jobs(Context& context, const nlohmann::json& started, ResultText result_text = nullptr);

// One finished job in a line or a few.
std::string render_finished_job(const nlohmann::json& job, ResultText result_text = nullptr);

// `file`: of a restore's result. A line for each range that is zeros because it cannot be read, so many of them; none
// when it has all.
std::string render_zeros(const nlohmann::json& file);

}  // namespace cairn::cli
