// SPDX-License-Identifier: GPL-3.0-or-later
// Guest: the virtual machine behind a machine's disks, as its hypervisor has it: whether it runs, its agent, a pause.
// Nothing here changes the guest but pause() and resume(), and what is asked of its agent. Used by the guest helper
// alone (keeper.h): a call may hang as long as the hypervisor does. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/base/result.h"
#include "config/guest_settings.h"
#include "fs/guest/guest_agent.h"

namespace cairn {

// running: its processors run. paused: it is there, and they do not: by somebody's order, after an I/O error, or while
// it is moved. off: there is no process. crashed: there is one, and the guest has panicked.
enum class GuestState { running, paused, off, crashed };
std::string_view to_string(GuestState state);
std::optional<GuestState> parse_guest_state(std::string_view text);

class Guest {
 public:
  virtual ~Guest() = default;

  // Errors: guest_not_found: the hypervisor has no such guest; guest_unreachable, guest_busy, guest_silent,
  // permission_denied.
  virtual Result<GuestState> state() = 0;
  // Null: none is set up for it. Whether it answers is another matter.
  virtual GuestAgent* agent() = 0;
  // The guest's processors stop; they go on. To pause one that is paused, or resume one that runs, changes nothing.
  virtual Result<void> pause() = 0;
  virtual Result<void> resume() = 0;
  // libvirt: its domain XML, without secrets: of a running guest as it is now (with the images' backing chains), or as
  // it will be started. Nothing: there is no definition to be had.
  enum class Definition { live, inactive };
  virtual Result<std::string> definition(Definition which) = 0;
  // "QEMU 7.2.22": what runs it; empty: not known.
  [[nodiscard]] virtual std::string version() const = 0;
};

// Connects. Errors: as Guest::state(); guest_library_missing: libvirt's library is not installed.
Result<std::unique_ptr<Guest>> open_guest(const GuestSettings& settings);
Result<std::unique_ptr<Guest>> open_qmp_guest(const GuestSettings& settings);
Result<std::unique_ptr<Guest>> open_libvirt_guest(const GuestSettings& settings);

// A domain that a libvirt has.
struct ListedGuest {
  std::string name;
  GuestState state = GuestState::off;
  std::string definition;  // inactive
};
// Errors: as open_guest().
Result<std::vector<ListedGuest>> list_libvirt_guests(const std::string& uri);

}  // namespace cairn
