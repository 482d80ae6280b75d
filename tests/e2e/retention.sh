#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# How long points are kept: deleted ones vanish from commands and mounts and come back, protected and immutable ones
# stay, whatever the settings say later; with a daemon and without.
. "$(dirname "$0")/lib.sh"
needs fuse jq curl

truncate -s 8M "$work/a.img"
fill "$work/a.img" 0 $((2 * MiB)) first
settings "$(one_disk web a.img)"
new_store
backup web
sleep 1.1 # the next second: points of one second are dated one later
fill "$work/a.img" 0 $MiB second
backup web
first=$(stamps web | head -n 1)
second=$(latest web)
listed() { cairn points "$1" --json "${@:2}" | jq -r '.[].point' | tr '\n' ' '; }
shows() { [ -e "$mnt/web/$1/disks/root.img" ]; }
hides() { ! [ -e "$mnt/web/$1" ]; }

# --- without a daemon
exits "a prune changes nothing that is young" 0 cairn prune
equal "both points are there" "$(listed web)" "$first $second "
contains "a dry run says why" "$(cairn prune --dry-run)" "newest, daily 1 of 30"
contains "and that the other one is young" "$(cairn prune --dry-run)" "younger than a day"
contains "each backup is followed by a prune" "$(cairn jobs --all --json | jq -r '.[].kind' | tr '\n' ' ')" "prune backup"

mount_points
check "both are mounted" shows "$first"
sum=$(sha "$(disk web "$first")")
refuses_with 2 "nobody to ask: --yes is needed" used-wrongly cairn delete "web@$first"
exits "delete hides a point" 0 cairn delete "web@$first" --yes
equal "it is not listed" "$(listed web)" "$second "
equal "it is listed among the deleted ones" "$(listed web --deleted)" "$first "
check "and vanishes from the mount" wait_until 20 hides "$first"
check "the other one stays" shows "$second"
refuses "it cannot be restored" point-deleted cairn restore "web@$first" --to "$work"
equal "undelete completes deleted points" "$("$CAIRN" __complete --config "$config" undelete "web@")" "web@$first"
exits "undelete brings it back" 0 cairn undelete "web@$first"
check "into the mount, too" wait_until 20 shows "$first"
equal "as it was" "$(sha "$(disk web "$first")")" "$sum"
refuses "there is nothing to bring back now" point-not-deleted cairn undelete "web@$first"

exits "protect keeps a point" 0 cairn protect "web@$first"
refuses "from being deleted" point-protected cairn delete "web@$first" --yes
contains "points shows it" "$(cairn points)" "protected"
exits "until somebody ends it" 0 cairn protect "web@$first" --off
exits "then it can be deleted" 0 cairn delete "web@$first" --yes
umount_points
exits "and is still hidden in a new mount" 0 cairn mount "$mnt"
check "the deleted point is not in it" hides "$first"
umount_points
exits "it comes back" 0 cairn undelete "web@$first"

# --- soft delete off, and gone for good
EXTRA='policies: { default: { soft_delete: off } }' settings "$(one_disk web a.img)"
exits "with soft_delete off a point goes at once" 0 cairn delete "web@$first" --yes --json
equal "for good" "$(jq -r '.points[0].purged' "$stdout")" true
equal "it is gone" "$(listed web)" "$second "
refuses "and does not come back" point-not-deleted cairn undelete "web@$first"
equal "a tombstone explains it" "$(find "$work/store/purged" -type f -printf '%f\n')" "web@$first"
equal "no mark is left over" "$(find "$work/store/deleted" "$work/store/protected" -type f | wc -l)" 0
mount_points
check "what is left reads as it was" cmp "$work/a.img" "$(disk web "$second")"
umount_points

