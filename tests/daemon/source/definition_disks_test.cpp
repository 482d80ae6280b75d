// SPDX-License-Identifier: GPL-3.0-or-later
// What a machine's definition says of its disks, against the settings.
#include "daemon/source/definition_disks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "daemon/backup/guest_session.h"
#include "daemon/keys/known_disks.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

std::string domain(const std::string& disks) {
  return "<?xml version='1.0'?>\n<domain type='kvm'><name>web</name><devices>" + disks +
         "<interface type='network'><source network='default'/></interface></devices></domain>\n";
}

constexpr const char* kOverlay = R"(<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
  <source file='/vm/web.snap2' index='3'/>
  <backingStore type='file' index='2'><format type='qcow2'/><source file='/vm/web.snap1'/>
    <backingStore type='file'><format type='raw'/><source file='/vm/web.img'/><backingStore/></backingStore>
  </backingStore>
  <mirror type='file'><source file='/vm/copy.img'/></mirror>
  <target dev='vda' bus='virtio'/></disk>)";

std::vector<DefinedDisk> disks_in(const std::string& disks) {
  return value_of(disks_of_definition(domain(disks), "web.xml"));
}

MachineSettings machine(std::vector<std::string> images) {
  MachineSettings machine;
  machine.name = "web";
  for (const std::string& image : images) {
    DiskSettings disk;
    disk.name = "disk" + std::to_string(machine.disks.size());
    disk.image = std::filesystem::path(image);
    machine.disks.push_back(disk);
  }
  return machine;
}

TEST(DefinitionDisks, ReadsFormatsAndDataFiles) {
  const auto disks =
      disks_in(std::string(kOverlay) + R"(<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
  <source file='/vm/split.qcow2'><dataStore type='file'><format type='raw'/><source file='/vm/split.data'/></dataStore></source>
  <backingStore type='file'><source file='/vm/unsaid'/><format type='raw'/>
    <backingStore type='file'><source file='/vm/last'/></backingStore></backingStore>
  <target dev='vdb'/></disk><disk type='file' device='disk'><source file='/vm/plain'/><target dev='vdc'/></disk>)");
  ASSERT_THAT(disks, SizeIs(3));
  EXPECT_EQ(disks[0].format, "qcow2");
  EXPECT_THAT(disks[0].backing_formats, ElementsAre("qcow2", "raw"));
  EXPECT_EQ(disks[0].data_file, "");
  EXPECT_EQ(disks[1].source, "/vm/split.qcow2");
  EXPECT_EQ(disks[1].data_file, "/vm/split.data");
  EXPECT_THAT(disks[1].backing, ElementsAre("/vm/unsaid", "/vm/last"));
  EXPECT_THAT(disks[1].backing_formats, ElementsAre("", "")) << "a format is that of the source after it";
  EXPECT_EQ(disks[2].format, "");
}

TEST(DefinitionDisks, ReadsDisksAndWhatTheyAreOverlaysOf) {
  const auto disks =
      disks_in(std::string(kOverlay) +
               "<disk type='file' device='cdrom'><source file='/iso/a.iso'/><target dev='sda'/></disk>"
               "<disk type='block'><source dev='/dev/vg/data'/><target dev='vdb'/></disk>"
               "<disk type='file' device='floppy'><target dev='fda'/></disk>"
               "<disk type='network' device='lun'><source protocol='rbd' name='pool/image'/></disk>"
               "<disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vdd'/></disk>");
  ASSERT_THAT(disks, SizeIs(4));
  EXPECT_EQ(disks[0].target, "vda");
  EXPECT_EQ(disks[0].source, "/vm/web.snap2");
  EXPECT_THAT(disks[0].backing, ElementsAre("/vm/web.snap1", "/vm/web.img")) << "a copy under way is none of it";
  EXPECT_EQ(disks[1].source, "/dev/vg/data");
  EXPECT_EQ(disks[2].source, "rbd:pool/image");
  EXPECT_EQ(disks[3].source, "pool:p/v");
}

