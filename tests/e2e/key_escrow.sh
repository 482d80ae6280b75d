#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Keys of encrypted disks, end to end: LUKS1, LUKS2 (argon2id and pbkdf2), a LUKS partition in a GPT disk, BitLocker; into
# the vault, into proved recovery points, into a new vault when the old one is lost, and out of the store alone.
. "$(dirname "$0")/lib.sh"
needs root fuse cryptsetup jq sgdisk

key_file() { head -c "$2" /dev/urandom >"$1"; chmod 600 "$1"; }
key_file "$work/luks1.key" 64
key_file "$work/long.key" 4096
printf 'correct horse battery' >"$work/typed.key"
printf 'correct horse battery\n' >"$work/typed.newline"
key_file "$work/gpt.key" 32
chmod 600 "$work"/*.key "$work/typed.newline"
format() {
  local image=$1 size=$2 key=$3
  shift 3
  truncate -s "$size" "$image"
  cryptsetup luksFormat -q --key-file "$key" "$@" "$image"
}
format "$work/luks1.img" 24M "$work/luks1.key" --type luks1 "${cheap_kdf[@]}"
format "$work/pbkdf2.img" 32M "$work/long.key" --type luks2 "${cheap_kdf[@]}"
format "$work/argon.img" 32M "$work/typed.key" --type luks2 --pbkdf argon2id --pbkdf-memory 65536 --pbkdf-force-iterations 4 --pbkdf-parallel 1
format "$work/part.img" 40M "$work/gpt.key" --type luks2 "${cheap_kdf[@]}"
truncate -s 64M "$work/gpt.img"
sgdisk -n 1:2048:+8M -t 1:ef00 -n 2:0:+40M -t 2:8309 "$work/gpt.img" >/dev/null
part_offset=$(sgdisk -i 2 "$work/gpt.img" | awk '/First sector/ {print $3 * 512}')
dd if="$work/part.img" of="$work/gpt.img" bs=256K seek="$part_offset" oflag=seek_bytes conv=notrunc,sparse status=none
for name in luks1 pbkdf2 argon; do fill "$work/$name.img" $((20 * MiB)) $((2 * MiB)) "$name"; done

machine() { echo "$1: { disks: { root: { image: $2, bek: main/$1, kek: main/backup } } }"; }
machines=("$(machine luks1 luks1.img)" "$(machine pbkdf2 pbkdf2.img)" "$(machine argon argon.img)" "$(machine gpt gpt.img)")
names=(luks1 pbkdf2 argon gpt)
declare -A key=([luks1]=luks1.key [pbkdf2]=long.key [argon]=typed.newline [gpt]=gpt.key)
declare -A type=([luks1]=luks-key-file [pbkdf2]=luks-key-file [argon]=luks-passphrase [gpt]=luks-key-file)

archive=$CAIRN_TESTDATA/bitlocker.tar.xz
windows=no
if [ -r "$archive" ]; then
  windows=yes
  tar -C "$work" -xJf "$archive"
  table=$work/bitlocker/README.md
  field() { grep -F "| $1.img |" "$table" | awk -F'|' -v n="$2" '{gsub(/^ +| +$/, "", $n); print $n}'; }
  put_key() { printf %s "$2" >"$work/$1.key"; chmod 600 "$work/$1.key"; key[$1]=$1.key; type[$1]=$3; names+=("$1"); }
  put_key win-pass "$(field aes-xts-128 4)" bitlocker-password
  put_key win-recovery "$(field aes-cbc-256 5)" bitlocker-recovery-password
  machines+=("$(machine win-pass bitlocker/aes-xts-128.img)" "$(machine win-recovery bitlocker/aes-cbc-256.img)"
    "$(machine win-bek bitlocker/aes-xts-128-startup-key.img)")
  cp "$work/bitlocker/$(field aes-xts-128-startup-key 6)" "$work/win.BEK"
  chmod 600 "$work/win.BEK"
  key[win-bek]=win.BEK
  type[win-bek]=bitlocker-startup-key
  names+=(win-bek)
else
  skip "BitLocker volumes made by Windows" "no bitlocker.tar.xz in $CAIRN_TESTDATA"
fi

vaults="key_vaults: { main: { provider: local, path: vault, key_file: vault.key } }"
EXTRA=$vaults settings "${machines[@]}"
new_store --recovery-key-out "$work/recovery"

# --- the vault is filled ----------------------------------------------------------------------------------------------
check "vault init" cairn vault init --create-key-file
equal "the vault's directory is closed to others" "$(stat -c %a "$work/vault")" 700
equal "and its files" "$(find "$work/vault" -type f -printf '%m\n' | sort -u)" 600
refuses "vault init never touches a vault" key-vault-exists cairn vault init
check "key create" cairn key create backup
declare -A sums
for name in "${names[@]}"; do
  image=$(awk -v m="  $name:" 'index($0, m) == 1 {sub(/.*image: /, ""); sub(/,.*/, ""); print}' "$config")
  sums[$name]=$(sha "$work/$image")
  exits "$name: key import" 0 cairn key import "$name/root" --from "$work/${key[$name]}" --json
  equal "$name: its kind is found out" "$(jq -r .type "$stdout")" "${type[$name]}"
  equal "$name: trying it left the image alone" "$(sha "$work/$image")" "${sums[$name]}"
