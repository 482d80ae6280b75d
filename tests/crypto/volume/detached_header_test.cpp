// SPDX-License-Identifier: GPL-3.0-or-later
// LUKS headers in files of their own.
#include "crypto/volume/detached_header.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/base/unique_fd.h"
#include "config/base/units.h"
#include "crypto/volume/fd_source.h"
#include "crypto/volume/unlock.h"
#include "tests/crypto/volume/probe.h"
#include "tests/crypto/volume/unlocking.h"

namespace cairn::testing {
namespace {

using ::testing::IsEmpty;

class DetachedHeader : public ::testing::Test {
 protected:
  std::optional<VolumeFacts> look(const std::filesystem::path& header, std::uint64_t disk_size) {
    fd_ = UniqueFd(::open(header.c_str(), O_RDONLY | O_CLOEXEC));
    file_.emplace(fd_.get(), std::filesystem::file_size(header), header.string());
    auto found = probe_detached_header(*file_, header.string(), disk_size, remarks_);
    EXPECT_TRUE(found);
    return found ? *found : std::nullopt;
  }
  bool unlocks(const VolumeFacts& facts) {
    const ReadHeader read = [&](std::uint64_t offset, MutableBytes to) { return file_->read(offset, to); };
    return unlock_volume(facts, read, BekType::luks_passphrase, secret(kPassphrase), "web/root").has_value();
  }
  Sandbox box_;
  UniqueFd fd_;
  std::optional<FdSource> file_;
  std::vector<std::string> remarks_;
};

TEST_F(DetachedHeader, OpensItsDisk) {
  NEEDS_CRYPTSETUP();
  for (const std::string type : {"luks1", "luks2"}) {
    SCOPED_TRACE(type);
    const auto disk = box_.sparse_file("disk-" + type, 8 * kMiB);
    const auto header = box_ / ("header-" + type);
    luks_format(disk, {"--type", type, "--header", header.string(), "--batch-mode", "--pbkdf", "pbkdf2",
                       "--pbkdf-force-iterations", "1000"});
    const auto facts = look(header, 8 * kMiB);
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->damage, "");
    EXPECT_EQ(facts->detached, header.string());
    EXPECT_EQ(facts->within, kDetached);
    EXPECT_EQ(facts->place.size, 8 * kMiB);
    EXPECT_TRUE(unlocks(*facts));
  }
}

TEST_F(DetachedHeader, ABackupOfAHeaderServesAsOne) {
  NEEDS_CRYPTSETUP();
  const auto disk = box_.sparse_file("disk", 24 * kMiB);
  luks_format(disk, {"--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"});
  const auto header = box_ / "header";
  ASSERT_EQ(run({"cryptsetup", "luksHeaderBackup", disk.string(), "--header-backup-file", header.string()}).status, 0);
  const auto facts = look(header, 24 * kMiB);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->damage, "");
  EXPECT_TRUE(unlocks(*facts));
  EXPECT_NE(look(header, kMiB)->damage, "") << "the disk ends before its data";
}

TEST_F(DetachedHeader, AnythingElseIsNone) {
  const auto header = box_.sparse_file("header", kMiB);
  EXPECT_FALSE(look(header, kMiB));
  EXPECT_THAT(remarks_, IsEmpty());
}

}  // namespace
}  // namespace cairn::testing