TEST(DefinitionDisks, ABaseInTheSettingsWhileTheMachineRunsOnAnOverlayIsNamed) {
  const auto missing = disks_not_backed_up(machine({"/vm/web.img"}), disks_in(kOverlay));
  ASSERT_THAT(missing, SizeIs(1));
  EXPECT_EQ(missing[0].code, ErrorCode::disk_not_backed_up);
  EXPECT_THAT(missing[0].message(),
              AllOf(HasSubstr("/vm/web.snap2"), HasSubstr("overlay"), HasSubstr("/vm/web.img"), HasSubstr("disk0")));
}

TEST(DefinitionDisks, ADiskThatNothingNamesIsNamedUnlessItIsLeftOutOnPurpose) {
  const auto disks = disks_in(
      "<disk><source file='/vm/a'/><target dev='vda'/></disk>"
      "<disk><source file='/vm/b'/><target dev='vdb'/></disk>");
  MachineSettings web = machine({"/vm/a"});
  const auto missing = disks_not_backed_up(web, disks);
  ASSERT_THAT(missing, SizeIs(1));
  EXPECT_THAT(missing[0].message(), AllOf(HasSubstr("/vm/b"), HasSubstr("vdb"), Not(HasSubstr("overlay"))));
  for (const char* name : {"vdb", "/vm/b"}) {
    web.left_out = {name};
    EXPECT_THAT(disks_not_backed_up(web, disks), IsEmpty()) << name;
  }
  EXPECT_THAT(disks_not_backed_up(machine({"/vm/b", "/vm/a"}), disks), IsEmpty());
}

TEST(DefinitionDisks, PathsAreComparedAsTheFilesThatTheyLeadTo) {
  const TemporaryDirectory place;
  const auto image = place.path() / "web.img";
  std::ofstream(image) << "x";
  std::filesystem::create_symlink(image, place.path() / "link");
  const auto disks = disks_in("<disk><source file='" + (place.path() / "link").string() + "'/></disk>");
  EXPECT_THAT(disks_not_backed_up(machine({image.string()}), disks), IsEmpty());
}

TEST(DefinitionDisks, WhatIsNoDomainIsAnErrorAndWhatIsNoXmlIsNotReadAtAll) {
  for (const std::string& text : {std::string("<domain><devices>"), std::string("<pool/>"), std::string("<a></b>")})
    EXPECT_EQ(disks_of_definition(text, "web.xml").error().code, ErrorCode::settings_invalid) << text;
  EXPECT_TRUE(looks_like_xml("\xef\xbb\xbf \n<domain/>"));
  EXPECT_FALSE(looks_like_xml("memory: 4096\n"));
  EXPECT_FALSE(looks_like_xml(""));
}

