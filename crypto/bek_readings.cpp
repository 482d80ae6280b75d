// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/bek_readings.h"

#include <algorithm>
#include <array>
#include <utility>

#include "config/base/text.h"
#include "crypto/key_text.h"

namespace cairn {
namespace {

// cryptsetup asks for passphrases of at most 512 characters.
constexpr std::size_t kLongestPassphrase = 4 * 512;

struct FormName {
  TextForm form;
  const char* how;
};
constexpr std::array<FormName, 2> kForms = {{
    {TextForm::composed, "with composed letters (Unicode NFC)"},
    {TextForm::decomposed, "with decomposed letters (Unicode NFD)"},
}};

class Readings {
 public:
  void add(BekType type, SecretBytes bek, std::string how) {
    const bool there = std::ranges::any_of(all_, [&](const BekReading& reading) {
      return std::ranges::equal(std::as_const(reading.bek).reveal(), std::as_const(bek).reveal());
    });
    if (bek.empty() || there) return;
    // What is stored is read again as its type, which would take another newline off.
    if (type == BekType::luks_passphrase && std::as_const(bek).reveal().back() == '\n') type = BekType::luks_key_file;
    all_.push_back({type, std::move(bek), std::move(how)});
  }

  // A typed secret: as text, without the newline at its end, in both forms.
  void add_typed(BekType type, ByteView given) {
    const auto unmarked = without_byte_order_mark(given);
    const ByteView text = unmarked ? std::as_const(*unmarked).reveal() : given;
    const std::string mark = unmarked ? "without its byte order mark" : "";
    const auto how = [&](const std::string& more) {
      return mark.empty() || more.empty() ? mark + more : mark + ", " + more;
    };
    ByteView line = text;
    if (!line.empty() && line.back() == '\n') line = line.first(line.size() - 1);
    ByteView windows = line;
    if (line.size() < text.size() && !line.empty() && line.back() == '\r') windows = line.first(line.size() - 1);
    const std::string newline = line.size() < text.size() ? "without the newline at its end" : "";
    if (type != BekType::bitlocker_password) add(type, SecretBytes::copy_of(line), how(newline));
    if (windows.size() < line.size() || type == BekType::bitlocker_password)
      add(type, SecretBytes::copy_of(windows), how(newline));
    if (unmarked && type != BekType::bitlocker_password) add(type, SecretBytes::copy_of(text), how(""));
    for (const auto& [form, name] : kForms)
      if (auto other = in_form(form, windows)) add(type, *std::move(other), how(name));
  }

  std::vector<BekReading> take() && { return std::move(all_); }

 private:
  std::vector<BekReading> all_;
};

Result<std::vector<BekReading>> of_bitlocker_bek(const SecretBytes& given, BekType type, const std::string& object) {
  Readings readings;
  if (type == BekType::bitlocker_recovery_password) {
    for (SecretBytes& password : recovery_passwords_in(given)) {
      const bool as_given = std::ranges::equal(std::as_const(password).reveal(), given.reveal());
      readings.add(type, std::move(password), as_given ? "" : "the recovery password in it");
    }
  } else if (type == BekType::bitlocker_password) {
    readings.add_typed(type, given.reveal());
  }
  auto found = std::move(readings).take();
  std::erase_if(found, [&](const BekReading& reading) {
    return !normal_bek(type, SecretBytes::copy_of(reading.bek.reveal()), object);
  });
  if (!found.empty()) return found;
  CAIRN_TRY(SecretBytes bek, normal_bek(type, SecretBytes::copy_of(given.reveal()), object));
  found.push_back({type, std::move(bek), ""});
  return found;
}

}  // namespace

Result<std::vector<BekReading>> bek_readings(const SecretBytes& given, bool of_bitlocker, std::optional<BekType> type,
                                             const std::string& object) {
  if (!type && of_bitlocker) type = bitlocker_bek_type(given);
  if (type && is_bitlocker(*type)) return of_bitlocker_bek(given, *type, object);
  Readings readings;
  if (type != BekType::luks_passphrase) {
    CAIRN_TRY(SecretBytes file, normal_bek(BekType::luks_key_file, SecretBytes::copy_of(given.reveal()), object));
    readings.add(BekType::luks_key_file, std::move(file), "");
    if (type || given.size() > kLongestPassphrase) return std::move(readings).take();
  } else {
    CAIRN_TRY(const SecretBytes typed,
              normal_bek(BekType::luks_passphrase, SecretBytes::copy_of(given.reveal()), object));
  }
  readings.add_typed(BekType::luks_passphrase, given.reveal());
  return std::move(readings).take();
}

bool has_other_letters(const SecretBytes& passphrase) {
  return passphrase.size() <= kLongestPassphrase && is_utf8(as_text(passphrase.reveal())) &&
         std::ranges::any_of(passphrase.reveal(), [](std::uint8_t byte) { return byte >= 0x80; });
}

}  // namespace cairn
