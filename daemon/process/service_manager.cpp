// SPDX-License-Identifier: GPL-3.0-or-later
// Messages to systemd. sd_notify(3), sd_watchdog_enabled(3).
#include "daemon/process/service_manager.h"

#include <fmt/core.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <utility>

#include "config/base/log.h"

namespace cairn {
namespace {

std::uint64_t monotonic_usec() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

// A newline would begin another assignment.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

ServiceManager::~ServiceManager() {
  stop_watchdog();
}

void ServiceManager::ready(const std::string& status) {
  (void)sd_notify(0, fmt::format("READY=1\nSTATUS={}", one_line(status)).c_str());
}

void ServiceManager::reloading() {
  (void)sd_notify(
      0, fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reading the settings again", monotonic_usec()).c_str());
}

void ServiceManager::stopping(std::chrono::seconds extend) {
  const auto usec = std::chrono::duration_cast<std::chrono::microseconds>(extend).count();
  (void)sd_notify(0, fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS=stopping", usec).c_str());
}

void ServiceManager::status(const std::string& text) {
  (void)sd_notify(0, fmt::format("STATUS={}", one_line(text)).c_str());
}

void ServiceManager::start_watchdog(std::function<bool()> healthy) {
  std::uint64_t usec = 0;
  if (sd_watchdog_enabled(0, &usec) <= 0 || usec == 0) return;
  // Half the interval, as sd_watchdog_enabled(3) says.
  const std::chrono::milliseconds interval(std::max<std::uint64_t>(usec / 2000, 1));
  watchdog_.emplace("watchdog-failed", "cairnd",
                    [interval, check = std::move(healthy), was_healthy = true](
                        PokedThread::Why, const std::stop_token&) mutable -> std::optional<std::chrono::milliseconds> {
                      const bool is_healthy = check();
                      if (is_healthy) (void)sd_notify(0, "WATCHDOG=1");
                      if (was_healthy && !is_healthy)
                        log_event(LogLevel::error, "watchdog-starved", "cairnd",
                                  {{"because", "a part of the daemon does not answer"}});
                      was_healthy = is_healthy;
                      return interval;
                    });
  watchdog_->start();
}

void ServiceManager::stop_watchdog() {
  if (watchdog_) watchdog_->stop();
}

}  // namespace cairn
