// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/unlock_key.h"

#include <utility>

#include "crypto/secret_command.h"

namespace cairn {
namespace {

constexpr std::size_t kMaxPassphrase = std::size_t{8} * 1024;
constexpr std::chrono::seconds kCommandMayTake{30};

void strip_one_newline(SecretBytes& secret) {
  if (!secret.empty() && std::as_const(secret).reveal().back() == '\n') secret.shrink_to(secret.size() - 1);
}

}  // namespace

Result<SecretBytes> read_passphrase_file(const std::string& path, const std::string& doing) {
  CAIRN_TRY(SecretBytes secret, read_key_file(path));
  strip_one_newline(secret);
  if (secret.empty()) return fail(ErrorCode::key_file_invalid, doing, path, "it is empty");
  return secret;
}

Result<SecretBytes> run_passphrase_command(const std::vector<std::string>& argv, std::chrono::milliseconds at_most,
                                           int stop_fd) {
  SecretCommand command;
  command.argv = argv;
  command.doing = "run passphrase command";
  command.object = argv.empty() ? "" : argv.front();
  command.failed = ErrorCode::passphrase_command_failed;
  command.most_output = kMaxPassphrase;
  command.at_most = at_most;
  command.stop_fd = stop_fd;
  CAIRN_TRY(CommandOutput output, run_secret_command(command));
  strip_one_newline(output.bytes);
  if (output.bytes.empty()) return command_failed(command, "it wrote no passphrase", output.complaints);
  return std::move(output.bytes);
}

Result<UnlockKey> read_unlock_key(const KeySettings& settings, int stop_fd) {
  CAIRN_CHECK(check_lockable_memory());
  if (settings.key_file) {
    CAIRN_TRY(SecretBytes secret, read_key_file(*settings.key_file));
    return UnlockKey{KeySlotType::key_file, std::move(secret), settings.key_file->string()};
  }
  if (settings.passphrase_file) {
    CAIRN_TRY(SecretBytes secret, read_passphrase_file(*settings.passphrase_file, "read passphrase"));
    return UnlockKey{KeySlotType::passphrase, std::move(secret), settings.passphrase_file->string()};
  }
  if (!settings.passphrase_command.empty()) {
    CAIRN_TRY(SecretBytes secret, run_passphrase_command(settings.passphrase_command, kCommandMayTake, stop_fd));
    return UnlockKey{KeySlotType::passphrase, std::move(secret), settings.passphrase_command.front()};
  }
  return fail(ErrorCode::settings_invalid, "read unlock key", "store",
              "the settings name no key_file, passphrase_file or passphrase_command");
}

}  // namespace cairn
