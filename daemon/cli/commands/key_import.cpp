// SPDX-License-Identifier: GPL-3.0-or-later
// cairn key import: a BEK from a file or standard input, tried on the disk, wrapped by its KEK, stored. Document:
// {"disk","secret","version","type","read_as","kek","kek_version","opened":[{"partition","within","type","slot"}]}.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "config/base/text.h"
#include "crypto/bek_readings.h"
#include "crypto/key_slots.h"
#include "crypto/volume/unlock.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/documents.h"
#include "daemon/cli/text/prompt.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/disk_choice.h"
#include "daemon/cli/work/vault_choice.h"
#include "daemon/keys/disk_look.h"
#include "daemon/keys/key_rules.h"
#include "daemon/keys/last_proof.h"
#include "daemon/keys/stored_headers.h"
#include "daemon/source/disk_format.h"
#include "fs/image/open_image.h"

namespace cairn::cli {
namespace {

using nlohmann::json;

struct KeyImportCommand {
  std::string disk;  // MACHINE/DISK
  std::string from;  // a file or "-"
  std::string type;  // empty: found out
  std::string secret;
  bool ignore_mode = false;
  std::string as;
};

Result<VaultReference> bek_of(const KeyImportCommand& command, const ChosenDisk& disk) {
  const std::vector<VaultReference>& beks = disk.settings->beks;
  if (beks.empty() || !disk.settings->kek)
    return fail(beks.empty() ? ErrorCode::keys_missing : ErrorCode::bek_without_kek, "import a key for", disk.object,
                beks.empty() ? "the settings name no bek and kek for it" : "the settings name no kek for it",
                "name them in the settings first: bek: VAULT/NAME, kek: VAULT/NAME");
  if (command.secret.empty()) {
    if (beks.size() == 1) return beks.front();
    std::string names;
    for (const VaultReference& bek : beks) names += (names.empty() ? "" : ", ") + bek.text();
    return fail(ErrorCode::used_wrongly, "import a key for", disk.object, "it has several: " + names,
                "say which with --secret VAULT/NAME");
  }
  for (const VaultReference& bek : beks)
    if (bek.text() == command.secret) return bek;
  return fail(ErrorCode::used_wrongly, "import a key for", disk.object,
              "the settings name no bek " + command.secret + " for it", "name one of those in the settings");
}

Result<SecretBytes> read_bek(const KeyImportCommand& command) {
  if (command.from == "-") return read_secret_from_input("Key of the disk: ", kMaxBekBytes);
  KeyFileRules rules;
  rules.longest = kMaxBekBytes;
  rules.any_mode = command.ignore_mode;
  rules.without_modes = "--from - < " + command.from + ", or --ignore-mode";
  auto bek = read_key_file(command.from, rules);
  if (!bek && bek.error().code == ErrorCode::key_file_invalid)
    bek.error().resolution = catalogue_entry(ErrorCode::bek_invalid).resolution;
  return bek;
}

// The name to export it under. What came through standard input has none, but a .BEK file knows its own.
Result<std::string> file_name_of(const KeyImportCommand& command, BekType type, const SecretBytes& bek,
                                 const std::string& object) {
  if (command.from != "-") return printable(std::filesystem::path(command.from).filename().string());
  if (type != BekType::bitlocker_startup_key) return std::string();
  CAIRN_TRY(const std::string id, startup_key_id(bek, object));
  return id + ".BEK";
}

// A BEK and what it opened.
struct Opened {
  BekReading reading;
  json volumes = json::array();
};

class DiskTrial {
 public:
  DiskTrial(ImageReader& image, const DiskFacts& facts, const std::string& object)
      : image_(image), facts_(facts), object_(object) {}

