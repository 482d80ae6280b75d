#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Change tracking through the program, on XFS and btrfs: what is read, what status and jobs say, full reads, fall-backs,
# and that the points are the image's bytes.
. "$(dirname "$0")/lib.sh"
needs root fuse loop jq python3

# fact FIELD: of the only disk of the backup just taken (--json in $stdout).
fact() { jq -r ".jobs[0].result.disks[0].$1" "$stdout"; }
tracking() { cairn status --json | jq -r ".machines[] | select(.machine == \"$1\") | .disks[0].$2"; }
chunk=$((64 * 1024))

for type in xfs btrfs; do
  fs=$work/$type
  mkdir "$fs"
  have "mkfs.$type" || { skip "$type" "no mkfs.$type"; continue; }
  truncate -s 900M "$fs.fs"
  if ! "mkfs.$type" -q "$fs.fs" >"$work/mkfs.log" 2>&1 || ! mount -o loop "$fs.fs" "$fs" 2>>"$work/mkfs.log"; then
    skip "$type" "this machine cannot make or mount it: $(tail -n 1 "$work/mkfs.log")"
    continue
  fi
  truncate -s 1T "$fs/guest.img"
  fill "$fs/guest.img" 0 $((64 * MiB)) "$type"
  fill "$fs/guest.img" $((700 * 1024 * MiB)) $((8 * MiB)) "$type far"
  rm -rf "$work/store" "$work/store.key" "$work/state"
  EXTRA='policies: { default: { full_read: 1h } }' settings "$(one_disk guest "$fs/guest.img")"
  new_store

  contains "$type: config check says that it works" "$(cairn config check)" "backups read what changed; a clone is kept in $fs/.cairn-clones"
  equal "$type: and changes nothing" "$(ls -A "$fs")" guest.img
  equal "$type: status: no clone yet" "$(tracking guest tracking) $(tracking guest clone)" "starting null"

  backup guest --json
  equal "$type: the first backup reads the data" "$(fact read_bytes)" $((72 * MiB))
  equal "$type: and says why" "$(fact note)" "read whole: there is no reference snapshot of an earlier backup yet"
  equal "$type: one clone is kept" "$(find "$fs/.cairn-clones" -type f | wc -l)" 1
  equal "$type: which nobody else can open" "$(stat -c %a "$fs/.cairn-clones" "$fs"/.cairn-clones/* | xargs)" "700 400"
  equal "$type: status: tracked" "$(tracking guest tracking) $(tracking guest clone) $(tracking guest clone_bytes)" "on $(ls "$fs"/.cairn-clones/*) 0"

  began=$(date +%s%N)
  backup guest --json
  took=$((($(date +%s%N) - began) / 1000000))
  equal "$type: with nothing changed nothing is read" "$(fact read_bytes) $(fact how)" "0 changes between reflink clones"
  holds "$type: of 1 TiB, in less than 5 seconds ($took ms)" $took -lt 5000

  fill "$fs/guest.img" $((30 * MiB + 8192)) 4096 one
  fill "$fs/guest.img" $((900 * 1024 * MiB)) 4096 two
  fallocate -p -o $((2 * MiB)) -l $((1 * MiB)) "$fs/guest.img"
  contains "$type: status as text" "$(cairn status)" "guest/root"
  backup guest --json
  equal "$type: what changed is read" "$(fact read_bytes)" $((2 * chunk))
  equal "$type: the rest is taken over" "$(fact carried_bytes)" $((1024 * 1024 * MiB - 2 * chunk - MiB))
  contains "$type: jobs says how" "$(cairn jobs "$(jq -r '.jobs[0].id' "$stdout")")" "disk root: changes between reflink clones, read 128 KiB"
  contains "$type: and that the hole needed no reading" "$(fact new_bytes)" 131072

  mount_points
  # cmp would read 2 TiB of zeros: the data, and that there is no more of it.
  check "$type: the point has the image's data" python3 - "$fs/guest.img" "$(disk guest)" <<'PY'
import os, sys
def extents(fd, size):
    at = 0
    while at < size:
        try: data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError: return
        at = os.lseek(fd, data, os.SEEK_HOLE)
        yield data, at
