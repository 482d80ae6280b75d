// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/backup/protection_of_domains.h"

#include <algorithm>

#include "daemon/backup/guest_session.h"

namespace cairn {
namespace {

bool backs_up(const MachineSettings& machine, const DomainFound& domain) {
  if (machine.guest.kind == GuestSettings::Kind::libvirt)
    return machine.guest.domain == domain.name && machine.guest.uri == domain.uri;
  return std::ranges::any_of(machine.disks, [&](const DiskSettings& disk) {
    return std::ranges::any_of(domain.disks, [&](const DefinedDisk& defined) {
      return disk.image.kind == DiskSource::Kind::local && !disk.image.path.empty() &&
             defined.source.starts_with('/') && is_same_image(defined.source, disk.image.path);
    });
  });
}

}  // namespace

std::vector<std::string> libvirts_of(const Settings& settings) {
  std::vector<std::string> uris;
  for (const auto& [name, machine] : settings.machines)
    if (machine.guest.kind == GuestSettings::Kind::libvirt && std::ranges::find(uris, machine.guest.uri) == uris.end())
      uris.push_back(machine.guest.uri);
  if (uris.empty()) uris.emplace_back(kDefaultLibvirtUri);
  return uris;
}

Result<std::vector<DomainFound>> find_domains(const Settings& settings, const std::string& uri) {
  CAIRN_TRY(const auto guests, GuestClient::list(uri, guest_place(settings)));
  std::vector<DomainFound> domains;
  for (const ListedGuest& guest : guests) {
    DomainFound& domain = domains.emplace_back(DomainFound{guest.name, uri, guest.state, {}, {}, {}});
    if (auto disks = disks_of_definition(guest.definition, guest.name)) domain.disks = *std::move(disks);
    const auto found =
        std::ranges::find_if(settings.machines, [&](const auto& entry) { return backs_up(entry.second, domain); });
    if (found == settings.machines.end()) continue;
    domain.machine = found->first;
    domain.policy = found->second.policy;
  }
  std::ranges::sort(domains, {}, &DomainFound::name);
  return domains;
}

}  // namespace cairn
