// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/local/vault_file.h"

#include <sodium.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "crypto/vault/sealed_bytes.h"

namespace cairn {
namespace {

using nlohmann::json;
constexpr std::string_view kMagic = "CAIRNKV\n";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kFixedBytes = 40;
constexpr std::size_t kChecksumBytes = 32;
constexpr std::size_t kMaxSlotsBytes = std::size_t{64} * 1024;
constexpr std::size_t kMaxSlots = 64;
static_assert(kMasterKeyBytes == crypto_kdf_KEYBYTES);

// Part of the format: never renumber.
enum class SubKey : std::uint64_t { document = 1, private_halves = 2, audit = 3 };

SecretBytes derive(const SecretBytes& master_key, SubKey which) {
  CAIRN_ASSERT(master_key.size() == kMasterKeyBytes);
  SecretBytes key(32);
  crypto_kdf_derive_from_key(key.reveal().data(), key.size(), static_cast<std::uint64_t>(which), "cairn-kv",
                             master_key.reveal().data());
  return key;
}

std::unexpected<Error> damaged(const std::string& object, std::string because) {
  return fail(ErrorCode::vault_damaged, "read key vault", object, std::move(because));
}

Buffer checksum_of(ByteView bytes) {
  Buffer sum(kChecksumBytes);
  crypto_generichash(sum.data(), sum.size(), bytes.data(), bytes.size(), nullptr, 0);
  return sum;
}

// The parts of a file whose checksum holds.
struct Parts {
  ByteView clear;  // fixed part and slots: authenticated with the sealed part
  ByteView slots;
  ByteView sealed;
};

Result<Parts> split(ByteView file, const std::string& object) {
  if (file.size() > kMaxVaultFile)
    return damaged(object, "it has " + std::to_string(file.size()) + " bytes, at most 64 MiB are allowed");
  if (file.size() < kFixedBytes + kSealedBytesOverhead + kChecksumBytes)
    return damaged(object, "it has only " + std::to_string(file.size()) + " bytes: it is cut off");
  if (as_text(file.first(kMagic.size())) != kMagic)
    return damaged(object, "it does not begin as the file of a key vault");
  const ByteView covered = file.first(file.size() - kChecksumBytes);
  if (!std::ranges::equal(checksum_of(covered), file.last(kChecksumBytes)))
    return damaged(object, "its checksum does not hold: it is cut off or altered");
  // Versions to come must have magic, version and checksum where this one has them.
  const auto version = get_le<std::uint32_t>(file.subspan(8));
  if (version > kVersion)
    return fail(ErrorCode::vault_too_new, "read key vault", object,
                "it has format " + std::to_string(version) + ", this version knows format 1");
  if (version != kVersion) return damaged(object, "it has format 0, which there is not");
  const std::uint64_t slots = get_le<std::uint32_t>(file.subspan(12));
  const auto sealed = get_le<std::uint64_t>(file.subspan(16));
  const std::uint64_t left = covered.size() - kFixedBytes;
  if (slots > kMaxSlotsBytes || slots > left || sealed != left - slots || sealed < kSealedBytesOverhead)
    return damaged(object, "the lengths in its header do not add up");
  const std::size_t clear = kFixedBytes + static_cast<std::size_t>(slots);
  return Parts{file.first(clear), file.subspan(kFixedBytes, static_cast<std::size_t>(slots)),
               file.subspan(clear, static_cast<std::size_t>(sealed))};
}

std::string kek_context(const VaultHeader& header, const std::string& name, VersionNumber version) {
  return "cairn kek " + to_hex(header.id) + " " + name + " " + std::to_string(version);
}

}  // namespace

VaultKeys::VaultKeys(const SecretBytes& master_key)
    : document(derive(master_key, SubKey::document)),
      private_halves(derive(master_key, SubKey::private_halves)),
      audit(derive(master_key, SubKey::audit)) {}

Result<VaultHeader> read_vault_header(ByteView file, const std::string& object) {
  CAIRN_TRY(const Parts parts, split(file, object));
  VaultHeader header;
  std::ranges::copy(file.subspan(24, header.id.size()), header.id.begin());
  const json slots = parse_json(as_text(parts.slots)).value_or(nullptr);
  if (!slots.is_array() || slots.empty() || slots.size() > kMaxSlots)
    return damaged(object, "its key slots are no list, or there are none or too many");
  for (const json& slot : slots) {
    auto read = key_slot_from_json(slot, object);
    if (!read) return damaged(object, read.error().because);
    header.slots.push_back(*std::move(read));
  }
  return header;
}

Result<VaultContents> open_vault_file(ByteView file, const VaultKeys& keys, const std::string& object) {
  CAIRN_TRY(const Parts parts, split(file, object));
  Buffer plain(parts.sealed.size() - kSealedBytesOverhead);
  if (!open_bytes(keys.document, parts.sealed, parts.clear, plain))
    return damaged(object, "its seal does not hold: it was altered by somebody who made the checksum fit");
  return vault_contents_from_json(parse_json(as_text(plain)).value_or(nullptr), object);
}

Result<Buffer> seal_vault_file(const VaultHeader& header, const VaultContents& contents, const VaultKeys& keys,
                               const std::string& object) {
  json slots = json::array();
  for (const KeySlot& slot : header.slots) slots.push_back(to_json(slot));
  const std::string slots_text = json_text(slots, JsonForm::compact_ascii);
  const std::string document = json_text(to_json(contents), JsonForm::compact_ascii);
  CAIRN_ASSERT(slots_text.size() <= kMaxSlotsBytes);
  Buffer file;
  append(file, as_bytes(kMagic));
  append_le(file, kVersion);
  append_le(file, static_cast<std::uint32_t>(slots_text.size()));
  append_le(file, static_cast<std::uint64_t>(document.size() + kSealedBytesOverhead));
  append(file, header.id);
  CAIRN_ASSERT(file.size() == kFixedBytes);
  append(file, as_bytes(slots_text));
  append(file, seal_bytes(keys.document, as_bytes(document), file));
  append(file, checksum_of(file));
  if (file.size() > kMaxVaultFile)
    return fail(ErrorCode::used_wrongly, "write key vault", object, "it would have over 64 MiB",
                "delete keys or secrets that nothing needs any more");
  return file;
}

Buffer seal_kek(const Kek& kek, const VaultKeys& keys, const VaultHeader& header, const std::string& name,
                VersionNumber version) {
  return seal_bytes(keys.private_halves, kek.encode().reveal(), as_bytes(kek_context(header, name, version)));
}

Result<Kek> open_kek(ByteView sealed, const VaultKeys& keys, const VaultHeader& header, const std::string& name,
                     VersionNumber version, const std::string& object) {
  const auto bad = [&] { return damaged(object, "the private half of key " + name + " cannot be opened"); };
  if (sealed.size() < kSealedBytesOverhead) return bad();
  SecretBytes encoded(sealed.size() - kSealedBytesOverhead);
  if (!open_bytes(keys.private_halves, sealed, as_bytes(kek_context(header, name, version)), encoded.reveal()))
    return bad();
  auto kek = Kek::decode(encoded, object);
  if (!kek) return bad();
  return kek;
}

}  // namespace cairn
