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
STORE=$work/fs/store settings "$(one_disk small small.img)" "$(one_disk large large.img)"
new_store
backup small
small=$(latest small)

refuses "the backup that does not fit" space-reserved cairn backup large
holds "and room for a prune is left" "$(df --output=avail -B1 "$work/fs" | tail -n 1)" -ge $((12 * MiB))
equal "its job is Failed" "$(cairn jobs --json | jq -r '[.[] | select(.object == "large")][0].state')" Failed
equal "nothing unfinished lies in the store" "$(unfinished "$work/fs/store")" 0
equal "there is no point of it" "$(cairn points --json | jq -r '[.[] | select(.machine == "large")] | length')" 0
# The packs that were finished stay, for the next run to use; the unfinished one must be gone.
packs=$(du -sb "$work/fs/store/packs" | cut -f 1)
used=$(($(df --output=used -B1 "$work/fs" | tail -n 1) - $(allocated "$work/fs/ballast")))
holds "the space of the unfinished pack is given back" $((used - packs)) -lt $((24 * MiB))
mount_points
check "the earlier point is intact" cmp "$work/small.img" "$(disk small "$small")"
refuses "again: the same error, not a worse one" space-reserved cairn backup large
check "the earlier point is still intact" cmp "$work/small.img" "$(disk small "$small")"

# With room again the same store goes on, and finds what was packed.
umount_points
rm -f "$work/fs/ballast"
backup large && ok "with room again the backup completes"
holds "and re-uses what was packed" "$(point_fact large new_bytes)" -lt $((400 * MiB - 8 * MiB))
mount_points
check "the point equals the image" cmp "$work/large.img" "$(disk large)"
umount_points

# Restore onto a full disk: an error, and no half file under the disk's name.
mkdir "$work/small-fs"
truncate -s 32M "$work/small-fs.img"
mkfs.ext4 -q -F -m 0 "$work/small-fs.img"
mount -o loop "$work/small-fs.img" "$work/small-fs"
refuses "restore onto a full disk" no-space cairn restore large@latest --to "$work/small-fs"
equal "leaves no file" "$(find "$work/small-fs" -type f | wc -l)" 0
end
