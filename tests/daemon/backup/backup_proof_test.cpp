// SPDX-License-Identifier: GPL-3.0-or-later
// The keys are tried while the disks are read: what the proof finds is in the point, and a proof that fails the backup
// ends the reading.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>

#include "config/base/units.h"
#include "crypto/bek.h"
#include "daemon/backup/backup.h"
#include "daemon/keys/machine_keys.h"
#include "daemon/queue/job.h"
#include "fs/image/open_image.h"
#include "tests/crypto/volume/probe.h"
#include "tests/daemon/manual_clock.h"
#include "tests/support/bitlocker_volume.h"
#include "tests/support/fake_vault.h"
#include "tests/support/memory_image.h"
#include "tests/support/temporary_store.h"

namespace cairn {
namespace {

using namespace cairn::testing;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr std::uint64_t kFile = 24 * kMiB;

// The file's bytes, and behind them one byte again and again up to any size.
class EndlessDisk final : public ImageReader {
 public:
  EndlessDisk(std::unique_ptr<ImageReader> file, std::uint64_t size, std::atomic<std::uint64_t>& read_bytes)
      : file_(std::move(file)), size_(size), read_bytes_(read_bytes) {}
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Result<ImageExtent> extent_at(std::uint64_t offset) override {
    return ImageExtent{offset, size_ - offset, ExtentKind::data};
  }
  Result<void> read(std::uint64_t offset, MutableBytes to) override {
    read_bytes_ += to.size();
    if (offset + to.size() <= kFile) return file_->read(offset, to);
    std::ranges::fill(to, 0x5a);
    return {};
  }
  [[nodiscard]] int fd() const override { return file_->fd(); }
  Result<std::optional<ImageChange>> changed_underneath() override { return std::optional<ImageChange>(); }
  [[nodiscard]] std::string how() const override { return "memory"; }

 private:
  std::unique_ptr<ImageReader> file_;
  std::uint64_t size_;
  std::atomic<std::uint64_t>& read_bytes_;
};

class BackupProof : public ::testing::Test {
 protected:
  void SetUp() override {
    NEEDS_CRYPTSETUP();
    std::vector<std::string> options = kCheap;
    options.insert(options.end(), {"--type", "luks2"});
    luks_format(image_, options);
    machine_.name = "web";
    machine_.disks = {DiskSettings{"root", image_, {VaultReference{"main", "web"}}, VaultReference{"main", "backup"}}};
    ASSERT_TRUE(vault_.create_kek("backup", KekType::x25519));
  }
  void keep_passphrase(std::string_view text, BekType type = BekType::luks_passphrase) {
    const Buffer bytes(text.begin(), text.end());
    WrappedBek bek{type, {}, "backup", {}, clock_.now()};
    bek.wrapped = value_of(vault_.wrap("backup", SecretBytes::copy_of(bytes)));
    value_of(vault_.set_secret("web", bek));
  }
  Result<nlohmann::json> back_up(OpenImage open, JobContext& job) {
    BackupInputs inputs{*store_, clock_};
    inputs.keys.open_vault = [this](const std::string&) -> Result<OpenedVault> {
      return OpenedVault{std::make_unique<FakeVault>("main", "cairn-backup", vault_.inside())};
    };
    inputs.keys.on_costlier_keys = on_costlier_keys_;
    inputs.open_image = std::move(open);
    return run_backup(machine_, inputs, job);
  }
  // Of a disk of `size` bytes, that begins with the image.
  Result<nlohmann::json> back_up(std::uint64_t size, JobContext& job) {
    return back_up(
        [this, size](const DiskSource& source) -> Result<std::unique_ptr<ImageReader>> {
          CAIRN_TRY(auto file, open_image(source, CloneMode::never));
          return std::make_unique<EndlessDisk>(std::move(file), size, read_bytes_);
        },
        job);
  }
  // Of a disk in memory that has no descriptor; `prepare` may spoil it.
  Result<nlohmann::json> back_up_memory(const Buffer& content, JobContext& job,
                                        const std::function<void(MemoryImage&)>& prepare = {}) {
    return back_up(
        [&](const DiskSource&) -> Result<std::unique_ptr<ImageReader>> {
          auto image = std::make_unique<MemoryImage>(content.size());
          image->write(0, content);
          if (prepare) prepare(*image);
          return image;
        },
        job);
  }

