// SPDX-License-Identifier: GPL-3.0-or-later
// What every ImageReader does, whatever it reads from: one suite for all kinds. A new kind is one more entry in kKinds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "config/base/units.h"
#include "fs/image/nbd_image.h"
#include "fs/image/open_image.h"
#include "fs/image/tracked_image.h"
#include "tests/support/nbd_server.h"
#include "tests/support/sandbox.h"

namespace cairn::testing {
namespace {

constexpr std::uint64_t kDisk = 9 * kMiB;

// Data of 1 MiB at 1 MiB, 4 KiB at 5 MiB, and from 8 MiB + 64 KiB to the end; holes between.
Buffer contents() {
  Buffer bytes(kDisk);
  const auto fill = [&](std::uint64_t from, std::uint64_t size) {
    for (std::uint64_t i = from; i < from + size; ++i) bytes[i] = static_cast<std::uint8_t>(1 + i * 31 % 251);
  };
  fill(1 * kMiB, 1 * kMiB);
  fill(5 * kMiB, 4 * kKiB);
  fill(8 * kMiB + 64 * kKiB, kDisk - 8 * kMiB - 64 * kKiB);
  return bytes;
}

// What a reader needs to live: kept as long as it.
struct Made {
  std::unique_ptr<ImageReader> reader;
  std::vector<std::shared_ptr<void>> beside;
  std::string skip;
};

struct ImageKind {
  const char* name;
  std::function<Made(const Sandbox&)> make;
  bool tells_holes = true;
  bool tells_changes = true;  // that there were none
};

std::filesystem::path raw_file(const Sandbox& box) {
  const auto file = box.sparse_file("disk.raw", kDisk);
  const Buffer bytes = contents();
  for (const ByteRange range : {ByteRange{1 * kMiB, 1 * kMiB}, ByteRange{5 * kMiB, 4 * kKiB},
                                ByteRange{8 * kMiB + 64 * kKiB, kDisk - 8 * kMiB - 64 * kKiB}})
    write_at(file, range.offset, ByteView(bytes).subspan(range.offset, range.size));
  return file;
}

Made opened(const DiskSource& source) {
  auto reader = open_image(source, CloneMode::never);
  EXPECT_TRUE(reader) << reader.error().message();
  return {reader ? std::move(*reader) : nullptr, {}, {}};
}

Made raw(const Sandbox& box) {
  return opened(raw_file(box));
}

Made tracked(const Sandbox& box) {
  Made made = raw(box);
  const auto nothing = [](std::uint64_t) -> Result<ExtentBatch> { return ExtentBatch{{}, 0, UINT64_MAX}; };
  // The earlier disk was empty, and so nothing but holes is as it was: those are read as the clone says here.
  const auto tracker = std::make_shared<ChangeTracker>(nothing, 0, nothing, kDisk);
  std::shared_ptr<ImageReader> clone = std::move(made.reader);
  made.reader = std::make_unique<TrackedImage>(*clone, *tracker);
  made.beside = {clone, tracker};
  return made;
}

Made nbd(NbdBehaviour behaviour) {
  auto server = std::make_shared<NbdTestServer>(contents(), behaviour);
  auto connections = NbdConnections::adopt(server->connect(), "test");
  EXPECT_TRUE(connections) << connections.error().message();
  Made made;
  if (connections) made.reader = std::make_unique<NbdImage>(std::move(*connections));
  made.beside = {server};
  return made;
}

Made qemu(const Sandbox& box, const std::string& format, const std::vector<std::string>& options = {}) {
  if (!have_program("qemu-img") || !have_program("qemu-nbd")) return {nullptr, {}, "needs qemu-utils"};
  std::vector<std::string> command{"qemu-img", "convert", "-f", "raw", "-O", format};
  command.insert(command.end(), options.begin(), options.end());
  const auto from = raw_file(box).string();
  const std::string to = (box / "disk.image").string();
  command.insert(command.end(), {from, to});
  const ProgramResult done = run(command);
  EXPECT_EQ(done.status, 0) << done.output;
  DiskSource source(to);
  source.format = *parse_disk_format(format);
  return opened(source);
}

const ImageKind kKinds[] = {
    {"raw", raw},
    {"tracked", tracked},
    {"nbd", [](const Sandbox&) { return nbd({}); }, true, false},
    {"nbd_one_connection", [](const Sandbox&) { return nbd({.multi_conn = false}); }, true, false},
    {"nbd_without_block_status", [](const Sandbox&) { return nbd({.block_status = false}); }, false, false},
    {"nbd_that_answers_in_pieces", [](const Sandbox&) { return nbd({.most_runs = 1}); }, true, false},
    {"nbd_that_says_too_much", [](const Sandbox&) { return nbd({.status_past = 1 * kGiB}); }, true, false},
    {"qcow2", [](const Sandbox& box) { return qemu(box, "qcow2"); }},
    {"qcow2_compressed", [](const Sandbox& box) { return qemu(box, "qcow2", {"-c"}); }},
    {"qcow2_zstd", [](const Sandbox& box) { return qemu(box, "qcow2", {"-c", "-o", "compression_type=zstd"}); }},
    {"qcow2_old", [](const Sandbox& box) { return qemu(box, "qcow2", {"-o", "compat=0.10"}); }},
    {"qcow2_small_clusters", [](const Sandbox& box) { return qemu(box, "qcow2", {"-o", "cluster_size=512"}); }},
    {"qcow2_extended_l2", [](const Sandbox& box) { return qemu(box, "qcow2", {"-o", "extended_l2=on"}); }},
    {"vmdk", [](const Sandbox& box) { return qemu(box, "vmdk"); }},
    {"vmdk_stream_optimized",
     [](const Sandbox& box) { return qemu(box, "vmdk", {"-o", "subformat=streamOptimized"}); }},
    {"vdi", [](const Sandbox& box) { return qemu(box, "vdi"); }},
    {"vhdx", [](const Sandbox& box) { return qemu(box, "vhdx", {"-o", "block_size=1M"}); }, false},
    {"vhd", [](const Sandbox& box) { return qemu(box, "vpc", {"-o", "force_size=on"}); }},
    {"vhd_fixed", [](const Sandbox& box) { return qemu(box, "vpc", {"-o", "force_size=on,subformat=fixed"}); }, false},
};

class ImageContract : public ::testing::TestWithParam<ImageKind> {
 protected:
  void SetUp() override {
    made_ = GetParam().make(box_);
    if (!made_.skip.empty()) GTEST_SKIP() << made_.skip;
    ASSERT_TRUE(made_.reader);
    // A VDI or VHD may be made for whole blocks of its own.
    ASSERT_GE(made_.reader->size(), kDisk);
    ASSERT_LT(made_.reader->size(), kDisk + 2 * kMiB);
    expected_ = contents();
    expected_.resize(made_.reader->size());
  }
  ImageReader& image() { return *made_.reader; }

