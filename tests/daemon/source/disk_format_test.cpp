// SPDX-License-Identifier: GPL-3.0-or-later
// Which format an image has, and who may say so.
#include "daemon/source/disk_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "config/base/units.h"
#include "tests/support/sandbox.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The smallest header that is taken for a qcow2: version 3, and `encryption` at 32.
Buffer qcow2_start(std::uint8_t encryption = 0, bool overlay = false) {
  Buffer bytes(4096);
  bytes[0] = 'Q', bytes[1] = 'F', bytes[2] = 'I', bytes[3] = 0xfb, bytes[7] = 3, bytes[35] = encryption;
  if (overlay) bytes[14] = 2, bytes[19] = 4;
  return bytes;
}

class DiskFormats : public ::testing::Test {
 protected:
  DiskFormats() {
    disk_.name = "root";
    disk_.image = DiskSource(box_.sparse_file("disk.img", 1 * kMiB));
  }
  void looks_like(ByteView bytes) { write_at(disk_.image.path, 0, bytes); }
  // The disk as the last point has it, of this very file.
  DiskRecord before(const std::string& format, const std::string& stored_as = {}) {
    DiskRecord record;
    record.name = "root";
    record.image = disk_.image.text();
    struct stat facts{};
    EXPECT_EQ(::stat(disk_.image.path.c_str(), &facts), 0);
    record.inode = facts.st_ino;
    record.map.size = 1 * kMiB;
    record.format = format;
    record.stored_as = stored_as;
    return record;
  }
  Result<SettledDisk> settle(const DiskRecord* previous = nullptr) {
    return settle_disk(disk_, defined_, previous, "web/root");
  }
  SettledDisk settled(const DiskRecord* previous = nullptr) {
    auto outcome = settle(previous);
    EXPECT_TRUE(outcome) << outcome.error().message();
    return outcome ? *std::move(outcome) : SettledDisk{};
  }
  ErrorCode refused(const DiskRecord* previous = nullptr) {
    const auto outcome = settle(previous);
    EXPECT_FALSE(outcome);
    return outcome ? ErrorCode::internal : outcome.error().code;
  }

  Sandbox box_;
  DiskSettings disk_;
  std::vector<DefinedDisk> defined_;
};

TEST_F(DiskFormats, OnceWhatItLooksLikeIsBelieved) {
  EXPECT_EQ(settled().format, DiskFormat::raw);
  EXPECT_EQ(settled().from, FormatFrom::found);
  looks_like(qcow2_start());
  EXPECT_EQ(settled().format, DiskFormat::qcow2);
  EXPECT_EQ(settled().from, FormatFrom::found);
  EXPECT_FALSE(settled().disk.image.is_raw());
  EXPECT_EQ(settled().stored_as, "");
}

TEST_F(DiskFormats, AGuestThatWritesAHeaderIsNotFollowed) {
  looks_like(qcow2_start());
  const DiskRecord raw = before("raw");
  EXPECT_EQ(settled(&raw).format, DiskFormat::raw);
  ASSERT_TRUE(settled(&raw).warning);
  EXPECT_EQ(settled(&raw).warning->code, ErrorCode::image_not_raw);
  EXPECT_EQ(settled(&raw).stored_as, "");
  // Points of before formats were recorded.
  const DiskRecord old = before("");
  EXPECT_EQ(settled(&old).format, DiskFormat::raw);
  disk_.image.format = DiskFormat::raw;
  EXPECT_TRUE(settled(&raw).warning);
}

TEST_F(DiskFormats, AChangeIsAnErrorUntilSomebodySaysIt) {
  DiskRecord other_file = before("raw");
  other_file.inode += 1;
  DiskRecord other_size = before("raw");
  other_size.map.size += 512;
  const DiskRecord meant_as_raw = before("raw", "qcow2");
  looks_like(qcow2_start());
  EXPECT_EQ(refused(&other_file), ErrorCode::image_format_changed);
  EXPECT_EQ(refused(&other_size), ErrorCode::image_format_changed);
  EXPECT_EQ(refused(&meant_as_raw), ErrorCode::image_format_changed);
  disk_.image.format = DiskFormat::qcow2;
  EXPECT_EQ(settled(&other_file).format, DiskFormat::qcow2);
  EXPECT_EQ(settled(&other_file).from, FormatFrom::settings);
  disk_.image.format = DiskFormat::not_said;
  looks_like(Buffer(4096));
  const DiskRecord qcow2 = before("qcow2");
  EXPECT_EQ(refused(&qcow2), ErrorCode::image_format_changed);
  looks_like(qcow2_start());
  EXPECT_EQ(settled(&qcow2).format, DiskFormat::qcow2);
}