  Sandbox box_;
  TemporaryStore place_;
  std::unique_ptr<Store> store_ = place_.open();
  ManualClock clock_;
  FakeVault vault_;
  OnCostlierKeys on_costlier_keys_ = OnCostlierKeys::warn;
  MachineSettings machine_;
  std::filesystem::path image_ = box_.sparse_file("web.img", kFile);
  std::atomic<std::uint64_t> read_bytes_ = 0;
};

TEST_F(BackupProof, IsInThePointWithItsKeys) {
  keep_passphrase(kPassphrase);
  JobContext job;
  const auto result = value_of(back_up(256 * kMiB, job));
  EXPECT_EQ(result.at("proof"), "proved");
  const RecoveryPoint point = value_of(store_->points().load(*PointName::parse(result.at("name").get<std::string>())));
  EXPECT_EQ(point.proof.state, ProofState::proved);
  EXPECT_THAT(point.proof.volumes, SizeIs(1));
  ASSERT_THAT(point.disks, SizeIs(1));
  EXPECT_THAT(point.disks[0].beks, SizeIs(1));
  EXPECT_THAT(point.keks, SizeIs(1));
}

TEST_F(BackupProof, AKeyThatDoesNotOpenEndsTheReading) {
  keep_passphrase("another");
  JobContext job;
  const auto refused = back_up(64 * kTiB, job);  // hours, if it were read
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::bek_does_not_open) << refused.error().message();
  EXPECT_LT(read_bytes_, kTiB);
  EXPECT_TRUE(value_of(store_->points().list_stored()).empty());
}

TEST_F(BackupProof, AJobThatIsStoppedTakesNoPoint) {
  keep_passphrase(kPassphrase);
  std::stop_source stop;
  JobContext job(stop.get_token(), [&] {
    if (read_bytes_ > kGiB) stop.request_stop();  // the headers are behind it
  });
  const auto refused = back_up(64 * kTiB, job);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::cancelled) << refused.error().message();
  EXPECT_TRUE(value_of(store_->points().list_stored()).empty());
}

TEST_F(BackupProof, IsInThePointOfADiskWithoutADescriptor) {
  keep_passphrase(kPassphrase);
  JobContext job;
  const auto result = value_of(back_up_memory(read_all(image_), job));
  EXPECT_EQ(result.at("proof"), "proved");
  const RecoveryPoint point = value_of(store_->points().load(*PointName::parse(result.at("name").get<std::string>())));
  ASSERT_THAT(point.disks, SizeIs(1));
  ASSERT_THAT(point.disks[0].facts.volumes, SizeIs(1));
  EXPECT_EQ(point.disks[0].facts.volumes[0].type, VolumeType::luks2);
  EXPECT_THAT(point.disks[0].headers, SizeIs(1));
  EXPECT_THAT(point.disks[0].beks, SizeIs(1));
  EXPECT_THAT(point.proof.volumes, SizeIs(1));
}

TEST_F(BackupProof, IsInThePointOfABitlockerDiskWithoutADescriptor) {
  const auto volume = make_bitlocker_volume();
  keep_passphrase(volume.recovery_password, BekType::bitlocker_recovery_password);
  JobContext job;
  const auto result = value_of(back_up_memory(volume.bytes, job));
  EXPECT_EQ(result.at("proof"), "proved");
  const RecoveryPoint point = value_of(store_->points().load(*PointName::parse(result.at("name").get<std::string>())));
  ASSERT_THAT(point.disks, SizeIs(1));
  ASSERT_THAT(point.disks[0].facts.volumes, SizeIs(1));
  EXPECT_EQ(point.disks[0].facts.volumes[0].type, VolumeType::bitlocker);
  EXPECT_THAT(point.disks[0].headers, SizeIs(1));
  EXPECT_THAT(point.disks[0].beks, SizeIs(1));
}

