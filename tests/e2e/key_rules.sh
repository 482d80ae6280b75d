#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The rules for machines with encrypted disks, each met once: its error by name, its text, the way out that it names, and
# that nothing was stored.
. "$(dirname "$0")/lib.sh"
needs cryptsetup jq mkfs.ext4

make_luks "$work/web.img" 32M luks2
make_luks "$work/other.img" 32M luks2
printf 'another passphrase' >"$work/other.key"
cryptsetup luksChangeKey -q "${cheap_kdf[@]}" --key-file "$work/passphrase" "$work/other.img" "$work/other.key"
truncate -s 8M "$work/plain.img"
mkfs.ext4 -q -F "$work/plain.img"
chmod 600 "$work/passphrase" "$work/other.key"
vaults="key_vaults: { main: { provider: local, path: vault, key_file: vault.key } }"
with() { EXTRA=$vaults settings "$@"; }
web() { echo "web: { disks: { root: { image: web.img${1:+, $1} } } }"; }

with "$(web)"
new_store
points() { cairn points --json | jq length; }
# rule NAME ERROR TEXT: backup and config check both refuse with that error and say that.
rule() {
  refuses "$1: backup is refused" "$2" cairn backup web
  contains "$1: and says why" "$(cat "$stderr")" "$3"
  run cairn config check
  equal "$1: config check fails" $status 1
  contains "$1: config check has the same error" "$(cat "$stderr" "$stdout")" "[$2]"
  equal "$1: no point was made" "$(points)" "${4:-0}"
  check "$1: explained" cairn explain "$2"
}

