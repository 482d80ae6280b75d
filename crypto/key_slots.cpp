// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/key_slots.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "config/base/unique_fd.h"

namespace cairn {
namespace {

constexpr std::size_t kSlotSaltBytes = 16;
constexpr std::size_t kMinKeyFileBytes = 32;
constexpr std::size_t kSlotNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kWrappedBytes = kSlotNonceBytes + kMasterKeyBytes + crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::uint64_t kMaxMemoryBytes = 4ULL << 30U;
constexpr std::uint64_t kMaxOperations = 64;
static_assert(crypto_pwhash_SALTBYTES == kSlotSaltBytes);

// The key that wraps the master key: Argon2id of a passphrase, keyed BLAKE2b of a key file (random already).
Result<SecretBytes> wrapping_key(KeySlotType type, const SecretBytes& secret, ByteView salt,
                                 const PassphraseCost& cost) {
  SecretBytes key(crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
  if (type == KeySlotType::passphrase) {
    if (crypto_pwhash(key.reveal().data(), key.size(), reinterpret_cast<const char*>(secret.reveal().data()),
                      secret.size(), salt.data(), cost.operations, cost.memory_bytes,
                      crypto_pwhash_ALG_ARGON2ID13) != 0)
      return fail(ErrorCode::out_of_memory, "derive a key from the passphrase", "",
                  "Argon2id needs " + std::to_string(cost.memory_bytes / (1024 * 1024)) + " MiB of memory");
    return key;
  }
  crypto_generichash_state state;
  crypto_generichash_init(&state, salt.data(), salt.size(), key.size());
  crypto_generichash_update(&state, secret.reveal().data(), secret.size());
  crypto_generichash_final(&state, key.reveal().data(), key.size());
  sodium_memzero(&state, sizeof(state));
  return key;
}

// What the wrapping is bound to: a wrapped key cannot be moved to a slot of another kind.
std::string wrapping_context(const KeySlotFactsRow& facts) {
  return "cairn key slot " + facts.id + " " + std::string(to_string(facts.type));
}

std::optional<SecretBytes> try_slot(const KeySlot& slot, const UnlockKey& key, std::optional<Error>& trouble) {
  SecretBytes master_key(kMasterKeyBytes);
  if (slot.facts.type == KeySlotType::recovery) {
    Buffer public_half(crypto_box_PUBLICKEYBYTES);
    crypto_scalarmult_base(public_half.data(), key.secret.reveal().data());
    if (slot.wrapped.size() != kMasterKeyBytes + crypto_box_SEALBYTES ||
        crypto_box_seal_open(master_key.reveal().data(), slot.wrapped.data(), slot.wrapped.size(), public_half.data(),
                             key.secret.reveal().data()) != 0)
      return std::nullopt;
    return master_key;
  }
  if (slot.wrapped.size() != kWrappedBytes) return std::nullopt;
  auto wrapping = wrapping_key(slot.facts.type, key.secret, slot.salt, slot.cost);
  if (!wrapping) {
    trouble = wrapping.error();
    return std::nullopt;
  }
  const std::string context = wrapping_context(slot.facts);
  const ByteView wrapped = slot.wrapped;
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(master_key.reveal().data(), nullptr, nullptr,
                                                 wrapped.data() + kSlotNonceBytes, wrapped.size() - kSlotNonceBytes,
                                                 as_bytes(context).data(), context.size(), wrapped.data(),
                                                 wrapping->reveal().data()) != 0)
    return std::nullopt;
  return master_key;
}

// Of trying it: bytes of memory that Argon2id goes over. At most kMaxMemoryBytes * kMaxOperations.
std::uint64_t work_of(const KeySlot& slot) {
  return slot.facts.type == KeySlotType::passphrase ? slot.cost.operations * slot.cost.memory_bytes : 0;
}

std::optional<KeySlotType> parse_slot_type(std::string_view text) {
  for (const KeySlotType type : {KeySlotType::passphrase, KeySlotType::key_file, KeySlotType::recovery})
    if (text == to_string(type)) return type;
  return std::nullopt;
}

// The folders above `path` that are not there yet, for nobody else: keys will lie in them.
Result<void> make_folders_above(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
      return fail_errno(errno, "make folder", folder);
    // The key below it must not go with a power cut.
    const std::size_t up = folder.rfind('/');
    const std::string above = up == std::string::npos ? "." : up == 0 ? "/" : folder.substr(0, up);
    const UniqueFd opened(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (opened && ::fsync(opened.get()) != 0 && errno != EROFS && errno != EINVAL)
      return fail_errno(errno, "sync folder", above);
  }
  return {};
}

}  // namespace

std::string_view to_string(KeySlotType type) {
  switch (type) {
    case KeySlotType::passphrase:
      return "passphrase";
    case KeySlotType::key_file:
      return "key-file";
    case KeySlotType::recovery:
      return "recovery";
  }
  return "key-file";
}

Result<KeySlot> make_key_slot(const SecretBytes& master_key, const NewKeySlot& from, UtcTime now) {
  CAIRN_ASSERT(master_key.size() == kMasterKeyBytes);
  KeySlot slot;
  Buffer id(4);
  randombytes_buf(id.data(), id.size());
  slot.facts = {to_hex(id), from.type, from.label, now};
  slot.cost = from.cost;
  if (from.type == KeySlotType::recovery) {
    if (from.recovery_public.size() != crypto_box_PUBLICKEYBYTES)
      return fail(ErrorCode::used_wrongly, "make key slot", from.label,
                  "the recovery key's public half is not 32 bytes long");
    slot.recovery_public = from.recovery_public;
    slot.wrapped.resize(kMasterKeyBytes + crypto_box_SEALBYTES);
    if (crypto_box_seal(slot.wrapped.data(), master_key.reveal().data(), master_key.size(),
                        from.recovery_public.data()) != 0)
      return fail(ErrorCode::used_wrongly, "make key slot", from.label,
                  "the recovery key's public half is not a usable X25519 key");
    return slot;
  }
  if (from.secret.empty())
    return fail(ErrorCode::used_wrongly, "make key slot", from.label, "the passphrase is empty",
                "choose a long passphrase");
  if (from.type == KeySlotType::key_file && from.secret.size() < kMinKeyFileBytes)
    return fail(ErrorCode::key_file_invalid, "make key slot", from.label,
                "the key file has " + std::to_string(from.secret.size()) + " bytes, at least 32 are needed",
                "make one with \"cairn store init --create-key-file\", or use a passphrase");
  slot.salt.resize(kSlotSaltBytes);
  randombytes_buf(slot.salt.data(), slot.salt.size());
  CAIRN_TRY(const SecretBytes wrapping, wrapping_key(from.type, from.secret, slot.salt, from.cost));
  slot.wrapped.resize(kWrappedBytes);
  randombytes_buf(slot.wrapped.data(), kSlotNonceBytes);
  const std::string context = wrapping_context(slot.facts);
  crypto_aead_xchacha20poly1305_ietf_encrypt(slot.wrapped.data() + kSlotNonceBytes, nullptr, master_key.reveal().data(),
                                             master_key.size(), as_bytes(context).data(), context.size(), nullptr,
                                             slot.wrapped.data(), wrapping.reveal().data());
  return slot;
}

Result<SecretBytes> open_key_slots(std::span<const KeySlot> slots, const UnlockKey& key, const std::string& object) {
  std::vector<const KeySlot*> meant;
  for (const KeySlot& slot : slots)
    if (slot.facts.type == key.type) meant.push_back(&slot);
  const bool any = !meant.empty();
  // Nobody knows yet who wrote these slots: what somebody added at a great cost must not keep out whoever has a key.
  std::ranges::stable_sort(meant, {}, [](const KeySlot* slot) { return work_of(*slot); });
  std::optional<Error> trouble;
  std::uint64_t work = 0;
  for (const KeySlot* slot : meant) {
    work += work_of(*slot);
    if (work > kMaxPassphraseWork && slot != meant.front())  // the cheapest is always tried
      return fail(ErrorCode::too_many_key_slots, "unlock store", object,
                  "its " + std::to_string(meant.size()) + " passphrase slots cost more to try than is allowed");
    if (auto master_key = try_slot(*slot, key, trouble)) return *std::move(master_key);
  }
  if (trouble) return pass_on(*std::move(trouble));
  return fail(ErrorCode::wrong_key, "unlock store", object,
              any ? "the " + std::string(to_string(key.type)) + " from " + key.source + " opens none of its key slots"
                  : "it has no key slot of type " + std::string(to_string(key.type)) + " (for " + key.source + ")");
}

nlohmann::json to_json(const KeySlot& slot) {
  nlohmann::json document = {{"id", slot.facts.id},
                             {"type", to_string(slot.facts.type)},
                             {"label", slot.facts.label},
                             {"created", iso_time(slot.facts.created)},
                             {"wrapped", to_hex(slot.wrapped)}};
  if (slot.facts.type == KeySlotType::recovery) {
    document["recovery_public"] = to_hex(slot.recovery_public);
  } else {
    document["salt"] = to_hex(slot.salt);
  }
  if (slot.facts.type == KeySlotType::passphrase)
    document["argon2id"] = {{"operations", slot.cost.operations}, {"memory_bytes", slot.cost.memory_bytes}};
  return document;
}

Result<KeySlot> key_slot_from_json(const nlohmann::json& document, const std::string& object) {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::store_damaged, "read key slot of store", object, std::move(because));
  };
  const auto read = [&]() -> Result<KeySlot> {
    KeySlot slot;
    slot.facts.id = document.at("id").get<std::string>();
    slot.facts.label = document.at("label").get<std::string>();
    const auto type = parse_slot_type(document.at("type").get<std::string>());
    if (!type) return damaged("a key slot has an unknown type");
    slot.facts.type = *type;
    const auto created = parse_iso_time(document.at("created").get<std::string>());
    if (!created) return damaged("a key slot's time is not a time");
    slot.facts.created = *created;
    const auto bytes_of = [&](const char* key) { return from_hex(document.at(key).get<std::string>()); };
    const auto wrapped = bytes_of("wrapped");
    if (!wrapped) return damaged("a key slot's wrapped key is not hexadecimal");
    slot.wrapped = *wrapped;
    if (*type == KeySlotType::recovery) {
      const auto public_half = bytes_of("recovery_public");
      if (!public_half || public_half->size() != crypto_box_PUBLICKEYBYTES)
        return damaged("a recovery slot's public key is not 32 bytes");
      slot.recovery_public = *public_half;
    } else {
      const auto salt = bytes_of("salt");
      if (!salt || salt->size() != kSlotSaltBytes) return damaged("a key slot's salt is not 16 bytes");
      slot.salt = *salt;
    }
    if (*type == KeySlotType::passphrase) {
      slot.cost.operations = whole_number<std::uint64_t>(document.at("argon2id").at("operations"));
      slot.cost.memory_bytes = whole_number<std::uint64_t>(document.at("argon2id").at("memory_bytes"));
      if (slot.cost.operations < crypto_pwhash_OPSLIMIT_MIN || slot.cost.operations > kMaxOperations ||
          slot.cost.memory_bytes < crypto_pwhash_MEMLIMIT_MIN || slot.cost.memory_bytes > kMaxMemoryBytes)
        return damaged("a key slot's Argon2id cost is out of range");
    }
    return slot;
  };
  return read_document(read,
                       [&](const std::string&) { return damaged("a key slot does not have the form it must have"); });
}

