#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Disks whose images are not raw, and disks of NBD servers: read as the guest sees them, keyed and proved as any; who says
# what the format is; and that no header leads anywhere it may not.
. "$(dirname "$0")/lib.sh"
needs cryptsetup jq mkfs.ext4 qemu-img qemu-nbd qemu-io

vaults="key_vaults: { main: { provider: local, path: vault, key_file: vault.key } }"
with() { EXTRA=$vaults settings "$@"; }
keys='bek: main/disk, kek: main/backup'
said() { cat "$stdout" "$stderr"; }
state() { cairn points "$1@latest" --json | jq -r '.disks[0].encryption'; }
fact() { cairn points "$1@latest" --json | jq -r ".disks[0].$2"; }
restored() { rm -rf "$work/out" && mkdir "$work/out" && cairn restore "$1@latest" --to "$work/out" >"$stdout" 2>"$stderr"; }
raw() { qemu-img convert -f "$1" -O raw "$2" "$work/expected.raw"; }

# --- every format, with an encrypted volume inside ----------------------------------------------------------------------
make_luks "$work/plain.raw" 48M luks2
fill "$work/plain.raw" $((20 * MiB)) $((6 * MiB)) data
chmod 600 "$work/passphrase"
for format in qcow2 vmdk vdi vhdx vpc; do
  option=()
  [ $format != vpc ] || option=(-o force_size=on)
  qemu-img convert -f raw -O $format "${option[@]}" "$work/plain.raw" "$work/disk.$format"
done
qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on "$work/plain.raw" "$work/fixed.vpc"
qemu-img convert -f raw -O qcow2 -c "$work/plain.raw" "$work/small.qcow2"
machines=()
for image in disk.qcow2 disk.vmdk disk.vdi disk.vhdx disk.vpc fixed.vpc small.qcow2; do
  machines+=("${image/./-}: { disks: { root: { image: $image, $keys } } }")
