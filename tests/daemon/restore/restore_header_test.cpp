// SPDX-License-Identifier: GPL-3.0-or-later
// Header restore: as files, and in place on damaged disks that cryptsetup made.
#include "daemon/restore/restore_header.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "crypto/volume/fve_metadata.h"
#include "tests/daemon/restore/header_restore_fixture.h"
#include "tests/support/bitlocker_volume.h"

namespace cairn {
namespace {

using namespace cairn::testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kDisk = kHeaderDisk;

TEST_F(HeaderRestore, WritesEachHeaderAsAFile) {
  NEEDS_CRYPTSETUP();
  luks();
  const Buffer disk = read_all(image_);
  const PointName point = back_up();
  const json result = value_of(to_files(point));
  ASSERT_THAT(result.at("files"), SizeIs(1));
  EXPECT_EQ(result.at("files")[0].at("path"), (out_ / "root.luks2").string());
  const Buffer file = read_all(out_ / "root.luks2");
  ASSERT_EQ(file.size(), 16 * kMiB);
  EXPECT_TRUE(same_bytes(file, ByteView(disk).first(file.size())));
  struct stat facts{};
  ASSERT_EQ(::stat((out_ / "root.luks2").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0600U);
  fs::resize_file(out_ / "root.luks2", kDisk);
  EXPECT_TRUE(opens(out_ / "root.luks2"));
}

TEST_F(HeaderRestore, FilesOfBitlockerAreHolesButForTheHeader) {
  const BitlockerVolume volume = make_bitlocker_volume({.size = kDisk, .key_rounds = 1});
  write_at(image_, 0, volume.bytes);
  value_of(to_files(back_up()));
  const Buffer file = read_all(out_ / "root.bitlocker");
  ASSERT_EQ(file.size(), volume.blocks[2] + kFveBlockBytes);
  Buffer expected(file.size());
  std::copy_n(volume.bytes.begin(), 512, expected.begin());
  for (const std::uint64_t block : volume.blocks)
    std::copy_n(volume.bytes.begin() + static_cast<std::ptrdiff_t>(block), kFveBlockBytes,
                expected.begin() + static_cast<std::ptrdiff_t>(block));
  EXPECT_TRUE(same_bytes(file, expected));
  struct stat facts{};
  ASSERT_EQ(::stat((out_ / "root.bitlocker").c_str(), &facts), 0);
  EXPECT_LE(facts.st_blocks * 512, 4 * 64 * 1024 + 64 * 1024);
}

TEST_F(HeaderRestore, DoesNotReplaceFilesUnlessForced) {
  NEEDS_CRYPTSETUP();
  luks("luks1");
  const PointName point = back_up();
  fs::create_directories(out_);
  std::ofstream(out_ / "root.luks1") << "precious";
  EXPECT_EQ(to_files(point).error().code, ErrorCode::target_exists);
  EXPECT_EQ(fs::file_size(out_ / "root.luks1"), 8U);
  value_of(to_files(point, true));
  EXPECT_GT(fs::file_size(out_ / "root.luks1"), 8U);
}

TEST_F(HeaderRestore, SaysWhatIsNotThere) {
  const PointName point = back_up();
  EXPECT_EQ(to_files(point).error().code, ErrorCode::no_such_header);
  const auto other = to_files(point, false, "rot");
  EXPECT_EQ(other.error().code, ErrorCode::no_such_disk);
  EXPECT_THAT(other.error().because, HasSubstr("did you mean \"root\""));
  EXPECT_EQ(in_place(point).error().code, ErrorCode::no_such_header);
  EXPECT_EQ(restore_header_files(*store_, {point, "out", {}, false}, job_).error().code, ErrorCode::used_wrongly);
  EXPECT_EQ(restore_header_files(*store_, {point, box_ / "none", {}, false}, job_).error().code,
            ErrorCode::target_missing);
  EXPECT_EQ(in_place(point, "web.img", false).error().code, ErrorCode::used_wrongly);
}

TEST_F(HeaderRestore, InPlaceMakesADamagedDiskOpenAgain) {
  NEEDS_CRYPTSETUP();
  for (const std::string type : {"luks1", "luks2"}) {
    SCOPED_TRACE(type);
    luks(type);
    const Buffer sound = read_all(image_);
    const PointName point = back_up();
    zero(0, 1 * kMiB);
    const Buffer damaged = read_all(image_);
    ASSERT_FALSE(opens(image_));

    const json result = value_of(in_place(point));
    EXPECT_TRUE(opens(image_));
    EXPECT_TRUE(same_bytes(read_all(image_), sound));
    EXPECT_EQ(result.at("headers")[0].at("was"), "not recognised");
    EXPECT_EQ(result.at("headers")[0].at("now"), "sound");
    EXPECT_THAT(result.at("overridden"), IsEmpty());

    // The way back leads back.
    const fs::path saved = result.at("saved").get<std::string>();
    EXPECT_EQ(saved, kept_ / ("web-root-" + compact_time(clock_.now()) + ".header"));
    EXPECT_EQ(fs::status(saved).permissions(), fs::perms::owner_read | fs::perms::owner_write);
    EXPECT_EQ(fs::status(kept_).permissions(), fs::perms::owner_all);
    std::ifstream description(saved.string() + ".json");
    EXPECT_EQ(json::parse(description).at("put_back"), result.at("put_back"));
    for (const auto& command : result.at("put_back"))
      EXPECT_EQ(run({"sh", "-c", command.get<std::string>()}).status, 0);
    EXPECT_TRUE(same_bytes(read_all(image_), damaged));
  }
}

TEST_F(HeaderRestore, InPlaceRepairsAHeaderOfWhichOneCopyIsLeft) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  zero(0, 4096);
  const json result = value_of(in_place(point));
  EXPECT_THAT(result.at("headers")[0].at("was").get<std::string>(), StartsWith("damaged: the primary header"));
  EXPECT_EQ(result.at("headers")[0].at("now"), "sound");
}

TEST_F(HeaderRestore, InPlaceWritesNothingButTheHeaderOfAPartition) {
  NEEDS_CRYPTSETUP();
  if (!have_program("sfdisk")) GTEST_SKIP() << "sfdisk is not installed";
  luks();
  const Buffer volume = read_all(image_);
  fs::resize_file(image_, 0);
  fs::resize_file(image_, 40 * kMiB);
  ASSERT_EQ(run({"sfdisk", "-q", image_.string()}, "label: gpt\nsize=4MiB\nsize=24MiB\n").status, 0);
  write_at(image_, 5 * kMiB, volume);
  const PointName point = back_up();
  // The guest went on writing: its data, another partition, the gaps.
  for (const std::uint64_t at : {2 * kMiB, 5 * kMiB + 16 * kMiB, 5 * kMiB + 20 * kMiB, 32 * kMiB})
    write_at(image_, at, Buffer(5000, 0xEE));
  const Buffer sound = read_all(image_);
  zero(5 * kMiB, 64 * kKiB);
  const json result = value_of(in_place(point));
  EXPECT_TRUE(same_bytes(read_all(image_), sound));
  EXPECT_EQ(result.at("headers")[0].at("header"), "root-part2.luks2");
  EXPECT_EQ(result.at("headers")[0].at("partition"), 2);
  EXPECT_EQ(result.at("headers")[0].at("areas"), json::parse(R"([{"offset":5242880,"size":16777216}])"));
}

TEST_F(HeaderRestore, InPlaceWritesTheThreeBlocksOfBitlockerAndNothingBetween) {
  const BitlockerVolume volume = make_bitlocker_volume({.size = kDisk, .key_rounds = 1});
  write_at(image_, 0, volume.bytes);
  const PointName point = back_up();
  Buffer expected = volume.bytes;
  for (std::uint64_t at = 512; at < kDisk; at += 1000 * kKiB) {
    const bool in_block = std::any_of(volume.blocks.begin(), volume.blocks.end(), [&](std::uint64_t block) {
      return at + 100 > block && at < block + kFveBlockBytes;
    });
    if (!in_block) std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(at), 100, std::uint8_t{0xEE});
  }
  write_at(image_, 0, expected);
  zero(0, 512);
  for (const std::uint64_t block : volume.blocks) zero(block, kFveBlockBytes);
  const Buffer damaged = read_all(image_);

