// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/crypto/volume/unlocking.h"
#include "crypto/volume/fd_source.h"
#include "crypto/volume/segments.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <sstream>

#include "config/base/unique_fd.h"
#include "crypto/chunk_name.h"

namespace cairn::testing {

using ::testing::HasSubstr;
using ::testing::SizeIs;

SecretBytes secret(std::string_view text) {
  start_crypto();
  return SecretBytes::copy_of(as_bytes(text));
}

Result<UnlockedVolume> unlock(const std::filesystem::path& image, const VolumeFacts& facts, BekType type,
                              const SecretBytes& bek) {
  const std::string before = Blake3::hex_of(read_all(image));
  const UniqueFd fd(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
  const ReadHeader read = [&](std::uint64_t offset, MutableBytes to) -> Result<void> {
    const auto inside = [&](const ByteRange& range) {
      return offset >= range.offset && offset + to.size() <= range.offset + range.size;
    };
    EXPECT_TRUE(std::any_of(facts.header.begin(), facts.header.end(), inside)) << offset << "+" << to.size();
    std::fill(to.begin(), to.end(), std::uint8_t{0});
    FdSource disk(fd.get(), std::filesystem::file_size(image), image.string());
    return read_volume(disk, facts, offset, to);
  };
  auto unlocked = unlock_volume(facts, read, type, bek, "web-01/root");
  EXPECT_EQ(Blake3::hex_of(read_all(image)), before) << "the image was changed";
  if (!unlocked) {
    EXPECT_THAT(unlocked.error().message(), HasSubstr("web-01/root"));
  }
  return unlocked;
}

Result<UnlockedVolume> unlock(const std::filesystem::path& image, BekType type, std::string_view bek) {
  const DiskFacts facts = probe(image);
  EXPECT_THAT(facts.volumes, SizeIs(1));
  if (facts.volumes.empty()) return fail(ErrorCode::internal, "find", "volume");
  return unlock(image, facts.volumes[0], type, secret(bek));
}

std::string why(const Result<UnlockedVolume>& unlocked, ErrorCode code) {
  if (unlocked) return "it opened";
  EXPECT_EQ(unlocked.error().code, code) << unlocked.error().message();
  return unlocked.error().because;
}

std::string dumped_key(const std::filesystem::path& image, const std::string& command, std::string_view bek) {
  const std::string dump =
      run({"cryptsetup", command, "--dump-volume-key", "-q", "--key-file", "-", image.string()}, bek).output;
  std::string hex;
  bool in_key = false;
  std::istringstream lines(dump);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos) in_key = line.starts_with("MK dump") || line.starts_with("Volume Key");
    if (!in_key) continue;
    for (const char c : colon == std::string::npos ? line : line.substr(colon + 1))
      if (std::isxdigit(static_cast<unsigned char>(c)) != 0) hex.push_back(c);
  }
  return hex;
}

}  // namespace cairn::testing
