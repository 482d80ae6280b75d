// SPDX-License-Identifier: GPL-3.0-or-later
// Unlocking images in tests: every image is compared with what it was before.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "crypto/volume/unlock.h"
#include "tests/crypto/volume/probe.h"

namespace cairn::testing {

SecretBytes secret(std::string_view text);

// Unlocks from the image's bytes, and checks that only header areas are asked for and nothing is written.
Result<UnlockedVolume> unlock(const std::filesystem::path& image, const VolumeFacts& facts, BekType type,
                              const SecretBytes& bek);
// The same of the one volume that the image has.
Result<UnlockedVolume> unlock(const std::filesystem::path& image, BekType type, std::string_view bek);

// Why it did not open; it must be for `code`.
std::string why(const Result<UnlockedVolume>& unlocked, ErrorCode code);

// The volume key in hexadecimal, as cryptsetup prints it.
std::string dumped_key(const std::filesystem::path& image, const std::string& command, std::string_view bek);

}  // namespace cairn::testing
