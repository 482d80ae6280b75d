#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Backups of a real guest that runs and writes: QEMU (software emulation), two disks with LUKS and ext4 inside, a guest
# agent, a writer that ticks over both. Every point is booted by another guest, which looks whether it is of one instant
# and its file systems are clean. The daemon is killed while the guest is held. With libvirt, and without.
#
#   CAIRN_ALL=yes   (scripts/test --all) 20 backups a mode, ten kills; otherwise 2 and 3
. "$(dirname "$0")/lib.sh"
needs root loop jq mkfs.xfs qemu-system-x86_64 qemu-img busybox cryptsetup
rig=$here/rigs/live_guest.sh
shopt -s nullglob
kernels=(/boot/vmlinuz-*-amd64)
[ ${#kernels[@]} -gt 0 ] || { skip "all of it" "no Debian kernel in /boot: scripts/setup --e2e"; end; }
if [ ! -x /usr/sbin/qemu-ga ] && [ ! -x "${RIG_CACHE:-/var/tmp/live-rig}/ga/usr/sbin/qemu-ga" ]; then
  skip "all of it" "no qemu-ga: scripts/setup --e2e"
  end
fi
rounds=2 kills=3
if [ "${CAIRN_ALL:-no}" = yes ]; then rounds=20 kills=10; fi

# Clones need a file system that has them; and QEMU's user must get there.
chmod 711 "$work"
mkdir "$work/xfs"
truncate -s 6G "$work/xfs.fs"
mkfs.xfs -q "$work/xfs.fs" && mount -o loop "$work/xfs.fs" "$work/xfs" || { skip "all of it" "no XFS here"; end; }
guest=$work/xfs/g
trap 'bash "$rig" stop "$guest" >/dev/null 2>&1; clean_up' EXIT

in_guest() { timeout 30 bash "$rig" run "$guest" "$1"; }
# A write that ends is one that nobody holds up.
guest_writes() { in_guest 'echo x >/a/probe && echo x >/b/probe && sync'; }
guest_stalls() { ! in_guest 'timeout 2 sh -c "echo x >/a/probe2 && sync /a/probe2"'; }
helpers() { pgrep -x cairn-guest; }
no_helper() { ! helpers; }
no_note() { [ -z "$(ls "$work/state/guests" 2>/dev/null)" ]; }
noted() { [ -s "$work/state/guests/rig.json" ]; }

# proved NAME: the newest point, restored, boots as a state of one instant.
first=a second=b  # what its disks are called
proved() {
  rm -rf "$work/xfs/out"
  mkdir "$work/xfs/out"
  if ! run cairn restore rig@latest --to "$work/xfs/out" && [ $status -ne 3 ]; then not_ok "$1" "$(cat "$stderr")"; return; fi
  check "$1" bash "$rig" check "$work/xfs/out/$first.img" "$work/xfs/out/$second.img" "$guest/key"
}

# --- backups ----------------------------------------------------------------------------------------------------------
backups() {
  local mode=$1 round wanted held
  for round in $(seq "$rounds"); do
    wanted=filesystem held=freeze
    if [ $((round % 2)) -eq 0 ]; then wanted=crash held=pause; fi
    EXTRA="policies: { default: { on_missing_keys: warn, consistency: $wanted } }" settings "$machine"
    backup rig
    equal "$mode $round: the guest was held by $held" "$(point_fact rig guest.held)" "$held"
    equal "$mode $round: the point is $wanted" "$(point_fact rig consistency)" "$wanted"
    equal "$mode $round: its disks are of one instant" "$(point_fact rig apart_ms)" 0
    holds "$mode $round: it was held for less than 5 s" "$(point_fact rig guest.held_ms)" -lt 5000
    check "$mode $round: the guest goes on" guest_writes
    check "$mode $round: nothing is left behind" no_note
    proved "$mode $round: the point boots, clean and of one instant"
  done
}

# --- kills ------------------------------------------------------------------------------------------------------------
# Stops the daemon while it holds the guest: its helper has frozen it, and nobody says that it may let go.
catch_frozen() {
  wait_until 30 noted || return 1
  kill -STOP "$daemon"
  wait_until 30 guest_stalls
}
kill_round() {
  local round=$1 moment=$((($1 - 1) % 5)) name
  # Long enough to be caught in.
  EXTRA="policies: { default: { on_missing_keys: warn, longest_hold: 1m } }" settings "$machine"
  start_daemon
  timeout 120 cairn backup rig >/dev/null 2>&1 &
  children+=($!)
  case $moment in
    0) name="while the guest is frozen" ; catch_frozen || not_ok "kill $round: the guest was caught frozen" ; kill -9 "$daemon" ;;
    1) name="with its helper, while the guest is frozen"
      catch_frozen || not_ok "kill $round: the guest was caught frozen"
      # shellcheck disable=SC2046
      kill -9 $(helpers) "$daemon"
      check "kill $round: nobody is left to thaw the guest" guest_stalls ;;
    2) name="while the guest is frozen, and its helper is asked to end"
      catch_frozen || not_ok "kill $round: the guest was caught frozen"
      # shellcheck disable=SC2046
      kill -TERM $(helpers); kill -HUP $(helpers)
      kill -9 "$daemon" ;;
    3) name="as soon as the guest is noted" ; wait_until 30 noted ; kill -9 "$daemon" ;;
    4) name="while it stores" ; wait_until 60 has_packs_in_work ; kill -9 "$daemon" ;;
  esac
  wait "$daemon" 2>/dev/null
  if [ $moment -eq 1 ]; then start_daemon; fi
  check "kill $round ($name): the guest goes on" wait_until 20 guest_writes
  check "kill $round: its helper ends" wait_until 20 no_helper
  check "kill $round: no note is left" wait_until 20 no_note
  if [ $moment -ne 1 ]; then start_daemon; fi
  run timeout 120 cairn backup rig
  holds "kill $round: the next backup is made" "$status" -ne 1
  equal "kill $round: and is as consistent as ever" "$(point_fact rig consistency)" filesystem
  stop_daemon
}
has_packs_in_work() { [ -n "$(find "$work/store/tmp" -type f -size +0 2>/dev/null)" ]; }

