#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The source image is never written, not even by libcryptsetup's silent repair of a damaged LUKS2 header.
. "$(dirname "$0")/lib.sh"
needs root fuse cryptsetup jq

make_luks "$work/good.img" 40M luks2
fill "$work/good.img" $((16 * MiB)) $((3 * MiB)) data
# Primary: a byte of the JSON area, so its checksum fails. Both: the secondary at 16 KiB as well.
cp --sparse=always "$work/good.img" "$work/primary.img"
fill "$work/primary.img" 5000 16 break
cp --sparse=always "$work/primary.img" "$work/both.img"
fill "$work/both.img" $((16384 + 5000)) 16 break
# Hostile: a header size that points behind the end of the disk.
cp --sparse=always "$work/good.img" "$work/hostile.img"
printf '\xff\xff\xff\xff\xff\xff\xff\xff' | dd of="$work/hostile.img" bs=1 seek=8 conv=notrunc status=none
head -c 512 "$work/good.img" >"$work/short.img"

# To know that the test can fail: cryptsetup itself does write.
cp --sparse=always "$work/primary.img" "$work/witness.img"
before=$(sha "$work/witness.img")
cryptsetup luksDump "$work/witness.img" >/dev/null 2>&1
if [ "$(sha "$work/witness.img")" = "$before" ]; then
  skip "cryptsetup repairs in place" "this cryptsetup does not: the rest proves less"
else
  ok "cryptsetup itself repairs a copy in place"
fi

names=(primary both hostile short)
lines=()
declare -A sums
for name in "${names[@]}"; do
  lines+=("$(one_disk "$name" "$name.img")")
  sums[$name]=$(sha "$work/$name.img")
  touch -d '2026-01-01 00:00:00' "$work/$name.img"
done
EXTRA=$without_keys settings "${lines[@]}"
new_store
run timeout 120 cairn config check
for name in "${names[@]}"; do
  equal "$name: config check leaves the image's bytes" "$(sha "$work/$name.img")" "${sums[$name]}"
done
run timeout 120 cairn backup --all
if [ $status -eq 0 ] || [ $status -eq 3 ]; then ok "the disks are backed up all the same"; else not_ok "backup" "$(cat "$stderr")"; fi
mount_points
for name in "${names[@]}"; do
  equal "$name: backup leaves the image's bytes" "$(sha "$work/$name.img")" "${sums[$name]}"
  equal "$name: and its mtime" "$(stat -c %Y "$work/$name.img")" "$(date -d '2026-01-01 00:00:00' +%s)"
  check "$name: the mounted disk has the damage as it was" cmp "$work/$name.img" "$(disk "$name")"
done
facts=$(cat "$mnt/primary/latest/recovery-point.json")
contains "primary: still recognised" "$facts" LUKS2
if jq -e '[.disks[].facts.volumes[]?.damage // "", .disks[].volumes[]?.damage // "", .disks[].facts.remarks[]?, .disks[].remarks[]?] | map(select(. != "")) | length > 0' \
  <<<"$facts" >/dev/null 2>&1; then ok "primary: the damage is recorded"; else not_ok "primary: the damage is recorded" "$facts"; fi
facts=$(cat "$mnt/both/latest/recovery-point.json")
if grep -qi 'damage\|cannot\|header' <<<"$facts"; then ok "both: the damage is recorded"; else not_ok "both: the damage is recorded" "$facts"; fi
umount_points
end
