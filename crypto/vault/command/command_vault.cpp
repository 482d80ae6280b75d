// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/command/command_vault.h"

#include <fmt/core.h>
#include <sodium.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "config/base/json.h"
#include "config/base/text.h"
#include "crypto/secret_command.h"
#include "crypto/vault/command/vault_answers.h"
#include "crypto/vault/vault_errors.h"

namespace cairn {
namespace {

constexpr std::size_t kMaxList = std::size_t{1024} * 1024;
constexpr std::size_t kMaxAnswer = kMaxBekBytes / 2 * 3;  // a BEK, wrapped, as text perhaps
constexpr std::size_t kMaxDocument = 3 * kMaxAnswer;      // the same in hexadecimal, and the rest
// What a command vault wraps only its own command unwraps.
constexpr const char* kAlgorithm = "command";

void replace_all(std::string& word, std::string_view what, const std::string& with) {
  for (std::size_t at = word.find(what); at != std::string::npos; at = word.find(what, at + with.size()))
    word.replace(at, what.size(), with);
}

// What an operation is about; both are checked before they reach argv.
struct Subject {
  std::string name;
  std::string version;
};

class CommandVault final : public KeyVault {
 public:
  CommandVault(std::string name, const KeyVaultSettings& settings)
      : name_(std::move(name)),
        principal_(settings.principal),
        commands_(settings.commands),
        timeout_(settings.timeout) {}

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] const std::string& principal() const override { return principal_; }
  [[nodiscard]] bool keks_are_portable() const override { return false; }
  Result<std::vector<Right>> missing_rights(std::span<const Right> /*rights*/) override { return std::vector<Right>(); }

  Result<std::vector<KekFacts>> list_keks() override {
    CAIRN_TRY(VaultList all, list());
    return std::move(all.keks);
  }

  Result<KekFacts> get_kek(const std::string& kek) override {
    CAIRN_TRY(const std::vector<KekFacts> keks, list_keks());
    const auto found = std::find_if(keks.begin(), keks.end(), [&](const KekFacts& known) { return known.name == kek; });
    if (found == keks.end()) return no_such_kek(name_, kek, keks);
    return *found;
  }

  Result<KekFacts> create_kek(const std::string& kek, KekType /*type*/) override {
    return by_its_tools("create key", kek);
  }
  Result<KekFacts> rotate_kek(const std::string& kek) override { return by_its_tools("rotate key", kek); }
  Result<void> delete_kek(const std::string& kek) override { return by_its_tools("delete key", kek); }
  Result<void> delete_secret(const std::string& secret) override { return by_its_tools("delete secret", secret); }
  Result<Restored> restore_secret(const std::string& secret, const StoredBek& /*bek*/) override {
    return by_its_tools("restore secret", secret);
  }
  Result<Restored> restore_kek(const KekBackup& backup, const EscrowKeys& /*owner*/) override {
    return by_its_tools("restore key", backup.name);
  }

  Result<Wrapped> wrap(const std::string& kek, const SecretBytes& bek) override {
    CAIRN_TRY(const KekFacts facts, get_kek(kek));
    const Subject subject{kek, facts.versions.back().version};
    const SecretCommand command = command_for("wrap", commands_.wrap, subject, &bek);
    CAIRN_TRY(const CommandOutput output, answer_of(command));
    return Wrapped{subject.version, kAlgorithm, Buffer(output.bytes.reveal().begin(), output.bytes.reveal().end())};
  }

  Result<SecretBytes> unwrap(const std::string& kek, const Wrapped& wrapped) override {
    if (wrapped.algorithm != kAlgorithm || !is_vault_name(kek) || !is_vault_version(wrapped.version)) {
      CAIRN_TRY(const KekFacts facts, get_kek(kek));
      if (wrapped.algorithm == kAlgorithm) return no_such_kek_version(name_, facts, wrapped.version);
      return fail(ErrorCode::kek_wrong_type, "unwrap with key", name_ + "/" + kek,
                  fmt::format("it was wrapped by {}, and not by a vault with provider \"command\"", wrapped.algorithm));
    }
    const Subject subject{kek, wrapped.version};
    const SecretBytes input = SecretBytes::copy_of(wrapped.bytes);
    auto bek = unwrap_bytes(subject, input);
    if (bek || bek.error().code != ErrorCode::vault_command_failed) return bek;
    // Why it failed only the command knows; what can be found out: there is no such key, or it unwraps other bytes.
    CAIRN_CHECK(check_version(subject));
    if (!key_works(subject)) return bek;
    auto again = unwrap_bytes(subject, input);
    if (again || again.error().code != ErrorCode::vault_command_failed) return again;
    return fail(ErrorCode::unwrap_failed, again.error().doing, again.error().object,
                "it unwraps other bytes, but not these: " + again.error().because);
  }