# --- immutable
EXTRA='policies: { default: { immutable: 30d, soft_delete: off } }' settings "$(one_disk web a.img)"
refuses "raising immutable counts at once" point-immutable cairn delete "web@$second" --yes
sleep 1.1
backup web
third=$(latest web)
contains "points says until when" "$(cairn points)" "immutable until"
EXTRA='policies: { default: { retention: { last: 1 }, soft_delete: off } }' settings "$(one_disk web a.img)"
refuses "lowering it does not count for a point that is there" point-immutable cairn delete "web@$third" --yes
exits "it counts for one that was not immutable itself" 0 cairn delete "web@$second" --yes
sleep 1.1
backup web
exits "a prune keeps it, too" 0 cairn prune --json
equal "because it is immutable" \
  "$(jq -r '.jobs[0].result.machines[0].points[] | select(.point == "'"$third"'") | .reasons[0]' "$stdout" | cut -c 1-15)" \
  "immutable until"

# --- the clock: what the store says of it is altered, and nothing is removed until somebody has looked
printf 'rubbish' >"$work/store/clock"
refuses "a clock that is not known to be right removes nothing" clock-jumped cairn prune
exits "a dry run shows the plan, with a warning" 3 cairn prune --dry-run
exits "a backup works all the same" 0 cairn backup web
contains "and says what is wrong with the prune" "$(cat "$stdout")" "clock-jumped"
refuses "nothing is deleted by hand either" clock-jumped cairn delete web@latest --yes
exits "somebody has looked" 0 cairn prune --accept-clock
exits "and from then on it is right" 0 cairn prune

# --- what is open stays until it is closed
EXTRA='policies: { default: { soft_delete: off, retention: { last: 50 } } }' settings "$(one_disk web a.img)"
sleep 1.1
fill "$work/a.img" 0 $((2 * MiB)) read
cp "$work/a.img" "$work/read.img"
backup web
read_one=$(latest web)
sleep 1.1
fill "$work/a.img" 0 $((2 * MiB)) newer
backup web
mount_points
exec 7<"$mnt/web/$read_one/disks/root.img"
exits "a point that is being read is deleted" 0 cairn delete "web@$read_one" --yes
check "it vanishes" wait_until 20 hides "$read_one"
exits "a prune does not take it away" 0 cairn prune
cat <&7 >"$work/read.out"
check "from who reads it" cmp "$work/read.img" "$work/read.out"
exec 7<&-
purged() { cairn prune >/dev/null && [ "$(cairn points --deleted --json | jq length)" -eq 0 ]; }
check "when it is closed, the next prune does" wait_until 20 purged
umount_points

# --- the same with a daemon
settings "$(one_disk web a.img)"
start_daemon
wait_until 20 [ -d "$work/points/web" ]
newest=$(latest web)
exits "the daemon deletes" 0 cairn delete "web@$newest" --yes
gone() { ! [ -e "$work/points/web/$newest" ]; }
there() { [ -e "$work/points/web/$newest/disks/root.img" ]; }
check "its mount shows it" wait_until 20 gone
api() { curl -sf --unix-socket "$work/cairnd.sock" "http://cairn/v1/$1" "${@:2}"; }
equal "its API lists it" "$(api 'points?machine=web&deleted=true' | jq -r '.[0].point')" "$newest"
equal "and brings it back" "$(api "points/web@$newest/undelete" -d "" | jq -r .point)" "$newest"
check "into its mount" wait_until 20 there
equal "it protects" "$(api "points/web@$newest/protect" -d '{"until":"2099-01-01T00:00:00Z"}' | jq -r .protected.until)" \
  "2099-01-01T00:00:00Z"
contains "a daemon prunes for its clients" "$(cairn prune --dry-run)" "protected until 2099-01-01"
run cairn backup web
followed() { [ "$(cairn jobs --all --json | jq -r '[.[] | select(.kind == "prune" and .object == "web" and .state == "Completed")] | length')" -gt 0 ]; }
check "and after each of its backups" wait_until 20 followed
stop_daemon
end