TEST(DefinitionDisks, EntitiesAreNotExpanded) {
  const std::string bomb =
      "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;'>]>"
      "<domain><devices><disk><source file='&c;'/></disk></devices></domain>";
  EXPECT_EQ(disks_of_definition(bomb, "web.xml").error().code, ErrorCode::settings_invalid);
  std::string deep = "<domain>";
  for (int i = 0; i < 50'000; ++i) deep += "<devices>";
  EXPECT_EQ(disks_of_definition(deep, "web.xml").error().code, ErrorCode::settings_invalid) << "not closed";
}

TEST(DefinitionDisks, ReadsOnlyRegularFilesOfABoundedSize) {
  const TemporaryDirectory place;
  const auto pipe = place.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(read_definition(pipe).error().code, ErrorCode::used_wrongly);
  const auto large = place.path() / "large";
  std::ofstream(large) << std::string(1024 * 1024 + 1, ' ');
  EXPECT_EQ(read_definition(large).error().code, ErrorCode::used_wrongly);
  std::ofstream(large) << "<domain/>";
  EXPECT_EQ(value_of(read_definition(large)), "<domain/>");
  EXPECT_FALSE(read_definition(place.path() / "none"));
}

// --- the disks of a guest -------------------------------------------------------------------------------------------

MachineSettings guest_machine() {
  MachineSettings machine;
  machine.name = "web";
  machine.guest.kind = GuestSettings::Kind::libvirt;
  machine.guest.domain = "web";
  return machine;
}
std::vector<std::string> names_and_images(const MachineSettings& machine) {
  std::vector<std::string> texts;
  for (const DiskSettings& disk : machine.disks) texts.push_back(disk.name + " " + disk.image.path.string());
  return texts;
}
const std::vector<DefinedDisk> kDisks = {{"vda", "/vm/root.img", {}, "raw"},
                                         {"vdb", "/vm/data.img", {}, "raw"},
                                         {"vdc", "rbd:pool/image", {}, "raw"},
                                         {"vdd", "", {}, "raw"}};

TEST(DisksOfAGuest, AreFoundUnderTheirTargets) {
  EXPECT_THAT(names_and_images(value_of(with_disks_of(guest_machine(), kDisks))),
              ElementsAre("vda /vm/root.img", "vdb /vm/data.img"));
}

TEST(DisksOfAGuest, KeepWhatTheSettingsSayOfThem) {
  MachineSettings machine = guest_machine();
  machine.disks.push_back({.name = "vdb", .image = {}, .kek = VaultReference{"main", "backup"}});
  machine.disks.push_back({.name = "root", .image = std::filesystem::path("/vm/./root.img")});
  const MachineSettings whole = value_of(with_disks_of(machine, kDisks));
  EXPECT_THAT(names_and_images(whole), ElementsAre("vdb /vm/data.img", "root /vm/./root.img"));
  EXPECT_TRUE(whole.disks.front().kek);
}

TEST(DisksOfAGuest, LeaveOutWhatIsLeftOut) {
  MachineSettings machine = guest_machine();
  machine.left_out = {"vdb"};
  EXPECT_THAT(names_and_images(value_of(with_disks_of(machine, kDisks))), ElementsAre("vda /vm/root.img"));
}

// Two disks of one name would be one in the recovery point; and a name goes into the names of files.
TEST(DisksOfAGuest, HaveNamesOfTheirOwn) {
  MachineSettings machine = guest_machine();
  machine.disks.push_back({.name = "vdb", .image = std::filesystem::path("/vm/root.img")});
  const auto twice = with_disks_of(machine, kDisks);
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message(), HasSubstr("the settings call another disk that"));
  for (const auto* target : {"", "../vda", "a/b", "."})
    EXPECT_FALSE(with_disks_of(guest_machine(), {DefinedDisk{target, "/vm/root.img", {}, "raw"}})) << target;
}

// Between backups libvirt is not asked: the newest point knows.
TEST(DisksOfAGuest, AreThoseOfTheNewestPoint) {
  RecoveryPoint point;
  for (const char* name : {"vda", "vdb", "vdc"}) {
    DiskRecord record;
    record.name = name;
    record.image = std::string("/vm/") + name + ".img";
    point.disks.push_back(record);
  }
  MachineSettings machine = guest_machine();
  machine.left_out = {"vdc"};
  machine.disks.push_back({.name = "vdb", .image = {}, .kek = VaultReference{"main", "backup"}});
  const MachineSettings whole = with_disks_of_point(machine, point);
  EXPECT_THAT(names_and_images(whole), ElementsAre("vdb /vm/vdb.img", "vda /vm/vda.img"));
  EXPECT_TRUE(whole.disks.front().kek);
  machine.guest = {};
  EXPECT_THAT(names_and_images(with_disks_of_point(machine, point)), ElementsAre("vdb ")) << "not libvirt's";
}

TEST(DisksOfAGuest, ADiskOfTheSettingsThatTheDomainHasNotIsAnError) {
  MachineSettings machine = guest_machine();
  machine.disks.push_back({.name = "vdx", .image = {}});
  const auto whole = with_disks_of(machine, kDisks);
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error().code, ErrorCode::image_missing);
  EXPECT_THAT(whole.error().message(), AllOf(HasSubstr("web/vdx"), HasSubstr("no disk with the target vdx")));
}

}  // namespace
}  // namespace cairn