  Result<KekBackup> backup_kek(const std::string& kek, const std::string& version,
                               std::span<const EscrowOwner> owners) override {
    if (commands_.backup.empty())
      return fail(ErrorCode::not_supported_yet, "back up key", name_ + "/" + kek,
                  "the settings name no backup command for this vault",
                  fmt::format("add key_vaults.{}.commands.backup if the vault can give its keys out", name_));
    CAIRN_TRY(const KekFacts facts, get_kek(kek));
    const auto found = std::find_if(facts.versions.begin(), facts.versions.end(),
                                    [&](const VersionFacts& known) { return known.version == version; });
    if (found == facts.versions.end()) return no_such_kek_version(name_, facts, version);
    CAIRN_TRY(const CommandOutput output, answer_of(command_for("backup", commands_.backup, {kek, version})));
    KekBackup backup{kek, version, facts.type, found->created, false, {}};
    backup.sealed = seal_escrow(output.bytes, owners, backup.escrow_context());
    return backup;
  }

  Result<std::vector<SecretFacts>> list_secrets() override {
    CAIRN_TRY(VaultList all, list());
    std::vector<SecretFacts> secrets;
    for (ListedSecret& secret : all.secrets) {
      if (!secret.newest_known) {
        const auto stored = get_secret(secret.facts.name);
        // No wrapped BEK: somebody else keeps something in the same place.
        if (!stored && stored.error().code == ErrorCode::secret_damaged) continue;
        if (!stored) return pass_on(stored.error());
        SecretVersionFacts& facts = secret.facts.versions.emplace_back();
        facts.version = stored->version;
        facts.created = stored->bek.created;
        facts.type = stored->bek.type;
        facts.file_name = stored->bek.file_name;
        facts.kek = stored->bek.kek;
        facts.kek_version = stored->bek.wrapped.version;
      }
      secrets.push_back(std::move(secret.facts));
    }
    return secrets;
  }

  Result<StoredBek> get_secret(const std::string& secret) override {
    if (!is_vault_name(secret)) return no_such_secret(name_, secret, {});
    SecretCommand command = command_for("get_secret", commands_.get_secret, {secret, {}});
    command.most_output = kMaxDocument;
    auto output = answer_of(command);
    if (!output) {
      if (output.error().code == ErrorCode::vault_command_failed) CAIRN_CHECK(check_secret(secret));
      return pass_on(std::move(output).error());
    }
    return read_stored_bek(command, *output, name_ + "/" + secret);
  }

  Result<std::string> set_secret(const std::string& secret, const WrappedBek& bek) override {
    if (commands_.set_secret.empty())
      return fail(ErrorCode::not_supported_yet, "set secret", name_ + "/" + secret,
                  "the settings name no set_secret command for this vault",
                  fmt::format("add key_vaults.{}.commands.set_secret, or put it there by other means", name_));
    if (!is_vault_name(secret))
      return fail(ErrorCode::used_wrongly, "set secret", name_ + "/" + secret, "that cannot be a secret's name",
                  "use letters, digits and . _ - only");
    const SecretBytes document = SecretBytes::copy_of(as_bytes(json_text(to_json(bek))));
    const SecretCommand command = command_for("set_secret", commands_.set_secret, {secret, {}}, &document);
    CAIRN_TRY(const CommandOutput output, run_secret_command(command));
    CAIRN_TRY(const std::optional<std::string> version, read_new_version(command, output));
    if (version) return *version;
    // The vault has not said what it calls it, so look: this proves too that it is there.
    CAIRN_TRY(const StoredBek stored, get_secret(secret));
    if (!(stored.bek == bek))
      return command_failed(command, "afterwards get_secret gives another document than was set", output.complaints);
    return stored.version;
  }

