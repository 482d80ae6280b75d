// SPDX-License-Identifier: GPL-3.0-or-later
// Making and opening local vaults. The calls on an open one: local_vault.cpp.
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "config/base/text.h"
#include "crypto/vault/local/local_vault.h"
#include "crypto/vault/local/open_local_vault.h"

namespace cairn {
namespace {

// What an interrupted create() may leave.
bool is_leftover(const std::string& name) {
  return name == kVaultLockName || name == kVaultTemporary || name == kAuditTemporary;
}

Result<void> sync_parent(const std::filesystem::path& path, VaultSystem& system) {
  const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const UniqueFd folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || system.sync(folder.get()) != 0) return fail_errno(errno, "sync folder", parent.string());
  return {};
}

// The two files of a new vault.
struct NewVault {
  Buffer vault;
  std::string log;
};

Result<NewVault> make(const NewKeySlot& key, const std::string& administrator, const std::string& service,
                      const Clock& clock, const std::string& object) {
  const SecretBytes master_key = SecretBytes::random(kMasterKeyBytes);
  const VaultKeys keys(master_key);
  VaultHeader header;
  randombytes_buf(header.id.data(), header.id.size());
  CAIRN_TRY(KeySlot slot, make_key_slot(master_key, key, clock.now()));
  header.slots.push_back(std::move(slot));

  VaultContents contents;
  contents.created = clock.now();
  contents.policy.grant(administrator, rights_of(RightsTemplate::admin));
  contents.policy.grant(service, rights_of(RightsTemplate::backup));
  AuditEntry entry;
  entry.number = 1;
  entry.time = clock.now();
  entry.principal = administrator;
  entry.operation = "vault:init";
  entry.object = "vault";
  entry.outcome = "done";
  entry.detail = "service " + service;
  entry.pid = ::getpid();
  contents.audit.number = 1;
  NewVault made;
  made.log = write_audit_line(entry, Buffer(32), keys.audit, contents.audit.mac);
  CAIRN_TRY(made.vault, seal_vault_file(header, contents, keys, object));
  return made;
}

Result<void> fill(const VaultDirectory& directory, const NewVault& made) {
  const auto exists = [&](const std::string& name) {
    return fail(ErrorCode::vault_exists, "make key vault", directory.path().string(),
                "the directory has a file " + name);
  };
  CAIRN_TRY(const VaultLock lock, directory.lock());
  // Only now: another process may have been faster.
  CAIRN_TRY(const auto names, directory.names());
  for (const std::string& name : names)
    if (!is_leftover(name)) return exists(name);
  CAIRN_CHECK(directory.write_new(kAuditTemporary, as_bytes(made.log)));
  auto written = directory.write_new(kVaultTemporary, made.vault);
  // The vault is there from here on. Without its log it would begin a new one, and say so.
  if (written) written = directory.publish(kVaultTemporary, kVaultName);
  if (written) written = directory.publish(kAuditTemporary, kAuditName);
  if (written) return written;
  for (const char* name : {kVaultName, kAuditName, kVaultTemporary, kAuditTemporary}) directory.remove(name);
  return written;
}

}  // namespace

Result<void> LocalVault::create(const std::filesystem::path& path, const NewKeySlot& key,
                                const std::string& administrator, const std::string& service, const Clock& clock,
                                VaultSystem& system) {
  for (const std::string& principal : {administrator, service})
    if (!is_valid_name(principal))
      return fail(ErrorCode::used_wrongly, "make key vault", path.string(),
                  "\"" + principal + "\" is no name of a principal",
                  "names have letters, digits and . _ -, and at most 64 characters");
  CAIRN_TRY(const NewVault made, make(key, administrator, service, clock, path.string()));

  const bool is_new = system.make_directory(path.c_str()) == 0;
  if (!is_new && errno == ENOENT)
    return fail(ErrorCode::target_missing, "make key vault", path.string(), "the directory above it does not exist",
                "is its file system mounted? if it is: mkdir -p " + path.parent_path().string());
  if (!is_new && errno != EEXIST) return fail_errno(errno, "make key vault", path.string());
  const auto filled = [&]() -> Result<void> {
    auto directory = VaultDirectory::open(path, system);
    if (!directory && directory.error().code == ErrorCode::vault_missing)
      return fail(ErrorCode::vault_exists, "make key vault", path.string(), "there is something that is no directory");
    if (!directory) return pass_on(std::move(directory).error());
    CAIRN_TRY(const auto names, directory->names());
    for (const std::string& name : names)
      if (!is_leftover(name))
        return fail(ErrorCode::vault_exists, "make key vault", path.string(), "the directory has a file " + name);
    auto done = fill(*directory, made);
    if (done) done = sync_parent(path, system);
    if (!done && is_new) {
      for (const char* name : {kVaultName, kAuditName, kVaultLockName}) directory->remove(name);
    }
    return done;
  }();
  if (!filled && is_new) static_cast<void>(system.remove_directory(path.c_str()));
  return filled;
}

Result<std::unique_ptr<LocalVault>> LocalVault::open(std::string name, const std::filesystem::path& path,
                                                     const UnlockKey& key, std::string principal, const Clock& clock,
                                                     VaultSystem& system) {
  if (!is_valid_name(principal))
    return fail(ErrorCode::used_wrongly, "open key vault", path.string(),
                "\"" + principal + "\" is no name of a principal", "name one with --principal or in the settings");
  CAIRN_TRY(const VaultDirectory directory, VaultDirectory::open(path, system));
  const std::string object = directory.path_of(kVaultName);
  CAIRN_TRY(const auto file, directory.read(kVaultName, kMaxVaultFile));
  if (!file) return fail(ErrorCode::vault_missing, "open key vault", path.string(), "the directory holds no vault");
  CAIRN_TRY(const VaultHeader header, read_vault_header(*file, object));
  auto master_key = open_key_slots(header.slots, key, path.string());
  if (!master_key) {
    Error error = std::move(master_key).error();
    if (error.code == ErrorCode::wrong_key) {
      error.code = ErrorCode::vault_wrong_key;
      error.doing = "unlock key vault";
    }
    return pass_on(std::move(error));
  }
  VaultAccess access{path, header.id, VaultKeys(*master_key), clock, system};
  CAIRN_CHECK(open_vault_file(*file, access.keys, object));
  return make_open_local_vault(std::move(name), std::move(principal), std::move(access));
}

}  // namespace cairn
