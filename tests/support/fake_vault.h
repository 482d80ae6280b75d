// SPDX-License-Identifier: GPL-3.0-or-later
// FakeVault: a key vault in memory, with real keys, a policy, and failures to switch on. Passes the contract suite
// (tests/crypto/vault/contract.h). Copies of its `Inside` are the same vault as another principal. Any thread.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crypto/vault/kek_backup.h"
#include "crypto/vault/local/vault_entries.h"

namespace cairn {

class FakeVault final : public KeyVault {
 public:
  // What a vault holds, and how it is to behave. Change it while no call is running.
  struct Inside {
    VaultContents contents;  // its versions of keys have nothing in `sealed`
    std::map<std::pair<std::string, VersionNumber>, Kek> keks;
    UtcTime now;
    bool portable = true;             // false: backups of keys are sealed, and nothing can restore them
    bool gives_keks_out = true;       // false: backup_kek is not supported
    std::map<Right, Error> failures;  // every call with this right fails so, until it is taken out
    std::map<Right, unsigned> calls;  // how many there were, refused and failed ones included
    std::mutex mutex;
  };

  // A new vault, in which `principal` may do all.
  explicit FakeVault(std::string name = "main", const std::string& principal = "cairn-backup")
      : FakeVault(std::move(name), principal, std::make_shared<Inside>()) {
    inside_->contents.policy.grant(principal, rights_of(RightsTemplate::admin));
  }
  // The same vault as another principal.
  FakeVault(std::string name, std::string principal, std::shared_ptr<Inside> inside)
      : name_(std::move(name)), principal_(std::move(principal)), inside_(std::move(inside)) {}

  [[nodiscard]] const std::shared_ptr<Inside>& inside() const { return inside_; }
  void fail(Right right, ErrorCode code) {
    inside_->failures[right] = {code, "use key vault", name_, "the test says so", 0, {}};
  }
  void repair() { inside_->failures.clear(); }

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] const std::string& principal() const override { return principal_; }
  [[nodiscard]] bool keks_are_portable() const override { return inside_->portable; }

  Result<std::vector<Right>> missing_rights(std::span<const Right> rights) override {
    const std::lock_guard lock(inside_->mutex);
    std::vector<Right> missing;
    for (const Right right : rights)
      if (!inside_->contents.policy.allows(principal_, right)) missing.push_back(right);
    return missing;
  }

