// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/take_definition.h"

#include "daemon/queue/job.h"
#include "daemon/source/definition_disks.h"

namespace cairn {

void take_definition(const MachineSettings& machine, const std::string& of_guest, RecoveryPoint& point,
                     JobContext& job) {
  if (machine.definition) {
    auto text = read_definition(*machine.definition);
    if (!text) {
      job.warn(text.error().message());
      return;
    }
    point.definition = *std::move(text);
  } else if (!of_guest.empty()) {
    point.definition = of_guest;
  } else {
    return;
  }
  if (!looks_like_xml(*point.definition)) return;
  const std::string object = machine.definition ? machine.definition->string() : machine.guest.text();
  const auto disks = disks_of_definition(*point.definition, object);
  if (!disks) {
    job.warn(disks.error().message() + "; whether it has disks that are not backed up is not known");
    return;
  }
  for (const Error& missing : disks_not_backed_up(machine, *disks)) job.warn(as_warning(missing));
}

}  // namespace cairn
