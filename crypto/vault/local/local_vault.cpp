// SPDX-License-Identifier: GPL-3.0-or-later
// The calls of a local vault. Making and opening one: local_vault_open.cpp.
#include "crypto/vault/local/local_vault.h"

#include <algorithm>
#include <mutex>

#include "config/base/guarded.h"
#include "config/base/text.h"
#include "crypto/vault/local/open_local_vault.h"
#include "crypto/vault/local/vault_entries.h"

namespace cairn {
namespace {

class OpenLocalVault final : public LocalVault {
 public:
  OpenLocalVault(std::string name, std::string principal, VaultAccess access)
      : name_(std::move(name)), principal_(std::move(principal)), access_(std::move(access)) {}

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] const std::string& principal() const override { return principal_; }
  [[nodiscard]] bool keks_are_portable() const override { return true; }

  Result<std::vector<Right>> missing_rights(std::span<const Right> rights) override {
    CAIRN_TRY(const VaultNow now, look());
    std::vector<Right> missing;
    for (const Right right : rights)
      if (!now.contents.policy.allows(principal_, right)) missing.push_back(right);
    return missing;
  }

  Result<std::vector<KekFacts>> list_keks() override {
    return call({Right::keys_list, "keys of " + name_, "keys"}, [](Step& step) -> Result<std::vector<KekFacts>> {
      std::vector<KekFacts> all;
      for (const auto& [name, kek] : step.contents().keks) all.push_back(facts_of(name, kek));
      return all;
    });
  }

  Result<KekFacts> get_kek(const std::string& kek) override {
    return call(on_kek(Right::keys_get, kek), [&](Step& step) -> Result<KekFacts> {
      CAIRN_TRY(const KeptKek* const kept, find_kek(step.contents(), name_, kek));
      return facts_of(kek, *kept);
    });
  }

  Result<KekFacts> create_kek(const std::string& kek, KekType type) override {
    // Making RSA keys takes seconds: others need not wait for it.
    std::optional<Kek> made;
    if (auto now = look(); now && now->contents.policy.allows(principal_, Right::keys_create) &&
                           !now->contents.keks.contains(kek) && is_vault_name(kek))
      made = Kek::generate(type);
    return call(on_kek(Right::keys_create, kek), [&](Step& step) -> Result<KekFacts> {
      auto& keks = step.contents().keks;
      if (keks.contains(kek)) return fail(ErrorCode::kek_exists, "create key", name_ + "/" + kek);
      CAIRN_CHECK(check_room_for_kek(step.contents(), name_, kek, "create"));
      if (!made) made = Kek::generate(type);
      KeptKek& kept = keks[kek];
      kept.type = type;
      kept.versions[1] = {access_.clock.now(), seal_kek(*made, access_.keys, step.header(), kek, 1)};
      step.entry.object = kek + " 1";
      return facts_of(kek, kept);
    });
  }

  Result<KekFacts> rotate_kek(const std::string& kek) override {
    std::optional<Kek> made;
    if (auto now = look(); now && now->contents.policy.allows(principal_, Right::keys_create))
      if (const auto found = now->contents.keks.find(kek); found != now->contents.keks.end())
        made = Kek::generate(found->second.type);
    return call(on_kek(Right::keys_create, kek), [&](Step& step) -> Result<KekFacts> {
      CAIRN_TRY(KeptKek* const kept, find_kek(step.contents(), name_, kek));
      CAIRN_TRY(const VersionNumber number, next_version(*kept, "rotate key", name_ + "/" + kek));
      if (!made || made->type() != kept->type) made = Kek::generate(kept->type);
      kept->versions[number] = {access_.clock.now(), seal_kek(*made, access_.keys, step.header(), kek, number)};
      step.entry.object = kek + " " + std::to_string(number);
      return facts_of(kek, *kept);
    });
  }

  Result<void> delete_kek(const std::string& kek) override {
    return call(on_kek(Right::keys_delete, kek), [&](Step& step) -> Result<void> {
      CAIRN_TRY(const KeptKek* const kept, find_kek(step.contents(), name_, kek));
      step.entry.detail = "versions " + versions_of(*kept);
      step.contents().keks.erase(kek);
      return {};
    });
  }

