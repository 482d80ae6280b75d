// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/local/vault_session.h"

namespace cairn {

Result<VaultNow> read_vault(const VaultDirectory& directory, const VaultAccess& access) {
  const std::string object = directory.path_of(kVaultName);
  CAIRN_TRY(const auto file, directory.read(kVaultName, kMaxVaultFile));
  if (!file) return fail(ErrorCode::vault_missing, "use key vault", directory.path().string(), "it has no file vault");
  VaultNow now;
  CAIRN_TRY(now.header, read_vault_header(*file, object));
  if (now.header.id != access.id)
    return fail(ErrorCode::vault_wrong_key, "use key vault", object,
                "another vault has taken the place of the one that was opened", "open it anew");
  CAIRN_TRY(now.contents, open_vault_file(*file, access.keys, object));
  return now;
}

Result<std::unique_ptr<VaultSession>> VaultSession::begin(const VaultAccess& access, AuditLog::Memory& memory,
                                                          std::size_t keep) {
  CAIRN_TRY(VaultDirectory directory, VaultDirectory::open(access.path, access.system));
  std::unique_ptr<VaultSession> session(new VaultSession(access, std::move(directory)));
  CAIRN_TRY(session->lock_, session->directory_.lock());
  CAIRN_TRY(session->now_, read_vault(session->directory_, access));
  CAIRN_TRY(session->log_,
            AuditLog::open(session->directory_, access.system, access.keys.audit, session->now_.contents.audit, memory,
                           access.clock, keep > 0, keep, keep > 0 ? &session->kept_ : nullptr));
  return session;
}

Result<void> VaultSession::record(const AuditEntry& entry) {
  return log_->append(log_->prepare(entry));
}

Result<void> VaultSession::commit(const AuditEntry& entry) {
  const auto failed = [&](Error error) -> std::unexpected<Error> {
    AuditEntry failure = entry;
    failure.outcome = "failed";
    failure.detail = std::string(error.name()) + ": " + error.message();
    static_cast<void>(record(failure).has_value());  // the first error is the one to report
    return pass_on(std::move(error));
  };
  const AuditLog::Prepared prepared = log_->prepare(entry);
  now_.contents.audit = prepared.mark;
  auto file = seal_vault_file(now_.header, now_.contents, access_.keys, directory_.path_of(kVaultName));
  if (!file) return failed(file.error());
  // Durable before the entry is written, so that little is left to go wrong afterwards.
  if (auto written = directory_.write_new(kVaultTemporary, *file); !written) return failed(written.error());
  if (auto appended = log_->append(prepared); !appended) {
    directory_.remove(kVaultTemporary);
    return appended;
  }
  // When this fails the next call finds that the vault does not know of the entry, and notes that it was undone.
  CAIRN_CHECK(directory_.publish(kVaultTemporary, kVaultName));
  log_->marked(prepared.mark);
  return {};
}

}  // namespace cairn
