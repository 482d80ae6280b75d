// SPDX-License-Identifier: GPL-3.0-or-later
// PointRows: recovery points as rows of `cairn points` and of the status. What a point's document says never changes,
// so it is read once and kept; what can change (protection, deletion) is asked for each time. Any thread. Rows:
// daemon/API.md.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/base/clock.h"
#include "config/base/guarded.h"
#include "config/base/result.h"
#include "config/settings.h"
#include "daemon/service/service.h"
#include "fs/store/point/recovery_point.h"

namespace cairn {

class Store;
class WrittenOrder;
struct Protection;

class PointRows {
 public:
  // Both must outlive this.
  PointRows(Store& store, const Clock& clock);
  ~PointRows();
  PointRows(const PointRows&) = delete;
  PointRows& operator=(const PointRows&) = delete;

  // All rows of `machine`, or of all, oldest first, with their point states. Errors: no_such_machine (neither in the
  // settings nor in the store), those of listing.
  Result<nlohmann::json> list(const std::optional<std::string>& machine, PointsListed listed, const Settings& settings);
  // The row of one point, with "in_future".
  nlohmann::json row_of_point(const PointName& name);
  // Gives these points' rows one by one, from the last of them; nothing when all were given. This must outlive it.
  std::function<std::optional<nlohmann::json>()> newest(std::vector<PointName> points);

 private:
  nlohmann::json row_of(const PointName& name);
  nlohmann::json point_state(const PointName& name, const nlohmann::json& row, const WrittenOrder& order,
                             bool is_protected, PointsListed listed, const Settings& settings);

  Store& store_;
  const Clock& clock_;
  Guarded<std::map<PointName, std::unique_ptr<const nlohmann::json>>> rows_;
};

// {"machine","point","name"}: how every document names a point.
nlohmann::json name_members(const PointName& name);
// {"since","until"}.
nlohmann::json to_json(const Protection& protection);
// The policy in force for a machine; null: it is not in the settings.
const Policy* policy_for(const Settings& settings, const std::string& machine);

}  // namespace cairn
