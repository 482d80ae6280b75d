// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/commands/check_guest.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/backup/guest_session.h"
#include "daemon/backup/protection_of_domains.h"
#include "daemon/cli/commands/check_rows.h"
#include "fs/guest/guest_client.h"

namespace cairn::cli {
namespace {

constexpr const char* kCheck = "guest";

nlohmann::json row_of(const MachineSettings& machine, const GuestLook& look, const Policy& policy) {
  std::string detail = fmt::format("{}: {}", machine.guest.text(), look.state);
  if (!look.version.empty()) detail += ", " + look.version;
  if (const std::string doubt = doubt_of_off(machine, look.state); !doubt.empty())
    return doubtful(kCheck, machine.name, machine.guest.text() + ": " + doubt);
  if (look.frozen)
    return doubtful(kCheck, machine.name,
                    detail +
                        ", and its file systems are frozen: its programs hang as soon as they write; thaw it "
                        "(\"virsh domfsthaw\") unless somebody is at work on it");
  if (look.state != to_string(GuestState::running))
    return remark(kCheck, machine.name, detail + ": there is nothing to freeze");
  if (policy.consistency == WantedConsistency::crash)
    return good(kCheck, machine.name, detail + "; backups pause it for a moment: crash");
  if (look.agent)
    return good(kCheck, machine.name,
                fmt::format("{}, its agent answers{}; backups freeze it for a moment", detail,
                            look.system.empty() ? "" : " (" + look.system + ")"));
  return doubtful(kCheck, machine.name,
                  Error{ErrorCode::guest_agent_missing,
                        "freeze the file systems of",
                        machine.guest.text(),
                        look.agent_says + "; backups pause it for a moment instead, and are crash",
                        0,
                        {}});
}

}  // namespace

std::optional<MachineSettings> check_guest(const MachineSettings& machine, const Settings& settings,
                                           nlohmann::json& checks) {
  if (!machine.guest) return machine;
  const auto found = find_guest(machine, guest_place(settings));
  if (!found) {
    checks.push_back(bad(kCheck, machine.name, found.error()));
    // Of a QEMU that is reached by its sockets the settings say themselves which disks it has.
    if (machine.guest.kind == GuestSettings::Kind::libvirt) return std::nullopt;
    return machine;
  }
  checks.push_back(row_of(machine, found->look, settings.policy_of(machine)));
  return found->machine;
}

void check_unprotected(const Settings& settings, nlohmann::json& checks) {
  const bool uses_libvirt = std::ranges::any_of(
      settings.machines, [](const auto& machine) { return machine.second.guest.kind == GuestSettings::Kind::libvirt; });
  if (!uses_libvirt || settings.unprotected == Unprotected::ignore) return;
  for (const std::string& uri : libvirts_of(settings)) {
    const auto domains = find_domains(settings, uri);
    if (!domains) continue;  // the machines there say so
    for (const DomainFound& domain : *domains)
      if (domain.machine.empty())
        checks.push_back(doubtful("unprotected", domain.name,
                                  fmt::format("libvirt has this machine ({}), and nothing backs it up: name it under "
                                              "machines, or say \"unprotected: ignore\"",
                                              uri)));
  }
}

}  // namespace cairn::cli