rule "an encrypted disk without keys" keys-missing "name bek and kek for it"
with "$(web 'bek: main/web')"
rule "a BEK without a KEK" bek-without-kek "name its kek"
with "$(web 'bek: main/web, kek: main/backup')"
rule "no vault" key-vault-missing "cairn vault init"
refuses "vault init without its key" key-file-missing cairn vault init
(umask 077; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/vault.key")
check "vault init" cairn vault init
rule "no secret" secret-missing "cairn key import"
refuses "import without a KEK" key-missing cairn key import web/root --from "$work/passphrase"
check "key create" cairn key create backup
refuses "a key that does not open the disk is not imported" bek-does-not-open cairn key import web/root --from "$work/other.key"
equal "nothing of it is in the vault" "$(cairn key list --json | jq '.secrets | length')" 0
check "key import" cairn key import web/root --from "$work/passphrase"
exits "then the backup is proved" 0 cairn backup web
equal "proved" "$(point_fact web proof)" proved

# Access rights, one by one: the message has one command that grants all that backups need, and the command works.
for right in secrets:get keys:get keys:unwrap keys:backup; do
  check "revoke $right" cairn vault revoke cairn-backup "$right"
  rule "without $right" key-vault-denied "$right" 1
  command=$(grep -ohE 'cairn vault grant [^";\[]*' "$stderr" "$stdout" | head -n 1 | sed 's/[ .]*$//')
  contains "without $right: the message has the command" "$command" "--template backup"
  # shellcheck disable=SC2086
  check "without $right: the command works as given" $command
done
for right in secrets:get keys:get keys:unwrap keys:backup; do cairn vault revoke cairn-backup "$right"; done >/dev/null 2>&1
run cairn config check
equal "four rights that lack are one finding" "$(grep -c 'key-vault-denied' "$stdout")" 1
contains "with all of them" "$(cat "$stdout")" "secrets:get, keys:get, keys:unwrap, keys:backup"
check "and one command" cairn vault grant cairn-backup --template backup
refuses "a misspelt principal is not silently a new one" no-such-principal cairn vault grant cairn-bakcup --template backup
contains "the nearest is named" "$(cat "$stderr")" "did you mean cairn-backup?"
check "a new one is, when it is said to be" cairn vault grant --new operator keys:list
check "and is known from then on" cairn vault grant operator secrets:list
exits "an unknown principal has no rights" 1 cairn key list --as nobody
contains "and it is in the audit log" "$(cairn vault audit --limit 100)" "refused"

check "another KEK" cairn key create archive
with "$(web 'bek: main/web, kek: main/archive')"
rule "wrapped by another KEK" bek-not-wrapped-by-kek "main/backup" 1
with "$(web 'bek: main/web, kek: main/nothing')"
refuses "a KEK that is not there" bek-not-wrapped-by-kek cairn backup web
with "$(web 'bek: main/web, kek: main/backup')"

cp "$work/web.img" "$work/kept.img"
cp "$work/other.img" "$work/web.img"
rule "the key does not open the disk any more" bek-does-not-open "cairn key import" 1
EXTRA="$vaults
policies: { default: { on_missing_keys: warn } }" settings "$(web 'bek: main/web, kek: main/backup')"
exits "on_missing_keys: warn takes the point" 3 cairn backup web
equal "marked unproved" "$(point_fact web proof)" unproved
contains "the reason is in the point" "$(cairn points web@latest)" "opens none of"
equal "status counts the machine: its proved point is recent" "$(cairn status --json | jq .machines_without_recent_proof)" 0
exits "verify --proof says which point does not unlock" 1 cairn verify --proof
cp "$work/kept.img" "$work/web.img"

# A disk that becomes encrypted, and keys that nobody needs.
with "$(web 'bek: main/web, kek: main/backup')" "$(one_disk scratch plain.img)"
exits "a disk that is not encrypted needs no keys" 0 cairn backup scratch
equal "its proof" "$(point_fact scratch proof)" not-encrypted
cryptsetup luksFormat -q --type luks1 "${cheap_kdf[@]}" --key-file "$work/passphrase" "$work/plain.img"
refuses "a disk that became encrypted is refused" disk-became-encrypted cairn backup scratch
contains "and ransomware is thought of" "$(cat "$stderr")" "ransomware"
fill "$work/plain.img" 0 $((3 * MiB)) again
with "$(web 'bek: main/web, kek: main/backup')" "scratch: { disks: { root: { image: plain.img, bek: main/web, kek: main/backup } } }"
exits "keys for a disk of which nobody knows what it holds are a warning" 3 cairn backup scratch
contains "by name, and not to be taken out" "$(cat "$stdout" "$stderr")" "[encryption-unknown]"
equal "its proof is not known" "$(point_fact scratch proof)" unknown
equal "and the point holds the keys" "$(cairn points scratch@latest --json | jq '.disks[0].keys | length')" 1
mkfs.ext4 -q -F "$work/plain.img"
exits "keys for a disk that is not encrypted are a warning" 3 cairn backup scratch
contains "by name" "$(cat "$stdout" "$stderr")" "[keys-not-needed]"

# The vault itself.
chmod 755 "$work/vault"
refuses "a vault that others may read" key-vault-permissions cairn backup web
chmod 700 "$work/vault"
printf '%064d\n' 7 >"$work/wrong.key"
chmod 600 "$work/wrong.key"
sed "s#key_file: vault.key#key_file: wrong.key#" "$config" >"$work/other.yaml"
refuses "another key" key-vault-wrong-key other backup web
cp "$work/vault/vault" "$work/vault.kept"
printf X | dd of="$work/vault/vault" bs=1 seek=200 conv=notrunc status=none
refuses "a damaged vault" key-vault-damaged cairn backup web
cp "$work/vault.kept" "$work/vault/vault"
exits "put back, it works; the disk has changed since the last point" 3 cairn backup web
cp "$work/vault/audit.log" "$work/audit.kept"
sed -i '2d' "$work/vault/audit.log"
refuses "an altered audit log is noticed" audit-damaged cairn vault audit
cp "$work/audit.kept" "$work/vault/audit.log"
check "put back, it is whole" cairn vault audit
refuses "the last administrator stays" last-administrator cairn vault revoke admin --all

# Bad keys to import.
: >"$work/empty"
head -c 9000000 /dev/zero >"$work/large"
cp "$work/passphrase" "$work/loose"
chmod 600 "$work/empty" "$work/large"
chmod 644 "$work/loose"
refuses "an empty key" key-file-invalid cairn key import web/root --from "$work/empty"
refuses "a key that is too large" key-file-invalid cairn key import web/root --from "$work/large"
refuses "a key file that others may read" key-file-permissions cairn key import web/root --from "$work/loose"
refuses "no such file" key-file-missing cairn key import web/root --from "$work/nowhere"
refuses "no such disk" no-such-disk cairn key import web/rood --from "$work/passphrase"
contains "the nearest is named" "$(cat "$stderr")" 'did you mean "root"'
printf '123456-123456-123456-123456-123456-123456-123456-123457' >"$work/mistyped"
chmod 600 "$work/mistyped"
refuses "a recovery password with a wrong check digit" bek-invalid \
  cairn key import web/root --from "$work/mistyped" --type bitlocker-recovery-password
refuses_with 2 "a wrong type" used-wrongly cairn key import web/root --from "$work/passphrase" --type luks

# The daemon looks when it starts, and again when its settings change.
if have curl; then
  with "$(web 'bek: main/web, kek: main/backup')" "$(one_disk naked kept.img)"
  start_daemon
  keys_of() { curl -s --unix-socket "$work/cairnd.sock" http://cairn/v1/status | jq -r ".machines[] | select(.machine == \"$1\") | .keys.state"; }
  is_known() { [ "$(keys_of "$1")" = "$2" ]; }
  check "the daemon finds the machine without keys" wait_until 30 is_known naked error
  check "and the one with keys in order" wait_until 30 is_known web good
  contains "it is in the log, by name" "$(cat "$work/cairnd.log")" "keys-missing"
  contains "cairn status warns" "$(cairn status)" "[keys-missing]"
  with "$(web 'bek: main/web, kek: main/backup')" "naked: { disks: { root: { image: kept.img, bek: main/web, kek: main/backup } } }"
  kill -HUP "$daemon"
  check "it looks again after SIGHUP" wait_until 30 is_known naked good
  stop_daemon
else
  skip "the daemon's look at the keys" "no curl"
fi
end
