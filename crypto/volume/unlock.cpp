// SPDX-License-Identifier: GPL-3.0-or-later
// Unlocking on a private copy: libcryptsetup repairs what it opens, so it never sees the volume itself.
#include "crypto/volume/unlock.h"

#include <fmt/format.h>
#include <libcryptsetup.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "config/base/json.h"
#include "config/base/ranges.h"
#include "config/base/units.h"
#include "crypto/helper_process.h"
#include "crypto/volume/crypt_device.h"
#include "crypto/volume/detached_header.h"
#include "crypto/volume/fd_source.h"
#include "crypto/volume/fve_volume.h"
#include "crypto/volume/luks_json.h"
#include "crypto/volume/unlock_copy.h"
#include "crypto/volume/volume_source.h"

namespace cairn {

namespace {

constexpr std::size_t kPiece = 1 * kMiB;
// AES-256-XTS with HMAC-SHA512 takes 128; a header that asks for more is no honest one.
constexpr int kLargestKey = 512;

std::unexpected<Error> refuse(ErrorCode code, const VolumeFacts& facts, const std::string& object, std::string because,
                              std::string resolution = {}) {
  return fail(code, fmt::format("unlock the {} volume", to_string(facts.type)), object, std::move(because),
              std::move(resolution));
}

std::unexpected<Error> damaged(const VolumeFacts& facts, const std::string& object, std::string because) {
  // What was seen when the disk was probed says more than libcryptsetup does.
  if (!facts.damage.empty()) because += " (" + facts.damage + ")";
  return refuse(ErrorCode::header_damaged, facts, object, std::move(because));
}

std::string in_words(BekType type) {
  switch (type) {
    case BekType::luks_key_file:
      return "a LUKS key file";
    case BekType::luks_passphrase:
      return "a LUKS passphrase";
    case BekType::bitlocker_startup_key:
      return "a BitLocker startup key (.BEK file)";
    case BekType::bitlocker_recovery_password:
      return "a BitLocker recovery password";
    case BekType::bitlocker_password:
      return "a BitLocker password";
  }
  return {};
}

Result<HeaderCopy> private_copy(const VolumeFacts& facts, const ReadHeader& read, const std::string& object) {
  // A detached header lies in a file of its own, which may be larger than the disk.
  const std::vector<ByteRange> areas =
      tidy_ranges(facts.header, facts.detached.empty() ? facts.place.size : kMaxHeaderFile);
  const std::uint64_t size = areas.empty() ? facts.place.size : std::max(facts.place.size, end_of(areas.back()));
  CAIRN_TRY(HeaderCopy copy, HeaderCopy::make(size, object));
  Buffer bytes;
  for (const ByteRange& range : areas) {
    for (std::uint64_t done = 0; done < range.size; done += bytes.size()) {
      bytes.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, range.size - done)));
      CAIRN_CHECK(read(range.offset + done, bytes));
      if (!is_all_zero(bytes)) CAIRN_CHECK(copy.fill(range.offset + done, bytes));
    }
  }
  return copy;
}

// libcryptsetup looks for the second copy at each size that the first may have: none is to be shown a JSON bomb.
Result<void> check_json(const VolumeFacts& facts, const HeaderCopy& copy, const std::string& object) {
  constexpr std::uint64_t kSmallestCopy = 16 * kKiB;
  constexpr std::uint64_t kLargestCopy = 4 * kMiB;
  FdSource bytes(copy.fd(), facts.place.size, object);
  const auto look = [&](std::uint64_t at, std::uint64_t size) -> Result<void> {
    if (at >= facts.place.size) return {};
    Buffer area(static_cast<std::size_t>(std::min(size, facts.place.size - at)));
    CAIRN_CHECK(bytes.read(at, area));
    // Key material follows the copies, and may look like anything: only what says it is a header counts.
    if (!as_text(area).starts_with(at == 0 ? "LUKS\xba\xbe" : "SKUL\xba\xbe")) return {};
    if (const std::string excess = luks2_json_excess(area); !excess.empty()) return damaged(facts, object, excess);
    return {};
  };
  CAIRN_CHECK(look(0, kLargestCopy));
  for (std::uint64_t at = kSmallestCopy; at <= kLargestCopy; at *= 2) CAIRN_CHECK(look(at, at));
  return {};
}

