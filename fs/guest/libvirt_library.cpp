// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/guest/libvirt_library.h"

#include <dlfcn.h>

#include <thread>

#include "fs/guest/message_socket.h"

namespace cairn {
namespace {

constexpr const char* kLoad = "load";

template <class Function>
bool find(void* library, const char* name, Function& to) {
  to = reinterpret_cast<Function>(dlsym(library, name));
  return to != nullptr;
}

std::unexpected<Error> not_loaded(const char* file) {
  const char* const why = dlerror();
  return fail(ErrorCode::guest_library_missing, kLoad, file, why == nullptr ? "" : why);
}

Result<LibvirtLibrary> load() {
  constexpr const char* kLibrary = "libvirt.so.0";
  constexpr const char* kQemu = "libvirt-qemu.so.0";
  void* const main = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (main == nullptr) return not_loaded(kLibrary);
  void* const qemu = dlopen(kQemu, RTLD_NOW | RTLD_LOCAL);
  if (qemu == nullptr) return not_loaded(kQemu);
  LibvirtLibrary to{};
  const bool all =
      find(main, "virConnectOpen", to.connect_open) && find(main, "virConnectClose", to.connect_close) &&
      find(main, "virConnectSetKeepAlive", to.connect_set_keep_alive) &&
      find(main, "virConnectListAllDomains", to.list_all_domains) &&
      find(main, "virDomainLookupByName", to.domain_lookup_by_name) && find(main, "virDomainFree", to.domain_free) &&
      find(main, "virDomainGetName", to.domain_get_name) && find(main, "virDomainGetState", to.domain_get_state) &&
      find(main, "virDomainGetXMLDesc", to.domain_get_xml) && find(main, "virDomainSuspend", to.domain_suspend) &&
      find(main, "virDomainResume", to.domain_resume) &&
      find(qemu, "virDomainQemuAgentCommand", to.domain_agent_command) &&
      find(main, "virConnectGetVersion", to.connect_get_version) && find(main, "virGetLastError", to.last_error) &&
      find(main, "virSetErrorFunc", to.set_error_func) &&
      find(main, "virEventRegisterDefaultImpl", to.event_register) &&
      find(main, "virEventRunDefaultImpl", to.event_run);
  if (!all) return not_loaded(kLibrary);
  return to;
}

void say_nothing(void* /*data*/, virErrorPtr /*error*/) {}

}  // namespace

Result<const LibvirtLibrary*> libvirt_library() {
  static const Result<LibvirtLibrary> kLibrary = [] {
    auto loaded = load();
    if (!loaded) return loaded;
    loaded->set_error_func(nullptr, say_nothing);  // else it writes to standard error
    if (loaded->event_register() == 0)
      std::thread([run = loaded->event_run] {
        while (run() == 0) {
        }
      }).detach();
    return loaded;
  }();
  if (!kLibrary) return pass_on(kLibrary.error());
  return &*kLibrary;
}

std::unexpected<Error> libvirt_failed(const LibvirtLibrary& library, std::string doing, std::string object) {
  const virErrorPtr error = library.last_error();
  const int code = error == nullptr ? VIR_ERR_OK : error->code;
  ErrorCode ours = ErrorCode::guest_unreachable;
  switch (code) {
    case VIR_ERR_NO_DOMAIN:
      ours = ErrorCode::guest_not_found;
      break;
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_OPERATION_DENIED:
      ours = ErrorCode::permission_denied;
      break;
    case VIR_ERR_AGENT_UNRESPONSIVE:
    case VIR_ERR_AGENT_UNSYNCED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
      ours = ErrorCode::guest_agent_missing;
      break;
    case VIR_ERR_OPERATION_TIMEOUT:
    case VIR_ERR_RESOURCE_BUSY:
      ours = ErrorCode::guest_busy;
      break;
    case VIR_ERR_OPERATION_INVALID:
    case VIR_ERR_OPERATION_FAILED:
    case VIR_ERR_INTERNAL_ERROR:
      ours = ErrorCode::guest_refused;
      break;
    default:
      break;
  }
  return fail(ours, std::move(doing), std::move(object),
              shown(error == nullptr || error->message == nullptr ? "it gave no reason" : error->message));
}

}  // namespace cairn
