// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: the call itself and the settings. Columns: CatalogueEntry in error.h.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kSystemErrors[] = {
    {used_wrongly, "used-wrongly", "the command was used wrongly",
     "A command, option or value is not one that this command takes.",
     "Read the message: it names the word that was not understood. `cairn COMMAND --help` shows examples.",
     "see \"cairn --help\"", EINVAL, 400},
    {internal, "internal", "an error in Cairn itself",
     "Something happened that Cairn's authors did not expect. Committed recovery points are not touched by it.",
     "Report it with the message and the log lines around it (journalctl -u cairnd).", "please report it", EIO},
    {cancelled, "cancelled", "the job was cancelled",
     "Somebody cancelled the job, or the daemon was stopped while it ran. What was already stored is found again by "
     "the next run.",
     "Start it again: `cairn backup MACHINE`. It continues where it was stopped.", "start it again", EINTR},
    {io_error, "io-error", "reading or writing failed",
     "The operating system reported an error on a file or a device. The reason follows in the message.",
     "Look at the system's log (dmesg) for errors of the disk or the network file system, correct what causes them, "
     "and try again.",
     "look at dmesg for errors of the device", EIO},
    {no_space, "no-space", "the file system is full",
     "The file system that holds the named object has no space (or no quota) left. The job was stopped; the unfinished "
     "pack was removed and earlier recovery points are intact.",
     "Free space on that file system or enlarge it, then run the job again.", "free space there and try again", ENOSPC,
     507},
    {permission_denied, "permission-denied", "permission denied",
     "This process may not do that. Backups of disk images usually need root, and the store belongs to the user that "
     "made it.",
     "Run the command as root (sudo), or correct the owner and mode of the named file.", "try as root", EACCES, 403},
    {out_of_memory, "out-of-memory", "not enough memory", "The system did not give the memory that was asked for.",
     "Free memory or raise the service's memory limit.", "free memory and try again", ENOMEM},
    {settings_missing, "settings-missing", "there is no settings file",
     "The settings file does not exist at the path that was used.",
     "Name it with --config FILE, or make one: the commented example is installed as cairn.yaml.example, and every key "
     "is in config/REFERENCE.md.",
     "name it with --config FILE, or start from cairn.yaml.example", ENOENT},
    {settings_unreadable, "settings-unreadable", "the settings file cannot be read",
     "The settings file is there but cannot be read: no permission, a directory, or too large.",
     "Correct the file's mode or owner, or run as a user that may read it.", "run as a user that may read it", EACCES},
    {settings_invalid, "settings-invalid", "the settings are not right",
     "The settings file has unknown keys, wrong types or impossible values. Every problem is listed with line and "
     "column. A running daemon goes on with the settings it has.",
     "Correct each line that is listed, then run `cairn config check`.", "correct it and run \"cairn config check\"",
     EINVAL},
    {key_file_missing, "key-file-missing", "the key file is not there",
     "The file that holds the key or passphrase of the store does not exist.",
     "Put the key file back from your safe copy, or correct its path in the settings. For a new store, `cairn store "
     "init --create-key-file` makes one. If it is lost, open the store with the printed recovery key: --recovery-key "
     "FILE.",
     "put it back, or use --recovery-key", ENOENT},
    {key_file_permissions, "key-file-permissions", "the key file can be read or written by others",
     "Files that hold keys must belong to the user that runs Cairn (or root) and be closed to everybody else.",
     "chmod 0600 FILE and chown it to the user that runs Cairn. If others may have read it, add a new key to the store "
     "and remove this one: `cairn store keys add`, `cairn store keys remove`.",
     "chmod 0600 it", EACCES},
    {key_file_invalid, "key-file-invalid", "the key file does not hold a key",
     "The file is empty, too short, too long, or its checksum is wrong.",
     "Check that it is the right file. A recovery key is typed exactly as printed; its checksum finds typing errors.",
     "check that it is the right file", EINVAL},
    {passphrase_command_failed, "passphrase-command-failed", "the passphrase command failed",
     "The command in store.passphrase_command ended with an error, took too long or printed nothing.",
     "Run the command by hand as the user that runs Cairn and correct what it reports.", "run it by hand to see why",
     EIO},
    {not_supported_yet, "not-supported-yet", "this version cannot do that yet",
     "The settings or the command name something that this version of Cairn knows but does not do.",
     "Use a newer version, or leave it out.", "leave it out for now", ENOSYS},
};

}  // namespace

std::span<const CatalogueEntry> system_errors() {
  return kSystemErrors;
}

}  // namespace cairn