  Result<std::vector<KekFacts>> list_keks() override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow(Right::keys_list, "keys of " + name_));
    std::vector<KekFacts> all;
    for (const auto& [name, kek] : inside_->contents.keks) all.push_back(facts_of(name, kek));
    return all;
  }
  Result<KekFacts> get_kek(const std::string& kek) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_kek(Right::keys_get, kek));
    CAIRN_TRY(const KeptKek* const kept, find_kek(inside_->contents, name_, kek));
    return facts_of(kek, *kept);
  }
  Result<KekFacts> create_kek(const std::string& kek, KekType type) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_kek(Right::keys_create, kek));
    if (inside_->contents.keks.contains(kek))
      return cairn::fail(ErrorCode::kek_exists, "create key", name_ + "/" + kek);
    CAIRN_CHECK(check_room_for_kek(inside_->contents, name_, kek, "create"));
    return put(kek, 1, Kek::generate(type), inside_->now);
  }
  Result<KekFacts> rotate_kek(const std::string& kek) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_kek(Right::keys_create, kek));
    CAIRN_TRY(const KeptKek* const kept, find_kek(inside_->contents, name_, kek));
    CAIRN_TRY(const VersionNumber number, next_version(*kept, "rotate key", name_ + "/" + kek));
    return put(kek, number, Kek::generate(kept->type), inside_->now);
  }
  Result<void> delete_kek(const std::string& kek) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_kek(Right::keys_delete, kek));
    CAIRN_CHECK(find_kek(inside_->contents, name_, kek));
    inside_->contents.keks.erase(kek);
    std::erase_if(inside_->keks, [&](const auto& entry) { return entry.first.first == kek; });
    return {};
  }

  Result<Wrapped> wrap(const std::string& kek, const SecretBytes& bek) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_kek(Right::keys_wrap, kek));
    if (bek.empty() || bek.size() > kMaxBekBytes)
      return cairn::fail(ErrorCode::used_wrongly, "wrap with key", kek, "it is empty or too long");
    CAIRN_TRY(const KeptKek* const kept, find_kek(inside_->contents, name_, kek));
    const VersionNumber number = kept->versions.rbegin()->first;
    Wrapped wrapped = inside_->keks.at({kek, number}).wrap(bek);
    wrapped.version = std::to_string(number);
    return wrapped;
  }
  Result<SecretBytes> unwrap(const std::string& kek, const Wrapped& wrapped) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_kek(Right::keys_unwrap, kek));
    CAIRN_TRY(const KeptKek* const kept, find_kek(inside_->contents, name_, kek));
    CAIRN_TRY(const VersionNumber number, find_version(*kept, name_, kek, wrapped.version));
    return inside_->keks.at({kek, number}).unwrap(wrapped, "key " + name_ + "/" + kek);
  }

  Result<KekBackup> backup_kek(const std::string& kek, const std::string& version,
                               std::span<const EscrowOwner> owners) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_kek(Right::keys_backup, kek));
    if (!inside_->gives_keks_out)
      return cairn::fail(ErrorCode::not_supported_yet, "back up key", name_ + "/" + kek, "it never leaves this vault");
    if (owners.empty()) return cairn::fail(ErrorCode::used_wrongly, "back up key", kek, "nobody to seal it for");
    CAIRN_TRY(const KeptKek* const kept, find_kek(inside_->contents, name_, kek));
    CAIRN_TRY(const VersionNumber number, find_version(*kept, name_, kek, version));
    KekBackup backup;
    backup.name = kek;
    backup.version = version;
    backup.type = to_string(kept->type);
    backup.created = kept->versions.at(number).created;
    backup.portable = inside_->portable;
    // Not portable: something that only its vault could read.
    const SecretBytes sealed = inside_->portable ? inside_->keks.at({kek, number}).encode()
                                                 : SecretBytes::copy_of(as_bytes("a vendor's blob"));
    backup.sealed = seal_escrow(sealed, owners, backup.escrow_context());
    return backup;
  }
  Result<Restored> restore_kek(const KekBackup& backup, const EscrowKeys& owner) override {
    const std::lock_guard lock(inside_->mutex);
    const std::string object = name_ + "/" + backup.name;
    CAIRN_CHECK(allow_kek(Right::keys_restore, backup.name));
    CAIRN_CHECK(check_room_for_kek(inside_->contents, name_, backup.name, "restore"));
    CAIRN_TRY(const VersionNumber number, version_number(backup.version, "restore key", object));
    CAIRN_TRY(Kek kek, open_kek_backup(backup, owner, "key " + object));
    const auto kept = inside_->contents.keks.find(backup.name);
    if (const auto there = inside_->keks.find({backup.name, number}); there != inside_->keks.end()) {
      if (there->second.public_half() == kek.public_half()) return Restored::was_there;
      return cairn::fail(ErrorCode::keys_differ, "restore key", object, "its version is another key");
    }
    if (kept != inside_->contents.keks.end() && kept->second.type != kek.type())
      return cairn::fail(ErrorCode::kek_wrong_type, "restore key", object, "it is of another type");
    put(backup.name, number, std::move(kek), backup.created.value_or(inside_->now));
    return Restored::put_back;
  }

  Result<std::vector<SecretFacts>> list_secrets() override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow(Right::secrets_list, "secrets of " + name_));
    std::vector<SecretFacts> all;
    for (const auto& [name, secret] : inside_->contents.secrets) all.push_back(facts_of(name, secret));
    return all;
  }
  Result<StoredBek> get_secret(const std::string& secret) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_secret(Right::secrets_get, secret));
    CAIRN_TRY(const KeptSecret* const kept, find_secret(inside_->contents, name_, secret));
    const auto& [number, bek] = *kept->rbegin();
    return StoredBek{std::to_string(number), bek};
  }
  Result<std::string> set_secret(const std::string& secret, const WrappedBek& bek) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_secret(Right::secrets_set, secret));
    CAIRN_CHECK(check_room_for_secret(inside_->contents, name_, secret, bek, "write"));
    KeptSecret& kept = inside_->contents.secrets[secret];
    CAIRN_TRY(const VersionNumber number, next_version(kept, "write secret", name_ + "/" + secret));
    kept.emplace(number, bek);
    return std::to_string(number);
  }
  Result<Restored> restore_secret(const std::string& secret, const StoredBek& bek) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_secret(Right::secrets_restore, secret));
    CAIRN_CHECK(check_room_for_secret(inside_->contents, name_, secret, bek.bek, "restore"));
    CAIRN_TRY(const VersionNumber number, version_number(bek.version, "restore secret", name_ + "/" + secret));
    const auto [at, is_new] = inside_->contents.secrets[secret].emplace(number, bek.bek);
    if (is_new) return Restored::put_back;
    if (at->second == bek.bek) return Restored::was_there;
    return cairn::fail(ErrorCode::keys_differ, "restore secret", name_ + "/" + secret, "its version is another");
  }
  Result<void> delete_secret(const std::string& secret) override {
    const std::lock_guard lock(inside_->mutex);
    CAIRN_CHECK(allow_secret(Right::secrets_delete, secret));
    CAIRN_CHECK(find_secret(inside_->contents, name_, secret));
    inside_->contents.secrets.erase(secret);
    return {};
  }

 private:
  Result<void> allow(Right right, const std::string& object) {
    ++inside_->calls[right];
    if (!inside_->contents.policy.allows(principal_, right)) return pass_on(denied(name_, principal_, right, object));
    if (const auto found = inside_->failures.find(right); found != inside_->failures.end())
      return pass_on(found->second);
    return {};
  }
  Result<void> allow_kek(Right right, const std::string& kek) { return allow(right, "key " + name_ + "/" + kek); }
  Result<void> allow_secret(Right right, const std::string& secret) {
    return allow(right, "secret " + name_ + "/" + secret);
  }
  KekFacts put(const std::string& name, VersionNumber number, Kek kek, UtcTime created) {
    KeptKek& kept = inside_->contents.keks[name];
    kept.type = kek.type();
    kept.versions[number] = {created, {}};
    inside_->keks.insert_or_assign({name, number}, std::move(kek));
    return facts_of(name, kept);
  }

  std::string name_;
  std::string principal_;
  std::shared_ptr<Inside> inside_;
};

}  // namespace cairn
