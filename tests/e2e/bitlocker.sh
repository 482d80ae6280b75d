#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# BitLocker volumes: those that Windows made (when $CAIRN_TESTDATA has them) and a small one of our own making.
. "$(dirname "$0")/lib.sh"
needs root fuse cryptsetup jq

lines=()
maker=$(find "$CAIRN_BUILD/tests" -name make_bitlocker_volume -type f -perm -u+x -print -quit 2>/dev/null)
recovery=
if [ -n "$maker" ]; then
  recovery=$("$maker" "$work/own.img" | grep -oE '[0-9]{6}(-[0-9]{6}){7}' | head -n 1)
  lines+=("$(one_disk own own.img)")
fi
windows=()
archive=$CAIRN_TESTDATA/bitlocker.tar.xz
if [ -r "$archive" ]; then
  tar -C "$work" -xJf "$archive"
  for name in aes-xts-128 aes-xts-256 aes-cbc-256 aes-xts-128-startup-key; do
    windows+=("$name")
    lines+=("$(one_disk "$name" "bitlocker/$name.img")")
  done
fi
if [ ${#lines[@]} -eq 0 ]; then skip "all of it" "no BitLocker volume to be had"; end; fi
EXTRA=$without_keys settings "${lines[@]}"
new_store
run cairn backup --all
if [ $status -eq 0 ] || [ $status -eq 3 ]; then ok "backup"; else not_ok "backup" "$(cat "$stderr")"; fi
mount_points

if [ -n "$maker" ]; then
  check "own volume: the mounted disk equals the image" cmp "$work/own.img" "$(disk own)"
  check "own volume: bitlkDump reads the mounted disk" cryptsetup bitlkDump "$(disk own)"
  contains "own volume: recognised" "$(cat "$mnt/own/latest/recovery-point.json")" BitLocker
  printf %s "$recovery" >"$work/recovery"
  check "own volume: the recovery password unlocks the mounted disk" \
    cryptsetup open --type bitlk --test-passphrase --key-file "$work/recovery" "$(disk own)"
else
  not_ok "make_bitlocker_volume was built"
fi

if [ ${#windows[@]} -eq 0 ]; then
  skip "volumes made by Windows" "no bitlocker.tar.xz in $CAIRN_TESTDATA"
else
  table=$work/bitlocker/README.md
  field() { grep -F "| $1.img |" "$table" | awk -F'|' -v n="$2" '{gsub(/ /, "", $n); print $n}'; }
  for name in "${windows[@]}"; do
    image=$(disk "$name")
    check "$name: the mounted disk equals the image" cmp "$work/bitlocker/$name.img" "$image"
    check "$name: bitlkDump reads the mounted disk" cryptsetup bitlkDump "$image"
    contains "$name: recognised" "$(cat "$mnt/$name/latest/recovery-point.json")" BitLocker
    contains "$name: cipher recorded" "$(cat "$mnt/$name/latest/recovery-point.json")" \
      "$(field "$name" 3 | sed 's/,.*//')"
    unlock=("-p$(field "$name" 5)")
    if [ "$(field "$name" 6)" != - ]; then unlock=(-f "$work/bitlocker/$(field "$name" 6)"); fi
    if have dislocker-file; then
      rm -f "$work/plain"
      run dislocker-file -V "$image" "${unlock[@]}" -- "$work/plain"
      equal "$name: dislocker's plaintext of the mounted disk has the known sha256" "$(sha "$work/plain")" "$(field "$name" 7)"
    else
      skip "$name: dislocker's plaintext" "no dislocker-file"
    fi
  done
fi
umount_points
end
