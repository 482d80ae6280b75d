// SPDX-License-Identifier: GPL-3.0-or-later
// Unlocking on a private copy of a volume's header: the part of unlock_volume() (crypto/volume/unlock.h) that takes the
// time, here or in a helper process. What goes between the two processes is one question and one answer over the
// helper's socket: the sizes of both parts (4 bytes each), a JSON document, and the secret: first the BEK, then the
// volume key, in locked memory on both sides. The copy itself is the helper's extra descriptor. For unlock.cpp and
// crypto/volume/helpers.h only.
#pragma once

#include <string>

#include "config/base/result.h"
#include "crypto/volume/unlock.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

// As unlock_volume(), within this thread. Stops between slots only.
Result<UnlockedVolume> unlock_copy(const VolumeFacts& facts, HeaderCopy& copy, BekType type, const SecretBytes& bek,
                                   const std::string& object, const UnlockLimits& limits);

// The same by a helper process. One at a time: waits until another volume's is done, or `limits.stop`.
Result<UnlockedVolume> unlock_in_helper(const VolumeFacts& facts, const HeaderCopy& copy, BekType type,
                                        const SecretBytes& bek, const std::string& object, const UnlockLimits& limits);

// The work of that helper: answers one question.
inline constexpr const char* kUnlockWork = "unlock";
void answer_unlock();

}  // namespace cairn