done
with "${machines[@]}"
new_store
(umask 077; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/vault.key")
check "vault init" cairn vault init
check "key create" cairn key create backup
exits "a key is imported by a qcow2" 0 cairn key import disk-qcow2/root --from "$work/passphrase"
for image in disk.qcow2 disk.vmdk disk.vdi disk.vhdx disk.vpc fixed.vpc small.qcow2; do
  machine=${image/./-}
  format=${image#*.}
  exits "$image: is backed up" 0 cairn backup "$machine"
  equal "$image: encrypted and proved" "$(state "$machine") $(point_fact "$machine" proof)" "encrypted proved"
  equal "$image: its format is recorded" "$(fact "$machine" format) $(fact "$machine" format_from)" "${format/vpc/vhd} found"
  raw "$format" "$work/$image"
  restored "$machine"
  check "$image: restored as the raw disk that its guest sees" cmp "$work/expected.raw" "$work/out/root.img"
done
cp "$work/disk.qcow2" "$work/target.qcow2"
refuses "a header is not written over a qcow2 file" header-of-another-volume \
  cairn restore disk-qcow2@latest --header-only --in-place "$work/target.qcow2" --yes
contains "with the reason" "$(said)" "it looks like a qcow2 file"
check "which is what it was" cmp "$work/disk.qcow2" "$work/target.qcow2"
contains "points says the format" "$(cairn points disk-qcow2@latest)" "format of the image: qcow2 (found; nobody says it)"
run cairn config check --json
row() { jq -r --arg object "$1" '.checks[] | select(.check == "'"$2"'" and .object == $object) | .'"$3" "$stdout"; }
contains "config check says how it is read" "$(row disk-qcow2/root disk detail)" "qcow2 in a file"
contains "and who said the format" "$(row disk-qcow2/root disk detail)" "format qcow2 (found; nobody says it)"
equal "in JSON too" "$(row disk-qcow2/root disk format_from)" found
contains "and whether changes are tracked" "$(row disk-qcow2/root tracking detail)" "neither on XFS nor on btrfs"
if can_mount; then
  mount_points
  check "the mount has it as a raw disk" cryptsetup open --test-passphrase --key-file "$work/passphrase" "$(disk disk-vdi)"
  check "qemu-img converts straight from the mount" \
    qemu-img convert -f raw -O qcow2 "$(disk disk-qcow2)" "$work/back.qcow2"
  check "to the same disk" qemu-img compare -f raw -F qcow2 "$work/plain.raw" "$work/back.qcow2"
  umount_points
fi

# --- who says what it is ------------------------------------------------------------------------------------------------
truncate -s 16M "$work/ext4.img"
mkfs.ext4 -q -F "$work/ext4.img"
fill "$work/ext4.img" $((8 * MiB)) $MiB contents
for format in qcow2 qed vmdk; do qemu-img convert -f raw -O $format "$work/ext4.img" "$work/image.$format"; done
qemu-img convert -f raw -O vmdk -o subformat=monolithicFlat "$work/ext4.img" "$work/flat.vmdk"
with "$(one_disk qcow2 image.qcow2)" "$(one_disk flat flat.vmdk)" "$(one_disk qed image.qed)" \
  'meant: { disks: { root: { image: flat.vmdk, format: raw } } }' "$(one_disk raw ext4.img)" \
  'wrong: { disks: { root: { image: ext4.img, format: qcow2 } } }'
for machine in flat qed; do refuses "$machine: is refused" image-not-raw cairn backup $machine; done
refuses "wrong: is said with QEMU's words" image-not-opened cairn backup wrong
contains "wrong: which are" "$(said)" "not in qcow2 format"
refuses "config check says so before" image-not-raw cairn config check
exits "qcow2: a file system in it is seen" 0 cairn backup qcow2
equal "qcow2: as that" "$(state qcow2)" not-encrypted
run cairn backup meant
equal "meant: unknown, not not-encrypted" "$(state meant)" unknown
restored meant
check "meant: as it was, under its own suffix" cmp "$work/flat.vmdk" "$work/out/root.vmdk"

# A guest writes such bytes onto its raw disk.
exits "raw: a raw disk" 0 cairn backup raw
printf 'QFI\xfb\0\0\0\3' | dd of="$work/ext4.img" conv=notrunc status=none
exits "raw: the same file goes on as raw, with a warning" 3 cairn backup raw
contains "raw: which says what it looks like" "$(said)" "it looks like a qcow2 file"
restored raw
check "raw: as it was" cmp "$work/ext4.img" "$work/out/root.img"
cp "$work/ext4.img" "$work/new.img" && mv "$work/new.img" "$work/ext4.img"
refuses "raw: another file of that name is not followed" image-format-changed cairn backup raw
qemu-img convert -f qcow2 -O raw "$work/image.qcow2" "$work/new.img" && mv "$work/new.img" "$work/image.qcow2"
refuses "qcow2: a change is an error" image-format-changed cairn backup qcow2
with 'qcow2: { disks: { root: { image: image.qcow2, format: raw } } }'
exits "qcow2: until it is said" 0 cairn backup qcow2
equal "qcow2: by the settings" "$(fact qcow2 format) $(fact qcow2 format_from)" "raw settings"

# --- overlays, data files, and headers that lead elsewhere --------------------------------------------------------------
qemu-img convert -f raw -O qcow2 "$work/plain.raw" "$work/base.qcow2"
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$work/overlay.qcow2"
qemu-io -f qcow2 -c 'write -P 7 40M 1M' "$work/overlay.qcow2" >/dev/null
qemu-img create -q -f qcow2 -o data_file="$work/data.raw" "$work/split.qcow2" 8M
qemu-io -f qcow2 -c 'write -P 9 1M 1M' "$work/split.qcow2" >/dev/null
cat >"$work/defined.xml" <<XML
<domain type='kvm'><name>defined</name><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$work/overlay.qcow2'/>
<backingStore type='file'><format type='qcow2'/><source file='$work/base.qcow2'/></backingStore><target dev='vda'/></disk>
</devices></domain>
XML
with "bare: { disks: { root: { image: overlay.qcow2, $keys } } }" \
  "named: { disks: { root: { image: overlay.qcow2, backing: base.qcow2, $keys } } }" \
  "defined: { definition: defined.xml, disks: { root: { image: overlay.qcow2, $keys } } }" \
  "$(one_disk split split.qcow2)" 'data: { disks: { root: { image: split.qcow2, data_file: data.raw } } }'
refuses "an overlay's base that nobody names is not read" backing-file-not-named cairn backup bare
contains "with the line to add" "$(said)" "backing: [$work/base.qcow2]"
refuses "nor a data file" backing-file-not-named cairn backup split
contains "with its line" "$(said)" "data_file: $work/data.raw"
raw qcow2 "$work/overlay.qcow2"
for machine in named defined; do
  exits "$machine: the overlay is backed up" 0 cairn backup $machine
  equal "$machine: and proved" "$(point_fact $machine proof)" proved
  restored $machine
  check "$machine: it is what the guest sees" cmp "$work/expected.raw" "$work/out/root.img"
done
equal "the definition said the format" "$(fact defined format_from)" definition
raw qcow2 "$work/split.qcow2"
run cairn backup data
restored data
check "a data file that is named is read" cmp "$work/expected.raw" "$work/out/root.img"
mv "$work/base.qcow2" "$work/base.away"
refuses "a base that is missing is said" backing-file-missing cairn backup named
mv "$work/base.away" "$work/base.qcow2"
qemu-img rebase -u -f qcow2 -b overlay.qcow2 -F qcow2 "$work/base.qcow2"
with 'named: { disks: { root: { image: overlay.qcow2, backing: [base.qcow2, overlay.qcow2] } } }'
refuses "so is a circle" image-chain-loop cairn backup named

# --- what changed, by clones --------------------------------------------------------------------------------------------
disk_fact() { jq -r ".jobs[0].result.disks[0].$1" "$stdout"; }
tracked() {
  run cairn backup tracked --json "$@"
  raw qcow2 "$fs/disk.qcow2"
}
fs=$work/xfs
mkdir "$fs"
truncate -s 600M "$work/xfs.fs"
if ! can_loop || ! mkfs.xfs -q "$work/xfs.fs" || ! mount -o loop "$work/xfs.fs" "$fs"; then
  skip "qcow2 on XFS" "this machine cannot make or mount it"
else
  qemu-img convert -f raw -O qcow2 "$work/plain.raw" "$fs/disk.qcow2"
  with "tracked: { disks: { root: { image: $fs/disk.qcow2, $keys } } }"
  contains "config check says that changes are tracked" "$(cairn config check)" "backups read what changed"
  tracked
  equal "the first backup reads the data of a clone" "$status $(disk_fact how)" "0 qcow2 in a reflink clone"
  equal "and keeps it" "$(find "$fs/.cairn-clones" -type f | wc -l)" 1
  tracked
  equal "nothing changed: nothing is read" "$(disk_fact read_bytes) $(disk_fact how)" "0 changes between reflink clones"
  qemu-io -f qcow2 -d unmap -c 'write -P 4 20M 4k' -c 'write -P 5 40M 64k' -c 'write -z 22M 1M' -c 'discard 25M 64k' \
    "$fs/disk.qcow2" >/dev/null
  tracked
  holds "what changed is read ($(disk_fact read_bytes) bytes)" "$(disk_fact read_bytes)" -le $((512 * 1024))
  equal "by comparing clones" "$(disk_fact how)" "changes between reflink clones"
  restored tracked
  check "the point is what the guest sees" cmp "$work/expected.raw" "$work/out/root.img"
  qemu-img snapshot -c before "$fs/disk.qcow2"
  qemu-io -f qcow2 -c 'write -P 6 20M 2M' "$fs/disk.qcow2" >/dev/null
  tracked
  qemu-img snapshot -a before "$fs/disk.qcow2"
  tracked
  restored tracked
  check "also when it went back to a snapshot of its own" cmp "$work/expected.raw" "$work/out/root.img"
  tracked --full-read
  equal "a full read agrees with all of that" "$status" 0
  qemu-img resize -q -f qcow2 "$fs/disk.qcow2" 64M
  tracked
  restored tracked
  check "and when it grew" cmp "$work/expected.raw" "$work/out/root.img"
  with "tracked: { disks: { root: { image: $fs/disk.qcow2, format: raw } } }"
  run cairn backup tracked --json
  contains "as another format all is read" "$(disk_fact note)" "was read as qcow2"
  qemu-img convert -f raw -O qcow2 "$work/plain.raw" "$fs/base.qcow2"
  qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$fs/over.qcow2"
  with "over: { disks: { root: { image: $fs/over.qcow2, backing: $fs/base.qcow2, $keys } } }"
  over() { run cairn backup over --json && raw qcow2 "$fs/over.qcow2" && restored_json over; }
  restored_json() { cp "$stdout" "$work/job.json"; restored "$1"; cp "$work/job.json" "$stdout"; }
  over
  equal "an overlay and its base are cloned" "$(disk_fact how)" "qcow2 in a reflink clone"
  qemu-io -f qcow2 -d unmap -c 'write -P 4 20M 4k' -c 'discard 21M 64k' "$fs/over.qcow2" >/dev/null
  over
  holds "what changed of it is read ($(disk_fact read_bytes) bytes)" "$(disk_fact read_bytes)" -le $((256 * 1024))
  equal "by comparing clones of it" "$(disk_fact how)" "changes between reflink clones"
  check "and the point is what the guest sees" cmp "$work/expected.raw" "$work/out/root.img"
  qemu-io -f qcow2 -c 'write -P 8 45M 64k' "$fs/base.qcow2" >/dev/null
  over
  contains "when its base was written to all is read" "$(disk_fact note)" "are not what they were"
  check "and is right" cmp "$work/expected.raw" "$work/out/root.img"
  umount "$fs"
fi

# --- damage -------------------------------------------------------------------------------------------------------------
head -c $((4 * MiB)) "$work/disk.qcow2" >"$work/cut.qcow2"
with "$(one_disk cut cut.qcow2)"
EXTRA=$without_keys settings "$(one_disk cut cut.qcow2)"
exits "an image that is cut off is backed up as QEMU reads it" 3 cairn backup cut
contains "with a warning" "$(said)" "[image-damaged]"
contains "that the point has, too" "$(cairn points cut@latest)" "[image-damaged]"

# --- LUKS inside qcow2 --------------------------------------------------------------------------------------------------
qemu-img convert -f raw -O qcow2 --object "secret,id=s,file=$work/passphrase" \
  -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 "$work/plain.raw" "$work/inside.qcow2"
with "inside: { disks: { root: { image: inside.qcow2, bek: main/inside, kek: main/backup } } }" \
  "keyless: { disks: { root: { image: inside.qcow2 } } }"
refuses "LUKS in qcow2: its key is demanded" keys-missing cairn backup keyless
exits "its key is imported" 0 cairn key import inside/root --from "$work/passphrase"
exits "it is backed up" 0 cairn backup inside
equal "and proved" "$(state inside) $(point_fact inside proof)" "encrypted proved"
restored inside
check "as the file that it is: ciphertext" cmp "$work/inside.qcow2" "$work/out/root.qcow2"
exits "a drill opens it from the store alone" 0 cairn key drill inside@latest
rm -rf "$work/out" && mkdir "$work/out"
exits "its header is restored" 0 cairn restore inside@latest --header-only --to "$work/out"
header=$(ls "$work/out")
check "and opens ($header)" cryptsetup open --test-passphrase --key-file "$work/passphrase" "$work/out/$header"

# --- NBD ----------------------------------------------------------------------------------------------------------------
serve() {
  rm -f "$work/nbd.sock"
  "$@" &
  server=$!
  children+=("$server")
  wait_until 20 test -S "$work/nbd.sock"
}
with "nbd: { disks: { root: { nbd: \"nbd+unix:///?socket=$work/nbd.sock\", $keys } } }" \
  "image: { disks: { root: { image: \"nbd+unix:///?socket=$work/nbd.sock\", $keys } } }"
refuses "an NBD server that is not there" image-missing cairn backup nbd
serve qemu-nbd --read-only --persistent --shared=8 -f qcow2 --socket="$work/nbd.sock" "$work/disk.qcow2"
for machine in nbd image; do
  exits "$machine: an export is backed up; whether it was written to is not known" 3 cairn backup $machine
  equal "$machine: which the point says" "$(point_fact $machine consistency)" unknown
  equal "$machine: encrypted and proved" "$(state $machine) $(point_fact $machine proof)" "encrypted proved"
  restored $machine
  check "$machine: as it is" cmp "$work/plain.raw" "$work/out/root.img"
done
run cairn config check --json
contains "config check says so before" "$(row nbd/root consistency detail)" "unknown consistency"
kill "$server"
wait "$server" 2>/dev/null
if have nbdkit; then
  serve nbdkit --foreground --unix "$work/nbd.sock" --filter=error memory 64M error-pread=EIO error-pread-rate=100%
  refuses "a server that cannot read" image-unreadable cairn backup nbd
  kill "$server"
  wait "$server" 2>/dev/null
fi
with 'tcp: { disks: { root: { nbd: "nbd://host/disk" } } }'
refuses_with 1 "only sockets of this host" settings-invalid cairn backup tcp
equal "nothing is left running" "$(pgrep -f "proc/self/fd" | wc -l)" 0
end
