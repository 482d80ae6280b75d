#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A block device as a disk: a loop device with a LUKS2 volume.
. "$(dirname "$0")/lib.sh"
needs root fuse loop cryptsetup

make_luks "$work/backing.img" 40M luks2
fill "$work/backing.img" $((16 * MiB)) $((5 * MiB)) block
device=$(losetup -f --show "$work/backing.img")
EXTRA=$without_keys settings "$(one_disk web "$device")"
new_store
exits "config check accepts a block device, and warns of missing keys" 3 cairn config check
backup web && ok "backup of a block device"
mount_points
check "the mounted disk equals the device" cmp "$device" "$(disk web)"
equal "its size is the device's" "$(stat -L -c %s "$(disk web)")" "$(blockdev --getsize64 "$device")"

cp --sparse=always "$device" "$work/before.img"
fill "$device" $((20 * MiB)) 4096 change
sync
first=$(latest web)
backup web && ok "second backup"
check "the second point equals the device" cmp "$device" "$(disk web "$(latest web)")"
check "the first point is as it was" cmp "$work/before.img" "$(disk web "$first")"
umount_points
losetup -d "$device"
end
