// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/upkeep/key_watch.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "config/base/exception_door.h"
#include "config/base/log.h"
#include "daemon/keys/known_disks.h"
#include "daemon/keys/machine_keys.h"
#include "daemon/queue/job_record.h"

namespace cairn {
namespace {

using nlohmann::json;
using Kind = KeyFinding::Kind;

json document_of(const std::vector<KeyFinding>& findings, UtcTime now) {
  Kind worst = Kind::good;
  json rows = json::array();
  for (const KeyFinding& finding : findings) {
    worst = std::max(worst, finding.kind);
    rows.push_back({{"disk", finding.disk},
                    {"state", to_string(finding.kind)},
                    {"detail", finding.detail},
                    {"error", finding.error ? cairn::to_json(*finding.error) : json(nullptr)}});
  }
  return {{"state", to_string(worst)}, {"checked", iso_time(now)}, {"findings", rows}};
}

}  // namespace

KeyWatch::KeyWatch(std::function<std::shared_ptr<const Settings>()> settings, Store& store, const Clock& clock)
    : settings_(std::move(settings)),
      store_(store),
      clock_(clock),
      thread_("key-check-failed", "machines",
              [this](PokedThread::Why, const std::stop_token& stop) -> std::optional<std::chrono::milliseconds> {
                look(stop);
                return std::nullopt;
              }) {}

KeyWatch::~KeyWatch() = default;

void KeyWatch::poke() {
  thread_.poke();
}

json KeyWatch::status(const std::string& machine) {
  const auto results = results_.lock();
  const auto found = results->find(machine);
  return found == results->end() ? json(nullptr) : found->second;
}

void KeyWatch::look(const std::stop_token& stop) {
  const auto settings = settings_();
  VaultSet vaults(vaults_of(settings));
  std::erase_if(*results_.lock(), [&](const auto& result) { return !settings->machines.contains(result.first); });
  for (const auto& [name, named] : settings->machines) {
    const MachineSettings machine = with_known_disks(named, store_);
    const std::vector<KeyFinding> findings =
        check_machine_keys(machine, settings->policy_of(machine), vaults, store_, stop);
    if (stop.stop_requested()) return;
    for (const KeyFinding& finding : findings) {
      if (finding.kind == Kind::error)
        log_error("keys-wrong", name + "/" + finding.disk, *finding.error);
      else if (finding.kind == Kind::warning)
        log_event(LogLevel::warning, "keys-doubtful", name + "/" + finding.disk,
                  {{"because", finding.detail}, {"error", finding.error->name()}});
    }
    if (findings.empty())
      results_.lock()->erase(name);
    else
      (*results_.lock())[name] = document_of(findings, clock_.now());
  }
}

}  // namespace cairn
