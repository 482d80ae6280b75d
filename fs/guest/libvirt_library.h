// SPDX-License-Identifier: GPL-3.0-or-later
// LibvirtLibrary: libvirt's client library, loaded when it is first needed: hosts without libvirt need nothing of it.
// Its ABI is stable within libvirt.so.0 (libvirt.org, "API and ABI stability"). Once loaded it stays. Any thread.
#pragma once

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <string>

#include "config/base/result.h"

namespace cairn {

struct LibvirtLibrary {
  decltype(&virConnectOpen) connect_open;
  decltype(&virConnectClose) connect_close;
  decltype(&virConnectSetKeepAlive) connect_set_keep_alive;
  decltype(&virConnectListAllDomains) list_all_domains;
  decltype(&virDomainLookupByName) domain_lookup_by_name;
  decltype(&virDomainFree) domain_free;
  decltype(&virDomainGetName) domain_get_name;
  decltype(&virDomainGetState) domain_get_state;
  decltype(&virDomainGetXMLDesc) domain_get_xml;
  decltype(&virDomainSuspend) domain_suspend;
  decltype(&virDomainResume) domain_resume;
  decltype(&virDomainQemuAgentCommand) domain_agent_command;
  decltype(&virConnectGetVersion) connect_get_version;
  decltype(&virGetLastError) last_error;
  decltype(&virSetErrorFunc) set_error_func;
  decltype(&virEventRegisterDefaultImpl) event_register;
  decltype(&virEventRunDefaultImpl) event_run;
};

// The library, with its event loop running in a thread of its own, which keepalive messages need: a libvirtd that hangs
// ends its calls after some 15 s. Errors: guest_library_missing.
Result<const LibvirtLibrary*> libvirt_library();

// The error of the library's last call in this thread, as one of ours: guest_not_found, permission_denied,
// guest_agent_missing, guest_busy, guest_refused, or guest_unreachable.
std::unexpected<Error> libvirt_failed(const LibvirtLibrary& library, std::string doing, std::string object);

}  // namespace cairn
