#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What is said of points whose disk was lost, whose clock was wrong, or whose machine has other disks than the settings:
# nothing good goes for them, latest is what was written last, and each is told until somebody has looked.
. "$(dirname "$0")/lib.sh"
needs jq
stepped_clock=$(find "$CAIRN_BUILD/tests/e2e" -name libstepped_clock.so -print -quit 2>/dev/null)
# at DAYS COMMAND...: with a clock that is so many days ahead.
at() {
  echo $(($1 * 86400)) >"$work/clock"
  LD_PRELOAD=$stepped_clock CAIRN_STEPPED_CLOCK=$work/clock "${@:2}"
}
said() { cat "$stdout" "$stderr"; }
fresh() { rm -rf "$work/store" "$work/store.key" "$work/state"; }

# --- a disk that was lost
fill "$work/a.img" 0 $MiB good
EXTRA='policies: { default: { retention: { daily: 2 } } }' settings "$(one_disk web a.img)"
new_store
backup web
good=$(latest web)
: >"$work/a.img"
sleep 1.1 # points of one second are dated one later
run cairn backup web
equal "an image of no bytes is a backup with warnings" "$status" 3
contains "that says what it looks like" "$(said)" "[disk-suspect]"
equal "the point is suspect" "$(point_fact web suspect)" true
equal "the disk says why" "$(point_fact web 'disks[0].suspect | contains("had 1.00 MiB in web@'"$good"'")')" true
contains "points marks it" "$(cairn points web)" "suspect"
contains "status says it" "$(cairn status)" "[disk-suspect]"
mkdir "$work/out"
run cairn restore web@latest --to "$work/out"
equal "restore says it" "$status $(grep -c 'disk-suspect' "$stdout")" "3 1"
run cairn backup web --accept-change
equal "accepted, nothing is said any more" "$status $(point_fact web suspect)" "3 false"
fill "$work/a.img" 0 $MiB good
backup web
equal "a larger state is none" "$(point_fact web suspect)" false
truncate -s 0 "$work/a.img"
truncate -s 1M "$work/a.img"
backup web
equal "all zeros where data was is" "$(point_fact web suspect)" true
if [ -n "$stepped_clock" ]; then
  for day in 1 2 3; do at $day cairn backup web >/dev/null 2>&1; done
  plan=$(at 3 cairn prune --accept-clock --dry-run --json | jq -c '[.jobs[0].result.machines[0].points[] | select(.reasons | index("newest")) | .point]')
  equal "the newest that counts is the last good one" "$(jq -r '.[0]' <<<"$plan")" "$(cairn points web --json | jq -r '[.[] | select(.suspect | not)][-1].point')"
else
  skip "retention of suspect points" "no stepped clock in this build"
fi

# --- an encrypted disk that was cut off: its key opens the header, and that proves nothing of what is missing
if have cryptsetup; then
  fresh
  make_luks "$work/luks.img" 32M luks2
  fill "$work/luks.img" $((17 * MiB)) $MiB ciphertext
  chmod 600 "$work/passphrase"
  EXTRA="key_vaults: { main: { provider: local, path: vault, key_file: vault.key } }" \
    settings "web: { disks: { root: { image: luks.img, bek: main/web, kek: main/backup } } }"
  new_store
  check "vault init" cairn vault init --create-key-file
  check "key create" cairn key create backup
  check "key import" cairn key import web/root --from "$work/passphrase"
  backup web
  proved=$(latest web)
  equal "a whole one is proved" "$(point_fact web proof)" proved
  for size in 20M 8M; do
    truncate -s $size "$work/luks.img"
    run cairn backup web
    equal "cut off at $size it is not" "$status $(point_fact web proof) $(point_fact web suspect)" "3 unproved true"
    contains "cut off at $size: it says why" "$(said)" "[volume-cut-off]"
  done
  contains "the whole one stays the newest proved" "$(cairn prune --dry-run | grep "$proved")" "newest proved"
  equal "status goes by the whole one" "$(cairn status --json | jq -r '.machines[0].proof.last_proved')" "web@$proved"
else
  skip "an encrypted disk that was cut off" "no cryptsetup"
fi

