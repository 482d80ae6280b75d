#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Keys of the store: key file, passphrase, recovery key; adding, removing, the last one.
. "$(dirname "$0")/lib.sh"
needs jq

truncate -s 4M "$work/web.img"
fill "$work/web.img" 0 $MiB web
settings "$(one_disk web web.img)"
new_store --recovery-key-out "$work/recovery"
equal "the key file's mode" "$(stat -c %a "$work/store.key")" 600
contains "the recovery key is printable" "$(cat "$work/recovery")" "CAIRN-RECOVERY"
equal "the recovery key's mode" "$(stat -c %a "$work/recovery")" 600
backup web
slots() { cairn store keys list --json | jq -r "${1:-length}"; }
equal "two slots" "$(slots)" 2
equal "their types" "$(slots '[.[].type] | sort | join(" ")')" "key-file recovery"
if grep -rqF "$(cat "$work/store.key")" "$work/store" 2>/dev/null; then not_ok "the key is not in the store"; else ok "the key is not in the store"; fi

with_key() { sed "s#key_file: $work/store.key#$1#" "$config" >"$work/other.yaml"; }

printf 'a long enough passphrase\n' >"$work/pass"
chmod 600 "$work/pass"
check "keys add: a passphrase" cairn store keys add --passphrase-file "$work/pass" --label admin
refuses "a label that is taken" key-slot-exists cairn store keys add --passphrase-file "$work/pass" --label admin
with_key "passphrase_file: $work/pass"
check "the passphrase opens the store" other points
with_key "passphrase_command: [ sh, -c, \"cat $work/pass\" ]"
check "a passphrase command opens the store" other points
with_key "passphrase_command: [ sh, -c, \"exit 3\" ]"
refuses "a passphrase command that fails" passphrase-command-failed other points
printf 'another passphrase\n' >"$work/wrong"
chmod 600 "$work/wrong"
with_key "passphrase_file: $work/wrong"
refuses "a wrong passphrase" wrong-key other points
equal "three slots" "$(slots)" 3

# The recovery key: what is left after a fire is the store and a sheet of paper.
with_key "key_file: $work/nothing"
refuses "without the key file nothing opens" key-file-missing other points
check "but with the recovery key it does" other --recovery-key "$work/recovery" points
tr 'A-Z' 'a-z' <"$work/recovery" | fold -w 20 >"$work/typed"
chmod 600 "$work/typed"
check "also as somebody typed it in" other --recovery-key "$work/typed" points
sed 's/.$/&/; y/ABCDEFGH/BCDEFGHA/' "$work/recovery" >"$work/typo"
chmod 600 "$work/typo"
refuses "a recovery key with slips of the fingers" key-file-invalid other --recovery-key "$work/typo" points

id=$(slots '.[] | select(.label == "admin") | .id')
refuses_with 2 "keys remove asks, or needs --yes" used-wrongly cairn store keys remove "$id"
check "keys remove" cairn store keys remove "$id" --yes
with_key "passphrase_file: $work/pass"
refuses "the removed passphrase opens nothing" wrong-key other points
refuses "removing what is not there" no-such-key-slot cairn store keys remove 00000000 --yes
used=$(slots '.[] | select(.type == "key-file") | .id')
refuses "the key that the settings name is not removed" key-in-use cairn store keys remove "$used" --yes
contains "it is named" "$(cat "$stderr")" "$used"
exits "removing the recovery key is warned of" 3 cairn store keys remove "$(slots '.[] | select(.type == "recovery") | .id')" --yes
contains "nothing is left on paper" "$(cat "$stdout")" "no recovery key is left"
refuses "the last key cannot be removed" last-key-slot cairn store keys remove "$(slots '.[0].id')" --yes --force
check "and the store still opens" cairn points
end