Result<void> create_key_file(const std::string& path) {
  CAIRN_CHECK(make_folders_above(path));
  SecretBytes key = SecretBytes::random(32);
  SecretBytes text(65 + 1);  // sodium_bin2hex ends with a NUL
  sodium_bin2hex(reinterpret_cast<char*>(text.reveal().data()), 65, key.reveal().data(), key.size());
  text.reveal()[64] = '\n';
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) {
    if (errno == EEXIST)
      return fail(ErrorCode::target_exists, "create key file", path, "there is a file of that name",
                  "leave it, or name another");
    return fail_errno(errno, "create key file", path);
  }
  const auto give_up = [&](int sys_errno) {
    ::unlink(path.c_str());
    return fail_errno(sys_errno, "write key file", path);
  };
  const ssize_t written = ::write(file.get(), text.reveal().data(), 65);
  if (written != 65) return give_up(written < 0 ? errno : ENOSPC);
  if (::fsync(file.get()) != 0) return give_up(errno);
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const UniqueFd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return give_up(errno);
  return {};
}

Result<SecretBytes> read_key_file(const std::string& path, const KeyFileRules& rules) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR) return fail(ErrorCode::key_file_missing, "read key file", path);
    return fail_errno(errno, "read key file", path);
  }
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) return fail_errno(errno, "read key file", path);
  if (!S_ISREG(facts.st_mode))
    return fail(ErrorCode::key_file_invalid, "read key file", path, "it is not a regular file");
  if ((facts.st_mode & 077U) != 0 && !rules.any_mode)
    return fail(ErrorCode::key_file_permissions, "use key file", path, "others than its owner have access to it",
                "chmod 0600 " + path + "; where modes cannot be changed (FAT, NTFS): " + rules.without_modes);
  if (facts.st_uid != 0 && facts.st_uid != ::geteuid() && !rules.any_mode)
    return fail(ErrorCode::key_file_permissions, "use key file", path,
                "it belongs to user " + std::to_string(facts.st_uid) + ", who is neither root nor this user",
                "chown it to the user that runs Cairn");
  if (facts.st_size == 0) return fail(ErrorCode::key_file_invalid, "read key file", path, "it is empty");
  if (static_cast<std::size_t>(facts.st_size) > rules.longest)
    return fail(ErrorCode::key_file_invalid, "read key file", path,
                "it has " + std::to_string(facts.st_size) + " bytes, at most " + std::to_string(rules.longest) +
                    " are allowed");
  SecretBytes bytes(static_cast<std::size_t>(facts.st_size));
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.reveal().data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read key file", path);
    if (got == 0)
      return fail(ErrorCode::key_file_invalid, "read key file", path, "it became shorter while it was read");
    have += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace cairn
