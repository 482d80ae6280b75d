#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Headers alone: as files, and in place onto a disk whose header was destroyed; LUKS1, LUKS2, a partition, BitLocker.
. "$(dirname "$0")/lib.sh"
needs root cryptsetup jq sgdisk

make_luks "$work/luks1.img" 24M luks1
make_luks "$work/luks2.img" 48M luks2
fill "$work/luks2.img" $((20 * MiB)) $((3 * MiB)) data
make_luks "$work/other.img" 48M luks2
make_luks "$work/part.img" 40M luks2
truncate -s 64M "$work/gpt.img"
sgdisk -n 1:2048:+8M -t 1:ef00 -n 2:0:+40M -t 2:8309 "$work/gpt.img" >/dev/null
part_offset=$(sgdisk -i 2 "$work/gpt.img" | awk '/First sector/ {print $3 * 512}')
dd if="$work/part.img" of="$work/gpt.img" bs=256K seek="$part_offset" oflag=seek_bytes conv=notrunc,sparse status=none
EXTRA=$without_keys settings "$(one_disk luks1 luks1.img)" "$(one_disk luks2 luks2.img)" "$(one_disk gpt gpt.img)"
new_store
run cairn backup --all
unlocks() { cryptsetup open --test-passphrase --key-file "$work/passphrase" "$1"; }
part_unlocks() {
  dd if="$work/gpt.img" of="$work/part.now" bs=256K skip="$part_offset" iflag=skip_bytes,count_bytes count=$((40 * MiB)) status=none &&
    unlocks "$work/part.now"
}
zero() { dd if=/dev/zero of="$1" bs=4096 seek="$2" oflag=seek_bytes count="$3" conv=notrunc status=none; }

# --- as files ---------------------------------------------------------------------------------------------------------
mkdir "$work/out"
exits "restore --header-only" 3 cairn restore luks2@latest --header-only --to "$work/out"
contains "a point without keys is said to be one" "$(cat "$stdout")" "nothing in the recovery point opens root"
check "the header file is there" test -f "$work/out/root.luks2"
equal "closed to others" "$(stat -c %a "$work/out/root.luks2")" 600
holds "and small" "$(allocated "$work/out/root.luks2")" -le $((17 * MiB))
check "cryptsetup unlocks with it as a detached header" \
  cryptsetup open --test-passphrase --header "$work/out/root.luks2" --key-file "$work/passphrase" "$work/luks2.img"
refuses "never over a file that is there" target-exists cairn restore luks2@latest --header-only --to "$work/out"
exits "unless forced to" 3 cairn restore luks2@latest --header-only --to "$work/out" --force
exits "a header from a partition" 3 cairn restore gpt@latest --header-only --to "$work/out"
check "is named after it" test -f "$work/out/root-part2.luks2"

# --- in place ---------------------------------------------------------------------------------------------------------
refuses_with 2 "in place asks, or wants --yes" used-wrongly cairn restore luks2@latest --header-only --in-place "$work/luks2.img" </dev/null
refuses_with 2 "in place is for headers only" used-wrongly cairn restore luks2@latest --in-place "$work/luks2.img" --yes
for name in luks1 luks2; do
  sum=$(sha "$work/$name.img")
  zero "$work/$name.img" 0 1024
  check_fails "$name: the header is destroyed" unlocks "$work/$name.img"
  exits "$name: restored in place" 3 cairn restore "$name@latest" --header-only --in-place "$work/$name.img" --yes --json
  check "$name: unlocks again" unlocks "$work/$name.img"
  equal "$name: the whole disk is what it was" "$(sha "$work/$name.img")" "$sum"
  check "$name: what was there before is kept" test -s "$(jq -r .saved "$stdout")"
done
sum=$(sha "$work/gpt.img")
zero "$work/gpt.img" "$part_offset" 2048
check_fails "partition: the header is destroyed" part_unlocks
exits "partition: restored in place on the whole disk" 3 cairn restore gpt@latest --header-only --in-place "$work/gpt.img" --yes
check "partition: unlocks again" part_unlocks
equal "partition: the whole disk is what it was" "$(sha "$work/gpt.img")" "$sum"
exits "again: nothing to write" 3 cairn restore gpt@latest --header-only --in-place "$work/gpt.img" --yes --json
equal "and nothing was written" "$(jq .written_bytes "$stdout")" 0

# --- the wrong device -------------------------------------------------------------------------------------------------
sum=$(sha "$work/other.img")
refuses "another volume is not overwritten" header-of-another-volume cairn restore luks2@latest --header-only --in-place "$work/other.img" --yes
refuses "a device that is not there" image-missing cairn restore luks2@latest --header-only --in-place "$work/nowhere" --yes
refuses "a directory" image-not-a-disk cairn restore luks2@latest --header-only --in-place "$work/out" --yes
if [ "$(id -u)" -eq 0 ]; then
  ln -s other.img "$work/link" && chown -h 65534 "$work/link"
  refuses "a link of somebody else is not followed" wrong-file-type cairn restore luks2@latest --header-only --in-place "$work/link" --yes --force
fi
truncate -s 1M "$work/small.img"
refuses "a device that is too small" header-of-another-volume cairn restore luks2@latest --header-only --in-place "$work/small.img" --yes
equal "nothing was written there" "$(sha "$work/other.img")" "$sum"

if can_loop; then
  device=$(losetup -f --show "$work/luks2.img")
  zero "$device" 0 16
  mkdir "$work/fs"
  exits "a block device: restored in place" 3 cairn restore luks2@latest --header-only --in-place "$device" --yes
  check "a block device: unlocks again" unlocks "$device"
  losetup -d "$device"
else
  skip "a block device" "no loop devices"
fi

archive=$CAIRN_TESTDATA/bitlocker.tar.xz
if [ -r "$archive" ]; then
  tar -C "$work" -xJf "$archive"
  image=$work/bitlocker/aes-xts-128.img
  EXTRA=$without_keys settings "$(one_disk win "$image")"
  backup win
  sum=$(sha "$image")
  dd if=/dev/zero of="$image" bs=512 count=1 conv=notrunc status=none
  check_fails "BitLocker: the boot sector is destroyed" cryptsetup bitlkDump "$image"
  exits "BitLocker: restored in place" 3 cairn restore win@latest --header-only --in-place "$image" --yes
  equal "BitLocker: the whole disk is what it was" "$(sha "$image")" "$sum"
else
  skip "BitLocker in place" "no bitlocker.tar.xz in $CAIRN_TESTDATA"
fi
end
