// SPDX-License-Identifier: GPL-3.0-or-later
// NBD servers that lie, fail, die or do not answer: each is a named error, in bounded time, and no wrong byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/un.h>

#include "config/base/units.h"
#include "fs/image/nbd_image.h"
#include "fs/image/open_image.h"
#include "tests/support/nbd_server.h"
#include "tests/support/sandbox.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kBytes = 2 * kMiB;
constexpr std::chrono::milliseconds kLong{30'000};

Buffer data(std::uint64_t size = kBytes) {
  Buffer bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(1 + i % 255);
  return bytes;
}

Result<std::unique_ptr<NbdConnections>> connected(NbdTestServer& server, std::chrono::milliseconds patience = kLong) {
  return NbdConnections::adopt(server.connect(2), "disk", {.connections = 2, .patience = patience});
}

// What opening and reading all of it comes to.
Result<Buffer> read_all_of(NbdTestServer& server, std::chrono::milliseconds patience = kLong) {
  CAIRN_TRY(auto connections, connected(server, patience));
  NbdImage image(std::move(connections));
  Buffer bytes(image.size());
  for (std::uint64_t at = 0; at < image.size();) {
    CAIRN_TRY(const ImageExtent extent, image.extent_at(at));
    if (extent.size == 0) return fail(ErrorCode::internal, "stand", "still");
    if (extent.kind == ExtentKind::data) CAIRN_CHECK(image.read(at, MutableBytes(bytes).subspan(at, extent.size)));
    at += extent.size;
  }
  return bytes;
}

Error error_of(NbdBehaviour behaviour, std::chrono::milliseconds patience = kLong) {
  NbdTestServer server(data(), behaviour);
  const auto outcome = read_all_of(server, patience);
  EXPECT_FALSE(outcome) << "it was read without an error";
  return outcome ? Error{} : outcome.error();
}

TEST(NbdFaults, AnHonestServerIsReadOverTwoConnections) {
  NbdTestServer server(data());
  const auto connections = connected(server);
  ASSERT_TRUE(connections) << connections.error().message();
  EXPECT_EQ((*connections)->connections(), 2U);
  NbdTestServer other(data());
  const auto bytes = read_all_of(other);
  ASSERT_TRUE(bytes);
  EXPECT_TRUE(same_bytes(*bytes, data()));
}

TEST(NbdFaults, AServerThatSaysNothingIsGivenUp) {
  const Error error = error_of({.greets = false}, std::chrono::milliseconds(200));
  EXPECT_EQ(error.code, ErrorCode::nbd_server_failed);
  EXPECT_THAT(error.message(), HasSubstr("did not answer"));
}

TEST(NbdFaults, AServerThatHangsIsGivenUp) {
  const Error error = error_of({.hangs_after = 1}, std::chrono::milliseconds(300));
  EXPECT_EQ(error.code, ErrorCode::nbd_server_failed);
  EXPECT_THAT(error.message(), HasSubstr("did not answer for 300 ms"));
}

TEST(NbdFaults, AServerThatEndsIsSaid) {
  const Error error = error_of({.dies_after = 2});
  EXPECT_EQ(error.code, ErrorCode::nbd_server_failed);
}

TEST(NbdFaults, AfterThatEveryReadSaysTheSame) {
  NbdTestServer server(data(), {.dies_after = 0});
  auto connections = connected(server);
  ASSERT_TRUE(connections);
  Buffer bytes(4096);
  for (int i = 0; i < 3; ++i) {
    const auto done = (*connections)->read(0, bytes);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::nbd_server_failed);
  }
}

TEST(NbdFaults, AnUnreadableRangeIsNamedAndTheRestIsRead) {
  NbdTestServer server(data(), {.bad_reads = ByteRange{1 * kMiB + 100, 50}});
  auto connections = connected(server);
  ASSERT_TRUE(connections);
  Buffer bytes(512 * kKiB);
  const auto bad = (*connections)->read(1 * kMiB, bytes);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::image_unreadable);
  EXPECT_THAT(bad.error().message(), HasSubstr("bytes 1048576 to 1310719"));
  ASSERT_TRUE((*connections)->read(0, bytes));
  EXPECT_TRUE(same_bytes(bytes, ByteView(data()).first(bytes.size())));
  ASSERT_TRUE((*connections)->read(1536 * kKiB, bytes));
}

TEST(NbdFaults, WhatHasNoStatusIsTakenForData) {
  Buffer disk(64 * kMiB);
  disk[40 * kMiB] = 1;
  NbdTestServer server(disk, {.bad_status = ByteRange{40 * kMiB + 5000, 1}});
  auto connections = connected(server);
  ASSERT_TRUE(connections);
  NbdImage image(std::move(*connections));
  std::uint64_t bytes = 0;
  for (std::uint64_t at = 0; at < image.size();) {
    const auto extent = image.extent_at(at);
    ASSERT_TRUE(extent) << extent.error().message();
    if (extent->kind == ExtentKind::data) bytes += extent->size;
    if (at <= 40 * kMiB + 5000 && 40 * kMiB + 5000 < at + extent->size) {
      EXPECT_EQ(extent->kind, ExtentKind::data);
    }
    at += extent->size;
  }
  EXPECT_GE(bytes, 4 * kKiB);
  EXPECT_LE(bytes, 256 * kKiB) << "more than the neighbourhood was taken for data";
  EXPECT_LT(server.status_calls(), 100);
}

TEST(NbdFaults, LiesAboutHolesAreErrors) {
  for (const NbdBehaviour& lie : {NbdBehaviour{.status_empty = true}, NbdBehaviour{.status_other = true}})
    EXPECT_EQ(error_of(lie).code, ErrorCode::nbd_server_failed);
}

TEST(NbdFaults, LiesInDataAreErrors) {
  for (const NbdBehaviour& lie :
       {NbdBehaviour{.short_data = true}, NbdBehaviour{.wrong_offset = true}, NbdBehaviour{.wrong_magic = true}})
    EXPECT_EQ(error_of(lie).code, ErrorCode::nbd_server_failed);
}

TEST(NbdFaults, ASizeThatNoDiskHasIsAnError) {
  EXPECT_EQ(error_of({.size = UINT64_MAX}).code, ErrorCode::nbd_server_failed);
}

TEST(NbdFaults, AnotherSizeOnTheSecondConnectionIsAnError) {
  const Error error = error_of({.size_step = 4096});
  EXPECT_EQ(error.code, ErrorCode::nbd_server_failed);
  EXPECT_THAT(error.message(), HasSubstr("another size"));
}

TEST(NbdFaults, ADiskOfNoBytesIsOne) {
  NbdTestServer server(Buffer{});
  const auto bytes = read_all_of(server);
  ASSERT_TRUE(bytes) << bytes.error().message();
  EXPECT_TRUE(bytes->empty());
}

TEST(NbdFaults, WhereNobodyListensTheDiskIsMissing) {
  const Sandbox box;
  DiskSource source;
  source.kind = DiskSource::Kind::nbd;
  source.path = box / "socket";
  source.uri = "nbd+unix:///disk?socket=" + source.path.string();
  EXPECT_TRUE(image_is_missing(source));
  const auto missing = open_image(source);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::image_missing);
  // A socket that nobody reads from any more.
  {
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    source.path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  EXPECT_FALSE(image_is_missing(source));
  const auto refused = open_image(source);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::image_missing);
}

}  // namespace
}  // namespace cairn::testing
