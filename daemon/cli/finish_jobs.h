// The common end of backup and restore: wait for the jobs, show them, name what went wrong.
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "config/base/result.h"

namespace cairn::cli {

class Context;

// `started`: {"jobs":[Job]}. The answer is {"jobs":[Job]} with every job ended, and "error" when one failed.
Result<ExitCode> finish_jobs(Context& context, const nlohmann::json& started);

}  // namespace cairn::cli
