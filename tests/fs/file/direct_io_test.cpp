// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/file/direct_io.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/sandbox.h"

namespace cairn::testing {
namespace {

BulkBuffer pattern(std::size_t size, unsigned first) {
  BulkBuffer bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>((i * 31 + i / 4096 + first) % 253);
  return bytes;
}

class DirectIo : public ::testing::Test {
 protected:
  UniqueFd create(const std::filesystem::path& file) {
    return UniqueFd(::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  }
  Sandbox sandbox_;
};

TEST_F(DirectIo, BulkMemoryLiesOnPages) {
  for (const std::size_t size : {1, 5000, 1'000'000})
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(BulkBuffer(size).data()) % kDirectBlock, 0U);
}

TEST_F(DirectIo, WritesEveryPartWhole) {
  const BulkBuffer bulk = pattern(1'000'003, 1);
  const BulkBuffer small = pattern(10, 2);
  const ByteView whole(bulk);
  const std::vector<std::vector<ByteView>> cases = {
      {},
      {ByteView()},
      {whole.first(1)},
      {whole.first(4096)},
      {whole.first(262'144)},
      {whole.first(262'145)},
      {whole},
      {whole.subspan(1)},  // not on a page
      {whole, small},
      {small, whole},
      {whole.first(524'288), whole.subspan(524'288)},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    const auto file = sandbox_.path() / "written";
    const UniqueFd fd = create(file);
    ASSERT_TRUE(write_parts(fd.get(), cases[i], file.string()));
    Buffer expected;
    for (const ByteView part : cases[i]) append(expected, part);
    EXPECT_TRUE(read_all(file) == expected);
  }
}

TEST_F(DirectIo, ReadsWhatOrdinaryReadsDo) {
  const auto file = sandbox_.path() / "read";
  const UniqueFd fd = create(file);
  const BulkBuffer content = pattern(300'007, 3);
  // Not synced: what is only in memory must be seen.
  ASSERT_EQ(::pwrite(fd.get(), content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
  DirectReads reads(fd.get());
  BulkBuffer to(content.size() + 8192);
  for (const std::uint64_t offset : {0UL, 1UL, 4096UL, 8191UL, 299'008UL, 300'006UL}) {
    for (const std::size_t size : {1UL, 4095UL, 4096UL, 4097UL, 100'000UL, 305'000UL}) {
      for (const std::size_t shift : {0UL, 1UL}) {
        SCOPED_TRACE(::testing::Message() << size << " at " << offset << " to page+" << shift);
        const MutableBytes room = MutableBytes(to).subspan(shift, size);
        std::size_t done = 0;
        while (done < room.size()) {
          const ssize_t got = reads.read(offset + done, room.subspan(done));
          ASSERT_GE(got, 0);
          if (got == 0) break;
          done += static_cast<std::size_t>(got);
        }
        ASSERT_EQ(done, std::min<std::uint64_t>(size, content.size() - offset));
        EXPECT_EQ(std::memcmp(room.data(), content.data() + offset, done), 0);
      }
    }
  }
  EXPECT_EQ(reads.read(content.size(), MutableBytes(to).first(4096)), 0);
}

TEST_F(DirectIo, SeesWritesThatCameInBetween) {
  const auto file = sandbox_.path() / "changing";
  const UniqueFd fd = create(file);
  DirectReads reads(fd.get());
  BulkBuffer to(8192);
  for (unsigned generation = 1; generation < 20; ++generation) {
    const BulkBuffer content = pattern(8192, generation);
    ASSERT_EQ(::pwrite(fd.get(), content.data(), content.size(), 0), 8192);
    ASSERT_EQ(reads.read(0, to), 8192);
    ASSERT_TRUE(to == content) << generation;
  }
}

// procfs has no direct I/O at all.
TEST_F(DirectIo, GoesTheOrdinaryWayWhereItIsRefused) {
  const UniqueFd fd(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  DirectReads reads(fd.get());
  BulkBuffer to(4096);
  EXPECT_GT(reads.read(0, to), 0);
  EXPECT_FALSE(reads.direct());
}

TEST_F(DirectIo, FailuresNameTheFile) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  const BulkBuffer bytes = pattern(1'000'000, 4);
  const ByteView parts[] = {bytes};
  const auto outcome = write_parts(full.get(), parts, "/srv/pack");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::no_space);
  EXPECT_NE(outcome.error().message().find("/srv/pack"), std::string::npos);
}

}  // namespace
}  // namespace cairn::testing
