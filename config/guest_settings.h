// SPDX-License-Identifier: GPL-3.0-or-later
// GuestSettings: how the virtual machine behind a machine's disks is reached, as the settings name it. Only fs/guest
// speaks to it; elsewhere this is passed on and put into messages.
#pragma once

#include <filesystem>
#include <string>

namespace cairn {

inline constexpr const char* kDefaultLibvirtUri = "qemu:///system";

struct GuestSettings {
  // none: the machine's disks are all that is known. libvirt: a domain. qmp: a QEMU that the user runs, by the sockets
  // of its monitor (QEMU's -qmp unix:...,server=on) and of its guest agent.
  enum class Kind { none, libvirt, qmp };
  Kind kind = Kind::none;
  std::string domain;                    // libvirt: its name
  std::string uri = kDefaultLibvirtUri;  // libvirt: of the hypervisor
  std::filesystem::path monitor;         // qmp
  std::filesystem::path agent;           // qmp; empty: it has none

  explicit operator bool() const { return kind != Kind::none; }
  // "libvirt domain web-01", "the QEMU at /run/web-01.qmp": for messages.
  [[nodiscard]] std::string text() const {
    if (kind == Kind::libvirt) return "libvirt domain " + domain;
    return kind == Kind::qmp ? "the QEMU at " + monitor.string() : "no guest";
  }
  bool operator==(const GuestSettings&) const = default;
};

}  // namespace cairn
