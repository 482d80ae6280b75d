// SPDX-License-Identifier: GPL-3.0-or-later
// How the state of a disk is told in text: from the members that a point, a job's report and a check have in common
// (daemon/API.md). Any thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cairn::cli {

// "unknown: LVM2_member on partition 2: ...", "not-encrypted: ext4"; empty: the document does not say.
std::string encryption_text(const nlohmann::json& disk);

}  // namespace cairn::cli
