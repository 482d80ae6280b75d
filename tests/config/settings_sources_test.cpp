// SPDX-License-Identifier: GPL-3.0-or-later
// Where a disk is read from: what may be written, and what is wrong with the rest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/settings.h"

namespace cairn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

SettingsReport report_of(const std::string& disk) {
  return parse_settings("store: { path: /s, key_file: /k }\nmachines: { web: { disks: { root: " + disk + " } } }\n",
                        "/etc/cairn/cairn.yaml");
}
DiskSource source_of(const std::string& disk) {
  const SettingsReport report = report_of(disk);
  for (const SettingsProblem& problem : report.problems) ADD_FAILURE() << describe(problem, "/f");
  return report.settings ? report.settings->machines.at("web").disks.at(0).image : DiskSource{};
}
std::string problem_of(const std::string& disk) {
  const SettingsReport report = report_of(disk);
  EXPECT_EQ(report.problems.size(), 1U) << disk;
  return report.problems.empty() ? std::string() : describe(report.problems.front(), "/f");
}

TEST(SettingsSources, AnImageHasAFormatAndMayNameOtherFiles) {
  const DiskSource source = source_of("{ image: a.qcow2, format: qcow2, backing: [b.img, /c], data_file: d }");
  EXPECT_EQ(source.kind, DiskSource::Kind::local);
  EXPECT_EQ(source.text(), "/etc/cairn/a.qcow2");
  EXPECT_EQ(source.format, DiskFormat::qcow2);
  EXPECT_THAT(source.backing, ElementsAre(BackingFile{"/etc/cairn/b.img"}, BackingFile{"/c"}));
  EXPECT_EQ(source.data_file, "/etc/cairn/d");
  EXPECT_EQ(source_of("{ image: a, backing: b }").backing.size(), 1U);
  EXPECT_EQ(source_of("{ image: a }").format, DiskFormat::not_said);
  EXPECT_EQ(source_of("{ image: a, format: vpc }").format, DiskFormat::vhd);
}

TEST(SettingsSources, AnNbdExportIsOfThisHost) {
  for (const char* key : {"nbd", "image"}) {
    const DiskSource source = source_of(std::string("{ ") + key + ": 'nbd+unix:///disk?socket=/run/x.sock' }");
    EXPECT_EQ(source.kind, DiskSource::Kind::nbd);
    EXPECT_EQ(source.uri, "nbd+unix:///disk?socket=/run/x.sock");
    EXPECT_EQ(source.text(), source.uri);
    EXPECT_EQ(source.path, "/run/x.sock");
  }
  EXPECT_EQ(source_of("{ nbd: 'nbd+unix:///?socket=/s', format: raw }").format, DiskFormat::raw);
  for (const char* uri : {"nbd://host/disk", "nbds+unix:///x?socket=/s", "nbd+unix:///x", "nbd+unix:///x?socket=s",
                          "nbd+unix://host?socket=/s", "nbd+unix:///x?socket=/s&tls-psk-file=/k", "/run/x.sock"})
    EXPECT_THAT(problem_of(std::string("{ nbd: '") + uri + "' }"), HasSubstr("nbd+unix:///NAME?socket=/PATH")) << uri;
}

TEST(SettingsSources, WhatDoesNotBelongTogetherIsSaid) {
  EXPECT_THAT(problem_of("{ image: a, nbd: 'nbd+unix:///x?socket=/s' }"), HasSubstr("nbd beside image"));
  EXPECT_THAT(problem_of("{ format: raw }"), HasSubstr("the image file or block device"));
  EXPECT_THAT(problem_of("{ nbd: 'nbd+unix:///x?socket=/s', format: qcow2 }"), HasSubstr("gives the disk itself"));
  EXPECT_THAT(problem_of("{ image: a, format: raw, backing: b }"), HasSubstr("other files of a disk that has none"));
  EXPECT_THAT(problem_of("{ image: a, format: qcow }"), HasSubstr("raw, qcow2, vmdk, vdi, vhdx or vhd"));
  EXPECT_THAT(problem_of("{ image: a, backing: [[b]] }"), HasSubstr("a path in each place of the list"));
}

TEST(SettingsSources, EachIsReadOnceInAMachine) {
  const SettingsReport report = parse_settings(
      "store: { path: /s, key_file: /k }\n"
      "machines: { web: { disks: { a: { nbd: 'nbd+unix:///x?socket=/s' }, b: { nbd: 'nbd+unix:///x?socket=/s' } } } "
      "}\n",
      "/f");
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_THAT(describe(report.problems.front(), "/f"), HasSubstr("the image of disk \"a\" again"));
}

}  // namespace
}  // namespace cairn
