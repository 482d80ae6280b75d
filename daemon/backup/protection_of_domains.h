// SPDX-License-Identifier: GPL-3.0-or-later
// Which of the domains that a libvirt has are backed up: for `cairn machine list` and `cairn config check`. Any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/settings.h"
#include "daemon/source/definition_disks.h"
#include "fs/guest/guest_client.h"

namespace cairn {

struct DomainFound {
  std::string name;
  std::string uri;
  GuestState state = GuestState::off;
  std::vector<DefinedDisk> disks;  // empty where the definition cannot be read
  std::string machine;             // of the settings, which backs it up; empty: none does
  std::string policy;              // its policy
};

// The libvirts that the settings name, each once; the usual one when they name none.
std::vector<std::string> libvirts_of(const Settings& settings);
// A machine backs up a domain when it names it, or when its images are among the domain's disks. Errors: those of
// GuestClient::list().
Result<std::vector<DomainFound>> find_domains(const Settings& settings, const std::string& uri);

}  // namespace cairn
