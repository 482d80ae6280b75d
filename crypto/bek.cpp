// SPDX-License-Identifier: GPL-3.0-or-later
// BEKs: their forms. Secrets are looked at in place; messages tell lengths and places, never content.
#include "crypto/bek.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "config/base/text.h"
#include "crypto/key_text.h"

namespace cairn {

namespace {

// Recovery passwords: 128 bits, 16 in each group, times 11.
constexpr std::size_t kGroups = 8;
constexpr std::size_t kGroupDigits = 6;
constexpr std::uint32_t kGroupFactor = 11;
constexpr std::uint32_t kGroupLimit = 65536 * kGroupFactor;
// Fewer groups than this are taken for a password of digits.
constexpr std::size_t kLikelyGroups = 6;

// A .BEK file: a header of 48 bytes, then entries: size, type, value type, version (2 bytes each), data.
constexpr std::size_t kBekHeader = 48;
constexpr std::size_t kBekIdAt = 16;
constexpr std::size_t kEntryHeader = 8;
constexpr std::size_t kStartupKeyHeader = 24;  // identifier and time, before the properties
constexpr std::uint32_t kBekVersion = 1;
constexpr std::uint16_t kStartupKeyEntry = 6;
constexpr std::uint16_t kExternalKeyValue = 9;
constexpr std::uint16_t kKeyValue = 1;
constexpr std::size_t kKeyHeader = 4;  // the method, before the key
constexpr std::size_t kBitLockerKeyBytes = 32;

constexpr std::array<std::pair<BekType, std::string_view>, 5> kNames = {{
    {BekType::luks_key_file, "luks-key-file"},
    {BekType::luks_passphrase, "luks-passphrase"},
    {BekType::bitlocker_startup_key, "bitlocker-startup-key"},
    {BekType::bitlocker_recovery_password, "bitlocker-recovery-password"},
    {BekType::bitlocker_password, "bitlocker-password"},
}};

std::unexpected<Error> invalid(BekType type, const std::string& object, std::string because) {
  const bool recovery = type == BekType::bitlocker_recovery_password;
  return fail(ErrorCode::bek_invalid, fmt::format("read the {}", to_string(type)), object, std::move(because),
              recovery ? "compare it with the recovery password as it was printed or saved" : "");
}

bool is_digit(std::uint8_t byte) {
  return byte >= '0' && byte <= '9';
}
bool is_separator(std::uint8_t byte) {
  return byte == '-' || byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}
bool is_letter(std::uint8_t byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}
using Groups = std::vector<ByteView>;

// UTF-8 without a byte order mark, with plain dashes and spaces.
SecretBytes plain_text(ByteView given) {
  const auto unmarked = without_byte_order_mark(given);
  return with_plain_dashes(unmarked ? std::as_const(*unmarked).reveal() : given);
}

bool is_bare(ByteView text) {
  return std::ranges::all_of(text, [](std::uint8_t byte) { return is_digit(byte) || is_separator(byte); });
}

// Where the groups of a recovery password lie. Digits without any separator are cut into groups of six.
Groups groups_of(ByteView text) {
  Groups groups;
  while (!text.empty()) {
    const auto begin = std::find_if_not(text.begin(), text.end(), is_separator);
    const auto end = std::find_if(begin, text.end(), is_separator);
    if (begin != end) groups.emplace_back(begin, end);
    text = ByteView(end, text.end());
  }
  if (groups.size() != 1 || groups[0].size() != kGroups * kGroupDigits) return groups;
  const ByteView all = groups[0];
  groups.clear();
  for (std::size_t at = 0; at < all.size(); at += kGroupDigits) groups.push_back(all.subspan(at, kGroupDigits));
  return groups;
}

// The recovery passwords that a text seems to hold, their groups right or wrong. Text of digits and separators alone is
// one; in prose one stands in a line, its groups joined by '-', and most of them have six digits.
std::vector<Groups> likely_passwords(ByteView text) {
  std::vector<Groups> likely;
  if (is_bare(text)) {
    likely.push_back(groups_of(text));
    if (likely.back().size() < kLikelyGroups) likely.clear();
    return likely;
  }
  Groups groups;
  const auto end_of_password = [&] {
    const bool bare = groups.size() == 1 && groups[0].size() == kGroups * kGroupDigits && is_bare(groups[0]);
    if (bare) groups = groups_of(groups[0]);
    const auto whole =
        std::ranges::count_if(groups, [](ByteView group) { return group.size() == kGroupDigits && is_bare(group); });
    if (static_cast<std::size_t>(whole) >= kLikelyGroups) likely.push_back(std::move(groups));
    groups.clear();
  };
  const auto in_group = [](std::uint8_t byte) { return is_digit(byte) || is_letter(byte); };
  while (!text.empty()) {
    const auto begin = std::ranges::find_if(text, in_group);
    const ByteView between(text.begin(), begin);
    const bool joined = std::ranges::count(between, '-') == 1 &&
                        std::ranges::all_of(between, [](std::uint8_t byte) { return byte == '-' || byte == ' '; });
    if (!joined) end_of_password();
    const auto end = std::find_if_not(begin, text.end(), in_group);
    if (begin != end) groups.emplace_back(begin, end);
    text = ByteView(end, text.end());
  }
  end_of_password();
  return likely;
}

// Empty: the group is right.
std::string group_problem(ByteView group) {
  if (!std::all_of(group.begin(), group.end(), is_digit)) return "holds something else than digits";
  if (group.size() != kGroupDigits) return fmt::format("has {} digits instead of {}", group.size(), kGroupDigits);
  std::uint32_t value = 0;
  for (const std::uint8_t digit : group) value = value * 10 + (digit - '0');
  if (value % kGroupFactor != 0) return "is mistyped: its check digit is not that of its other digits";
  if (value >= kGroupLimit) return fmt::format("is mistyped: it is not below {}", kGroupLimit);
  return {};
}

Result<SecretBytes> from_groups(const Groups& groups, const std::string& object) {
  constexpr BekType kType = BekType::bitlocker_recovery_password;
  std::string problems;
  for (std::size_t i = 0; i < std::min(groups.size(), kGroups); ++i) {
    const std::string problem = group_problem(groups[i]);
    if (!problem.empty())
      problems += fmt::format("{}group {} of {} {}", problems.empty() ? "" : "; ", i + 1, kGroups, problem);
  }
  if (groups.size() != kGroups)
    return invalid(kType, object,
                   fmt::format("it has {} group{} of digits instead of {}{}{}", groups.size(),
                               groups.size() == 1 ? "" : "s", kGroups, problems.empty() ? "" : "; ", problems));
  if (!problems.empty()) return invalid(kType, object, problems);

  SecretBytes clean(kGroups * (kGroupDigits + 1) - 1);
  std::uint8_t* to = clean.reveal().data();
  for (std::size_t i = 0; i < kGroups; ++i) {
    if (i != 0) *to++ = '-';
    to = std::copy(groups[i].begin(), groups[i].end(), to);
  }
  return clean;
}

bool same_bytes(const SecretBytes& one, const SecretBytes& other) {
  return std::ranges::equal(one.reveal(), other.reveal());
}

std::vector<SecretBytes> right_passwords(const std::vector<Groups>& likely) {
  std::vector<SecretBytes> right;
  for (const Groups& groups : likely) {
    auto password = from_groups(groups, {});
    const bool another =
        password && std::ranges::none_of(right, [&](const SecretBytes& have) { return same_bytes(have, *password); });
    if (another) right.push_back(*std::move(password));
  }
  return right;
}

Result<SecretBytes> normal_recovery_password(ByteView given, const std::string& object) {
  const SecretBytes plain = plain_text(given);
  const ByteView text = plain.reveal();
  const std::vector<Groups> likely = likely_passwords(text);
  // What has nothing but digits, or no more text than a password, is a mistyped one; the rest is prose without one.
  constexpr std::size_t kLongestTyped = 128;
  if (likely.empty() && !is_bare(text) && text.size() > kLongestTyped)
    return invalid(BekType::bitlocker_recovery_password, object,
                   "no recovery password (eight groups of six digits) is in this text");
  if (likely.empty()) return from_groups(groups_of(text), object);
  std::vector<SecretBytes> right = right_passwords(likely);
  if (right.size() > 1)
    return invalid(BekType::bitlocker_recovery_password, object,
                   fmt::format("{} recovery passwords are in this text, and one is needed", right.size()));
  if (right.size() == 1) return std::move(right.front());
  return from_groups(likely.front(), object);
}

// The header agrees with itself, or with the file's size: a .BEK file, whole or not.
bool looks_like_startup_key(ByteView file) {
  if (file.size() < kBekIdAt) return false;
  const auto size = get_le<std::uint32_t>(file);
  if (get_le<std::uint32_t>(file.subspan(4)) != kBekVersion) return false;
  const bool own_size = size == file.size();
  const bool header = get_le<std::uint32_t>(file.subspan(8)) == kBekHeader;
  return own_size || (header && size == get_le<std::uint32_t>(file.subspan(12)));
}

// The first key among the properties of the startup key's entry. Empty: all is well.
std::string properties_problem(ByteView properties) {
  while (properties.size() >= kEntryHeader) {
    const auto size = get_le<std::uint16_t>(properties);
    if (size < kEntryHeader || size > properties.size()) return "an entry reaches beyond the end of the file";
    if (get_le<std::uint16_t>(properties.subspan(4)) == kKeyValue) {
      const std::size_t wanted = kEntryHeader + kKeyHeader + kBitLockerKeyBytes;
      if (size == wanted) return {};
      return fmt::format("the entry of its key has {} bytes instead of {}", size, wanted);
    }
    properties = properties.subspan(size);
  }
  return "it holds no key";
}

// What is wrong with a .BEK file. Empty: nothing.
std::string startup_key_problem(ByteView file) {
  constexpr std::size_t kLeast = kBekHeader + kEntryHeader + kStartupKeyHeader;
  if (file.size() < kLeast)
    return fmt::format("it is cut off: it has {} bytes, and no .BEK file is that short", file.size());
  const auto version = get_le<std::uint32_t>(file.subspan(4));
  if (version != kBekVersion || get_le<std::uint32_t>(file.subspan(8)) != kBekHeader)
    return "it does not begin as a .BEK file does";
  const auto size = get_le<std::uint32_t>(file);
  if (size != file.size())
    return fmt::format("{}: it has {} bytes, and its header says {}",
                       size > file.size() ? "it is cut off" : "something follows its end", file.size(), size);
  const ByteView entry = file.subspan(kBekHeader);
  const auto entry_size = get_le<std::uint16_t>(entry);
  if (entry_size < kEntryHeader + kStartupKeyHeader || entry_size > entry.size())
    return "its entry reaches beyond the end of the file";
  if (get_le<std::uint16_t>(entry.subspan(2)) != kStartupKeyEntry ||
      get_le<std::uint16_t>(entry.subspan(4)) != kExternalKeyValue)
    return "its entry is not a startup key";
  return properties_problem(entry.first(entry_size).subspan(kEntryHeader + kStartupKeyHeader));
}

// A typed secret without the newline that an editor or `echo` put behind it.
SecretBytes without_newline(SecretBytes bek, bool of_windows) {
  const ByteView bytes = std::as_const(bek).reveal();
  std::size_t size = bytes.size();
  if (size > 0 && bytes[size - 1] == '\n') --size;
  if (of_windows && size < bytes.size() && size > 0 && bytes[size - 1] == '\r') --size;
  bek.shrink_to(size);
  return bek;
}

}  // namespace

std::string_view to_string(BekType type) {
  for (const auto& [named, name] : kNames)
    if (named == type) return name;
  return {};
}

std::optional<BekType> parse_bek_type(std::string_view text) {
  for (const auto& [type, name] : kNames)
    if (name == text) return type;
  return std::nullopt;
}

BekType bitlocker_bek_type(const SecretBytes& bek) {
  const ByteView bytes = bek.reveal();
  if (looks_like_startup_key(bytes)) return BekType::bitlocker_startup_key;
  if (bytes.size() > kMaxKeyText) return BekType::bitlocker_password;
  const SecretBytes text = plain_text(bytes);
  return likely_passwords(text.reveal()).empty() ? BekType::bitlocker_password : BekType::bitlocker_recovery_password;
}

std::vector<SecretBytes> recovery_passwords_in(const SecretBytes& text) {
  if (text.size() > kMaxKeyText) return {};
  const SecretBytes plain = plain_text(text.reveal());
  return right_passwords(likely_passwords(plain.reveal()));
}

Result<SecretBytes> normal_bek(BekType type, SecretBytes bek, const std::string& object) {
  if (bek.size() > kMaxBekBytes)
    return fail(
        ErrorCode::bek_invalid, fmt::format("read the {}", to_string(type)), object,
        fmt::format("it has {} bytes; at most {} (8 MiB) are taken, as by cryptsetup", bek.size(), kMaxBekBytes),
        "give the disk another key, with \"cryptsetup luksAddKey DISK NEW-KEY-FILE\", and import that");
  if (type != BekType::luks_key_file && bek.size() > kMaxKeyText)
    return invalid(type, object,
                   fmt::format("it has {} bytes; none of this kind has over {}", bek.size(), kMaxKeyText));
  switch (type) {
    case BekType::luks_key_file:
      break;
    case BekType::luks_passphrase:
      bek = without_newline(std::move(bek), false);
      break;
    case BekType::bitlocker_password:
      bek = without_newline(std::move(bek), true);
      if (!is_utf8(as_text(std::as_const(bek).reveal())))
        return invalid(type, object, "it is not text (UTF-8), as passwords are; if it is a .BEK file, it is damaged");
      break;
    case BekType::bitlocker_recovery_password:
      if (bek.empty()) break;
      return normal_recovery_password(std::as_const(bek).reveal(), object);
    case BekType::bitlocker_startup_key: {
      if (bek.empty()) break;
      const std::string problem = startup_key_problem(std::as_const(bek).reveal());
      if (!problem.empty()) return invalid(type, object, problem);
      break;
    }
  }
  if (bek.empty()) return invalid(type, object, "it is empty");
  return bek;
}

Result<std::string> startup_key_id(const SecretBytes& bek, const std::string& object) {
  const std::string problem = startup_key_problem(bek.reveal());
  if (!problem.empty()) return invalid(BekType::bitlocker_startup_key, object, problem);
  std::string id = guid_text(bek.reveal().subspan(kBekIdAt, 16));
  std::transform(id.begin(), id.end(), id.begin(), [](char c) { return c >= 'a' && c <= 'f' ? c - 'a' + 'A' : c; });
  return id;
}

}  // namespace cairn
