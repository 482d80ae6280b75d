#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 in the middle of a backup, again and again: earlier points stay readable, the next run uses what was packed.
. "$(dirname "$0")/lib.sh"
needs fuse jq

size=$((320 * MiB))
truncate -s $size "$work/web.img"
fill "$work/web.img" 0 $((16 * MiB)) first
settings "$(one_disk web web.img)"
new_store
backup web
cp --sparse=always "$work/web.img" "$work/first.img"
first=$(latest web)
mount_points

fill "$work/web.img" 0 $size second
packs() { find "$work/store/packs" -type f | wc -l; }
more_packs_than() { [ "$(packs)" -ge "$1" ] || ended "$2"; }

# Each round is killed when it has published one pack more than the round before, so each has something to re-use.
killed=0
for round in 1 2 3; do
  wanted=$(($(packs) + 1))
  "$CAIRN" --config "$config" backup web >"$work/killed.log" 2>&1 &
  victim=$!
  children+=($victim)
  wait_until 60 more_packs_than $wanted $victim
  if kill -9 $victim 2>/dev/null; then killed=$((killed + 1)); fi
  wait $victim 2>/dev/null
  check "round $round: the earlier point is bit-exact in the running mount" cmp "$work/first.img" "$(disk web "$first")"
  equal "round $round: no unfinished point is to be seen" "$(cairn points web --json | jq length)" 1
done
holds "the backup was really killed in its middle" $killed -ge 1
held=$(($(du -sb "$work/store/packs" | cut -f 1)))

run cairn backup web
equal "the next run completes, the dead writer's lock is no obstacle" "$status" 0
holds "it re-used packs: new_bytes is smaller than the disk" "$(point_fact web new_bytes)" -lt $((size - 8 * MiB))
holds "the killed runs had left packs" "$held" -gt $((24 * MiB))
# What stays in the store is one copy of both points and what the killed runs' unfinished packs may not hold.
holds "nothing is stored twice" "$(du -sb "$work/store/packs" | cut -f 1)" -lt $((size + 16 * MiB + 24 * MiB))
equal "no unfinished file is left" "$(unfinished "$work/store")" 0
check "the new point equals the image" cmp "$work/web.img" "$(disk web "$(latest web)")"
check "the earlier point is as it was" cmp "$work/first.img" "$(disk web "$first")"

# A mount whose server was killed can be taken down and mounted again.
umount_points
"$CAIRN" --config "$config" mount "$mnt" --foreground >"$work/fg.log" 2>&1 &
server=$!
children+=($server)
wait_until 20 test -d "$mnt/web"
kill -9 $server
wait $server 2>/dev/null
check "a dead mount can be unmounted" cairn umount "$mnt"
mount_points
check "and mounted again" cmp "$work/first.img" "$(disk web "$first")"
umount_points
end