  const json result = value_of(in_place(point));
  EXPECT_TRUE(same_bytes(read_all(image_), expected));
  EXPECT_EQ(result.at("written_bytes"), 512 + 3 * kFveBlockBytes);
  EXPECT_EQ(result.at("headers")[0].at("now"), "sound");
  ASSERT_THAT(result.at("put_back"), SizeIs(4));
  for (const auto& command : result.at("put_back")) EXPECT_EQ(run({"sh", "-c", command.get<std::string>()}).status, 0);
  EXPECT_TRUE(same_bytes(read_all(image_), damaged));
}

TEST_F(HeaderRestore, InPlaceGoesBackToAnOlderSoundHeader) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  luks_add_key(image_, kCheap);
  ASSERT_THAT(probe(image_).volumes.at(0).slots, SizeIs(2));
  EXPECT_EQ(value_of(in_place(point)).at("headers")[0].at("was"), "sound");
  EXPECT_THAT(probe(image_).volumes.at(0).slots, SizeIs(1));
}

TEST_F(HeaderRestore, InPlaceWritesNothingWhenAllIsTheSame) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  const json result = value_of(in_place(point));
  EXPECT_EQ(result.at("written_bytes"), 0);
  EXPECT_FALSE(result.contains("saved"));
  EXPECT_EQ(result.at("headers")[0].at("now"), "sound");
  EXPECT_FALSE(fs::exists(kept_));
}

