// SPDX-License-Identifier: GPL-3.0-or-later
// What did not change between two clones of a qcow2 file: nothing that did is ever called unchanged, whatever was done
// to the image between them, and most of what did not is.
#include "fs/image/change/qcow2_extents.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "tests/support/sandbox.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

class Qcow2Changes : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_program("qemu-img") || !have_program("qemu-io")) GTEST_SKIP() << "needs qemu-utils";
    if (!is_root()) GTEST_SKIP() << "needs root to mount";
    mounted_ = std::make_unique<MountedFileSystem>(box_ / "xfs.img", 600 * kMiB,
                                                   std::vector<std::string>{"mkfs.xfs", "-q", "-f", "-m", "reflink=1"},
                                                   box_ / "mnt");
    if (!mounted_->ok()) GTEST_SKIP() << mounted_->reason();
  }
  [[nodiscard]] std::string at(const std::string& name) const { return (box_ / "mnt" / name).string(); }
  static void must(const std::vector<std::string>& command) {
    const ProgramResult done = run(command);
    ASSERT_EQ(done.status, 0) << command.front() << ": " << done.output;
  }
  void make(const std::vector<std::string>& options = {}) {
    std::vector<std::string> command{"qemu-img", "create", "-q", "-f", "qcow2"};
    command.insert(command.end(), options.begin(), options.end());
    command.insert(command.end(), {at("disk"), "64M"});
    must(command);
    io({"write -P 1 0 8M", "write -P 2 16M 1M", "write -P 3 33M 100k"});
  }
  void io(const std::vector<std::string>& commands) {
    std::vector<std::string> command{"qemu-io", "-f", "qcow2", "-d", "unmap"};
    for (const std::string& one : commands) command.insert(command.end(), {"-c", one});
    command.push_back(at("disk"));
    must(command);
  }
  void image(std::vector<std::string> words) {
    words.insert(words.begin(), "qemu-img");
    words.push_back(at("disk"));
    must(words);
  }
  void clone_to(const std::string& name) { must({"cp", "--reflink=always", at("disk"), at(name)}); }

  struct Outcome {
    std::uint64_t unchanged = 0;  // bytes said to be
    std::uint64_t missed = 0;     // bytes of them that changed
    std::uint64_t changed = 0;    // bytes that did
  };
  // The two clones, compared as the guest sees them.
  void compare(Outcome& outcome) {
    const UniqueFd old_fd(::open(at("old").c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd new_fd(::open(at("new").c_str(), O_RDONLY | O_CLOEXEC));
    const auto before = qcow2_extents(old_fd.get());
    const auto now = qcow2_extents(new_fd.get());
    ASSERT_TRUE(before) << before.error().message();
    ASSERT_TRUE(now) << now.error().message();
    for (const char* name : {"old", "new"})
      must({"qemu-img", "convert", "-f", "qcow2", "-O", "raw", at(name),
            (box_ / (std::string(name) + ".raw")).string()});
    const Buffer old_disk = read_all(box_ / "old.raw");
    const Buffer new_disk = read_all(box_ / "new.raw");
    ASSERT_EQ(old_disk.size(), before->disk_size);
    ASSERT_EQ(new_disk.size(), now->disk_size);
    ChangeTracker tracker(before->read, before->disk_size, now->read, now->disk_size);
    constexpr std::uint64_t kBlock = 4096;
    for (std::uint64_t block = 0; block < new_disk.size(); block += kBlock) {
      const bool same = block + kBlock <= old_disk.size() && same_bytes(ByteView(old_disk).subspan(block, kBlock),
                                                                        ByteView(new_disk).subspan(block, kBlock));
      if (!same) outcome.changed += kBlock;
      tracker.visit_unchanged({block, kBlock}, [&](ByteRange part) {
        outcome.unchanged += part.size;
        // What lies past the end of the older disk is never called unchanged.
        const bool is = part.offset + part.size <= old_disk.size() &&
                        same_bytes(ByteView(old_disk).subspan(part.offset, part.size),
                                   ByteView(new_disk).subspan(part.offset, part.size));
        if (!is) outcome.missed += part.size;
      });
    }
    EXPECT_EQ(tracker.trouble(), "");
  }
  // At most `more` bytes are called changed beside those that are.
  void expect_exact(std::uint64_t more) {
    Outcome outcome;
    compare(outcome);
    EXPECT_EQ(outcome.missed, 0U);
    std::error_code none;
    const std::uint64_t size = std::filesystem::file_size(box_ / "new.raw", none);
    EXPECT_LE(size - outcome.unchanged, outcome.changed + more);
  }

  Sandbox box_;
  std::unique_ptr<MountedFileSystem> mounted_;
};

TEST_F(Qcow2Changes, NothingChanged) {
  make();
  clone_to("old");
  clone_to("new");
  expect_exact(0);
}

TEST_F(Qcow2Changes, OneOfEachThingThatIsDoneToAnImage) {
  const std::vector<std::pair<const char*, std::function<void()>>> steps = {
      {"write in place", [&] { io({"write -P 9 4k 4k"}); }},
      {"write new", [&] { io({"write -P 9 40M 3M"}); }},
      {"the same bytes again", [&] { io({"write -P 9 40M 64k"}); }},
      {"discard", [&] { io({"discard 1M 1M"}); }},
      {"zeros", [&] { io({"write -z 2M 128k"}); }},
      {"zeros that are freed", [&] { io({"write -zu 3M 128k"}); }},
      {"a snapshot", [&] { image({"snapshot", "-c", "one"}); }},
      {"write after it", [&] { io({"write -P 5 0 200k", "write -P 6 41M 5k"}); }},
      {"back to it", [&] { image({"snapshot", "-a", "one"}); }},
      {"it is removed", [&] { image({"snapshot", "-d", "one"}); }},
      {"compressed", [&] { io({"write -c -P 7 50M 64k"}); }},
      {"over compressed", [&] { io({"write -P 8 50M 4k"}); }},
      {"larger", [&] { must({"qemu-img", "resize", "-q", "-f", "qcow2", at("disk"), "96M"}); }},
      {"write beyond the old end", [&] { io({"write -P 4 90M 1M"}); }},
      {"smaller", [&] { must({"qemu-img", "resize", "-q", "-f", "qcow2", "--shrink", at("disk"), "64M"}); }},
      {"another file",
       [&] {
         must({"cp", at("disk"), at("copy")});
         must({"mv", at("copy"), at("disk")});
       }},
      {"another version", [&] { must({"qemu-img", "amend", "-f", "qcow2", "-o", "compat=0.10", at("disk")}); }},
      {"write into that", [&] { io({"write -P 3 5M 70k"}); }},
  };
  make();
  must({"cp", "--reflink=always", at("disk"), at("first")});
  for (const auto& [name, step] : steps) {
    SCOPED_TRACE(name);
    clone_to("old");
    step();
    clone_to("new");
    Outcome outcome;
    compare(outcome);
    EXPECT_EQ(outcome.missed, 0U);
  }
  SCOPED_TRACE("overwritten in place by an old copy");
  clone_to("old");
  must({"dd", "if=" + at("first"), "of=" + at("disk"), "bs=64k", "conv=notrunc", "status=none"});
  clone_to("new");
  Outcome outcome;
  compare(outcome);
  EXPECT_EQ(outcome.missed, 0U);
}

TEST_F(Qcow2Changes, AWriteCostsItsClustersAndNoMore) {
  make();
  clone_to("old");
  io({"write -P 9 4k 4k", "write -P 9 20M 64k"});
  clone_to("new");
  expect_exact(128 * kKiB);
}

TEST_F(Qcow2Changes, ManyRandomWritesAreAllSeen) {
  for (const char* cluster : {"cluster_size=512", "cluster_size=65536", "cluster_size=2M"}) {
    SCOPED_TRACE(cluster);
    must({"rm", "-f", at("disk")});
    make({"-o", cluster});
    std::mt19937_64 random(seed());
    for (int round = 0; round < 4; ++round) {
      clone_to("old");
      std::vector<std::string> commands;
      for (int i = 0; i < 60; ++i) {
        const std::uint64_t from = random() % (63 * kMiB) / 512 * 512;
        const std::uint64_t size = (1 + random() % 200) * 512;
        const char* const kinds[] = {"write -P 11", "write -P 12", "write -z", "discard"};
        commands.push_back(std::string(kinds[random() % 4]) + " " + std::to_string(from) + " " + std::to_string(size));
      }
      io(commands);
      clone_to("new");
      Outcome outcome;
      compare(outcome);
      EXPECT_EQ(outcome.missed, 0U);
      EXPECT_GT(outcome.changed, 0U);
    }
  }
}

TEST_F(Qcow2Changes, WhatIsNotUnderstoodIsRefused) {
  const auto why_not = [&](const std::vector<std::string>& options) {
    must({"rm", "-f", at("other")});
    std::vector<std::string> command{"qemu-img", "create", "-q", "-f", "qcow2"};
    command.insert(command.end(), options.begin(), options.end());
    command.insert(command.end(), {at("other"), "8M"});
    must(command);
    const UniqueFd fd(::open(at("other").c_str(), O_RDONLY | O_CLOEXEC));
    const auto extents = qcow2_extents(fd.get());
    EXPECT_FALSE(extents);
    return extents ? std::string() : extents.error().because;
  };
  make();
  EXPECT_THAT(why_not({"-o", "data_file=" + at("data")}), HasSubstr("features"));
  EXPECT_THAT(why_not({"-o", "extended_l2=on"}), HasSubstr("features"));
  EXPECT_THAT(why_not({"--object", "secret,id=s,data=x", "-o",
                       "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"}),
              HasSubstr("encrypts"));
  write_at(at("broken"), 0, Buffer(200, 1));
  const UniqueFd fd(::open(at("broken").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(qcow2_extents(fd.get()));
}

TEST_F(Qcow2Changes, WhatAnOverlayDoesNotHaveIsThatOfItsBackingFile) {
  must({"qemu-img", "create", "-q", "-f", "qcow2", at("base"), "48M"});
  must({"qemu-io", "-f", "qcow2", "-c", "write -P 7 0 20M", at("base")});
  make({"-b", "base", "-F", "qcow2"});
  const std::vector<std::vector<std::string>> steps = {
      {"write -P 9 10M 64k"}, {"write -z 12M 1M"}, {"discard 14M 1M"}, {"write -P 7 18M 64k"},
      {"write -P 1 50M 1M"},  {"discard 10M 64k"}, {"write -zu 0 8M"}};
  for (const auto& step : steps) {
    SCOPED_TRACE(step.front());
    clone_to("old");
    io(step);
    clone_to("new");
    Outcome outcome;
    compare(outcome);
    EXPECT_EQ(outcome.missed, 0U);
    EXPECT_GT(outcome.unchanged, 40 * kMiB);
  }
  const auto backing = [&](const std::string& name) {
    const UniqueFd fd(::open(at(name).c_str(), O_RDONLY | O_CLOEXEC));
    const auto extents = qcow2_extents(fd.get());
    return extents ? extents->backing : std::string();
  };
  EXPECT_THAT(backing("new"), HasSubstr("base"));
  EXPECT_EQ(backing("old"), backing("new"));
  image({"rebase", "-u", "-f", "qcow2", "-b", "base", "-F", "raw"});
  EXPECT_NE(backing("disk"), backing("new")) << "the same name, read otherwise";
}

// Damaged tables: whatever a table says, reading it ends, and no list of extents is out of order.
TEST_F(Qcow2Changes, TablesOfRubbishAreReadInBoundedTime) {
  make();
  clone_to("old");
  std::mt19937_64 random(seed());
  const Buffer whole = read_all(at("disk"));
  for (int round = 0; round < 40; ++round) {
    Buffer bytes = whole;
    // The header's tables lie in the first clusters; the first table of the second level follows them.
    for (int i = 0; i < 30; ++i) bytes[random() % (6 * 64 * kKiB)] = static_cast<std::uint8_t>(random());
    for (const std::size_t i : {0, 1, 2, 3, 7}) bytes[i] = whole[i];
    write_at(at("new"), 0, bytes);
    const UniqueFd fd(::open(at("new").c_str(), O_RDONLY | O_CLOEXEC));
    const auto extents = qcow2_extents(fd.get());
    if (!extents) continue;
    std::uint64_t end = 0;
    int batches = 0;
    for (std::uint64_t from = 0; from < std::min(extents->disk_size, 1 * kGiB) && ++batches < 10000;) {
      const auto batch = extents->read(from);
      if (!batch) break;
      ASSERT_GT(batch->end, from);
      for (const MappedExtent& extent : batch->extents) {
        ASSERT_GE(extent.logical, end);
        ASSERT_GT(extent.length, 0U);
        end = extent.logical + extent.length;
      }
      from = batch->end;
    }
    EXPECT_LT(batches, 10000);
  }
}

}  // namespace
}  // namespace cairn::testing
