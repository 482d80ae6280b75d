// SPDX-License-Identifier: GPL-3.0-or-later
// What the volume tests share. See probe.h.
#include "tests/crypto/volume/probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sodium.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "config/base/unique_fd.h"
#include "config/base/units.h"

namespace cairn::testing {

DiskFacts probe(const std::filesystem::path& image) {
  // Small images are compared whole; of large sparse ones the times tell.
  const bool small = std::filesystem::file_size(image) <= 64 * kMiB;
  const Buffer before = small ? read_all(image) : Buffer{};
  const auto written = std::filesystem::last_write_time(image);
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(fd) << "cannot open " << image;
  struct stat facts{};
  if (!fd || ::fstat(fd.get(), &facts) != 0) return {};
  auto found = probe_disk(fd.get(), static_cast<std::uint64_t>(facts.st_size), image.string());
  EXPECT_TRUE(found) << found.error().message();
  if (small) {
    EXPECT_TRUE(same_bytes(before, read_all(image))) << "the image was changed";
  }
  EXPECT_EQ(written, std::filesystem::last_write_time(image));
  return found ? *found : DiskFacts{};
}

void luks_format(const std::filesystem::path& image, const std::vector<std::string>& options) {
  std::vector<std::string> command = {"cryptsetup", "luksFormat", "-q", "--key-file", "-"};
  command.insert(command.end(), options.begin(), options.end());
  command.push_back(image.string());
  const auto done = run(command, kPassphrase);
  ASSERT_EQ(done.status, 0) << done.output;
}

void luks_add_key(const std::filesystem::path& image, const std::vector<std::string>& options) {
  std::vector<std::string> command = {"cryptsetup", "luksAddKey", "-q"};
  command.insert(command.end(), options.begin(), options.end());
  command.push_back(image.string());
  const auto done = run(command, std::string(kPassphrase) + "\nsecond\nsecond\n");
  ASSERT_EQ(done.status, 0) << done.output;
}

bool opens(const std::filesystem::path& image) {
  return run({"cryptsetup", "open", "--test-passphrase", "--key-file", "-", image.string()}, kPassphrase).status == 0;
}

std::filesystem::path unpack_windows_volumes(const Sandbox& box, std::string& why) {
  const char* wanted = std::getenv("CAIRN_TESTDATA");
  const std::filesystem::path data = wanted != nullptr ? wanted : CAIRN_SOURCE_ROOT "/../shared/testdata";
  if (!std::filesystem::exists(data / "bitlocker.tar.xz")) {
    why = "no bitlocker.tar.xz in " + data.string();
    return {};
  }
  EXPECT_EQ(run({"tar", "-C", box.path().string(), "-xJf", (data / "bitlocker.tar.xz").string()}).status, 0);
  return box / "bitlocker";
}

void repair_luks2(MutableBytes bytes, std::size_t at, std::size_t size) {
  const MutableBytes copy = bytes.subspan(at, size);
  std::fill_n(copy.begin() + 448, 64, std::uint8_t{0});
  std::array<std::uint8_t, 32> sum{};
  crypto_hash_sha256(sum.data(), copy.data(), copy.size());
  std::copy(sum.begin(), sum.end(), copy.begin() + 448);
}

std::string describe(const VolumeFacts& facts) {
  std::string text =
      fmt::format("{} partition {} at {}+{} uuid {} label '{}' cipher {} {} bits sector {} data {}",
                  to_string(facts.type), facts.partition, facts.place.offset, facts.place.size, facts.uuid, facts.label,
                  facts.cipher, facts.key_bits, facts.sector_bytes, facts.data_offset);
  for (const KeySlotFacts& slot : facts.slots) text += fmt::format(" slot {} {}", slot.number, slot.kind);
  for (const ByteRange& range : facts.header) text += fmt::format(" header {}+{}", range.offset, range.size);
  return text + " damage '" + facts.damage + "'";
}

}  // namespace cairn::testing