  Result<Wrapped> wrap(const std::string& kek, const SecretBytes& bek) override {
    return call(on_kek(Right::keys_wrap, kek), [&](Step& step) -> Result<Wrapped> {
      if (bek.empty() || bek.size() > kMaxBekBytes)
        return fail(ErrorCode::used_wrongly, "wrap with key", name_ + "/" + kek,
                    "the BEK has " + std::to_string(bek.size()) + " bytes, 1 to " + std::to_string(kMaxBekBytes) + " are allowed");
      CAIRN_TRY(const KeptKek* const kept, find_kek(step.contents(), name_, kek));
      const VersionNumber number = kept->versions.rbegin()->first;
      step.entry.object = kek + " " + std::to_string(number);
      CAIRN_TRY(const Kek opened, open_version(step, kek, *kept, number));
      Wrapped wrapped = opened.wrap(bek);
      wrapped.version = std::to_string(number);
      return wrapped;
    });
  }

  Result<SecretBytes> unwrap(const std::string& kek, const Wrapped& wrapped) override {
    return call(on_kek(Right::keys_unwrap, kek), [&](Step& step) -> Result<SecretBytes> {
      step.entry.object = kek + " " + wrapped.version;
      CAIRN_TRY(const KeptKek* const kept, find_kek(step.contents(), name_, kek));
      CAIRN_TRY(const VersionNumber number, find_version(*kept, name_, kek, wrapped.version));
      CAIRN_TRY(const Kek opened, open_version(step, kek, *kept, number));
      return opened.unwrap(wrapped, "key " + name_ + "/" + kek + " (version " + wrapped.version + ")");
    });
  }

  Result<KekBackup> backup_kek(const std::string& kek, const std::string& version,
                               std::span<const EscrowOwner> owners) override {
    return call(on_kek(Right::keys_backup, kek), [&](Step& step) -> Result<KekBackup> {
      step.entry.object = kek + " " + version;
      if (owners.empty())
        return fail(ErrorCode::used_wrongly, "back up key", name_ + "/" + kek, "there is nobody to seal it for");
      CAIRN_TRY(const KeptKek* const kept, find_kek(step.contents(), name_, kek));
      CAIRN_TRY(const VersionNumber number, find_version(*kept, name_, kek, version));
      CAIRN_TRY(const Kek opened, open_version(step, kek, *kept, number));
      KekBackup backup;
      backup.name = kek;
      backup.version = version;
      backup.type = to_string(kept->type);
      backup.created = kept->versions.at(number).created;
      backup.portable = true;
      backup.sealed = seal_escrow(opened.encode(), owners, backup.escrow_context());
      return backup;
    });
  }

  Result<Restored> restore_kek(const KekBackup& backup, const EscrowKeys& owner) override {
    const std::string object = name_ + "/" + backup.name;
    return call(on_kek(Right::keys_restore, backup.name), [&](Step& step) -> Result<Restored> {
      step.entry.object = backup.name + " " + backup.version;
      CAIRN_CHECK(check_room_for_kek(step.contents(), name_, backup.name, "restore"));
      CAIRN_TRY(const VersionNumber number, version_number(backup.version, "restore key", object));
      CAIRN_TRY(const Kek kek, open_kek_backup(backup, owner, "key " + object + " (version " + backup.version + ")"));
      auto& keks = step.contents().keks;
      const auto found = keks.find(backup.name);
      if (found != keks.end()) {
        CAIRN_TRY(const bool same, is_there(step, backup.name, found->second, number, kek));
        if (same) {
          step.entry.detail = "it was there";
          return Restored::was_there;
        }
      }
      KeptKek& kept = keks[backup.name];
      kept.type = kek.type();
      kept.versions[number] = {backup.created.value_or(access_.clock.now()),
                               seal_kek(kek, access_.keys, step.header(), backup.name, number)};
      return Restored::put_back;
    });
  }

  Result<std::vector<SecretFacts>> list_secrets() override {
    return call({Right::secrets_list, "secrets of " + name_, "secrets"},
                [](Step& step) -> Result<std::vector<SecretFacts>> {
                  std::vector<SecretFacts> all;
                  for (const auto& [name, kept] : step.contents().secrets) all.push_back(facts_of(name, kept));
                  return all;
                });
  }

  Result<StoredBek> get_secret(const std::string& secret) override {
    return call(on_secret(Right::secrets_get, secret), [&](Step& step) -> Result<StoredBek> {
      CAIRN_TRY(const KeptSecret* const kept, find_secret(step.contents(), name_, secret));
      const auto& [number, bek] = *kept->rbegin();
      step.entry.object = secret + " " + std::to_string(number);
      return StoredBek{std::to_string(number), bek};
    });
  }

