// SPDX-License-Identifier: GPL-3.0-or-later
// The status document: what `cairn status` shows of the daemon, the store, the machines and their points. Any thread.
// Document: daemon/API.md "Status".
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "config/base/clock.h"
#include "config/base/result.h"

namespace cairn {

class Engine;
class PointRows;
class SpaceHistory;
class VerifyStatus;
struct TrackingPlace;

// What only the daemon knows, as members of the document: "daemon", "mount", and by machine next runs and keys. Empty
// functions: there is no daemon.
struct DaemonView {
  std::function<nlohmann::json()> daemon;
  std::function<nlohmann::json()> mount;
  std::function<std::optional<UtcTime>(const std::string& machine)> next_run;
  std::function<nlohmann::json(const std::string& machine)> keys;
};

// Borrowed while the document is made.
struct StatusSources {
  Engine& engine;
  PointRows& rows;
  VerifyStatus& verify;
  const TrackingPlace& tracking;
  const SpaceHistory& space;
  DaemonView daemon;
};

// Errors: those of listing points and of kept_space.
Result<nlohmann::json> status_document(const StatusSources& sources);

}  // namespace cairn