  // Tries what was given in every way that it can be read. Errors: that of the likeliest way when it opens no volume.
  Result<Opened> find_out(const SecretBytes& given, std::optional<BekType> type) {
    std::optional<Error> error;
    std::string tried;
    for (const bool bitlocker : {true, false}) {
      const bool there = std::ranges::any_of(facts_.volumes, [&](const VolumeFacts& volume) {
        return bitlocker == (volume.type == VolumeType::bitlocker);
      });
      if (!there || (type && is_bitlocker(*type) != bitlocker)) continue;
      auto readings = bek_readings(given, bitlocker, type, object_);
      if (!readings && !error) error = std::move(readings).error();
      if (!readings) continue;
      for (BekReading& reading : *readings) {
        if (!reading.how.empty()) tried += (tried.empty() ? "" : "; ") + reading.how;
        auto opened = try_reading(std::move(reading));
        if (opened) return opened;
        if (opened.error().code != ErrorCode::bek_does_not_open) return opened;
        if (!error) error = std::move(opened).error();
      }
    }
    // A slip in what was given says more than that nothing takes it.
    if (!error && type)
      if (auto readings = bek_readings(given, is_bitlocker(*type), type, object_); !readings)
        return pass_on(std::move(readings).error());
    if (!error)
      return fail(ErrorCode::bek_does_not_open, "unlock", object_,
                  "no volume on it takes a key of type " + std::string(type ? to_string(*type) : "unknown"));
    if (!tried.empty() && error->code == ErrorCode::bek_does_not_open) error->because += "; tried, too: " + tried;
    return pass_on(*std::move(error));
  }

 private:
  Result<Opened> try_reading(BekReading reading) {
    Opened opened{std::move(reading)};
    std::optional<Error> error;
    for (const VolumeFacts& volume : facts_.volumes) {
      if (is_bitlocker(opened.reading.type) != (volume.type == VolumeType::bitlocker)) continue;
      const ReadHeader read = read_live_header(image_, volume);
      UnlockLimits limits;
      limits.left = &left_;
      const auto unlocked =
          unlock_volume(volume, read, opened.reading.type, opened.reading.bek, volume_object(object_, volume), limits);
      if (unlocked)
        opened.volumes.push_back({{"partition", volume.partition},
                                  {"within", volume.within},
                                  {"type", to_string(volume.type)},
                                  {"slot", unlocked->slot}});
      else
        error = unlocked.error();
    }
    if (opened.volumes.empty()) return pass_on(*std::move(error));
    return opened;
  }