  Result<std::string> set_secret(const std::string& secret, const WrappedBek& bek) override {
    return call(on_secret(Right::secrets_set, secret), [&](Step& step) -> Result<std::string> {
      CAIRN_CHECK(check_room_for_secret(step.contents(), name_, secret, bek, "write"));
      KeptSecret& kept = step.contents().secrets[secret];
      CAIRN_TRY(const VersionNumber number, next_version(kept, "write secret", name_ + "/" + secret));
      kept.emplace(number, bek);
      step.entry.object = secret + " " + std::to_string(number);
      return std::to_string(number);
    });
  }

  Result<Restored> restore_secret(const std::string& secret, const StoredBek& bek) override {
    return call(on_secret(Right::secrets_restore, secret), [&](Step& step) -> Result<Restored> {
      const std::string object = name_ + "/" + secret;
      step.entry.object = secret + " " + bek.version;
      CAIRN_TRY(const VersionNumber number, version_number(bek.version, "restore secret", object));
      CAIRN_CHECK(check_room_for_secret(step.contents(), name_, secret, bek.bek, "restore"));
      KeptSecret& kept = step.contents().secrets[secret];
      if (const auto found = kept.find(number); found != kept.end()) {
        if (!(found->second == bek.bek))
          return fail(ErrorCode::keys_differ, "restore secret", object,
                      "its version " + bek.version + " in the vault is another");
        step.entry.detail = "it was there";
        return Restored::was_there;
      }
      CAIRN_CHECK(check_room_for_version(kept, "restore secret", object));
      kept.emplace(number, bek.bek);
      return Restored::put_back;
    });
  }

  Result<void> delete_secret(const std::string& secret) override {
    return call(on_secret(Right::secrets_delete, secret), [&](Step& step) -> Result<void> {
      CAIRN_TRY(const KeptSecret* const kept, find_secret(step.contents(), name_, secret));
      step.entry.detail = "versions " + versions_of(*kept);
      step.contents().secrets.erase(secret);
      return {};
    });
  }

  Result<AccessPolicy> policy() override {
    return call({Right::policy_get, "policy of " + name_, "policy"},
                [](Step& step) -> Result<AccessPolicy> { return step.contents().policy; });
  }

  Result<void> grant(const std::string& principal, const Rights& rights) override {
    return call({Right::policy_set, "policy of " + name_, principal}, [&](Step& step) -> Result<void> {
      step.entry.detail = "grant " + names_of_rights(rights);
      if (!is_valid_name(principal))
        return fail(ErrorCode::used_wrongly, "grant rights to", "\"" + principal + "\"",
                    "that is no name of a principal",
                    "names have letters, digits and . _ -, and at most 64 characters");
      AccessPolicy& policy = step.contents().policy;
      if (!policy.principals().contains(principal) && policy.principals().size() >= kMaxPrincipals)
        return fail(ErrorCode::used_wrongly, "grant rights to", principal,
                    "the policy has 1000 principals, and at most 1000 are allowed", "revoke the rights of others");
      policy.grant(principal, rights);
      return {};
    });
  }

  Result<void> revoke(const std::string& principal, const Rights& rights) override {
    return call({Right::policy_set, "policy of " + name_, principal}, [&](Step& step) -> Result<void> {
      step.entry.detail = "revoke " + names_of_rights(rights);
      return step.contents().policy.revoke(principal, rights);
    });
  }

  Result<std::vector<AuditEntry>> audit(std::size_t limit) override {
    const auto read = [&](Step& step) -> Result<std::vector<AuditEntry>> {
      std::vector<AuditEntry> entries;
      for (const std::string& line : step.session.kept()) {
        CAIRN_TRY(AuditEntry entry, parse_audit_line(line, access_.path / kAuditName));
        if (limit > 0) entries.push_back(std::move(entry));
      }
      return entries;
    };
    return call({Right::policy_get, "audit log of " + name_, kAuditName}, read, std::max<std::size_t>(1, limit));
  }

  Result<void> authorise(Right right, const std::string& object) override {
    return call({right, object, object}, [](Step&) -> Result<void> { return {}; });
  }