TEST_F(BackupProof, OfBitlockerWithAClearKeyNeedsNoSecretAndIsWarnedOf) {
  BitlockerOptions open{.size = 4 * kMiB, .clear_key = true, .recovery = false};
  open.password.clear();
  const auto volume = make_bitlocker_volume(open);
  machine_.disks[0].beks.clear();
  machine_.disks[0].kek.reset();
  JobContext job;
  const auto result = value_of(back_up_memory(volume.bytes, job));
  EXPECT_EQ(result.at("proof"), "proved");
  EXPECT_THAT(job.view().warnings, ::testing::Contains(HasSubstr("[protection-suspended]")));
  const RecoveryPoint point = value_of(store_->points().load(*PointName::parse(result.at("name").get<std::string>())));
  ASSERT_THAT(point.proof.volumes, SizeIs(1));
  EXPECT_TRUE(point.proof.volumes[0].proved);
  EXPECT_EQ(point.proof.volumes[0].secret, "");
  EXPECT_FALSE(point.proof.volumes[0].fingerprint.empty());
  // Protection is resumed: the same volume without that key is one that needs keys.
  open.clear_key = false;
  open.recovery = true;
  JobContext later;
  EXPECT_FALSE(back_up_memory(make_bitlocker_volume(open).bytes, later));
}

// Whoever rules the guest writes the header, and with it what each unlocking costs.
TEST_F(BackupProof, ACostThatJumpedIsWarnedOfOrRefusedAsThePolicySays) {
  keep_passphrase(kPassphrase);
  JobContext first;
  EXPECT_EQ(value_of(back_up(kFile, first)).at("proof"), "proved");
  EXPECT_THAT(first.view().warnings, ::testing::Each(::testing::Not(HasSubstr("unlock-costlier"))));
  ASSERT_EQ(
      run({"cryptsetup", "luksConvertKey", "-q", "--key-file", "-", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations",
           "5600000", "--keyslot-cipher", "aes-xts-plain64", "--keyslot-key-size", "256", image_.string()},
          kPassphrase)
          .status,
      0);
  on_costlier_keys_ = OnCostlierKeys::fail;
  clock_.advance(std::chrono::seconds(60));
  JobContext second;
  const auto refused = back_up(kFile, second);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unlock_costlier) << refused.error().message();
  EXPECT_THAT(refused.error().because, HasSubstr("is not tried: it asks for about 6 s of work, and 5 are what the "
                                                 "policy lets it take"));
  EXPECT_THAT(value_of(store_->points().list_stored()), SizeIs(1));
  // A look at the keys says the same before.
  VaultSet vaults([this](const std::string&) -> Result<OpenedVault> {
    return OpenedVault{std::make_unique<FakeVault>("main", "cairn-backup", vault_.inside())};
  });
  Policy policy;
  for (const OnCostlierKeys choice : {OnCostlierKeys::fail, OnCostlierKeys::warn}) {
    policy.on_costlier_keys = choice;
    const auto findings = check_machine_keys(machine_, policy, vaults, *store_);
    ASSERT_FALSE(findings.empty());
    ASSERT_TRUE(findings[0].error);
    EXPECT_EQ(findings[0].error->code, ErrorCode::unlock_costlier);
    EXPECT_EQ(findings[0].kind, choice == OnCostlierKeys::fail ? KeyFinding::Kind::error : KeyFinding::Kind::warning);
  }
  on_costlier_keys_ = OnCostlierKeys::warn;
  JobContext third;
  EXPECT_EQ(value_of(back_up(kFile, third)).at("proof"), "proved");
  EXPECT_THAT(third.view().warnings, ::testing::Contains(HasSubstr("[unlock-costlier]")));
}

// A disk that cannot be looked at is not one without encryption.
TEST_F(BackupProof, ADiskWhoseVolumesCannotBeSeenFailsTheBackup) {
  keep_passphrase(kPassphrase);
  JobContext job;
  const auto refused = back_up_memory(read_all(image_), job, [](MemoryImage& image) {
    image.before_read = [](std::uint64_t) -> Result<void> {
      return fail(ErrorCode::image_unreadable, "read image", "memory", "the server does not answer");
    };
  });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::image_unreadable);
  EXPECT_THAT(refused.error().message(),
              HasSubstr("disk root: whether it is encrypted cannot be seen: the server does not answer"));
  EXPECT_TRUE(value_of(store_->points().list_stored()).empty());
}

}  // namespace
}  // namespace cairn
