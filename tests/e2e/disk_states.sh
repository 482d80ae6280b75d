#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What is said of disks: encrypted, not encrypted, unknown; encrypted volumes in LVM, detached headers. Images of other
# formats: image_formats.sh.
. "$(dirname "$0")/lib.sh"
needs cryptsetup jq mkfs.ext4

vaults="key_vaults: { main: { provider: local, path: vault, key_file: vault.key } }"
with() { EXTRA=$vaults settings "$@"; }
keys='bek: main/disk, kek: main/backup'
said() { cat "$stdout" "$stderr"; }
state() { cairn points "$1@latest" --json | jq -r '.disks[0].encryption'; }

# --- unknown is not "not encrypted" -----------------------------------------------------------------------------------
# A physical volume whose metadata are gone: its label is in the second sector.
truncate -s 40M "$work/pv.img"
dd if="$here/../fuzz/corpus/volume/lvm1" of="$work/pv.img" bs=512 count=8 conv=notrunc status=none
truncate -s 16M "$work/noise.img" "$work/ext4.img" "$work/zeros.img"
fill "$work/noise.img" 0 $((16 * MiB)) noise
mkfs.ext4 -q -F "$work/ext4.img"
with "$(one_disk pv pv.img)" "$(one_disk noise noise.img)" "$(one_disk ext4 ext4.img)" "$(one_disk zeros zeros.img)"
new_store
(umask 077; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/vault.key")
check "vault init" cairn vault init
check "key create" cairn key create backup
exits "config check warns of a member of LVM" 3 cairn config check --json
row() { jq -r --arg object "$1/root" '.checks[] | select(.check == "disk" and .object == $object) | .'"$2" "$stdout"; }
equal "the state of each is said: LVM" "$(row pv encryption)" unknown
contains "with what is seen" "$(row pv not_known[0])" LVM2_member
equal "random bytes" "$(row noise encryption)" unknown
equal "no error and no warning" "$(row noise state)" note
contains "with a hint" "$(row noise detail)" "header is kept elsewhere"
equal "a file system" "$(row ext4 encryption)" not-encrypted
contains "with what is seen" "$(row ext4 detail)" "not encrypted (ext4)"
equal "an empty image" "$(row zeros encryption)" not-encrypted
exits "a backup of a member of LVM warns" 3 cairn backup pv
contains "by name" "$(said)" "[encryption-unknown]"
equal "its point says unknown" "$(state pv)" unknown
equal "and so does the list" "$(point_fact pv proof)" unknown
exits "once, as long as nothing changes" 0 cairn backup pv
contains "the point says it every time" "$(cairn points pv@latest)" "encryption: unknown: LVM2_member"
exits "random bytes are no warning" 0 cairn backup noise --json
equal "but unknown in the job" "$(jq -r '.. | .encryption? // empty' "$stdout" | head -n 1)" unknown
exits "a file system" 0 cairn backup ext4
equal "is not encrypted" "$(state ext4) $(point_fact ext4 proof)" "not-encrypted not-encrypted"
exits "zeros" 0 cairn backup zeros
equal "are not encrypted: all of them were read" "$(state zeros)" not-encrypted

# --- in LVM: a volume of one segment, and one of two, as lvm2 made them -------------------------------------------------
make_luks "$work/two.raw" 10M luks1
make_luks "$work/one.raw" 36M luks2
fill "$work/one.raw" $((18 * MiB)) $((4 * MiB)) data
truncate -s 100M "$work/lvm.img"
dd if="$here/../fuzz/corpus/volume/lvm1" of="$work/lvm.img" conv=notrunc status=none
put() { dd if="$1" of="$work/lvm.img" bs=1M skip="$2" count="$3" seek="$4" conv=notrunc status=none; }
put "$work/two.raw" 0 10 33
put "$work/one.raw" 0 20 1
put "$work/one.raw" 20 16 43
chmod 600 "$work/passphrase"
with "lvm: { disks: { root: { image: lvm.img, $keys } } }"
exits "a key is imported for volumes in LVM" 0 cairn key import lvm/root --from "$work/passphrase" --json
equal "it opens both" "$(jq -r '[.opened[].within] | sort | join(" ")' "$stdout")" "lv:vgx/one lv:vgx/two"
run cairn backup lvm
contains "the third lies on another disk" "$(cairn points lvm@latest)" "lv:vgx/str: part of it lies on another disk"
equal "the point is proved" "$(point_fact lvm proof)" proved
mkdir "$work/out"
exits "their headers are restored" 0 cairn restore lvm@latest --header-only --to "$work/out"
for name in one two; do
  check "the header of $name opens it" cryptsetup open --test-passphrase --key-file "$work/passphrase" \
    --header "$(ls "$work/out/root-lv-vgx-$name".*)" "$work/$name.raw"
done
sum=$(sha "$work/lvm.img")
dd if=/dev/zero of="$work/lvm.img" bs=4096 seek=$((MiB / 4096)) count=2048 conv=notrunc status=none
dd if=/dev/zero of="$work/lvm.img" bs=4096 seek=$((33 * MiB / 4096)) count=256 conv=notrunc status=none
exits "in place too" 0 cairn restore lvm@latest --header-only --in-place "$work/lvm.img" --yes
equal "the disk is what it was" "$(sha "$work/lvm.img")" "$sum"

# --- a detached header --------------------------------------------------------------------------------------------------
truncate -s 12M "$work/detached.img"
cryptsetup luksFormat -q --type luks2 "${cheap_kdf[@]}" --key-file "$work/passphrase" --header "$work/detached.header" "$work/detached.img"
fill "$work/detached.img" 0 $((12 * MiB)) ciphertext
with "$(one_disk bare detached.img)" "detached: { disks: { root: { image: detached.img, header: detached.header, $keys } } }" \
  "gone: { disks: { root: { image: detached.img, header: gone.header, $keys } } }"
exits "without its header" 0 cairn backup bare
equal "nobody knows" "$(state bare)" unknown
exits "with it" 0 cairn backup detached
equal "the disk is encrypted and proved" "$(state detached) $(point_fact detached proof)" "encrypted proved"
rm -r "$work/out" && mkdir "$work/out"
exits "the header is restored as a file" 0 cairn restore detached@latest --header-only --to "$work/out"
exits "and the disk" 0 cairn restore detached@latest --to "$work/out"
check "together they open" cryptsetup open --test-passphrase --key-file "$work/passphrase" \
  --header "$work/out/root-detached.luks2" "$work/out/root.img"
refuses "it is not written onto the disk" no-such-header \
  cairn restore detached@latest --header-only --in-place "$work/out/root.img" --yes
exits "a drill opens it from the store alone" 0 cairn key drill detached@latest
refuses "a header that is not there" detached-header-unusable cairn backup gone

# --- a detached header on a plain partition of the same disk -----------------------------------------------------------
# As a big cloud has it: /boot is plain, and has the header of the other partition as a file.
if have sfdisk && have mke2fs; then
  truncate -s 64M "$work/cloud.img"
  printf 'label: gpt\nstart=2048, size=40MiB\nsize=16MiB\n' | sfdisk -q "$work/cloud.img"
  truncate -s 16M "$work/cloud.data"
  mkdir -p "$work/boot/luks"
  cryptsetup luksFormat -q --type luks2 "${cheap_kdf[@]}" --key-file "$work/passphrase" --header "$work/boot/luks/osluksheader" "$work/cloud.data"
  fill "$work/cloud.data" 0 $((16 * MiB)) cloud
  put_boot() {
    rm -f "$work/boot.part"
    truncate -s 40M "$work/boot.part"
    mke2fs -q -F -t ext4 -d "$work/boot" "$work/boot.part" && dd if="$work/boot.part" of="$work/cloud.img" bs=1M seek=1 conv=notrunc status=none
  }
  put_boot
  dd if="$work/cloud.data" of="$work/cloud.img" bs=1M seek=41 conv=notrunc status=none
  cloud() { echo "$1: { disks: { root: { image: cloud.img, header: \"$2\", $keys } } }"; }
  with "$(one_disk plain cloud.img)" "$(cloud cloud partition:1/luks/osluksheader)" "$(cloud third partition:3/luks/osluksheader)" \
    "$(cloud other partition:1/boot/luks/osluksheader)" "$(cloud data partition:2/luks/osluksheader)" \
    "$(cloud wrong partition:1/luks/none)"
  exits "plain boot: without its header" 0 cairn backup plain
  equal "plain boot: nobody knows" "$(state plain)" unknown
  contains "plain boot: the form is named" "$(cairn points plain@latest)" "header: partition:1/PATH"
  sum=$(sha "$work/cloud.img")
  exits "plain boot: its key is imported, and tried" 0 cairn key import cloud/root --from "$work/passphrase"
  exits "plain boot: with it" 0 cairn backup cloud
  equal "plain boot: encrypted and proved" "$(state cloud) $(point_fact cloud proof)" "encrypted proved"
  contains "plain boot: which partition it is" "$(cairn points cloud@latest)" "detached on partition 2, its header in the file partition:1/luks/osluksheader"
  equal "plain boot: the image was only read" "$(sha "$work/cloud.img")" "$sum"
  run cairn config check --json
  contains "plain boot: config check tries it" "$(jq -r '.checks[] | select(.check == "keys" and .object == "cloud/root") | .detail' "$stdout")" \
    "opens the LUKS2 header of detached on partition 2"
  contains "plain boot: and says what is wrong with the others" "$(cat "$stdout")" header-file-missing
  rm -r "$work/out" && mkdir "$work/out"
  exits "plain boot: the header is restored as a file" 0 cairn restore cloud@latest --header-only --to "$work/out"
  exits "plain boot: and the disk" 0 cairn restore cloud@latest --to "$work/out"
  dd if="$work/out/root.img" of="$work/out/data" bs=1M skip=41 count=16 status=none
  check "plain boot: together they open" cryptsetup open --test-passphrase --key-file "$work/passphrase" \
    --header "$work/out/root-part2-detached.luks2" "$work/out/data"
  exits "plain boot: a drill opens it from the store alone" 0 cairn key drill cloud@latest
  refuses "plain boot: no such partition" header-partition-missing cairn backup third
  refuses "plain boot: no such file" header-file-missing cairn backup other
  contains "plain boot: with what to do" "$(cat "$stderr")" "counts from the top of that partition's file system"
  refuses "plain boot: no file system" header-file-system cairn backup data
  printf 'no header' >"$work/boot/luks/none"
  put_boot
  refuses "plain boot: no LUKS header" detached-header-unusable cairn backup wrong
  cryptsetup luksAddKey -q "${cheap_kdf[@]}" --key-file "$work/passphrase" "$work/boot/luks/osluksheader" - <<<second
  put_boot
  run cairn backup cloud
  contains "plain boot: a header that changed is seen" "$(said)" "[key-slots-changed]"
  equal "plain boot: and proved" "$(point_fact cloud proof)" proved
else
  skip "a detached header on a plain partition of the same disk" "no sfdisk or mke2fs"
fi

end
