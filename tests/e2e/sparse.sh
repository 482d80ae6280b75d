#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A 1 TiB sparse image with a few MiB of data costs its data, in time and in space.
. "$(dirname "$0")/lib.sh"
needs fuse jq python3

size=$((1024 * 1024 * MiB))
truncate -s $size "$work/huge.img" || { skip "all of it" "this file system has no 1 TiB files"; end; }
fill "$work/huge.img" 0 $((1 * MiB)) start
fill "$work/huge.img" $((size / 2 + 12345)) $((3 * MiB)) middle
fill "$work/huge.img" $((size - 500000)) 500000 end
settings "$(one_disk huge huge.img)"
new_store
began=$SECONDS
backup huge && ok "backup"
# Reading 1 TiB of zeros would take minutes on any disk; the limit is wide so that a slow machine passes.
holds "the backup takes seconds" $((SECONDS - began)) -lt 60
holds "the store is small" "$(du -sk "$work/store" | cut -f 1)" -lt 20480
equal "points says the full size" "$(point_fact huge 'disks[0].size')" $size
mount_points
file=$(disk huge)
equal "the mounted disk has the full size" "$(stat -L -c %s "$file")" $size
holds "and takes little space" "$(($(stat -L -c %b "$file") / 2048))" -lt 64
same_range() { cmp -n "$2" -i "$1" "$work/huge.img" "$file"; }
check "the start is the same" same_range 0 $((2 * MiB))
check "the middle is the same" same_range $((size / 2)) $((4 * MiB))
check "the end is the same" same_range $((size - MiB)) $MiB
cat >"$work/extents.py" <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
at, extents = 0, 0
while True:
    try: data = os.lseek(fd, at, os.SEEK_DATA)
    except OSError: break
    at = os.lseek(fd, data, os.SEEK_HOLE)
    extents += 1
print(extents)
PY
equal "SEEK_DATA walks three runs of data" "$(timeout 60 python3 "$work/extents.py" "$file")" 3
began=$SECONDS
check "cp --sparse=always copies it out" timeout 120 cp --sparse=always "$file" "$work/copy.img"
holds "in seconds" $((SECONDS - began)) -lt 60
check "the copy's middle is the same" cmp -n $((4 * MiB)) -i $((size / 2)) "$work/huge.img" "$work/copy.img"
rm -f "$work/copy.img"
mkdir "$work/out"
check "restore writes it out" timeout 120 cairn restore huge@latest --to "$work/out"
restored=$(find "$work/out" -type f -name '*.img' | head -n 1)
equal "restored at full size" "$(stat -c %s "$restored")" $size
holds "and sparse" "$(allocated "$restored")" -lt $((64 * MiB))
check "the restored end is the same" cmp -n $MiB -i $((size - MiB)) "$work/huge.img" "$restored"
umount_points
end
