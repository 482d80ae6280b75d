#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Equal chunks are stored once: across machines, across points, and zeros never.
. "$(dirname "$0")/lib.sh"
needs fuse jq

truncate -s 64M "$work/a.img"
fill "$work/a.img" 0 $((24 * MiB)) base
cp --sparse=always "$work/a.img" "$work/b.img"
# Written zeros are not a hole, and cost no more than one.
truncate -s 64M "$work/zero.img"
dd if=/dev/zero of="$work/zero.img" bs=1M count=32 conv=notrunc status=none
settings "$(one_disk a a.img)" "$(one_disk b b.img)" "$(one_disk zero zero.img)"
new_store
packs() { du -sk --apparent-size "$work/store/packs" | cut -f 1; }

backup a
first=$(packs)
holds "the first backup stores the data" "$first" -gt $((24 * 1024))
holds "ciphertext grows by less than 2 percent" "$first" -lt $((25 * 1024))
holds "new_bytes tells it" "$(point_fact a new_bytes)" -ge $((24 * MiB))

backup b
holds "a second machine with equal chunks stores nearly nothing" $(($(packs) - first)) -lt 64
holds "its new_bytes tells it" "$(point_fact b new_bytes)" -lt $((64 * 1024))

before=$(packs)
backup zero
holds "a disk of written zeros stores nearly nothing" $(($(packs) - before)) -lt 64

before=$(packs)
fill "$work/a.img" $((10 * MiB)) 4096 change
backup a
holds "4 KiB changed: at most some chunks and a path of the map" $(($(packs) - before)) -lt 512
holds "and something was stored" "$(point_fact a new_bytes)" -ge 4096
before=$(packs)
backup a
holds "nothing changed: nearly nothing stored" $(($(packs) - before)) -lt 64
equal "nothing changed: new_bytes is 0" "$(point_fact a new_bytes)" 0

mount_points
check "b still equals what was backed up" cmp "$work/b.img" "$(disk b)"
check "a equals its image" cmp "$work/a.img" "$(disk a)"
check "zero equals its image" cmp "$work/zero.img" "$(disk zero)"
umount_points
end