TEST_F(HeaderRestore, InPlaceRefusesTheDiskOfAnotherVolumeUnlessForced) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  luks();  // another UUID
  EXPECT_THAT(why(point, ErrorCode::header_differs),
              AllOf(HasSubstr("it holds a LUKS2 volume with UUID"), HasSubstr("the header is that of")));
  const json result = value_of(in_place(point, true));
  EXPECT_THAT(result.at("overridden"), ElementsAre(HasSubstr("it holds a LUKS2 volume")));
  EXPECT_THAT(result.at("headers")[0].at("was").get<std::string>(), StartsWith("sound: a LUKS2 volume"));
  EXPECT_TRUE(opens(image_));
}

TEST_F(HeaderRestore, InPlaceRefusesADiskThatHoldsSomethingElse) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  zero(0, kDisk);
  if (have_program("mkfs.ext4")) {
    ASSERT_EQ(run({"mkfs.ext4", "-q", "-F", image_.string()}).status, 0);
    EXPECT_THAT(why(point, ErrorCode::header_differs), HasSubstr("contents of type ext4 lie at byte 0"));
    zero(0, kDisk);
  }
  if (have_program("sfdisk")) {
    ASSERT_EQ(run({"sfdisk", "-q", image_.string()}, "label: gpt\nsize=4MiB\n").status, 0);
    EXPECT_THAT(why(point, ErrorCode::header_differs),
                HasSubstr("partition table (gpt) without a partition at byte 0"));
    zero(0, kDisk);
  }
  const Buffer bitlocker = make_bitlocker_volume({.size = kDisk, .key_rounds = 1}).bytes;
  write_at(image_, 0, bitlocker);
  EXPECT_THAT(why(point, ErrorCode::header_differs), HasSubstr("it holds a BitLocker volume"));
}

TEST_F(HeaderRestore, InPlaceRefusesADiskOfAnotherSize) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  zero(0, 1 * kMiB);
  fs::resize_file(image_, kDisk + 512);
  EXPECT_EQ(why(point, ErrorCode::header_differs), "it has 25166336 bytes, and the disk had 25165824");
  fs::resize_file(image_, 10 * kMiB);
  EXPECT_EQ(why(point, ErrorCode::header_differs, true),
            "it ends at byte 10485760, and the header root.luks2 at byte 16777216");
  EXPECT_EQ(fs::file_size(image_), 10 * kMiB);
  fs::resize_file(image_, 20 * kMiB);
  EXPECT_EQ(value_of(in_place(point, true)).at("headers")[0].at("now"), "sound");
  EXPECT_EQ(fs::file_size(image_), 20 * kMiB);
}

TEST_F(HeaderRestore, InPlaceDoesNotPutADamagedHeaderOverASoundOne) {
  NEEDS_CRYPTSETUP();
  luks();
  const Buffer sound = read_all(image_);
  zero(0, 4096);
  const PointName point = back_up();
  write_at(image_, 0, ByteView(sound).first(4096));
  EXPECT_THAT(why(point, ErrorCode::header_differs), HasSubstr("the one in the recovery point is damaged"));
}

