#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A restore says what opens the disks, whether that is to be had now, and the commands that bring it back; and they do.
. "$(dirname "$0")/lib.sh"
needs root cryptsetup jq

(umask 077 && printf 'passphrase' >"$work/pw")
for name in web plain; do truncate -s 24M "$work/$name.img"; done
cryptsetup luksFormat -q --type luks2 "${cheap_kdf[@]}" --key-file "$work/pw" "$work/web.img"
fill "$work/plain.img" 0 $MiB plain
vaults="key_vaults: { main: { provider: local, path: $work/vault, key_file: $work/vault.key } }"
EXTRA=$vaults settings "web: { disks: { root: { image: web.img, bek: main/web, kek: main/backup } } }" \
  "plain: { disks: { root: { image: plain.img } } }"
new_store --recovery-key-out "$work/paper"
check "vault init" cairn vault init --create-key-file
check "key create" cairn key create backup
check "key import" cairn key import web/root --from "$work/pw"
exits "backup" 0 cairn backup --all
state() { cairn restore web@latest --to "$work/out" --force --json 2>/dev/null | jq -r '.jobs[0].result.keys[0].state'; }
mkdir "$work/out"

exits "restore with the key in its vault" 0 cairn restore web@latest --to "$work/out"
contains "it says what opens the disk" "$(cat "$stdout")" "root: LUKS2, opens with main/web version 1"
contains "and that it was tried now" "$(cat "$stdout")" "in its vault and was tried now"
mkdir "$work/headers"
exits "a header alone, too" 0 cairn restore web@latest --header-only --to "$work/headers"
contains "says what opens the disk" "$(cat "$stdout")" "root: LUKS2, opens with main/web version 1"
exits "and in place" 0 cairn restore web@latest --header-only --in-place "$work/web.img" --yes
contains "where it says so, too" "$(cat "$stdout")" "in its vault and was tried now"
exits "a plain disk has no keys to speak of" 0 cairn restore plain@latest --to "$work/out" --force
equal "nor says so" "$(grep -c 'opens' "$stdout")" 0
equal "the point says that its BEK can be recovered" "$(cairn points web@latest --json | jq '.disks[0].keys[0].in_escrow')" true

# Secret and key deleted, which asks and says what needs them.
refuses "a secret that the settings name is not deleted" key-in-use cairn key delete main/web --yes
contains "the disk is named" "$(cat "$stderr")" "web/root"
refuses "nor a KEK that wraps it" key-in-use cairn key delete main/backup --yes
contains "the BEK is named" "$(cat "$stderr")" "main/web"
refuses_with 2 "without a terminal --yes is needed" used-wrongly cairn key delete main/web --force
check "with --force the secret goes" cairn key delete main/web --yes --force
check "and the key" cairn key delete main/backup --yes --force
exits "restore without them is a warning" 3 cairn restore web@latest --to "$work/out" --force
contains "with the command that helps" "$(cat "$stdout")" "cairn key restore web@"
equal "missing" "$(state)" missing
exits "nor does a header go without that word" 3 cairn restore web@latest --header-only --to "$work/headers" --force
contains "with the command" "$(cat "$stdout")" "cairn key restore web@"
exits "in place neither" 3 cairn restore web@latest --header-only --in-place "$work/web.img" --yes
contains "with the command there" "$(cat "$stdout")" "cairn key restore web@"
refuses "a backup without them names the same command" secret-missing cairn backup web
contains "first" "$(cat "$stderr")" '"cairn key restore web@latest --vault main" brings it back'
run cairn restore web@latest --to "$work/out" --force
command=$(grep -oE '^ +cairn key restore [^"]*$' "$stdout" | head -n 1)
# shellcheck disable=SC2086
check "the command works as given" $command
equal "then all is ready" "$(state)" ready

# The whole vault lost.
mv "$work/vault" "$work/lost"
exits "restore without the vault is a warning" 3 cairn restore web@latest --to "$work/out" --force
contains "it says that the vault is gone" "$(cat "$stdout")" key-vault-missing
equal "missing, too" "$(state)" missing
contains "config check says how it comes back" "$(cairn config check 2>&1)" "cairn key restore web@latest --vault main"
export_command=$(grep -oE '^ +cairn key export [^"]*$' "$stdout" | head -n 1)
# shellcheck disable=SC2086
check "the secret is written out without a vault" ${export_command/FILE/$work/exported}
check "and opens the restored disk" cryptsetup open --test-passphrase --key-file "$work/exported" "$work/out/root.img"
mv "$work/lost" "$work/vault"

# A vault that cannot be asked: not known, and said so.
check "a right is taken" cairn vault revoke cairn-backup secrets:get
exits "restore without the right" 3 cairn restore web@latest --to "$work/out" --force
equal "unknown" "$(state)" unknown
check "and granted again" cairn vault grant cairn-backup --template backup

# After a fire: the store and the paper.
exits "recover says what opens the disk" 0 "$CAIRN" --recovery-key "$work/paper" store recover --store "$work/store" \
  web@latest --to "$work/out" --force
contains "and how it comes out of the point" "$(cat "$stdout")" "key export web@"
end