// What trying a BEK on the slots came to.
struct Attempts {
  unsigned refused = 0;             // slots that it does not open
  std::vector<int> without_memory;  // slots that need more memory than there is
  std::vector<std::string> broken;  // slots that could not be tried
  bool too_costly = false;          // one of `broken` asks for more than limits.slot_seconds
};

std::string join(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : "; ") + word;
  return all;
}

// Seconds, roughly: PBKDF2 does a million iterations in one, Argon2 goes through a gibibyte.
double seconds_of(const crypt_pbkdf_type& kdf) {
  constexpr double kGibibyte = 1024.0 * 1024.0;  // in KiB
  if (kdf.max_memory_kb == 0) return kdf.iterations / 1e6;
  return static_cast<double>(kdf.iterations) * kdf.max_memory_kb / kGibibyte;
}

// The digest that each key is compared with is PBKDF2 as well, with iterations of its own. LUKS1: mk-digest-iter at 164
// (on-disk format 1.2.3). LUKS2: in the JSON.
Result<double> seconds_of_digest(const VolumeFacts& facts, const HeaderCopy& copy, crypt_device* device) {
  if (facts.type == VolumeType::luks1) {
    constexpr std::size_t kIterationsAt = 164;
    std::array<std::uint8_t, 4> bytes{};
    CAIRN_CHECK(FdSource(copy.fd(), facts.place.size, {}).read(kIterationsAt, bytes));
    std::uint32_t iterations = 0;
    for (const std::uint8_t byte : bytes) iterations = iterations << 8U | byte;
    return iterations / 1e6;
  }
  const char* text = nullptr;
  if (crypt_dump_json(device, &text, 0) != 0 || text == nullptr) return 0.0;
  const nlohmann::json header = parse_json(text).value_or(nullptr);
  double most = 0;
  if (const auto digests = header.find("digests"); digests != header.end() && digests->is_object())
    for (const auto& digest : *digests)
      if (const auto it = digest.find("iterations"); it != digest.end() && it->is_number())
        most = std::max(most, it->get<double>() / 1e6);
  return most;
}

// Of the host, without swapping (proc_meminfo(5), MemAvailable), bytes; 0: not known. A header that asks for more would
// have the kernel kill this process, or another.
std::uint64_t available_memory() {
  constexpr std::string_view kLabel = "MemAvailable:";
  std::ifstream file("/proc/meminfo");
  std::string label;
  std::uint64_t kib = 0;
  while (file >> label)
    if (label == kLabel && file >> kib) return kib * kKiB;
  return 0;
}

std::string memory_of(crypt_device* device, int slot) {
  crypt_pbkdf_type kdf{};
  if (crypt_keyslot_get_pbkdf(device, slot, &kdf) != 0 || kdf.max_memory_kb == 0) return "more memory";
  return format_size(std::uint64_t{kdf.max_memory_kb} * kKiB);
}

// Tries one slot. Nothing: it did not open, and `attempts` has the reason.
std::optional<SecretBytes> try_slot(crypt_device* device, int slot, std::size_t key_bytes, ByteView bek,
                                    Attempts& attempts) {
  SecretBytes key(key_bytes);
  std::size_t size = key.size();
  const int result = crypt_volume_key_get(device, slot, reinterpret_cast<char*>(key.reveal().data()), &size,
                                          reinterpret_cast<const char*>(bek.data()), bek.size());
  if (result == -EPERM || result == -ENOENT) {
    ++attempts.refused;
  } else if (result == -ENOMEM) {
    attempts.without_memory.push_back(slot);
  } else if (result < 0) {
    attempts.broken.push_back(fmt::format("key slot {} cannot be tried: {}", slot, std::strerror(-result)));
  } else if (size != key_bytes ||
             crypt_volume_key_verify(device, reinterpret_cast<const char*>(key.reveal().data()), size) < 0) {
    attempts.broken.push_back(fmt::format("key slot {} opens, but what it holds is not the volume's key", slot));
  } else {
    return key;
  }
  return std::nullopt;
}

