#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Real volumes through the whole way: LUKS1, LUKS2, a partitioned disk with a LUKS partition, a plain ext4 image.
. "$(dirname "$0")/lib.sh"
needs root fuse cryptsetup jq sgdisk mkfs.ext4 debugfs

make_luks "$work/luks1.img" 24M luks1
fill "$work/luks1.img" $((4 * MiB)) $((8 * MiB)) luks1
make_luks "$work/luks2.img" 48M luks2
fill "$work/luks2.img" $((16 * MiB)) $((10 * MiB)) luks2

# A disk as an installer leaves it: GPT, an EFI partition, a LUKS2 partition.
truncate -s 96M "$work/gpt.img"
sgdisk -n 1:2048:+8M -t 1:ef00 -n 2:0:+64M -t 2:8309 "$work/gpt.img" >/dev/null
part_offset=$(sgdisk -i 2 "$work/gpt.img" | awk '/First sector/ {print $3 * 512}')
make_luks "$work/part.img" 64M luks2
fill "$work/part.img" $((17 * MiB)) $((6 * MiB)) part
dd if="$work/part.img" of="$work/gpt.img" bs=256K seek="$part_offset" oflag=seek_bytes conv=notrunc,sparse status=none

truncate -s 32M "$work/plain.img"
mkfs.ext4 -q -F "$work/plain.img"
random_bytes file 300000 >"$work/file"
debugfs -w -R "write $work/file file" "$work/plain.img" >/dev/null 2>&1

EXTRA=$without_keys settings "$(one_disk luks1 luks1.img)" "$(one_disk luks2 luks2.img)" "$(one_disk gpt gpt.img)" "$(one_disk plain plain.img)" \
  'two: { disks: { system: { image: gpt.img }, data: { image: plain.img } } }'
new_store
exits "config check accepts them, and warns of keys that are missing" 3 cairn config check
run cairn backup --all
if [ $status -eq 0 ] || [ $status -eq 3 ]; then ok "backup --all"; else not_ok "backup --all" "ended with $status" "$(cat "$stderr")"; fi
mount_points

for name in luks1 luks2 gpt plain; do
  check "$name: the mounted disk equals the image" cmp "$work/$name.img" "$(disk $name)"
done
check "a machine with two disks: system" cmp "$work/gpt.img" "$(disk two latest system)"
check "a machine with two disks: data" cmp "$work/plain.img" "$(disk two latest data)"

for name in luks1 luks2; do
  check "$name: the mounted disk unlocks" cryptsetup open --test-passphrase --key-file "$work/passphrase" "$(disk $name)"
  equal "$name: luksDump of the mounted disk is that of the image" \
    "$(cryptsetup luksDump "$(disk $name)" | tail -n +2)" "$(cryptsetup luksDump "$work/$name.img" | tail -n +2)"
  printf wrong >"$work/wrong"
  check_fails "$name: another passphrase does not" cryptsetup open --test-passphrase --key-file "$work/wrong" "$(disk $name)"
done

facts() { cat "$mnt/$1/latest/recovery-point.json"; }
volume() { facts "$1" | jq -r ".disks[0].$2"; }
contains "luks1 is recognised" "$(facts luks1)" LUKS1
contains "luks2 is recognised" "$(facts luks2)" LUKS2
contains "the LUKS partition is recognised" "$(facts gpt)" LUKS2
contains "its UUID is recorded" "$(facts gpt)" "$(cryptsetup luksUUID "$work/part.img")"
contains "the cipher is recorded" "$(facts luks2)" "aes-xts-plain64"
if facts plain | grep -q 'LUKS\|BitLocker'; then not_ok "a plain image is not taken for encrypted"; else ok "a plain image is not taken for encrypted"; fi

# The headers by themselves unlock too: they are what a rescue starts from.
header=$(find "$mnt/luks2/latest/headers" -type f | head -n 1)
check "luks2: its header is a file in the mount" test -s "$header"
check "luks2: the header alone unlocks" cryptsetup open --test-passphrase --key-file "$work/passphrase" "$header"
header=$(find "$mnt/gpt/latest/headers" -type f | head -n 1)
check "partition: the header alone unlocks" cryptsetup open --test-passphrase --key-file "$work/passphrase" "$header"

debugfs -R "dump file $work/file.back" "$(disk plain)" >/dev/null 2>&1
check "a file read out of the mounted ext4 image is the same" cmp "$work/file" "$work/file.back"

umount_points
end
