// SPDX-License-Identifier: GPL-3.0-or-later
// ServiceManager: what the daemon reports to systemd (sd_notify(3)): ready, reloading, stopping, status, and the
// watchdog, which is only fed while the daemon's parts are seen to be alive. Does nothing when not started by systemd.
// Any thread.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "config/base/poked_thread.h"

namespace cairn {

class ServiceManager {
 public:
  ServiceManager() = default;
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  void ready(const std::string& status);
  void reloading();
  // `extend`: how long stopping may take, beyond the unit's own limit.
  void stopping(std::chrono::seconds extend);
  void status(const std::string& text);

  // Feeds the watchdog, when the unit has one, as long as `healthy` says yes; it is called from a thread of this.
  void start_watchdog(std::function<bool()> healthy);
  void stop_watchdog();

 private:
  std::optional<PokedThread> watchdog_;
};

}  // namespace cairn