// `first` before the others.
std::vector<int> slots_in_use(crypt_device* device, const char* type, int first) {
  std::vector<int> slots;
  for (int slot = 0; slot < crypt_keyslot_max(type); ++slot) {
    // An unbound slot holds a key of something else.
    const crypt_keyslot_info state = crypt_keyslot_status(device, slot);
    if (state == CRYPT_SLOT_ACTIVE || state == CRYPT_SLOT_ACTIVE_LAST) slots.push_back(slot);
  }
  std::ranges::stable_partition(slots, [&](int slot) { return slot == first; });
  return slots;
}

Result<UnlockedVolume> unlock_luks(const VolumeFacts& facts, const HeaderCopy& copy, ByteView bek,
                                   const std::string& object, const UnlockLimits& limits) {
  const char* type = facts.type == VolumeType::luks1 ? CRYPT_LUKS1 : CRYPT_LUKS2;
  CryptDevice device(copy.path());
  if (device.load(type) != 0) return damaged(facts, object, "libcryptsetup refuses the header: " + device.why());
  const int key_bytes = crypt_get_volume_key_size(device.get());
  if (key_bytes <= 0 || key_bytes > kLargestKey)
    return damaged(facts, object, fmt::format("the header says that the volume's key has {} bytes", key_bytes));

  CAIRN_TRY(const double digest, seconds_of_digest(facts, copy, device.get()));
  double left = limits.left != nullptr ? std::min<double>(limits.seconds, *limits.left) : limits.seconds;
  const std::uint64_t memory = limits.memory_bytes != 0 ? limits.memory_bytes : available_memory() / 4 * 3;
  Attempts attempts;
  for (const int slot : slots_in_use(device.get(), type, limits.first_slot)) {
    if (limits.stop.stop_requested()) return refuse(ErrorCode::cancelled, facts, object, "it was asked to stop");
    crypt_pbkdf_type kdf{};
    const bool known = crypt_keyslot_get_pbkdf(device.get(), slot, &kdf) == 0;
    const double seconds = digest + (known ? seconds_of(kdf) : 0);
    if (limits.slot_seconds > 0 && seconds > limits.slot_seconds) {
      attempts.broken.push_back(fmt::format(
          "key slot {} is not tried: it asks for about {:.0f} s of work, and {:.0f} are what the policy lets "
          "it take after the last proof",
          slot, seconds, limits.slot_seconds));
      attempts.too_costly = true;
      continue;
    }
    if (seconds > left) {
      attempts.broken.push_back(fmt::format(
          "key slot {} is not tried: it asks for about {:.0f} s of work, and {:.0f} are left", slot, seconds, left));
      continue;
    }
    if (known && memory != 0 && std::uint64_t{kdf.max_memory_kb} * kKiB > memory) {
      attempts.without_memory.push_back(slot);
      continue;
    }
    left -= seconds;
    if (limits.left != nullptr) *limits.left -= seconds;
    auto key = try_slot(device.get(), slot, static_cast<std::size_t>(key_bytes), bek, attempts);
    if (key) return UnlockedVolume{slot, *std::move(key)};
  }
  if (!attempts.without_memory.empty()) {
    const int slot = attempts.without_memory.front();
    return refuse(ErrorCode::out_of_memory, facts, object,
                  fmt::format("key slot {} needs {} to be tried", slot, memory_of(device.get(), slot)));
  }
  const std::string broken = join(attempts.broken);
  if (attempts.too_costly) return refuse(ErrorCode::unlock_costlier, facts, object, broken);
  if (attempts.refused > 0)
    return refuse(
        ErrorCode::bek_does_not_open, facts, object,
        fmt::format("it opens none of {} key slot{}{}{}", attempts.refused + attempts.broken.size(),
                    attempts.refused + attempts.broken.size() == 1 ? "" : "s", broken.empty() ? "" : "; ", broken));
  return damaged(facts, object, broken.empty() ? "no key slot is in use" : broken);
}

