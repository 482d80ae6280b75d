// SPDX-License-Identifier: GPL-3.0-or-later
// `cairn config check` on a machine's guest: whether it is reached, whether its agent answers, and what its backups
// will be. Changes nothing in the guest.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "config/settings.h"

namespace cairn::cli {

// The machine with all disks that it has; nothing: they are not known, as a row says.
std::optional<MachineSettings> check_guest(const MachineSettings& machine, const Settings& settings,
                                           nlohmann::json& checks);

// The guests of the libvirts that the settings name which no machine backs up: a warning each, unless they say
// `unprotected: ignore`.
void check_unprotected(const Settings& settings, nlohmann::json& checks);

}  // namespace cairn::cli
