#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A store whose index, journal and settings are all gone, on read-only media: its points are listed and come back.
. "$(dirname "$0")/lib.sh"
needs jq openssl

truncate -s 32M "$work/web.img" "$work/db.img"
fill "$work/web.img" 0 $((20 * MiB)) web
fill "$work/db.img" $((8 * MiB)) $((10 * MiB)) db
settings "$(one_disk web web.img)" "$(one_disk db db.img)"
new_store --recovery-key-out "$work/paper.txt"
backup web db
cp "$work/store.key" "$work/elsewhere.key"

# What is left: packs, points, and one of the two documents.
rm -rf "$work/store/index" "$work/store/lock" "$work/store/tmp" "$work/store/store.json" "$work/state"
rm -f "$config" "$work/store.key"
chmod 600 "$work/elsewhere.key"
store=$work/store
if can_loop; then
  truncate -s 96M "$work/disc"
  mkfs.ext4 -q -F "$work/disc"
  mkdir "$work/media"
  mount -o loop "$work/disc" "$work/media" && cp -a "$work/store" "$work/media/" && mount -o remount,ro "$work/media"
  store=$work/media/store
  check_fails "the media are read-only" touch "$store/x"
else
  skip "read-only media" "no loop devices, or not root"
fi

mkdir "$work/out" "$work/out2" "$work/tmp"
export TMPDIR=$work/tmp
recover() { "$CAIRN" --config /nonexistent --store "$store" store recover "$@"; }
exits "points are listed with the key file" 0 recover --key-file "$work/elsewhere.key" --json
equal "all of them" "$(jq -r '[.points[].machine] | join(" ")' "$stdout")" "db web"
exits "and as a table" 0 recover --key-file "$work/elsewhere.key"
contains "with their disks" "$(cat "$stdout")" "root 32.0 MiB"
exits "a disk comes back" 0 recover --key-file "$work/elsewhere.key" --to "$work/out" web@latest
check "bit for bit" cmp "$work/web.img" "$work/out/root.img"
exits "several with the printed key" 0 recover --recovery-key "$work/paper.txt" --to "$work/out2" web@latest db@latest
check "each in its folder: web" cmp "$work/web.img" "$work/out2/"web@*/root.img
check "each in its folder: db" cmp "$work/db.img" "$work/out2/"db@*/root.img
equal "nothing is left in the work folder" "$(find "$work/tmp" -mindepth 1 | wc -l)" 0
refuses "a wrong key is refused" key-file-missing "$CAIRN" --store "$store" store recover --key-file "$work/none"
exits "without a key it says which to give" 2 recover
exits "points without --to" 2 recover --key-file "$work/elsewhere.key" web@latest
umount "$work/media" 2>/dev/null
end
