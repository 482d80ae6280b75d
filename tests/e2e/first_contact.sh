#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# First contact: what a newcomer meets before there is anything, and what a slip in the settings does to a healthy daemon.
. "$(dirname "$0")/lib.sh"
needs cryptsetup jq

truncate -s 4M "$work/a.img"
fill "$work/a.img" 0 $MiB a
machine() { echo "$1: { disks: { root: { image: a.img${2:+, $2} } } }"; }
under() { sed -i "s#key_file: $work/store.key#key_file: $work/etc/new/store.key#" "$config"; }

# Before anything exists.
settings "$(machine web)"
under
for command in points "backup web" "store info" status; do
  # shellcheck disable=SC2086
  refuses "cairn $command: no store yet" store-missing cairn $command
  contains "cairn $command: says how to make one" "$(cat "$stderr")" '"cairn store init --create-key-file" makes both'
done
refuses "cairnd, too" store-missing "$CAIRND" --config "$config" --check
contains "in the same words" "$(cat "$stderr")" '"cairn store init --create-key-file" makes both'
check "the key file's folders are made" cairn store init --create-key-file
equal "for nobody else" "$(stat -c %a "$work/etc/new" "$work/etc/new/store.key" | tr '\n' ' ')" "700 600 "
mv "$work/etc/new/store.key" "$work/kept"
refuses "a key file that is gone later is one to put back" key-file-missing cairn points
mv "$work/kept" "$work/etc/new/store.key"
STORE=$work/no/such/store settings "$(machine web)"
refuses "a store whose parent is not there" target-missing cairn store init --create-key-file
contains "has the command" "$(cat "$stderr")" "mkdir -p $work/no/such"
settings "$(machine web)"
under
exits "a first backup" 0 cairn backup web
refuses "a restore to nowhere" target-missing cairn restore web@latest --to "$work/nowhere"
contains "has the command, too" "$(cat "$stderr")" "mkdir -p $work/nowhere"

# One cause is said once, of however many disks and machines.
make_luks "$work/e.img" 24M luks2
cp "$work/e.img" "$work/f.img"
lines=("web: { disks: { root: { image: a.img }, one: { image: e.img, bek: main/e, kek: main/k }, two: { image: f.img, bek: main/f, kek: main/k } } }"
  "db: { disks: { root: { image: e.img, bek: main/e, kek: main/k } } }")
EXTRA="key_vaults: { main: { provider: local, path: $work/vault, key_file: $work/vault.key } }" settings "${lines[@]}"
under
run cairn config check
equal "config check: a vault that is not there is one line" "$(cat "$stdout" "$stderr" | grep -c 'vault does not exist')" 1
contains "with all that need it" "$(cat "$stdout")" "db/root, web/one, web/two"
contains "its name ends standard error" "$(cat "$stderr")" "[key-vault-missing]"
run cairn backup --all
equal "backup --all: once, too" "$(grep -o 'vault does not exist' "$stderr" | wc -l)" 1
contains "with the machines" "$(cat "$stderr")" "db, web"

# The daemon reads the settings that cairn reads, and outlives a slip in them.
EXTRA='policies: { default: { retention: { last: 3 } } }' settings "$(machine web)"
under
refuses_with 1 "cairnd without settings" settings-missing env CAIRN_CONFIG="$work/nothing.yaml" "$CAIRND" --check
check "cairnd reads \$CAIRN_CONFIG" env CAIRN_CONFIG="$config" "$CAIRND" --check
start_daemon
cp "$config" "$work/good.yaml"
echo "polices: {}" >>"$config"
for command in status points jobs; do
  exits "$command, with a slip in the settings" 0 cairn $command
  contains "$command says so" "$(cat "$stderr")" "is not right, and the daemon goes on"
done
kill -HUP "$daemon"
reload_is_told() { cairn status 2>/dev/null | grep -q 'reading them again failed'; }
check "status says that a reload failed" wait_until 30 reload_is_told
contains "with the slip, on one line" "$(cairn status 2>/dev/null)" "there is a problem in it: $config:"
printf 'store: { path: "\n' >>"$config"
exits "even when it is no YAML any more" 0 cairn points
refuses "config check names the slip" settings-invalid cairn config check
refuses "without the daemon it counts" settings-invalid cairn --no-daemon points

# A preview is of the file; that the daemon has another is said.
cp "$work/good.yaml" "$config"
exits "as the daemon has it" 0 cairn prune --dry-run
equal "nothing to say" "$(grep -c 'the daemon runs with other settings' "$stdout")" 0
sed -i 's/retention: { last: 3 }/retention: { last: 1, yearly: 1 }/' "$config"
run cairn prune --dry-run
contains "the preview is by the file" "$(cat "$stdout")" "the daemon runs with other settings"
# What the daemon refuses by the settings that it has is previewed all the same.
cp "$work/good.yaml" "$config"
sed -i -e 's/policies: {/policies: { archive: { retention: { yearly: 9 } },/' -e 's/^  web:/  other:/' "$config"
exits "a policy that only the file has, for a machine that only the daemon has" 0 cairn prune web --policy archive --dry-run
contains "by the file" "$(cat "$stdout")" "policy archive"
contains "and that the daemon refuses it for now" "$(cat "$stdout")" "refuses this until it has read the file"
refuses_with 2 "a policy that nobody has" used-wrongly cairn prune web --policy nothing --dry-run
contains "by the file, too" "$(cat "$stderr")" "the settings have no such policy"
refuses_with 2 "without --dry-run the daemon's word counts" used-wrongly cairn prune web --policy archive
stop_daemon
end