image, point = (os.open(p, os.O_RDONLY) for p in sys.argv[1:])
size = os.fstat(image).st_size
if os.fstat(point).st_size != size: sys.exit("another size")
for fd in (image, point):
    for begin, end in extents(fd, size):
        for at in range(begin, end, 1 << 20):
            length = min(1 << 20, end - at)
            if os.pread(image, length, at) != os.pread(point, length, at): sys.exit("differs at %d" % at)
PY
  umount_points

  backup guest --full-read --json
  equal "$type: a full read on demand" "$(fact note)" "read whole: a full read was asked for"
  equal "$type: finds no fault" "$(jq -r '.jobs[0].state' "$stdout")" Completed
  holds "$type: and reads the data" "$(fact read_bytes)" -ge $((70 * MiB))

  fill "$fs/guest.img" 0 $((64 * MiB)) "$type again"
  sync -f "$fs"
  holds "$type: status: what the guest overwrote is what the clone costs" "$(tracking guest clone_bytes)" -ge $((56 * MiB))
  contains "$type: in words" "$(cairn status | grep guest/root)" "MiB"
  backup guest --json
  equal "$type: it is read" "$(fact read_bytes)" $((64 * MiB))
  equal "$type: and the new clone costs nothing yet" "$(tracking guest clone_bytes)" 0

  # An hour later: the record of the last full read is made two hours older.
  record=$(find "$work/state/tracking" -name 'guest@root.json')
  old=$(date -u -d '2 hours ago' +%Y-%m-%dT%H:%M:%SZ)
  sed -i "s/\"full_read\": \"[^\"]*\"/\"full_read\": \"$old\"/" "$record"
  backup guest --json
  equal "$type: full_read: when it is due" "$(fact note)" "read whole: a full read is due: the last one was at $old (full_read: 1h)"
  backup guest --json
  equal "$type: and then not again" "$(fact read_bytes)" 0

  # A crash after the commit: clone and record of the run before it, and a clone without a record.
  cp -a "$record" "$work/record"
  backup guest --json
  cat "$work/record" >"$record"
  equal "$type: status: a record that is too old" "$(tracking guest tracking)" starting
  backup guest --json
  contains "$type: an old record is not used" "$(fact note)" "and the newest recovery point is guest@"
  equal "$type: leftovers are removed" "$(find "$fs/.cairn-clones" -type f | wc -l)" 1

  rm "$fs"/.cairn-clones/*
  backup guest --json
  contains "$type: without its clone all is read" "$(fact note)" "is gone"
  echo x | dd of="$(ls "$fs"/.cairn-clones/*)" conv=notrunc status=none
  backup guest --json
  contains "$type: nor is one used that was written to" "$(fact note)" "was changed since it was kept"

  EXTRA='change_tracking: { enabled: false }' settings "$(one_disk guest "$fs/guest.img")"
  backup guest --json
  equal "$type: switched off, nothing is kept" "$(find "$fs" -name '*cairn-clones*' | wc -l) $(fact note)" "0 null"
  settings "$(one_disk guest "$fs/guest.img")"
  backup guest --json
  backup guest --json
  equal "$type: and on again" "$(fact how) $(fact read_bytes)" "changes between reflink clones 0"

  # A machine that leaves the settings takes its clone with it.
  settings "$(one_disk other "$fs/guest.img")"
  backup other --json
  equal "$type: the clone of a machine that is gone is removed" "$(ls "$fs/.cairn-clones" | cut -d @ -f 1)" other
  check "$type: nothing holds the file system" umount "$fs"
done

# Where it cannot work, nothing is kept and check and report say why.
truncate -s 16M "$work/plain.img"
fill "$work/plain.img" 0 $((16 * MiB)) plain
device=$(losetup -f --show "$work/plain.img")
rm -rf "$work/store" "$work/store.key" "$work/state"
settings "$(one_disk device "$device")"
new_store
contains "config check: a block device is not tracked" "$(cairn config check)" "every backup reads all of the disk: it is a block device"
backup device --json
contains "nor backed up by it" "$(fact note)" "it is a block device, which cannot be cloned by reflinks"
equal "status says so" "$(tracking device tracking)" off
losetup -d "$device"
end