 private:
  [[nodiscard]] SecretCommand command_for(const char* operation, const std::vector<std::string>& words,
                                          const Subject& subject, const SecretBytes* input = nullptr) const {
    SecretCommand command;
    command.argv = words;
    // Which program runs is the settings' choice alone, so the first word is left as it is.
    for (std::size_t i = 1; i < command.argv.size(); ++i) {
      replace_all(command.argv[i], "{name}", subject.name);
      replace_all(command.argv[i], "{version}", subject.version);
    }
    command.doing = fmt::format("run {} command of key vault", operation);
    command.object = fmt::format("{} ({})", name_, words.empty() ? "none" : words.front());
    if (!subject.name.empty()) command.object += " for " + subject.name;
    command.failed = ErrorCode::vault_command_failed;
    command.input = input;
    command.most_output = kMaxAnswer;
    command.at_most = timeout_;
    return command;
  }

  // Its output, which is not empty.
  static Result<CommandOutput> answer_of(const SecretCommand& command) {
    CAIRN_TRY(CommandOutput output, run_secret_command(command));
    if (output.bytes.empty()) return command_failed(command, "it printed nothing", output.complaints);
    return output;
  }

  Result<VaultList> list() const {
    SecretCommand command = command_for("list", commands_.list, {});
    command.most_output = kMaxList;
    CAIRN_TRY(const CommandOutput output, run_secret_command(command));
    return read_vault_list(command, output);
  }

  Result<SecretBytes> unwrap_bytes(const Subject& subject, const SecretBytes& input) const {
    SecretCommand command = command_for("unwrap", commands_.unwrap, subject, &input);
    command.most_output = kMaxBekBytes;
    CAIRN_TRY(CommandOutput output, answer_of(command));
    return std::move(output.bytes);
  }

  // Does it unwrap what it wraps?
  [[nodiscard]] bool key_works(const Subject& subject) const {
    const SecretBytes plain = SecretBytes::random(32);
    const auto wrapped = answer_of(command_for("wrap", commands_.wrap, subject, &plain));
    if (!wrapped) return false;
    const auto back = unwrap_bytes(subject, wrapped->bytes);
    return back && back->size() == plain.size() &&
           sodium_memcmp(back->reveal().data(), plain.reveal().data(), plain.size()) == 0;
  }

  // kek_missing when the vault lists no such key or version.
  Result<void> check_version(const Subject& subject) {
    const auto all = list_keks();
    if (!all) return {};
    for (const KekFacts& known : *all) {
      if (known.name != subject.name) continue;
      const bool there = std::any_of(known.versions.begin(), known.versions.end(),
                                     [&](const VersionFacts& facts) { return facts.version == subject.version; });
      if (there) return {};
      return no_such_kek_version(name_, known, subject.version);
    }
    return no_such_kek(name_, subject.name, *all);
  }

  // secret_missing when the vault lists no such secret.
  [[nodiscard]] Result<void> check_secret(const std::string& secret) const {
    const auto all = list();
    if (!all) return {};
    std::vector<std::string> names;
    for (const ListedSecret& known : all->secrets) names.push_back(known.facts.name);
    if (std::find(names.begin(), names.end(), secret) != names.end()) return {};
    return no_such_secret(name_, secret, names);
  }

  [[nodiscard]] std::unexpected<Error> by_its_tools(const std::string& doing, const std::string& object) const {
    return fail(ErrorCode::not_supported_yet, doing, name_ + "/" + object,
                "Cairn only uses what is in a vault with provider \"command\"", "do it with the vault's own tools");
  }

  const std::string name_;
  const std::string principal_;
  const VaultCommands commands_;
  const std::chrono::milliseconds timeout_;
};

}  // namespace

std::unique_ptr<KeyVault> make_command_vault(std::string name, const KeyVaultSettings& settings) {
  return std::make_unique<CommandVault>(std::move(name), settings);
}

}  // namespace cairn