  ImageReader& image_;
  const DiskFacts& facts_;
  const std::string& object_;
  double left_ = kUnlockSecondsOfJob;
};

Result<ExitCode> run(Context& context, const KeyImportCommand& command) {
  CAIRN_TRY(const Settings* const settings, context.settings());
  CAIRN_TRY(const ChosenDisk disk, choose_disk(*settings, command.disk));
  CAIRN_TRY(const VaultReference secret, bek_of(command, disk));
  const VaultReference& kek = *disk.settings->kek;
  if (kek.vault != secret.vault)
    return fail(ErrorCode::bek_other_kek, "import a key for", disk.object,
                "its bek is in the vault " + secret.vault + " and its kek in " + kek.vault,
                "name a kek of the same vault in the settings");
  std::optional<BekType> type;
  if (!command.type.empty()) {
    type = parse_bek_type(command.type);
    if (!type)
      return fail(ErrorCode::used_wrongly, "import a key for", disk.object,
                  "there is no key type \"" + command.type + "\"", "see \"cairn key import --help\"");
  }
  CAIRN_TRY(const SettledDisk settled, settle_disk(*disk.settings, defined_disks(*disk.machine), nullptr, disk.object));
  CAIRN_TRY(const auto image, open_image(settled.disk.image, CloneMode::never));
  CAIRN_TRY(const DiskFacts facts, look_at_disk(settled.disk, *image, disk.object));
  if (facts.encryption() == DiskEncryption::unknown)
    return fail(ErrorCode::encryption_unknown, "import a key for", disk.object,
                disk.settings->image.text() + ": " + encryption_in_words(facts) +
                    "; the key cannot be tried, and was not stored");
  if (!facts.encrypted())
    return fail(ErrorCode::keys_not_needed, "import a key for", disk.object,
                disk.settings->image.text() + " is " + encryption_in_words(facts));
  CAIRN_TRY(const SecretBytes given, read_bek(command));
  CAIRN_TRY(const Opened opened, DiskTrial(*image, facts, disk.object).find_out(given, type));
  const SecretBytes& found = opened.reading.bek;

  CAIRN_TRY(const auto vault, open_vault_as(*settings, secret.vault, command.as));
  WrappedBek bek;
  bek.type = opened.reading.type;
  CAIRN_TRY(bek.file_name, file_name_of(command, bek.type, found, disk.object));
  bek.kek = kek.name;
  CAIRN_TRY(bek.wrapped, vault->wrap(kek.name, found));
  bek.created = system_clock().now();
  // What could not be unwrapped again would be noticed by the next backup; better now.
  CAIRN_TRY(const SecretBytes back, vault->unwrap(kek.name, bek.wrapped));
  if (!std::ranges::equal(back.reveal(), found.reveal()))
    return fail(ErrorCode::unwrap_failed, "import a key for", disk.object,
                "the vault " + secret.vault + " unwraps it to something else than was wrapped; nothing was stored");
  CAIRN_TRY(const std::string version, vault->set_secret(secret.name, bek));

  const json document{{"disk", disk.object},
                      {"secret", secret.text()},
                      {"version", version},
                      {"type", to_string(bek.type)},
                      {"read_as", opened.reading.how},
                      {"kek", kek.text()},
                      {"kek_version", bek.wrapped.version},
                      {"opened", opened.volumes}};
  std::string text = fmt::format("{} opens {} of {} encrypted {} of {}\n", to_string(bek.type), opened.volumes.size(),
                                 facts.volumes.size(), facts.volumes.size() == 1 ? "volume" : "volumes", disk.object);
  if (!opened.reading.how.empty()) text += fmt::format("read {}\n", opened.reading.how);
  text += fmt::format("stored as {} version {}, wrapped by {} version {}\n", secret.text(), version, kek.text(),
                      bek.wrapped.version);
  CAIRN_CHECK(context.output().answer(document, text));
  return ExitCode::done;
}

}  // namespace

CommandSpec key_import_command() {
  CommandSpec spec;
  spec.words = "key import";
  spec.summary = "Put the BEK of a disk into its vault, wrapped";
  spec.examples = {"cairn key import web-01/root --from /root/web-01-root.key",
                   "cairn key import win-01/c --from 4381F759-C4F8-4DE0-BB61-FC33A831BDA5.BEK",
                   "cairn key import win-01/c --from -"};
  spec.notes =
      "A LUKS key file (8 MiB at most) or passphrase, a BitLocker .BEK file, recovery password (also the\n"
      "text file that Windows saved it in) or password. It is tried on the disk first, a passphrase also\n"
      "without the newline at its end and with composed or decomposed letters; then wrapped by the\n"
      "disk's kek of the settings, and stored as its bek. The BEK itself is written nowhere.\n"
      "-: standard input, without echo on a terminal.";
  spec.options = {
      value("disk", "MACHINE/DISK", "The disk that it opens", &KeyImportCommand::disk, Completes::disks).required(),
      value("--from", "FILE", "A file of mode 0600; -: standard input", &KeyImportCommand::from, Completes::files)
          .required(),
      value("--type", "TYPE",
            "luks-key-file, luks-passphrase, bitlocker-startup-key, bitlocker-recovery-password or\n"
            "bitlocker-password (default: found out)",
            &KeyImportCommand::type),
      flag("--ignore-mode", "Take a file that others may read, as on a stick without modes (FAT, NTFS)",
           &KeyImportCommand::ignore_mode),
      value("--secret", "VAULT/NAME", "Which bek of the disk, when it has several", &KeyImportCommand::secret,
            Completes::secrets),
      principal_option(&KeyImportCommand::as),
  };
  set_action<KeyImportCommand>(spec, run);
  return spec;
}

}  // namespace cairn::cli