// Makes the copy's first block the one to unlock with. Errors: header_damaged.
Result<void> put_best_block_first(const VolumeFacts& facts, const std::string& object, HeaderCopy& copy) {
  FdSource bytes(copy.fd(), facts.place.size, object);
  CAIRN_TRY(const auto volume, read_fve_volume({bytes, facts.partition, {0, facts.place.size}, object}));
  if (!volume) return damaged(facts, object, "the boot sector is not BitLocker's any more");
  if (volume->vista) return damaged(facts, object, "it is of Windows Vista's version, which libcryptsetup cannot open");
  const auto best = best_block(*volume);
  if (!best) return damaged(facts, object, "none of the three FVE metadata blocks can be used");
  if (*best == 0) return {};
  // libcryptsetup looks at the first block only, and finds it by its offset in the boot sector.
  Buffer offset;
  append_le(offset, volume->offsets[*best]);
  return copy.fill(volume->offsets_at, offset);
}

// Why a BEK that is one of BitLocker's does not open this volume.
std::string why_not(const VolumeFacts& facts, BekType type, ByteView bek) {
  const auto is_there = [&](std::string_view kind) {
    return std::any_of(facts.slots.begin(), facts.slots.end(),
                       [&](const KeySlotFacts& slot) { return slot.kind == kind; });
  };
  switch (type) {
    case BekType::bitlocker_startup_key:
      if (!is_there("startup-key")) return "the volume has no startup key";
      return "it is the startup key of another volume, or an earlier one of this";
    case BekType::bitlocker_recovery_password:
      if (!is_there("recovery-password")) return "the volume has no recovery password";
      return "it is the recovery password of another volume, or an earlier one of this";
    default:
      break;
  }
  if (!is_there("password")) return "the volume has no password";
  // It hashes as many bytes of UTF-16 as if every byte of the UTF-8 were a character.
  if (std::any_of(bek.begin(), bek.end(), [](std::uint8_t byte) { return byte >= 0x80; }))
    return "it is not the volume's password, or this version of libcryptsetup cannot use it: the password has letters "
           "other than ASCII; use the recovery password instead";
  return "it is not the volume's password";
}

// A recovery password or password costs about a second with each protector of its kind (BitLocker's 2^20 rounds).
Result<void> take_from_budget(const VolumeFacts& facts, BekType type, const std::string& object,
                              const UnlockLimits& limits) {
  if (type == BekType::bitlocker_startup_key) return {};
  const std::string_view kind = type == BekType::bitlocker_password ? "password" : "recovery-password";
  const auto seconds = static_cast<double>(
      std::ranges::count_if(facts.slots, [&](const KeySlotFacts& slot) { return slot.kind == kind; }));
  const double most = limits.seconds;
  const double left = limits.left != nullptr ? std::min(*limits.left, most) : most;
  if (seconds > left)
    return refuse(ErrorCode::header_damaged, facts, object,
                  fmt::format("its protectors ask for about {:.0f} s of work, and {:.0f} s are left", seconds, left));
  if (limits.left != nullptr) *limits.left -= seconds;
  return {};
}

