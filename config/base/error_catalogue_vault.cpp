// SPDX-License-Identifier: GPL-3.0-or-later
// The error catalogue: key vaults and what is in them. Columns: CatalogueEntry in error.h.
#include <cerrno>

#include "config/base/error_catalogue.h"

namespace cairn {
namespace {

using enum ErrorCode;

constexpr CatalogueEntry kVaultErrors[] = {
    {vault_missing, "key-vault-missing", "the key vault is not there",
     "The directory of the key vault does not exist or holds no vault, or the settings name a vault that is not "
     "declared. Backups of the machines whose keys are in it are refused, since their points could not be unlocked.",
     "Check key_vaults.NAME.path in the settings and that its file system is mounted. A lost vault is made again from "
     "the recovery points: `cairn vault init --vault NAME`, then `cairn key restore MACHINE@latest --vault NAME` for "
     "each "
     "machine. For the first one: `cairn vault init --vault NAME --create-key-file`.",
     "is its file system mounted? a lost one: \"cairn vault init\", then \"cairn key restore MACHINE@latest\"", ENOENT},
    {vault_exists, "key-vault-exists", "there is a key vault already",
     "vault init never touches a vault that exists or a directory with other files.",
     "Use the vault that is there, or name another, empty directory.", "name an empty directory", EEXIST},
    {vault_damaged, "key-vault-damaged", "the key vault is damaged",
     "The vault's file is truncated or altered, or is no vault. Nothing of it was used.",
     "Put the file that is named back from a copy. Without a copy: move the directory away, `cairn vault init --vault "
     "NAME`, then `cairn key restore MACHINE@latest --vault NAME` for each machine: the recovery points have the keys.",
     "put it back from a copy, or make a new vault and \"cairn key restore\"", EIO},
    {vault_too_new, "key-vault-too-new", "the key vault was written by a newer version",
     "The vault has a format that this version does not know. Nothing was read or changed.",
     "Use the version of Cairn that wrote it, or a newer one.", "use a newer version of Cairn", EPROTO},
    {vault_permissions, "key-vault-permissions", "others have access to the key vault",
     "The vault's directory must be 0700 and its files 0600, of the user that runs Cairn or of root.",
     "chmod 0700 DIRECTORY; chmod 0600 its files; chown them to the user that runs Cairn. If others may have read the "
     "vault and its key file, rotate the KEKs (`cairn key rotate`) and change the disks' keys.",
     "chmod 0700 the directory and 0600 its files", EACCES},
    {vault_locked, "key-vault-locked", "another process is writing to the key vault",
     "One process at a time changes a vault; this one waited and gave up.",
     "Wait until the process that is named ends. The lock vanishes with its process.", "wait until it ends", EBUSY},
    {vault_wrong_key, "key-vault-wrong-key", "the key does not open the key vault",
     "The vault does not open with the key file or passphrase that the settings name for it. Nothing was changed.",
     "Check that path and key_file of the vault in the settings belong together.",
     "check that path and key belong together", EACCES},
    {vault_denied, "key-vault-denied", "the key vault's policy does not allow it",
     "The principal that asked lacks a right in the vault's access policy. The vault's audit log has the refusal.",
     "For the service that takes backups: `cairn vault grant cairn-backup --template backup --vault VAULT`. A single "
     "right: `cairn vault grant PRINCIPAL RIGHT --vault VAULT`. `cairn vault policy --vault VAULT` shows who may do "
     "what.",
     "see \"cairn vault policy\"", EACCES},
    {no_such_principal, "no-such-principal", "the key vault does not know this principal",
     "The access policy of the vault has no rights for a principal of that name.",
     "`cairn vault policy --vault VAULT` lists the principals; `cairn vault grant --new PRINCIPAL --template backup "
     "--vault VAULT` adds one.",
     "see \"cairn vault policy\"", ENOENT},
    {last_administrator, "last-administrator", "that would leave the key vault without an administrator",
     "Somebody must be able to change the access policy; the last principal with that right keeps it.",
     "Grant another principal the template admin first.", "grant another principal --template admin first", EPERM},
    {audit_damaged, "audit-damaged", "the audit log of the key vault was altered",
     "Entries of the log are chained; one was changed, removed or cut off since it was written.",
     "Keep the file as evidence: move it away and find out who had access to the vault's directory. A new log begins "
     "by itself and notes that the old one is gone.",
     "keep it as evidence, and move it away to go on", EIO},
    {kek_missing, "key-missing", "the vault has no such key",
     "The KEK, or the version of it that is asked for, is not in the vault. Without it the BEKs that it wraps cannot "
     "be used.",
     "One that was there once is in the recovery points: `cairn key restore MACHINE@latest --vault VAULT` brings it "
     "back. Otherwise check the name in the settings (`cairn key list --vault VAULT`), or make a new one: `cairn key "
     "create VAULT/NAME`.",
     "\"cairn key restore MACHINE@latest\" brings a lost one back, \"cairn key create\" makes a new one", ENOENT},
    {kek_exists, "key-exists", "the vault has a key of that name",
     "key create never replaces a key: what it wraps would be lost.",
     "`cairn key rotate VAULT/NAME` makes a new version and keeps the old ones; or choose another name.",
     "\"cairn key rotate\" makes a new version", EEXIST},
    {kek_wrong_type, "key-wrong-type", "the key is of a kind that cannot be used here",
     "KEKs are X25519, RSA-3072 or RSA-4096; a vault may know fewer. What one kind of key has wrapped no other can "
     "unwrap.",
     "Choose another --type, or another key.", "choose another key or --type", EINVAL},
    {secret_missing, "secret-missing", "the vault has no such secret",
     "The BEK that the settings name for the disk, or the version of it that is asked for, is not in the vault.",
     "One that was there once is in the recovery points: `cairn key restore MACHINE@latest --vault VAULT` brings it "
     "back. A new one: `cairn key import MACHINE/DISK --from FILE`. `cairn key list --vault VAULT` shows what there "
     "is.",
     "\"cairn key restore MACHINE@latest\" brings a lost one back, \"cairn key import MACHINE/DISK --from FILE\" puts "
     "a "
     "new one there",
     ENOENT},
    {secret_damaged, "secret-damaged", "the secret is not a wrapped BEK",
     "What the vault gave is not a document that `cairn key import` makes: it is damaged, or something else.",
     "Import the BEK again: `cairn key import MACHINE/DISK --from FILE`, or restore it: `cairn key restore`.",
     "import the BEK again", EIO},
    {keys_differ, "keys-differ", "the vault has another key or secret of that name",
     "key restore never replaces what is in the vault and is not the same as in the recovery point. Nothing was "
     "changed.",
     "Restore into another, empty vault (`cairn vault init`), or delete what is there first if it is worthless.",
     "restore into an empty vault", EEXIST},
    {unwrap_failed, "unwrap-failed", "the KEK does not unwrap the BEK",
     "The wrapped BEK was made with another key, or is damaged.",
     "Import the BEK again: `cairn key import MACHINE/DISK --from FILE`; or restore it from an earlier point.",
     "import the BEK again", EIO},
    {hsm_unavailable, "hsm-unavailable", "the HSM is not there",
     "The PKCS #11 library cannot be loaded, or no token with the label of the settings is present.",
     "Check key_vaults.NAME.module and token, and that the HSM is plugged in or reachable: `pkcs11-tool --module "
     "MODULE -L` (package opensc) lists the tokens.",
     "is it plugged in or reachable?", ENODEV},
    {hsm_pin_wrong, "hsm-pin-wrong", "the HSM refuses the PIN",
     "The PIN in pin_file is not the token's. Tokens lock themselves after a few wrong tries, so Cairn tries it once.",
     "Put the right PIN into pin_file before anything tries again.", "put the right PIN into pin_file", EACCES},
    {hsm_token_locked, "hsm-token-locked", "the HSM's token is locked",
     "Too many wrong PINs were tried; the token takes none any more.",
     "The token's security officer sets a new PIN: `pkcs11-tool --module MODULE --init-pin` (package opensc), or the "
     "HSM's own tool. Then put it into pin_file.",
     "the token's security officer unlocks it", EACCES},
    {hsm_failed, "hsm-failed", "the HSM reported an error", "The PKCS #11 return value stands in the message.",
     "Look it up in the HSM's manual or the PKCS #11 specification (CKR_...), and try again.", "see the HSM's manual",
     EIO},
    {vault_command_failed, "vault-command-failed", "a command of the key vault failed",
     "A command in key_vaults.NAME.commands ended with an error, took too long, printed too much or printed something "
     "that is no answer.",
     "Run the command by hand as the user that runs Cairn and correct what it reports. What goes in and out of each "
     "command: crypto/vault/command/COMMAND.md.",
     "run it by hand to see why", EIO},
};

}  // namespace

std::span<const CatalogueEntry> vault_errors() {
  return kVaultErrors;
}

}  // namespace cairn
