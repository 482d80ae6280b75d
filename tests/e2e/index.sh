#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The index is only a cache: a store without one, or with one older than its packs, is read all the same, and it is said.
# And what it says of packs is compared with what is there.
. "$(dirname "$0")/lib.sh"
needs jq openssl
mkdir "$work/out" "$work/tmp"
export TMPDIR=$work/tmp

truncate -s 24M "$work/web.img"
fill "$work/web.img" 0 $((20 * MiB)) first
settings "$(one_disk web web.img)"
new_store
backup web
cp -a "$work/store/index" "$work/older"
fill "$work/web.img" $((4 * MiB)) $((12 * MiB)) second
backup web
cp -a "$work/store" "$work/sound"
whole() { rm -rf "$work/store"; cp -a "$work/sound" "$work/store"; }

# said NAME ERROR: each command tells of the index, reads what is there, and calls nothing damaged.
said() {
  exits "$1: config check warns" 3 cairn config check
  contains "$1: with the name" "$(cat "$stdout")" "[$2]"
  exits "$1: status" 0 cairn status
  contains "$1: status warns" "$(grep warning "$stdout")" "[$2]"
  contains "$1: and names the way out" "$(grep warning "$stdout")" "rebuild-index"
  exits "$1: restore warns" 3 cairn restore web@latest --to "$work/out" --force
  check "$1: bit for bit" cmp "$work/web.img" "$work/out/root.img"
  exits "$1: verify warns" 3 cairn verify
  contains "$1: with the name" "$(cat "$stdout")" "$2"
  check_fails "$1: and calls nothing damaged" grep -q DAMAGED "$stdout"
  if can_mount; then
    mount_points
    contains "$1: mount warns" "$(cat "$stdout")" "[$2]"
    check "$1: and reads" cmp "$work/web.img" "$(disk web)"
    umount_points
  else
    skip "$1: mount" "no /dev/fuse"
  fi
  equal "$1: nothing is left of the private index" "$(find "$work/tmp" "$work/state" -name 'cairn-index-*')" ""
}

exits "a sound store: config check" 0 cairn config check
contains "knows every pack" "$(cat "$stdout")" "knows every pack"

rm -rf "$work/store/index"
said "no index" index-missing
refuses "no index: a backup needs one" index-missing cairn backup web

whole
rm -rf "$work/store/index"
cp -a "$work/older" "$work/store/index"
said "an older index" index-outdated
check "an older index: a backup adds what it does not know" cairn backup web
exits "and nothing is said any more" 0 cairn config check

# While it is open: whatever becomes of the file, nobody's process ends, and all is read.
index=$work/store/index/data.mdb
failing=$(find "$CAIRN_BUILD/tests/e2e" -name hanging_file -type f -perm -u+x -print -quit 2>/dev/null)
cut() { truncate -s 8192 "$index"; }
overwritten() { random_bytes garbage "$(stat -c %s "$index")" | dd of="$index" bs=64K conv=notrunc status=none; }
punched() { fallocate -p -o 8192 -l "$(stat -c %s "$index")" "$index"; }
unreadable() { kill -USR1 "$server" && wait_until 20 grep -q failing "$work/failing.out"; }
for how in cut overwritten punched unreadable; do
  if ! can_mount; then skip "$how while a mount has it open" "no /dev/fuse"; continue; fi
  whole
  if [ $how = unreadable ]; then
    if [ -z "$failing" ] || [ "$(id -u)" != 0 ]; then skip "unreadable while a mount has it open" "needs root and hanging_file"; continue; fi
    "$failing" "$index" failing >"$work/failing.out" 2>&1 &
    server=$!
    disown "$server" 2>/dev/null
    children+=("$server")
    wait_until 20 grep -q mounted "$work/failing.out" || not_ok "an index on a disk of its own" "$(cat "$work/failing.out")"
  fi
  mount_points
  check "$how while a mount has it open: the first bytes" cmp -n $MiB "$work/web.img" "$(disk web)"
  $how
  check "$how while a mount has it open: all is read" cmp "$work/web.img" "$(disk web)"
  exits "$how: status" 0 cairn status
  contains "$how: status tells" "$(cat "$stdout")" "[index-damaged]"
  refuses "$how: a backup says what to do" index-damaged cairn backup web
  contains "$how: by name" "$(cat "$stderr" "$stdout")" "rebuild-index"
  umount_points
  equal "$how: nothing is left of the private index" "$(find "$work/tmp" "$work/state" -name 'cairn-index-*')" ""
  if [ $how = unreadable ]; then umount -l "$index"; wait_until 20 ended "$server"; fi
done
if can_mount && have curl; then
  whole
  start_daemon
  wait_until 60 test -e "$work/points/web/latest/disks/root.img"
  check "a daemon: the first bytes" cmp -n $MiB "$work/web.img" "$work/points/web/latest/disks/root.img"
  cut
  check "cut while a daemon has it open: all is read" cmp "$work/web.img" "$work/points/web/latest/disks/root.img"
  exits "the daemon lives: status" 0 cairn status
  contains "and tells" "$(cat "$stdout")" "[index-damaged]"
  refuses "its backup says what to do" index-damaged cairn backup web
  check "rebuild-index" cairn store rebuild-index
  check "the daemon goes on with the new one" backup web
  exits "status" 0 cairn status
  check_fails "and nothing is said any more" grep -q index-damaged "$stdout"
  check_fails "it is the same process all the time" ended "$daemon"
  stop_daemon
else
  skip "while a daemon has it open" "no /dev/fuse or no curl"
fi

# Without a key the index says which packs there must be.
whole
exits "keyless: sound" 0 cairn verify --keyless
rm -rf "$work/store/packs"
refuses "keyless: no packs" damage-found cairn verify --keyless
rm -rf "$work/store/index"
exits "keyless: neither packs nor index: it says that it does not know" 3 cairn verify --keyless
contains "and that there are points" "$(cat "$stdout")" "2 recovery points and not one pack"

# A pack that is cut off, or gone, is not built on.
for how in cut gone; do
  whole
  pack=$(find "$work/store/packs" -type f -size +1M | sort | head -n 1)
  if [ $how = cut ]; then chmod u+w "$pack"; truncate -s 5000 "$pack"; else rm -f "$pack"; fi
  exits "a pack is $how: the backup warns" 3 cairn backup web
  contains "$how: and names verify" "$(cat "$stdout" "$stderr")" "cairn verify"
  rm -f "$work/out/root.img"
  exits "$how: its point is whole" 0 cairn restore web@latest --to "$work/out"
  check "$how: bit for bit" cmp "$work/web.img" "$work/out/root.img"
  exits "$how: status" 0 cairn status
  contains "$how: the damage stays known" "$(cat "$stdout")" "[damage-known]"
done
end
