// SPDX-License-Identifier: GPL-3.0-or-later
// Images on whatever file system holds temporary files: extents, reading, changes, and what is no disk.
#include "fs/image/open_image.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "tests/support/sandbox.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

Buffer pattern(std::size_t size, std::uint8_t first = 1) {
  Buffer bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(first + i * 7 + i / 4096);
  return bytes;
}

std::unique_ptr<ImageReader> open_ok(const std::filesystem::path& image, CloneMode mode = CloneMode::never) {
  auto reader = open_image(image, mode);
  EXPECT_TRUE(reader) << reader.error().message();
  return reader ? std::move(*reader) : nullptr;
}

ErrorCode open_error(const std::filesystem::path& image) {
  const auto reader = open_image(image);
  return reader ? ErrorCode::internal : reader.error().code;
}

std::vector<ImageExtent> extents(ImageReader& reader) {
  std::vector<ImageExtent> all;
  for (std::uint64_t at = 0; at < reader.size();) {
    const auto extent = reader.extent_at(at);
    EXPECT_TRUE(extent && extent->offset == at && extent->size > 0 && at + extent->size <= reader.size());
    if (!extent || extent->size == 0) break;
    if (!all.empty() && all.back().kind == extent->kind)
      all.back().size += extent->size;
    else
      all.push_back(*extent);
    at += extent->size;
  }
  return all;
}

// Everything, holes skipped as a backup does.
Buffer read_by_extents(ImageReader& reader) {
  Buffer bytes(reader.size());
  for (const ImageExtent& extent : extents(reader)) {
    if (extent.kind == ExtentKind::hole) continue;
    const auto done = reader.read(extent.offset, MutableBytes(bytes).subspan(extent.offset, extent.size));
    EXPECT_TRUE(done) << done.error().message();
  }
  return bytes;
}

std::optional<ImageChange::Kind> kind_of_change(ImageReader& reader) {
  const auto change = reader.changed_underneath();
  return change && *change ? std::optional((*change)->kind) : std::nullopt;
}

std::string change_of(ImageReader& reader) {
  const auto words = reader.changed_underneath();
  EXPECT_TRUE(words) << words.error().message();
  return words && *words ? (*words)->words : std::string();
}

TEST(ImageReader, ReadsAFile) {
  const Sandbox box;
  write_at(box / "disk", 0, pattern(1 * kMiB + 100));
  const auto reader = open_ok(box / "disk");
  EXPECT_EQ(reader->size(), 1 * kMiB + 100);
  EXPECT_EQ(reader->how(), "file");
  EXPECT_TRUE(same_bytes(read_by_extents(*reader), pattern(1 * kMiB + 100)));
  Buffer part(777);
  ASSERT_TRUE(reader->read(5, part));
  EXPECT_TRUE(same_bytes(part, ByteView(pattern(2000)).subspan(5, 777)));
  EXPECT_EQ(change_of(*reader), "");
}

TEST(ImageReader, ReadsAnEmptyFile) {
  const Sandbox box;
  const auto reader = open_ok(box.sparse_file("disk", 0));
  EXPECT_EQ(reader->size(), 0U);
  EXPECT_TRUE(reader->read(0, {}));
  EXPECT_EQ(change_of(*reader), "");
}

TEST(ImageReader, TellsHolesAtStartMiddleAndEnd) {
  const Sandbox box;
  const auto image = box.sparse_file("disk", 1 * kTiB + 17);
  write_at(image, 1 * kMiB, pattern(64 * kKiB));
  write_at(image, 10 * kGiB, pattern(4 * kKiB));
  const auto reader = open_ok(image);
  const auto found = extents(*reader);
  if (found.size() == 1) GTEST_SKIP() << "the file system tells no holes";
  ASSERT_EQ(found.size(), 5U);
  EXPECT_EQ(found[0].kind, ExtentKind::hole);
  EXPECT_EQ(found[0].size, 1 * kMiB);
  EXPECT_EQ(found[1].kind, ExtentKind::data);
  EXPECT_GE(found[1].size, 64 * kKiB);
  EXPECT_EQ(found[3].kind, ExtentKind::data);
  EXPECT_EQ(found[3].offset, 10 * kGiB);
  EXPECT_EQ(found[4].kind, ExtentKind::hole);
  EXPECT_EQ(found[4].offset + found[4].size, 1 * kTiB + 17);
  Buffer hole(5000, 0xFF);
  ASSERT_TRUE(reader->read(5 * kGiB, hole));
  EXPECT_TRUE(is_all_zero(hole));
  // From the middle of a run to its end.
  const auto middle = reader->extent_at(1 * kMiB + 100);
  ASSERT_TRUE(middle);
  EXPECT_EQ(middle->kind, ExtentKind::data);
  EXPECT_EQ(middle->offset, 1 * kMiB + 100);
}

TEST(ImageReader, TellsThatItWasAllAHole) {
  const Sandbox box;
  const auto reader = open_ok(box.sparse_file("disk", 3 * kMiB));
  const auto found = extents(*reader);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].kind, ExtentKind::hole);
}

TEST(ImageReader, SeesAWriteWhileItReads) {
  const Sandbox box;
  for (int round = 0; round < 20; ++round) {
    // Without the wait in open_image this fails now and then: both writes fall into one tick of the clock.
    write_at(box / "disk", 0, pattern(8192));
    const auto reader = open_ok(box / "disk");
    write_at(box / "disk", 100, pattern(1));
    EXPECT_EQ(change_of(*reader), "it was written to while it was read");
    EXPECT_EQ(kind_of_change(*reader), ImageChange::Kind::torn);
  }
}

