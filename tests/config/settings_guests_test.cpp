// SPDX-License-Identifier: GPL-3.0-or-later
// Settings: the guests of machines, and what their backups are to be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/settings.h"

namespace cairn {
namespace {

using testing::IsEmpty;

constexpr const char* kFile = "/etc/cairn/cairn.yaml";

Settings parsed(std::string_view text) {
  SettingsReport report = parse_settings(text, kFile);
  for (const SettingsProblem& problem : report.problems) ADD_FAILURE() << describe(problem, kFile);
  return report.settings.value_or(Settings{});
}

std::string with_machine(const std::string& line) {
  return "store: { path: /s, key_file: /k }\nmachines:\n  web: { " + line + " }\n";
}

TEST(Settings, AMachineOfLibvirtNeedsNothingElse) {
  const MachineSettings machine = parsed(with_machine("libvirt: web-01")).machines.at("web");
  EXPECT_EQ(machine.guest.kind, GuestSettings::Kind::libvirt);
  EXPECT_EQ(machine.guest.domain, "web-01");
  EXPECT_EQ(machine.guest.uri, "qemu:///system");
  EXPECT_THAT(machine.disks, IsEmpty());
  EXPECT_EQ(parsed(with_machine("libvirt: web-01, disks: { vda: { format: raw } }")).machines.at("web").disks.size(),
            1U);
}

TEST(Settings, AMachineOfAnotherQemuIsNamedByItsSockets) {
  const MachineSettings machine =
      parsed(with_machine("qmp: /run/w.qmp, agent: /run/w.qga, disks: { a: { image: /a } }")).machines.at("web");
  EXPECT_EQ(machine.guest.kind, GuestSettings::Kind::qmp);
  EXPECT_EQ(machine.guest.monitor, "/run/w.qmp");
  EXPECT_EQ(machine.guest.agent, "/run/w.qga");
}

TEST(Settings, WhatDoesNotGoTogetherInAGuestIsAProblem) {
  for (const char* line :
       {"libvirt: a, qmp: /q, disks: { a: { image: /a } }", "agent: /a, disks: { a: { image: /a } }",
        "uri: 'qemu:///system', disks: { a: { image: /a } }", "qmp: /q", "qmp: /q, disks: { a: {} }", "libvirt: [a]"}) {
    SCOPED_TRACE(line);
    EXPECT_FALSE(parse_settings(with_machine(line), kFile).settings);
  }
}

TEST(Settings, APolicySaysHowConsistentAndHowLongAGuestIsHeld) {
  const Settings settings = parsed(
      "store: { path: /s, key_file: /k }\npolicies: { a: { consistency: application, longest_hold: 3s } }\n"
      "unprotected: ignore\n");
  EXPECT_EQ(settings.policies.at("a").consistency, WantedConsistency::application);
  EXPECT_EQ(settings.policies.at("a").longest_hold, std::chrono::seconds(3));
  EXPECT_EQ(settings.policies.at("default").consistency, WantedConsistency::filesystem);
  EXPECT_EQ(settings.policies.at("default").longest_hold, std::chrono::seconds(10));
  EXPECT_EQ(settings.unprotected, Unprotected::ignore);
}

}  // namespace
}  // namespace cairn
