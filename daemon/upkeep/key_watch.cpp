// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/upkeep/key_watch.h"

#include <exception>

#include "config/base/exception_door.h"
#include "config/base/log.h"
#include "daemon/keys/machine_keys.h"
#include "daemon/queue/job_record.h"

namespace cairn {
namespace {

using nlohmann::json;
using Kind = KeyFinding::Kind;

const char* to_string(Kind kind) {
  switch (kind) {
    case Kind::good:
      return "good";
    case Kind::warning:
      return "warning";
    case Kind::error:
      return "error";
  }
  return "error";
}

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
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

KeyWatch::~KeyWatch() = default;

void KeyWatch::poke() {
  {
    const std::lock_guard lock(mutex_);
    due_ = true;
  }
  poked_.notify_all();
}

json KeyWatch::status(const std::string& machine) {
  const std::lock_guard lock(mutex_);
  const auto found = results_.find(machine);
  return found == results_.end() ? json(nullptr) : found->second;
}

void KeyWatch::run(const std::stop_token& stop) {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (!poked_.wait(lock, stop, [this] { return due_; })) return;
      due_ = false;
    }
    const auto looked = without_exceptions("check keys", "of machines", [&]() -> Result<void> {
      look(stop);
      return {};
    });
    if (!looked) log_error("key-check-failed", "machines", looked.error());
  }
}

void KeyWatch::look(const std::stop_token& stop) {
  const auto settings = settings_();
  VaultSet vaults(vaults_of(settings));
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(results_, [&](const auto& result) { return !settings->machines.contains(result.first); });
  }
  for (const auto& [name, machine] : settings->machines) {
    const std::vector<KeyFinding> findings =
        check_machine_keys(machine, settings->policy_of(machine).on_missing_keys, vaults, store_, stop);
    if (stop.stop_requested()) return;
    for (const KeyFinding& finding : findings) {
      if (finding.kind == Kind::error)
        log_error("keys-wrong", name + "/" + finding.disk, *finding.error);
      else if (finding.kind == Kind::warning)
        log_event(LogLevel::warning, "keys-doubtful", name + "/" + finding.disk,
                  {{"because", finding.detail}, {"error", finding.error->name()}});
    }
    const std::lock_guard lock(mutex_);
    if (findings.empty())
      results_.erase(name);
    else
      results_[name] = document_of(findings, clock_.now());
  }
}

}  // namespace cairn
