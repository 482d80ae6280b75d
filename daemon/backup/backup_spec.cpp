// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/backup_spec.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "config/base/log.h"
#include "daemon/backup/backup.h"
#include "daemon/keys/vault_set.h"
#include "daemon/queue/job.h"
#include "daemon/queue/journal.h"
#include "fs/store/store.h"
#include "fs/store/verify/damage.h"

namespace cairn {
namespace {

using nlohmann::json;

// What the backup has stored again is damage no longer.
void note_repaired(Store& store, JobContext& job) {
  const auto repaired = refresh_damage(store);
  if (!repaired) job.warn("known damage was not looked at again: " + repaired.error().message());
  if (repaired && *repaired) log_event(LogLevel::info, "damage-repaired", store.path().string());
}

}  // namespace

JobSpec backup_spec(const MachineSettings& machine, const BackupWishes& wishes, BackupSurroundings around) {
  JobSpec spec;
  spec.kind = JobKind::backup;
  spec.object = machine.name;
  spec.trigger = wishes.trigger;
  spec.exclusive = "backup " + machine.name;
  spec.run = [machine, wishes, around = std::move(around)](JobContext& job) -> Result<json> {
    const Policy& policy = around.settings->policy_of(machine);
    BackupInputs inputs{around.store, around.clock, {}, tracking_inputs(*around.settings, machine, around.tracking)};
    inputs.tracking.read_all = wishes.reading == Reading::full;
    inputs.wait = wishes.wait;
    inputs.keys = {policy.on_missing_keys, vaults_of(around.settings), policy.on_costlier_keys};
    inputs.immutable = policy.immutable;
    inputs.guest = {guest_place(*around.settings), policy.consistency, policy.longest_hold};
    inputs.guest.place.stop = job.stop();
    inputs.accept_change = wishes.accept_change;
    inputs.read_clock = around.read_clock;
    auto result = run_backup(machine, inputs, job);
    if (result) around.committed();
    note_repaired(around.store, job);
    warn_of_journal(around.journal_error, job);
    return result;
  };
  return spec;
}

}  // namespace cairn
