#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A guest that writes while the backup runs: on XFS and btrfs the clone makes the point a state that really was; elsewhere
# the change is noticed, the point is kept and the run says so.
. "$(dirname "$0")/lib.sh"
needs root fuse loop python3 jq

# The writer counts upwards and writes each number to a block in the first MiB and then to one in the last MiB of the
# disk, so in every state that really was, "first" is "last" or one more. A torn point shows it.
cat >"$work/writer.py" <<'PY'
import os, struct, sys, time
path, stop, size = sys.argv[1], sys.argv[2], os.path.getsize(sys.argv[1])
fd = os.open(path, os.O_RDWR)
n = 0
while not os.path.exists(stop):
    n += 1
    for offset in (4096, size - 8192):
        os.pwrite(fd, struct.pack("<Q", n) * 512, offset)
    if n == 1: open(stop + ".started", "w").close()
    time.sleep(0.0005)
PY
cat >"$work/judge.py" <<'PY'
import os, struct, sys
path = sys.argv[1]
fd, size = os.open(path, os.O_RDONLY), os.path.getsize(path)
numbers = []
for offset in (4096, size - 8192):
    block = struct.unpack("<512Q", os.pread(fd, 4096, offset))
    if len(set(block)) != 1: sys.exit("torn block at %d" % offset)
    numbers.append(block[0])
first, last = numbers
if first not in (last, last + 1): sys.exit("torn: first %d, last %d" % (first, last))
if first == 0: sys.exit("the writer had not begun")
PY
start_writer() {
  rm -f "$work/stop" "$work/stop.started"
  python3 "$work/writer.py" "$1" "$work/stop" &
  writer=$!
  children+=($writer)
  wait_until 20 test -e "$work/stop.started"
}
stop_writer() { touch "$work/stop"; wait $writer 2>/dev/null; }

for type in xfs btrfs ext4; do
  fs=$work/$type
  mkdir "$fs"
  have "mkfs.$type" || { skip "$type" "no mkfs.$type"; continue; }
  truncate -s 700M "$fs.fs"
  if ! "mkfs.$type" -q "$fs.fs" >"$work/mkfs.log" 2>&1 || ! mount -o loop "$fs.fs" "$fs" 2>>"$work/mkfs.log"; then
    skip "$type" "this machine cannot make or mount it: $(tail -n 1 "$work/mkfs.log")"
    continue
  fi
  truncate -s 200M "$fs/guest.img"
  fill "$fs/guest.img" 0 $((160 * MiB)) "$type"
  sync -f "$fs"
  rm -rf "$work/store" "$work/store.key" "$work/state"
  # Kept clones are tracking.sh's.
  EXTRA='change_tracking: { enabled: false }' settings "$(one_disk guest "$fs/guest.img")"
  new_store

  if [ $type = ext4 ]; then foretold="makes the point torn"; else foretold="is read from a clone"; fi
  contains "$type: config check says beforehand what a write would do" "$(cairn config check)" "$foretold"

  start_writer "$fs/guest.img"
  run cairn backup guest
  ended_with=$status
  cat "$stdout" "$stderr" >"$work/said"
  stop_writer
  mount_points
  cp "$stdout" "$work/mounted"
  if [ $type = ext4 ]; then
    equal "$type: the point is torn" "$(point_fact guest consistency)" torn
    contains "$type: it says why" "$(cairn points guest@latest)" "torn: it was written to while it was read"
    equal "$type: it is in the mount" "$(jq -r '.consistency, .disks[0].consistency' "$mnt/guest/latest/recovery-point.json" | tr '\n' ' ')" "torn torn "
    contains "$type: mount says it" "$(cat "$work/mounted")" "[disk-torn]"
    contains "$type: status says it" "$(cairn status)" "[disk-torn]"
    mkdir "$work/out"
    run cairn restore guest@latest --to "$work/out"
    equal "$type: restore says it" "$status $(grep -c 'disk-torn' "$stdout")" "3 1"
    equal "$type: a change underneath ends the run with 3" "$ended_with" 3
    contains "$type: and is reported" "$(cat "$work/said")" "written to"
    check "$type: the point is there all the same" test -f "$(disk guest)"
    contains "$type: the warning is in the point" "$(jq -r '.warnings[]' "$mnt/guest/latest/recovery-point.json")" "written to"
    equal "$type: jobs says so" "$(cairn jobs --json | jq -r '[.[] | select(.kind == "backup")][0].state')" CompletedWithWarnings
    backup guest
    equal "$type: with no writer there is no such warning" "$status" 0
    equal "$type: and the point is whole" "$(point_fact guest consistency)" crash
    umount_points
    umount "$fs"
    continue
  fi
  equal "$type: the point is whole, and of one instant" "$(point_fact guest consistency) $(point_fact guest apart_ms)" "crash 0"
  equal "$type: no warning, a clone cannot change" "$ended_with $(jq -c .warnings "$mnt/guest/latest/recovery-point.json")" "0 []"
  check "$type: the point is a state that really was" python3 "$work/judge.py" "$(disk guest)"
  equal "$type: the clone is gone" "$(find "$fs" -type f | wc -l)" 1
  backup guest
  check "$type: without a writer the point equals the image" cmp "$fs/guest.img" "$(disk guest "$(latest guest)")"
  umount_points
  equal "$type: no clone holds space" "$(find "$fs" -mindepth 1 | wc -l)" 1
  check "$type: nothing holds the file system" umount "$fs"
done
end