done
equal "key list shows the BEKs" "$(cairn key list --json | jq '.secrets | length')" ${#names[@]}
exits "config check: every key opens its disk" 0 cairn config check
equal "config check says so" "$(grep -c '^ok       keys ' "$stdout")" ${#names[@]}

# --- proved points ----------------------------------------------------------------------------------------------------
exits "backup --all" 0 cairn backup --all
for name in "${names[@]}"; do
  equal "$name: proved" "$(point_fact "$name" proof)" proved
  document=$(cairn points "$name@latest" --json)
  equal "$name: the point pins the key's version" "$(jq -r '.proof.volumes[0] | .kek + " " + .kek_version' <<<"$document")" "main/backup 1"
  equal "$name: and shows nothing of the key" "$(jq '[.. | strings] | map(select(length > 200)) | length' <<<"$document")" 0
done
equal "the LUKS key slot is in the proof" "$(cairn points luks1@latest --json | jq '.proof.volumes[0].slot')" 0
equal "status counts no machine without proof" "$(cairn status --json | jq .machines_without_recent_proof)" 0
exits "verify --proof" 0 cairn verify --proof --json
equal "verify --proof proved them all" "$(jq .proved "$stdout")" ${#names[@]}

# --- rotation: old points keep their version --------------------------------------------------------------------------
first=$(latest luks1)
exits "key rotate" 0 cairn key rotate main/backup --json
equal "a new version, BEKs wrapped anew" "$(jq -r '"\(.versions[-1].version) \(.rewrapped | length)"' "$stdout")" "2 ${#names[@]}"
exits "backup after rotation" 0 cairn backup luks1
equal "the new point has the new version" "$(cairn points luks1@latest --json | jq -r '.proof.volumes[0].kek_version')" 2
equal "the old point keeps the old one" "$(cairn points "luks1@$first" --json | jq -r '.proof.volumes[0].kek_version')" 1
exits "both can be unlocked" 0 cairn key drill "luks1@$first"
exits "the new one too" 0 cairn key drill luks1@latest

# --- key slots, and another volume key --------------------------------------------------------------------------------
key_file "$work/second.key" 32
cryptsetup luksAddKey -q "${cheap_kdf[@]}" --key-file "$work/long.key" "$work/pbkdf2.img" "$work/second.key"
exits "a key was added to the disk: backed up, with a warning" 3 cairn backup pbkdf2
contains "the report says which slots" "$(cat "$stdout" "$stderr")" "[key-slots-changed]"
exits "no warning the next time" 0 cairn backup pbkdf2
format "$work/luks1.img" 24M "$work/luks1.key" --type luks1 "${cheap_kdf[@]}"
exits "encrypted anew with the same key file: backed up, with a warning" 3 cairn backup luks1
contains "the report says that the volume key changed" "$(cat "$stdout" "$stderr")" "[volume-key-changed]"

# --- a disk with two encrypted volumes and a key for each -------------------------------------------------------------
key_file "$work/a.key" 32
key_file "$work/b.key" 32
format "$work/a.img" 20M "$work/a.key" --type luks1 "${cheap_kdf[@]}"
format "$work/b.img" 24M "$work/b.key" --type luks2 "${cheap_kdf[@]}"
truncate -s 64M "$work/two.img"
sgdisk -n 1:2048:+20M -t 1:8309 -n 2:0:+24M -t 2:8309 "$work/two.img" >/dev/null
for n in 1 2; do
  dd if="$work/$([ $n = 1 ] && echo a || echo b).img" of="$work/two.img" bs=256K oflag=seek_bytes conv=notrunc,sparse status=none \
    seek="$(sgdisk -i $n "$work/two.img" | awk '/First sector/ {print $3 * 512}')"
done
EXTRA=$vaults settings "${machines[@]}" \
  "two: { disks: { root: { image: two.img, bek: [main/two-a, main/two-b], kek: main/backup } } }"
refuses_with 2 "two volumes: import asks which" used-wrongly cairn key import two/root --from "$work/a.key"
check "two volumes: the first key" cairn key import two/root --from "$work/a.key" --secret main/two-a
check "two volumes: the second key" cairn key import two/root --from "$work/b.key" --secret main/two-b
exits "two volumes: backup" 0 cairn backup two
equal "two volumes: proved, each with its own" \
  "$(cairn points two@latest --json | jq -r '.proof.state + " " + ([.proof.volumes[].secret] | join(" "))')" "proved main/two-a main/two-b"
exits "two volumes: the drill" 0 cairn key drill two@latest
refuses_with 2 "two volumes: export asks which" used-wrongly cairn key export two/root --to "$work/x"
check "two volumes: export one" cairn key export two@latest --secret main/two-b --to "$work/two.exported"
check "two volumes: the right one" cmp "$work/two.exported" "$work/b.key"
EXTRA=$vaults settings "${machines[@]}"

# --- the vault is lost ------------------------------------------------------------------------------------------------
mkdir "$work/lost"
mv "$work/vault" "$work/vault.key" "$work/lost/"
refuses "without the vault no backup" key-vault-missing cairn backup argon
check "a new vault" cairn vault init --create-key-file
refuses "an empty vault is no help" secret-missing cairn backup argon
refuses "restoring keys needs the right to" key-vault-denied cairn key restore argon@latest --as cairn-backup
for name in "${names[@]}"; do exits "$name: key restore" 0 cairn key restore "$name@latest" --vault main; done
exits "again: all was there" 0 cairn key restore argon@latest --json
equal "and it says so" "$(jq -r '[.keys[].done] | unique | join(" ")' "$stdout")" "was there"
exits "config check is content again" 0 cairn config check
exits "and backups are proved again" 0 cairn backup argon
mount_points
cairn key export luks1/root --to - >"$work/exported" 2>"$stderr"
check "the restored BEK is the one that was imported" cmp "$work/exported" "$work/luks1.key"
check "and unlocks the mounted disk" cryptsetup open --test-passphrase --key-file "$work/exported" "$(disk luks1)"
exits "key export to a file" 0 cairn key export argon/root --to "$work/argon.exported"
equal "closed to others" "$(stat -c %a "$work/argon.exported")" 600
check "a passphrase comes without the newline it was typed with" cmp "$work/argon.exported" "$work/typed.key"
refuses "never over a file that is there" target-exists cairn key export argon/root --to "$work/argon.exported"
if [ $windows = yes ] && have dislocker-file; then
  cairn key export win-bek/root --to "$work/exported.BEK" >/dev/null 2>&1
  run dislocker-file -V "$(disk win-bek)" -f "$work/exported.BEK" -- "$work/plain"
  equal "the restored .BEK file decrypts the mounted disk" "$(sha "$work/plain")" "$(field aes-xts-128-startup-key 7)"
fi

# --- nothing is overwritten -------------------------------------------------------------------------------------------
printf 'another passphrase' >"$work/other.key"
chmod 600 "$work/other.key"
mkdir "$work/restored"
mv "$work/vault" "$work/vault.key" "$work/restored/"
check "another vault, where other keys have the same names" cairn vault init --create-key-file
check "its own KEK" cairn key create backup
refuses "key restore does not overwrite a KEK" keys-differ cairn key restore argon@latest --vault main
equal "the KEK there is as it was" "$(cairn key list --json | jq -r '.keks[0].versions | length')" 1

# --- the drill from nothing: the store, the paper, and nobody else ----------------------------------------------------
mkdir "$work/nothing"
mv "$work/vault" "$work/vault.key" "$work/store.key" "$config" "$work/nothing/"
bare() { (cd "$work/nothing" && env -u CAIRN_CONFIG "$CAIRN" --store "$work/store" --recovery-key "$work/recovery" "$@"); }
run bare key drill --json
equal "key drill with the printed key" $status 0
equal "every machine's newest point unlocks" "$(jq '"\(.proved) \(.unproved) \(.with)"' -r "$stdout")" "$((${#names[@]} + 1)) 0 recovery key"
run bare key export gpt@latest --to "$work/gpt.rescued"
equal "key export from the store alone" $status 0
check "the rescued key is the right one" cmp "$work/gpt.rescued" "$work/gpt.key"
dd if="$(disk gpt)" of="$work/part.rescued" bs=256K skip="$part_offset" iflag=skip_bytes,count_bytes count=$((40 * MiB)) status=none
check "and unlocks the partition in the mounted disk" cryptsetup open --test-passphrase --key-file "$work/gpt.rescued" "$work/part.rescued"
run bare points
equal "the store's points can be listed without settings" $status 0
refuses_with 2 "--store goes with the recovery key only" used-wrongly "$CAIRN" --store "$work/store" points
umount_points
end