# --- a freeze that happens late ------------------------------------------------------------------------------------
late_freeze() {
  EXTRA="policies: { default: { on_missing_keys: warn, longest_hold: 2s } }" settings "$machine"
  in_guest 'echo 6 >/hook.slow'
  backup rig
  equal "late freeze: the point says less than was asked for" "$(point_fact rig consistency)" crash
  contains "late freeze: and why" "$(cat "$stdout" "$stderr")" "less-consistent"
  check "late freeze: it is thawed when it happens after all" wait_until 60 no_helper
  check "late freeze: the guest goes on" guest_writes
  holds "late freeze: the hook ran" "$(in_guest 'rm /hook.slow; grep -c ^freeze /hook.log')" -ge 1
  equal "late freeze: as often thawed as frozen" "$(in_guest 'grep -c ^thaw /hook.log')" "$(in_guest 'grep -c ^freeze /hook.log')"
  in_guest ': >/hook.fail'
  backup rig
  equal "a hook that fails: the point is crash" "$(point_fact rig consistency)" crash
  check "a hook that fails: the guest goes on" guest_writes
  in_guest 'rm /hook.fail'
}

# --- the guest without libvirt ----------------------------------------------------------------------------------------
if ! bash "$rig" start "$guest" qmp >"$work/rig.log" 2>&1; then
  not_ok "the guest starts" "$(tail -n 20 "$work/rig.log")"
  end
fi
machine="rig: { qmp: $guest/qmp.sock, agent: $guest/qga.sock, disks: { a: { image: $guest/a.qcow2 }, b: { image: $guest/b.raw } } }"
EXTRA="policies: { default: { on_missing_keys: warn } }" settings "$machine"
new_store
run cairn config check
contains "config check says that the agent answers" "$(cat "$stdout")" "its agent answers"
bash "$rig" ticker "$guest" on
backups qmp
late_freeze
for round in $(seq "$kills"); do kill_round "$round"; done
bash "$rig" crash "$guest" >/dev/null 2>&1
run cairn backup rig
equal "a guest that does not run is backed up as it lies" "$(point_fact rig guest.state)" off
bash "$rig" wipe "$guest" >/dev/null 2>&1

# --- with libvirt -----------------------------------------------------------------------------------------------------
if have libvirtd && have virsh && bash "$rig" start "$guest" libvirt >"$work/rig.log" 2>&1; then
  machine="rig: { libvirt: rig, uri: \"qemu+unix:///system?socket=$guest/sys/run/libvirt-sock\", disks: {} }"
  EXTRA="policies: { default: { on_missing_keys: warn } }" settings "$machine"
  run cairn config check
  contains "config check finds the domain's disks" "$(cat "$stdout")" "disk rig/vdb"
  bash "$rig" ticker "$guest" on
  rounds=1
  [ "${CAIRN_ALL:-no}" = no ] || rounds=20
  first=vda second=vdb
  backups libvirt
  contains "the definition is the domain's" "$(cairn points rig@latest --json | jq -r .definition_base64 | base64 -d)" "<name>rig</name>"
  bash "$rig" daemon "$guest" kill >/dev/null 2>&1
  refuses "libvirt that is gone is said" guest-unreachable cairn backup rig
else
  skip "libvirt" "no libvirtd, or it does not start here: $(tail -n 1 "$work/rig.log")"
fi
bash "$rig" wipe "$guest" >/dev/null 2>&1
end
