// SPDX-License-Identifier: GPL-3.0-or-later
// Images of other formats, as qemu-img makes them, and as a guest might write their first bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/units.h"
#include "tests/crypto/volume/probe.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

class ImageFormats : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_program("qemu-img")) GTEST_SKIP() << "qemu-img is not installed";
  }
  std::filesystem::path make(const std::string& format, const std::vector<std::string>& options = {}) {
    auto image = box_ / ("image." + format);
    std::vector<std::string> command = {"qemu-img", "create", "-q", "-f", format};
    command.insert(command.end(), options.begin(), options.end());
    command.push_back(image.string());
    command.emplace_back("4M");
    const auto done = run(command);
    EXPECT_EQ(done.status, 0) << done.output;
    return image;
  }
  static ImageFormat format_of(const std::filesystem::path& image) {
    const DiskFacts facts = probe(image);
    EXPECT_TRUE(facts.format.has_value()) << image;
    EXPECT_NE(facts.encryption(), DiskEncryption::not_encrypted);
    return facts.format.value_or(ImageFormat{});
  }
  Sandbox box_;
};

TEST_F(ImageFormats, EachIsCalledByItsName) {
  EXPECT_EQ(format_of(make("qcow2")).name, "qcow2");
  EXPECT_EQ(format_of(make("qed")).name, "QED");
  EXPECT_EQ(format_of(make("vdi")).name, "VDI");
  EXPECT_EQ(format_of(make("vhdx")).name, "VHDX");
  EXPECT_EQ(format_of(make("vmdk")).suffix, "vmdk");
  EXPECT_EQ(format_of(make("vpc")).name, "VHD");
}

TEST_F(ImageFormats, AVmdkDescriptorNamesOtherFiles) {
  const ImageFormat format = format_of(make("vmdk", {"-o", "subformat=monolithicFlat"}));
  EXPECT_EQ(format.name, "VMDK");
  EXPECT_THAT(format.detail, HasSubstr("other files"));
}

TEST_F(ImageFormats, AFixedVhdIsKnownByItsFooter) {
  EXPECT_THAT(format_of(make("vpc", {"-o", "subformat=fixed"})).detail, HasSubstr("fixed size"));
}

TEST_F(ImageFormats, Qcow2SaysWhatItsHeaderSays) {
  const auto base = make("raw");
  EXPECT_THAT(format_of(make("qcow2", {"-b", base.string(), "-F", "raw"})).detail, HasSubstr("image.raw"));
  const auto luks = box_ / "luks.qcow2";
  const auto done = run({"qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o",
                         "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", luks.string(), "4M"});
  ASSERT_EQ(done.status, 0) << done.output;
  EXPECT_THAT(format_of(luks).detail, HasSubstr("LUKS"));
}

TEST(ImageFormat, ShortAndHostileFilesAreNoFormat) {
  const Sandbox box;
  for (const std::uint64_t size : {0U, 1U, 511U, 512U, 4096U}) {
    const auto image = box.sparse_file("disk", size);
    EXPECT_FALSE(probe(image).format.has_value()) << size;
  }
  // The footer's words without its checksum: a file that talks of VHD.
  const auto image = box.sparse_file("disk", kMiB);
  write_at(image, kMiB - 512, as_bytes("conectix"));
  EXPECT_FALSE(probe(image).format.has_value());
}

}  // namespace
}  // namespace cairn::testing