TEST(ImageReader, SeesThatTheFileGrewOrShrank) {
  const Sandbox box;
  write_at(box / "disk", 0, pattern(8192));
  const auto reader = open_ok(box / "disk");
  std::filesystem::resize_file(box / "disk", 9000);
  EXPECT_EQ(change_of(*reader), "its size changed from 8192 to 9000 bytes while it was read");
  EXPECT_EQ(reader->size(), 8192U);
  EXPECT_EQ(extents(*reader).back().offset + extents(*reader).back().size, 8192U);
}

TEST(ImageReader, SeesThatAnotherFileTookItsPlace) {
  const Sandbox box;
  write_at(box / "disk", 0, pattern(8192));
  write_at(box / "new", 0, pattern(8192, 9));
  const auto reader = open_ok(box / "disk");
  std::filesystem::rename(box / "new", box / "disk");
  EXPECT_THAT(change_of(*reader), HasSubstr("another file took its place"));
  EXPECT_TRUE(same_bytes(read_by_extents(*reader), pattern(8192)));
  std::filesystem::remove(box / "disk");
  EXPECT_THAT(change_of(*reader), HasSubstr("removed"));
  EXPECT_EQ(kind_of_change(*reader), ImageChange::Kind::untouched) << "what was read is whole";
}

TEST(ImageReader, SeesAWriteWhoseTimeWasSetBack) {
  const Sandbox box;
  write_at(box / "disk", 0, pattern(8192));
  const auto reader = open_ok(box / "disk");
  struct stat before{};
  ASSERT_EQ(::stat((box / "disk").c_str(), &before), 0);
  write_at(box / "disk", 100, pattern(1));
  const struct timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (box / "disk").c_str(), times, 0), 0);
  EXPECT_THAT(change_of(*reader), HasSubstr("attributes changed"));
  EXPECT_EQ(kind_of_change(*reader), ImageChange::Kind::not_known);
}

TEST(ImageReader, ReportsAnImageThatShrinksWithBothSizes) {
  const Sandbox box;
  write_at(box / "disk", 0, pattern(1 * kMiB));
  const auto reader = open_ok(box / "disk");
  std::filesystem::resize_file(box / "disk", 5000);
  Buffer bytes(8192);
  const auto done = reader->read(0, bytes);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::image_shrank);
  EXPECT_THAT(done.error().message(), HasSubstr("1048576"));
  EXPECT_THAT(done.error().message(), HasSubstr("5000"));
  // Nor does the missing end pass for a hole.
  const auto extent = reader->extent_at(64 * kKiB);
  ASSERT_FALSE(extent);
  EXPECT_EQ(extent.error().code, ErrorCode::image_shrank);
}

TEST(ImageReader, RefusesWhatIsNoDisk) {
  const Sandbox box;
  std::filesystem::create_directory(box / "directory");
  ASSERT_EQ(::mkfifo((box / "pipe").c_str(), 0600), 0);
  const UniqueFd sock(::socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (box / "socket").string();
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  std::copy(path.begin(), path.end(), address.sun_path);
  ASSERT_EQ(::bind(sock.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(open_error(box / "directory"), ErrorCode::image_not_a_disk);
  EXPECT_EQ(open_error(box / "pipe"), ErrorCode::image_not_a_disk);
  EXPECT_EQ(open_error(box / "socket"), ErrorCode::image_not_a_disk);
  EXPECT_EQ(open_error("/dev/null"), ErrorCode::image_not_a_disk);
}

TEST(ImageReader, NamesTheNearestFileWhenTheImageIsMissing) {
  const Sandbox box;
  write_at(box / "web-01.img", 0, pattern(10));
  const auto reader = open_image(box / "web-1.img");
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().code, ErrorCode::image_missing);
  EXPECT_THAT(reader.error().message(), HasSubstr("did you mean " + (box / "web-01.img").string()));
  EXPECT_EQ(open_error(box / "web-01.img/disk"), ErrorCode::image_missing);
  EXPECT_EQ(open_error("/nowhere/at/all"), ErrorCode::image_missing);
}

TEST(ImageReader, SaysThatItMayNotRead) {
  const Sandbox box;
  write_at(box / "disk", 0, pattern(10));
  ASSERT_EQ(::chmod((box / "disk").c_str(), 0), 0);
  // Root may read everything, so somebody else tries, in a process of its own.
  const auto try_as_nobody = [&] {
    constexpr uid_t kNobody = 65534;
    if (is_root() && ::setuid(kNobody) != 0) ::_exit(2);
    ::_exit(open_error(box / "disk") == ErrorCode::permission_denied ? 0 : 1);
  };
  EXPECT_EXIT(try_as_nobody(), ::testing::ExitedWithCode(0), "");
}

TEST(ImageReader, NeverOpensForWriting) {
  const Sandbox box;
  write_at(box / "disk", 0, pattern(10));
  const auto reader = open_ok(box / "disk", CloneMode::try_clone);
  EXPECT_EQ(::fcntl(reader->fd(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(::fcntl(reader->fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  Buffer byte(1);
  EXPECT_LT(::pwrite(reader->fd(), byte.data(), 1, 0), 0);
}

}  // namespace
}  // namespace cairn::testing