# --- a block device with nothing behind it
if can_loop; then
  settings "$(one_disk web /dev/loop-none)"
  device=$(losetup -f --show "$work/a.img") && losetup -d "$device"
  settings "$(one_disk web "$device")"
  wait_until 10 test "$(blockdev --getsize64 "$device" 2>/dev/null || echo 0)" = 0
  refuses "a device without a medium is no disk of no bytes" image-missing cairn backup web
else
  skip "a device without a medium" "no loop devices, or not root"
fi

# --- a clock that ran ahead
if [ -n "$stepped_clock" ]; then
  fresh
  EXTRA='policies: { default: { immutable: 1d } }' settings "$(one_disk web a.img)"
  fill "$work/a.img" 0 $MiB old
  new_store
  backup web
  fill "$work/a.img" 0 $MiB ahead
  at 5000 cairn backup web >/dev/null 2>&1
  ahead=$(latest web)
  contains "status says that a point is of the future" "$(cairn status)" "[point-in-future]"
  run cairn restore web@latest --to "$work/out" --force
  contains "restore says it" "$(said)" "[point-in-future]"
  equal "the point says when it was taken" "$(cairn points "web@$ahead" --json | jq -r '.trusted_time[:4]')" "$(date +%Y)"
  equal "it is immutable as long as the policy says" "$(cairn points "web@$ahead" --json | jq -r '.immutable_until[:4]')" "$(date -d +1day +%Y)"
  fill "$work/a.img" 0 $MiB now
  run cairn backup web
  contains "the next backup says it" "$(said)" "[point-in-future]"
  now=$(cairn points web --json | jq -r '.[].point' | sort | sed -n 2p)
  equal "latest is the last one written" "$(cairn points web@latest --json | jq -r .point)" "$now"
  run cairn restore web@latest --to "$work/out" --force
  check "and is what restore writes" cmp "$work/a.img" "$work/out/root.img"
  if can_mount; then
    mount_points
    equal "and where the link leads" "$(readlink "$mnt/web/latest")" "$now"
    umount_points
  else
    skip "the link latest" "no /dev/fuse"
  fi
  equal "the second reader has the same order" "$(/usr/bin/python3 "$repo/tests/format/read_store.py" "$work/store" --key-file "$work/store.key" labels | cut -d ' ' -f 1 | tail -n 1)" "web@$now"
else
  skip "a clock that ran ahead" "no stepped clock in this build"
fi

# --- other disks than the settings have
fresh
fill "$work/b.img" 0 $MiB b
settings 'web: { disks: { root: { image: a.img }, data: { image: b.img } } }'
new_store
backup web
equal "disks that nobody wrote to are of one instant" "$(point_fact web apart_ms)" 0
contains "as one point shows" "$(cairn points web@latest)" "one instant"
settings "$(one_disk web a.img)"
run cairn config check
contains "config check names a disk that was dropped" "$(said)" "web/data"
for round in first second; do
  run cairn backup web
  contains "the $round backup names it" "$(said)" "[disk-left-out]"
done
contains "its last point stays" "$(cairn prune --dry-run)" "the last with disk data"
settings "web: { left_out: data, disks: { root: { image: a.img } } }"
run cairn backup web
equal "left out on purpose, nothing is said" "$status" 0

cp "$work/a.img" "$work/web.snap1"
cat >"$work/web.xml" <<XML
<domain type='kvm'><name>web</name><devices>
<disk type='file' device='disk'><source file='$work/web.snap1'/>
<backingStore type='file'><source file='$work/a.img'/></backingStore><target dev='vda'/></disk>
</devices></domain>
XML
settings "web: { definition: web.xml, left_out: data, disks: { root: { image: a.img } } }"
run cairn config check
contains "config check names the overlay that the machine runs on" "$(said)" "web.snap1"
run cairn backup web
equal "the backup does, too" "$status $(said | grep -c 'disk-not-backed-up.*' )" "3 1"
contains "and that the settings have its base" "$(said)" "overlay"
settings "web: { definition: web.xml, left_out: [data, vda], disks: { root: { image: a.img } } }"
run cairn backup web
equal "left out by its target, nothing is said" "$status" 0
end