Result<UnlockedVolume> unlock_bitlocker(const VolumeFacts& facts, HeaderCopy& copy, BekType type,
                                        const SecretBytes& bek, const std::string& object, const UnlockLimits& limits) {
  CAIRN_CHECK(take_from_budget(facts, type, object, limits));
  CAIRN_CHECK(put_best_block_first(facts, object, copy));
  // libcryptsetup takes all kinds as one string of bytes and looks into whatever resembles a .BEK file: only a whole
  // one.
  if (bitlocker_bek_type(bek) == BekType::bitlocker_startup_key || type == BekType::bitlocker_startup_key)
    if (const auto id = startup_key_id(bek, object); !id)
      return refuse(ErrorCode::bek_does_not_open, facts, object, "it is a damaged .BEK file: " + id.error().because);

  CryptDevice device(copy.path());
  if (device.load(CRYPT_BITLK) != 0) return damaged(facts, object, "libcryptsetup refuses the header: " + device.why());
  const int key_bytes = crypt_get_volume_key_size(device.get());
  if (key_bytes <= 0 || key_bytes > kLargestKey)
    return damaged(facts, object, fmt::format("the header says that the volume's key has {} bytes", key_bytes));
  // Version 2.6 gives the key out at the size that it was sealed with, which best_block() has bounded.
  SecretBytes key(kLargestKey);
  std::size_t size = key.size();
  const int result =
      crypt_volume_key_get(device.get(), CRYPT_ANY_SLOT, reinterpret_cast<char*>(key.reveal().data()), &size,
                           reinterpret_cast<const char*>(bek.reveal().data()), bek.reveal().size());
  if (result == -ENOMEM) return refuse(ErrorCode::out_of_memory, facts, object, "");
  if (result < 0) return refuse(ErrorCode::bek_does_not_open, facts, object, why_not(facts, type, bek.reveal()));
  if (size != static_cast<std::size_t>(key_bytes))
    return damaged(facts, object, fmt::format("its key has {} bytes, and its cipher takes {}", size, key_bytes));
  key.shrink_to(size);
  return UnlockedVolume{-1, std::move(key)};
}

}  // namespace

Result<UnlockedVolume> unlock_volume(const VolumeFacts& facts, const ReadHeader& read, BekType type,
                                     const SecretBytes& bek, const std::string& object, const UnlockLimits& limits) {
  const bool bitlocker = facts.type == VolumeType::bitlocker;
  if (is_bitlocker(type) != bitlocker)
    return refuse(ErrorCode::bek_does_not_open, facts, object,
                  fmt::format("the BEK is {}, and the volume is {}", in_words(type), to_string(facts.type)),
                  fmt::format("name the BEK of this {} volume", to_string(facts.type)));
  if (bek.empty()) return refuse(ErrorCode::bek_does_not_open, facts, object, "the BEK is empty");
  CAIRN_TRY(HeaderCopy copy, private_copy(facts, read, object));
  return helpers_can_run() ? unlock_in_helper(facts, copy, type, bek, object, limits)
                           : unlock_copy(facts, copy, type, bek, object, limits);
}

Result<UnlockedVolume> unlock_copy(const VolumeFacts& facts, HeaderCopy& copy, BekType type, const SecretBytes& bek,
                                   const std::string& object, const UnlockLimits& limits) {
  if (facts.type == VolumeType::luks2) CAIRN_CHECK(check_json(facts, copy, object));
  if (facts.type == VolumeType::bitlocker) return unlock_bitlocker(facts, copy, type, bek, object, limits);
  return unlock_luks(facts, copy, bek.reveal(), object, limits);
}

Result<double> slot_seconds(const VolumeFacts& facts, const ReadHeader& read, int slot, const std::string& object) {
  if (facts.type == VolumeType::bitlocker) return 0.0;
  CAIRN_TRY(HeaderCopy copy, private_copy(facts, read, object));
  const char* type = facts.type == VolumeType::luks1 ? CRYPT_LUKS1 : CRYPT_LUKS2;
  CryptDevice device(copy.path());
  if (device.load(type) != 0) return damaged(facts, object, "libcryptsetup refuses the header: " + device.why());
  const std::vector<int> slots = slots_in_use(device.get(), type, slot);
  crypt_pbkdf_type kdf{};
  if (slots.empty() || slots.front() != slot || crypt_keyslot_get_pbkdf(device.get(), slot, &kdf) != 0) return 0.0;
  CAIRN_TRY(const double digest, seconds_of_digest(facts, copy, device.get()));
  return digest + seconds_of(kdf);
}

}  // namespace cairn
