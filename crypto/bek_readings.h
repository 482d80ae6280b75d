// SPDX-License-Identifier: GPL-3.0-or-later
// BEK readings: what the bytes that an administrator gives may mean as a BEK, likeliest first; only the disk knows
// which is right. A passphrase in a file often has a newline or a byte order mark that is not part of it, or its
// letters are composed where the disk's are decomposed; the text that Windows saves holds a recovery password among
// prose. Pure. Any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "crypto/bek.h"
#include "crypto/secret_bytes.h"

namespace cairn {

struct BekReading {
  BekType type;     // as it is to be stored: normal_bek(type, bek) is `bek` again
  SecretBytes bek;  // as it is tried
  std::string how;  // what it was read as, for people: "without the newline at its end"; empty: as it was given
};

// At most 8, no two alike; each costs a key derivation to try. `of_bitlocker`: the disk's volumes are. `type`: what the
// administrator says that it is; empty: anything.
// Errors: bek_invalid: no reading is one (normal_bek() says why; `object` names it).
Result<std::vector<BekReading>> bek_readings(const SecretBytes& given, bool of_bitlocker, std::optional<BekType> type,
                                             const std::string& object);

// Whether a passphrase can be written in several ways that look alike: not ASCII alone.
bool has_other_letters(const SecretBytes& passphrase);

}  // namespace cairn