  Sandbox box_;
  Made made_;
  Buffer expected_;
};

TEST_P(ImageContract, ExtentsCoverTheDiskAndHolesAreZeros) {
  std::uint64_t data = 0;
  Buffer bytes(image().size());
  for (std::uint64_t at = 0; at < image().size();) {
    const auto extent = image().extent_at(at);
    ASSERT_TRUE(extent) << extent.error().message();
    ASSERT_EQ(extent->offset, at);
    ASSERT_GT(extent->size, 0U);
    ASSERT_LE(extent->size, image().size() - at);
    if (extent->kind != ExtentKind::hole) {
      ASSERT_TRUE(image().read(at, MutableBytes(bytes).subspan(at, extent->size)));
      data += extent->size;
    }
    at += extent->size;
  }
  EXPECT_TRUE(same_bytes(bytes, expected_)) << "what is said to be a hole has data";
  if (GetParam().tells_holes) {
    EXPECT_LT(data, 6 * kMiB);
  }
}

TEST_P(ImageContract, ARunCanBeAskedForFromItsMiddle) {
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{511}, 1 * kMiB + 4097, 5 * kMiB, 5 * kMiB + 1,
                                 8 * kMiB + 64 * kKiB - 1, kDisk - 1, 3 * kMiB, 1 * kMiB}) {
    const auto extent = image().extent_at(at);
    ASSERT_TRUE(extent) << extent.error().message();
    EXPECT_EQ(extent->offset, at);
    EXPECT_GT(extent->size, 0U);
    EXPECT_LE(extent->size, image().size() - at);
    const bool has_data = !is_all_zero(ByteView(expected_).subspan(at, extent->size));
    if (has_data) {
      EXPECT_NE(extent->kind, ExtentKind::hole) << at;
    }
  }
}

TEST_P(ImageContract, ReadsAnyBytes) {
  for (const auto& [offset, size] : std::vector<std::pair<std::uint64_t, std::size_t>>{{0, 1},
                                                                                       {1, 511},
                                                                                       {1 * kMiB - 7, 4 * kMiB + 13},
                                                                                       {kDisk - 1, 1},
                                                                                       {5 * kMiB + 4095, 2},
                                                                                       {0, kDisk},
                                                                                       {17, 0}}) {
    Buffer bytes(size, 0xee);
    const auto done = image().read(offset, bytes);
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_TRUE(same_bytes(bytes, ByteView(expected_).subspan(offset, size))) << offset << "+" << size;
  }
}

TEST_P(ImageContract, ManyMayReadAtOnce) {
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> readers;
    for (int thread = 0; thread < 8; ++thread)
      readers.emplace_back([&, thread] {
        for (std::uint64_t i = 0; i < 12; ++i) {
          const std::uint64_t offset = (i * 7 + static_cast<std::uint64_t>(thread) * 5) % 8 * kMiB + 300;
          Buffer bytes(1 * kMiB);
          if (!image().read(offset, bytes) || !same_bytes(bytes, ByteView(expected_).subspan(offset, 1 * kMiB)))
            ++wrong;
          if (!image().extent_at(offset)) ++wrong;
        }
      });
  }
  EXPECT_EQ(wrong, 0);
}

TEST_P(ImageContract, SaysWhatIsKnownOfChanges) {
  const auto change = image().changed_underneath();
  ASSERT_TRUE(change) << change.error().message();
  if (GetParam().tells_changes)
    EXPECT_FALSE(*change) << (*change)->words;
  else
    EXPECT_EQ(change->value().kind, ImageChange::Kind::not_known);
}

TEST_P(ImageContract, AWholeImageHasNoFindings) {
  EXPECT_TRUE(image().findings().empty());
}

TEST_P(ImageContract, SaysHowItIsRead) {
  EXPECT_FALSE(image().how().empty());
  if (image().clone_folder().empty()) {
    EXPECT_FALSE(image().why_not_keepable().empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, ImageContract, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace cairn::testing