TEST_F(DiskFormats, AnotherImageOfTheDiskIsLookedAtAnew) {
  looks_like(qcow2_start());
  DiskRecord elsewhere = before("raw");
  elsewhere.image = "/images/old.img";
  EXPECT_EQ(settled(&elsewhere).format, DiskFormat::qcow2);
}

TEST_F(DiskFormats, TheDefinitionSaysItBeforeTheBytesDo) {
  looks_like(qcow2_start());
  defined_ = {{.target = "vda", .source = disk_.image.path.string(), .format = "raw"}};
  EXPECT_EQ(settled().format, DiskFormat::raw);
  EXPECT_EQ(settled().from, FormatFrom::definition);
  EXPECT_EQ(settled().stored_as, "qcow2") << "the bytes are those of a file";
  defined_[0].format = "qcow2";
  defined_[0].backing = {"/images/base"};
  defined_[0].backing_formats = {"raw"};
  defined_[0].data_file = "/images/data";
  EXPECT_EQ(settled().format, DiskFormat::qcow2);
  EXPECT_THAT(settled().disk.image.backing, ElementsAre(BackingFile{"/images/base", DiskFormat::raw}));
  EXPECT_EQ(settled().disk.image.data_file, "/images/data");
  disk_.image.backing = {{"/other"}};
  EXPECT_THAT(settled().disk.image.backing, ElementsAre(BackingFile{"/other", DiskFormat::not_said}));
  disk_.image.format = DiskFormat::raw;
  EXPECT_EQ(settled().from, FormatFrom::settings);
  disk_.image.format = DiskFormat::not_said;
  defined_[0].source = "/images/another";
  EXPECT_EQ(settled().from, FormatFrom::found);
}

TEST_F(DiskFormats, WhatIsNotReadIsRefusedByItsName) {
  Buffer vmdk(4096);
  std::string("# Disk DescriptorFile\n").copy(reinterpret_cast<char*>(vmdk.data()), 22);
  looks_like(vmdk);
  const auto outcome = settle();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::image_not_raw);
  EXPECT_THAT(outcome.error().message(), HasSubstr("looks like a VMDK file (a descriptor"));
  disk_.image.format = DiskFormat::raw;
  EXPECT_EQ(settled().stored_as, "vmdk");
}

TEST_F(DiskFormats, LuksInsideQcow2IsStoredAsTheFileThatItIs) {
  looks_like(qcow2_start(2));
  EXPECT_EQ(settled().format, DiskFormat::qcow2);
  EXPECT_EQ(settled().stored_as, "qcow2");
  EXPECT_TRUE(settled().disk.image.as_file);
  EXPECT_TRUE(settled().disk.image.is_raw());
  looks_like(qcow2_start(2, true));
  EXPECT_EQ(refused(), ErrorCode::image_encrypted);
  looks_like(qcow2_start(1));
  EXPECT_EQ(refused(), ErrorCode::image_encrypted);
}

TEST_F(DiskFormats, AnNbdServerGivesTheDiskItself) {
  disk_.image.kind = DiskSource::Kind::nbd;
  disk_.image.uri = "nbd+unix:///x?socket=/s";
  EXPECT_EQ(settled().format, DiskFormat::raw);
  EXPECT_EQ(settled().from, FormatFrom::server);
}

TEST_F(DiskFormats, ABlockDeviceIsRawWhateverItsGuestWrote) {
  if (!is_root()) GTEST_SKIP() << "needs root for a loop device";
  looks_like(qcow2_start());
  const LoopDevice loop(disk_.image.path);
  if (loop.name().empty()) GTEST_SKIP() << "no loop devices";
  disk_.image = DiskSource(loop.name());
  EXPECT_EQ(settled().format, DiskFormat::raw);
  EXPECT_EQ(settled().from, FormatFrom::device);
  disk_.image.format = DiskFormat::qcow2;
  EXPECT_EQ(settled().format, DiskFormat::qcow2);
}

TEST_F(DiskFormats, OfAnImageThatIsMissingNothingIsSaid) {
  disk_.image = DiskSource(box_ / "missing");
  EXPECT_EQ(settled().format, DiskFormat::not_said);
}

}  // namespace
}  // namespace cairn::testing
