// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/retention/known_machines.h"

#include <set>
#include <vector>

namespace cairn {

Result<void> check_known_machine(const char* doing, const std::string& machine, const Settings& settings,
                                 std::span<const PointName> stored) {
  std::set<std::string> known;
  for (const PointName& name : stored) known.insert(name.machine);
  for (const auto& entry : settings.machines) known.insert(entry.first);
  if (known.contains(machine)) return {};
  const std::vector<std::string> list(known.begin(), known.end());
  const auto nearest = nearest_name(machine, list);
  return fail(ErrorCode::no_such_machine, doing, machine,
              nearest ? "there is no such machine; did you mean \"" + *nearest + "\"?"
                      : "there is no such machine in the settings or in the store");
}

}  // namespace cairn
