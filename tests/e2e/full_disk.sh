#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The store's disk runs full during a backup: the job fails, earlier points are intact, the space is given back.
. "$(dirname "$0")/lib.sh"
needs root fuse loop jq mkfs.ext4

mkdir "$work/fs"
truncate -s 640M "$work/fs.img"
mkfs.ext4 -q -F -m 0 "$work/fs.img"
mount -o loop "$work/fs.img" "$work/fs"
fallocate -l $((460 * MiB)) "$work/fs/ballast"
truncate -s 32M "$work/small.img"
fill "$work/small.img" 0 $((20 * MiB)) small
truncate -s 400M "$work/large.img"
fill "$work/large.img" 0 $((400 * MiB)) large
truncate -s 400M "$work/middle.img"
STORE=$work/fs/store settings "$(one_disk small small.img)" "$(one_disk large large.img)" "$(one_disk middle middle.img)"
new_store
backup small
small=$(latest small)
free() { df --output=avail -B1 "$work/fs" | tail -n 1; }
packs() { du -sb "$work/fs/store/packs" | cut -f 1; }

# A machine that cannot fit does not begin.
before=$(packs)
refuses "the backup that cannot fit" space-reserved cairn backup large
contains "says what it needs" "$(cat "$stderr")" "it needs at least"
equal "and has stored nothing" "$(packs)" "$before"
equal "its job is Failed" "$(cairn jobs --json | jq -r '[.[] | select(.object == "large")][0].state')" Failed
equal "there is no point of it" "$(cairn points --json | jq -r '[.[] | select(.machine == "large")] | length')" 0
exits "the other machines go on" 1 cairn backup small large middle
equal "with points of their own" "$(cairn points --json | jq -r '[.[].machine] | unique | join(" ")')" "middle small"

# One that a sample does not show to be too large stops when the disk is full, and gives back what it stored.
fill "$work/middle.img" 0 $(($(free) / MiB * MiB)) middle
before=$(packs)
refuses "the backup that does not fit" space-reserved cairn backup middle
contains "gives back what it had stored" "$(cat "$stderr")" "garbage of the store was collected"
holds "so that the store is as small as before" "$(packs)" -le $((before + 4 * MiB))
holds "and there is as much room as before" "$(free)" -ge $((40 * MiB))
equal "nothing unfinished lies in the store" "$(unfinished "$work/fs/store")" 0
mount_points
check "the earlier point is intact" cmp "$work/small.img" "$(disk small "$small")"
umount_points
fill "$work/small.img" 0 $MiB again
sleep 1.1 # the next second: points of one second are dated one later
backup small && ok "another machine's backup has room"

# What is hidden is freed at once when that is asked for.
first=$(stamps small | head -n 1)
exits "a point is deleted" 0 cairn delete "small@$small" --yes
refuses_with 2 "for good: it asks" used-wrongly cairn delete "small@$small" --for-good
exits "for good" 0 cairn delete "small@$small" --for-good --yes --json
equal "it is removed" "$(jq -r '.points[0].purged' "$stdout")" true
equal "and its space is given back" "$(jq -r '.jobs[0].state' "$stdout")" Completed
equal "it cannot be brought back" "$(cairn points --deleted --json | jq length)" 0
holds "the first point was that one" "$first" = "$small"

# With room again the same store goes on.
rm -f "$work/fs/ballast"
backup middle && ok "with room again the backup completes"
mount_points
check "the point equals the image" cmp "$work/middle.img" "$(disk middle)"
umount_points

# A machine that is not in the settings any more: its points stay until somebody says how long.
STORE=$work/fs/store settings "$(one_disk small small.img)"
refuses_with 2 "a policy goes with one machine" used-wrongly cairn prune --policy default
refuses_with 2 "that is not in the settings" used-wrongly cairn prune small --policy default
refuses_with 2 "and must be there" used-wrongly cairn prune middle --policy none
exits "its points can be pruned" 0 cairn prune middle --policy default --dry-run --json
equal "by that policy" "$(jq -r '.jobs[0].result.machines[0].policy' "$stdout")" default
contains "whose rule keeps them" "$(jq -r '.jobs[0].result.machines[0].points[0].reasons[]' "$stdout")" "newest"

# Restore onto a full disk: an error, and no half file under the disk's name.
mkdir "$work/small-fs"
truncate -s 32M "$work/small-fs.img"
mkfs.ext4 -q -F -m 0 "$work/small-fs.img"
mount -o loop "$work/small-fs.img" "$work/small-fs"
refuses "restore onto a full disk" no-space cairn restore middle@latest --to "$work/small-fs"
equal "leaves no file" "$(find "$work/small-fs" -type f | wc -l)" 0
end