TEST_F(HeaderRestore, InPlaceDoesNotTouchADiskInUse) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  zero(0, 1 * kMiB);
  const UniqueFd machine(::open(image_.c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock{};
  lock.l_type = F_RDLCK;  // as QEMU: shared locks on single bytes from 100 on
  lock.l_start = 103;
  lock.l_len = 1;
  ASSERT_EQ(::fcntl(machine.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_THAT(why(point, ErrorCode::image_in_use), HasSubstr("another process has locked it"));
}

TEST_F(HeaderRestore, InPlaceTakesFilesAndBlockDevicesOnly) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  const auto code = [&](const fs::path& device) { return in_place(point, device, true).error().code; };
  EXPECT_EQ(code(box_ / "none"), ErrorCode::image_missing);
  EXPECT_EQ(code(box_.path()), ErrorCode::image_not_a_disk);
  EXPECT_EQ(code("/dev/null"), ErrorCode::image_not_a_disk);
  ASSERT_EQ(::mkfifo((box_ / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(code(box_ / "fifo"), ErrorCode::image_not_a_disk);
}

TEST_F(HeaderRestore, InPlaceOnABlockDevice) {
  NEEDS_CRYPTSETUP();
  if (!is_root()) GTEST_SKIP() << "needs root for a loop device";
  luks();
  const Buffer sound = read_all(image_);
  const PointName point = back_up();
  zero(0, 1 * kMiB);
  {
    const LoopDevice loop(image_);
    if (loop.name().empty()) GTEST_SKIP() << "no loop devices";
    {
      const UniqueFd holder(::open(loop.name().c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
      ASSERT_TRUE(holder);
      const auto refused = in_place(point, loop.name(), false);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, ErrorCode::image_in_use);
    }
    EXPECT_EQ(value_of(in_place(point, loop.name(), false)).at("headers")[0].at("now"), "sound");
  }
  EXPECT_TRUE(same_bytes(read_all(image_), sound));
}

TEST_F(HeaderRestore, InPlaceWritesNothingThatItCannotSaveFirst) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  zero(0, 1 * kMiB);
  kept_ = box_ / "none" / "kept";
  const Buffer before = read_all(image_);
  EXPECT_EQ(in_place(point).error().code, ErrorCode::target_missing);
  EXPECT_TRUE(same_bytes(read_all(image_), before));
}

TEST_F(HeaderRestore, InPlaceWritesNothingThatItCannotReadWhole) {
  NEEDS_CRYPTSETUP();
  luks();
  const PointName point = back_up();
  zero(0, 1 * kMiB);
  for (const auto& pack : fs::recursive_directory_iterator(place_.path() / "packs"))
    if (pack.is_regular_file()) fs::resize_file(pack.path(), 4096);
  store_ = place_.open();
  const Buffer before = read_all(image_);
  EXPECT_FALSE(in_place(point));
  EXPECT_TRUE(same_bytes(read_all(image_), before));
  EXPECT_FALSE(fs::exists(kept_));
}

TEST_F(HeaderRestore, InPlaceThatBreaksOffSaysWhatIsWrittenAndHowToGoBack) {
  NEEDS_CRYPTSETUP();
  if (!is_root()) GTEST_SKIP() << "needs root to mount";
  if (!have_program("mkfs.ext4")) GTEST_SKIP() << "mkfs.ext4 is not installed";
  const MountedFileSystem mounted(box_ / "file-system", 40 * kMiB, {"mkfs.ext4", "-q", "-F"}, box_ / "mnt");
  if (!mounted.ok()) GTEST_SKIP() << mounted.reason();
  const BitlockerVolume volume = make_bitlocker_volume({.size = kDisk, .key_rounds = 1});
  write_at(image_, 0, volume.bytes);
  const PointName point = back_up();
  // The same disk on a full file system, with the last two blocks lost in holes: there is no room to fill them.
  image_ = box_ / "mnt/web.img";
  write_at(image_, 0, ByteView(volume.bytes).first(volume.blocks[1]));
  write_at(image_, volume.blocks[0], Buffer(100, 0xEE));
  fs::resize_file(image_, kDisk);
  {
    std::ofstream filler(box_ / "mnt/filler", std::ios::binary);
    const std::string block(4096, 'x');
    while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  const Buffer before = read_all(image_);
  const auto broken = in_place(point);
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::no_space) << broken.error().message();
  const fs::path saved = kept_ / ("web-root-" + compact_time(clock_.now()) + ".header");
  EXPECT_THAT(broken.error().because,
              AllOf(HasSubstr("of 4 header areas 2 are written whole, and of area 3"), HasSubstr(saved.string())));
  // What it says is so: the first two are the point's, all else is as it was; and it can be put back.
  Buffer now = read_all(image_);
  EXPECT_TRUE(same_bytes(ByteView(now).first(volume.blocks[1]), ByteView(volume.bytes).first(volume.blocks[1])));
  fs::remove(box_ / "mnt/filler");
  EXPECT_THAT(broken.error().resolution, HasSubstr("put back what was there: dd if="));
  const std::string commands = broken.error().resolution.substr(broken.error().resolution.find("dd if="));
  EXPECT_EQ(run({"sh", "-c", commands}).status, 0);
  EXPECT_TRUE(same_bytes(read_all(image_), before));
}

}  // namespace
}  // namespace cairn