 private:
  // What a call is about.
  struct Subject {
    Right right;
    std::string shown;   // in messages: "key main/backup"
    std::string logged;  // in the audit log: "backup"
  };
  // What a call works with. It may say more in `entry`, and change contents() if its right is one that changes.
  struct Step {
    VaultSession& session;
    AuditEntry& entry;
    [[nodiscard]] VaultContents& contents() const { return session.contents(); }
    [[nodiscard]] const VaultHeader& header() const { return session.header(); }
  };

  Subject on_kek(Right right, const std::string& kek) const { return {right, "key " + name_ + "/" + kek, kek}; }
  Subject on_secret(Right right, const std::string& secret) const {
    return {right, "secret " + name_ + "/" + secret, secret};
  }

  // The way of every call: lock, read, right, work, audit entry, and only then the answer.
  template <class Work>
  auto call(const Subject& subject, Work work, std::size_t keep_log_lines = 0)
      -> decltype(work(std::declval<Step&>())) {
    const auto memory = audit_memory_.lock_within(access_.system.lock_wait());
    if (!memory)
      return fail(ErrorCode::vault_locked, "use key vault", access_.path.string(), "this process is using it");
    CAIRN_TRY(const auto session, VaultSession::begin(access_, **memory, keep_log_lines));
    AuditEntry entry;
    entry.principal = principal_;
    entry.operation = to_string(subject.right);
    entry.object = subject.logged;
    if (!session->contents().policy.allows(principal_, subject.right)) {
      entry.outcome = "refused";
      CAIRN_CHECK(session->record(entry));
      return pass_on(denied(name_, principal_, subject.right, subject.shown));
    }
    Step step{*session, entry};
    auto result = work(step);
    if (!result) {
      entry.outcome = "failed";
      entry.detail = std::string(result.error().name()) + ": " + result.error().message();
      CAIRN_CHECK(session->record(entry));
      return result;
    }
    entry.outcome = "done";
    CAIRN_CHECK(is_change(entry.operation) ? session->commit(entry) : session->record(entry));
    return result;
  }

  // For what needs no lock and leaves no trace: a file is always whole.
  Result<VaultNow> look() {
    CAIRN_TRY(const VaultDirectory directory, VaultDirectory::open(access_.path, access_.system));
    return read_vault(directory, access_);
  }

  Result<Kek> open_version(const Step& step, const std::string& name, const KeptKek& kept, VersionNumber number) const {
    return open_kek(kept.versions.at(number).sealed, access_.keys, step.header(), name, number,
                    (access_.path / kVaultName).string());
  }

  // Is this version there already? Errors: keys_differ, kek_wrong_type, used_wrongly (no room for one more).
  Result<bool> is_there(const Step& step, const std::string& name, const KeptKek& kept, VersionNumber number,
                        const Kek& kek) const {
    const std::string object = name_ + "/" + name;
    if (kept.versions.contains(number)) {
      CAIRN_TRY(const Kek there, open_version(step, name, kept, number));
      if (same_key(there, kek)) return true;
      return fail(ErrorCode::keys_differ, "restore key", object,
                  "its version " + std::to_string(number) + " in the vault is another key");
    }
    if (kept.type != kek.type())
      return fail(ErrorCode::kek_wrong_type, "restore key", object,
                  "the vault's is of type " + std::string(to_string(kept.type)) + ", the one to restore is of type " +
                      std::string(to_string(kek.type())),
                  "restore into an empty vault");
    CAIRN_CHECK(check_room_for_version(kept, "restore key", object));
    return false;
  }

  static bool same_key(const Kek& a, const Kek& b) {
    return a.type() == b.type() && a.public_half() == b.public_half();
  }

  static std::string names_of_rights(const Rights& rights) {
    std::string text;
    for (const Right right : rights) text.append(text.empty() ? "" : " ").append(to_string(right));
    return text;
  }

  const std::string name_;
  const std::string principal_;
  VaultAccess access_;
  // Its lock comes before that of the directory; flock(2) would do, but this one wakes its waiters.
  Guarded<AuditLog::Memory, std::timed_mutex> audit_memory_;
};

}  // namespace

std::unique_ptr<LocalVault> make_open_local_vault(std::string name, std::string principal, VaultAccess access) {
  return std::make_unique<OpenLocalVault>(std::move(name), std::move(principal), std::move(access));
}

}  // namespace cairn
