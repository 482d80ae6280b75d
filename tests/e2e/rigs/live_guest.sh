#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# live_guest.sh: a running KVM-style guest (QEMU under TCG) with two encrypted disks, for tests of live backup.
#
# Packages: scripts/setup --e2e.
#
#   live_guest.sh start DIR libvirt|qmp       make the disks if DIR has none, boot; returns when the guest says READY
#   live_guest.sh run DIR 'SHELL COMMAND'     run it in the guest (its output, its exit status), frozen or not
#   live_guest.sh ticker DIR on|off           a writer in the guest: n to /a/ticks + fsync, then n to /b/ticks + fsync
#   live_guest.sh qga DIR JSON...             guest agent commands (qmp mode; under libvirt use virsh qemu-agent-command)
#   live_guest.sh qmp DIR JSON...             QMP commands, one reply a line, events too (libvirt: virsh qemu-monitor-command)
#   live_guest.sh virsh DIR ARGS...           virsh on the rig's own libvirtd
#   live_guest.sh env DIR                     shell variables for tests: RIG_URI, RIG_QMP, RIG_QGA, RIG_PID, RIG_A, RIG_B, RIG_KEY
#   live_guest.sh check A B KEY [MAXLAG]      boot a throw-away guest on copies (raw images, never written) and prove them
#   live_guest.sh off DIR                     power the guest off cleanly, keep libvirtd (libvirt: the domain stays defined)
#   live_guest.sh crash DIR                   SIGKILL the guest's QEMU
#   live_guest.sh daemon DIR kill|start       SIGKILL the rig's libvirtd under the running guest; start it again (libvirt mode)
#   live_guest.sh stop DIR                    end the guest (hard) and the rig's libvirtd, by PID; the disks stay
#   live_guest.sh wipe DIR                    stop, and remove DIR
#
# The guest: disk a (vda, serial a) is LUKS2 in qcow2, disk b (vdb, serial b) LUKS2 in raw; dm-crypt and ext4 inside,
# mounted on /a and /b. The initramfs is its root, so the shell behind `run` works while /a and /b are frozen.
# qemu-ga runs with a freeze hook that writes /hook.log (freeze/thaw lines).
# check prints per disk FSCK ok|..., TICKS n, and LAG n (ticks of a less ticks of b), and then CHECK-OK or CHECK-FAIL why.
# A copy of one consistent instant has LAG 0 or 1. Exit 0 ok, 1 not ok, 2 bad call, 3 no verdict.
#
# Environment: RIG_SIZE_MB disk size (256)  RIG_MEM MiB (384)  RIG_TIMEOUT s (180)
#              RIG_FILE_OPTS (qmp mode) more for the file nodes, such as ,cache.direct=on,aio=native
#              RIG_QEMU_ARGS (qmp mode) more arguments of QEMU
#              RIG_QEMU_USER (libvirt mode) user of QEMU, as on a Debian host (libvirt-qemu)
#              RIG_CACHE directory for kernel and initramfs (/var/tmp/live-rig)
set -euo pipefail
umask 022
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
SELF=$(readlink -f "$0")
CACHE=${RIG_CACHE:-/var/tmp/live-rig} SIZE=${RIG_SIZE_MB:-256} MEM=${RIG_MEM:-384} TIMEOUT=${RIG_TIMEOUT:-180}
QUSER=${RIG_QEMU_USER:-libvirt-qemu}
DOM=rig
APPEND='console=ttyS0 quiet loglevel=3 panic=-1 cryptomgr.notests mitigations=off'
TMPS=''
die() { echo "rig: $*" >&2; exit 2; }
trap '[ -z "$TMPS" ] || rm -rf "$TMPS"' EXIT
scratch() { TMPS=$(mktemp -d /var/tmp/rig.XXXXXX); }

# ------------------------------------------------------------------ the guest's kernel and initramfs (cached)
copy_elf() {
  local lib
  cp -L "$1" "$2/sbin/$3"
  for lib in $(ldd "$1" | grep -o '/[^ )]*\.so[^ )]*'); do mkdir -p "$2$(dirname "$lib")"; cp -Lu "$lib" "$2$lib"; done
}
pack() { (cd "$1" && find . -print0 | cpio --null -o -H newc -R 0:0 --quiet); }

prepare() {
  local v=() kver id ga='' r off m t
  for t in qemu-system-x86_64 qemu-img busybox cpio cryptsetup mke2fs e2fsck modprobe xz python3; do
    command -v "$t" >/dev/null || die "no $t: run scripts/setup --e2e"
  done
  shopt -s nullglob; v=(/boot/vmlinuz-*-amd64); shopt -u nullglob
  [ ${#v[@]} -gt 0 ] || die "no /boot/vmlinuz-*-amd64: run scripts/setup --e2e"
  kver=$(printf '%s\n' "${v[@]#/boot/vmlinuz-}" | sort -V | tail -n1)
  for t in /usr/sbin/qemu-ga "$CACHE/ga/usr/sbin/qemu-ga" "${LUKSVM_DIR:-/var/tmp/luksvm}/ga/usr/sbin/qemu-ga"; do
    if [ -x "$t" ]; then ga=$t; break; fi
  done
  [ -n "$ga" ] || die "no qemu-ga: run scripts/setup --e2e"
  mkdir -p "$CACHE"
  id=$(cat "$SELF" "/boot/vmlinuz-$kver" "$ga" | sha256sum | cut -c1-12)
  KERNEL=$CACHE/vmlinux-$kver INITRD=$CACHE/initrd-$id.cpio
  if [ -s "$KERNEL" ] && [ -s "$INITRD" ]; then return; fi
  scratch
  # Under TCG the xz-packed kernel needs 5 s to unpack itself; QEMU boots the ELF (PVH).
  off=$(grep -aboP '\xFD7zXZ\x00' "/boot/vmlinuz-$kver" | head -n1 | cut -d: -f1 || true)
  if [ -n "$off" ]; then tail -c +$((off + 1)) "/boot/vmlinuz-$kver" | xz -dc --single-stream >"$TMPS/k" 2>/dev/null || true; fi
  [ "$(head -c4 "$TMPS/k" 2>/dev/null | tail -c3)" = ELF ] || cp "/boot/vmlinuz-$kver" "$TMPS/k"
  r=$TMPS/r; mkdir -p "$r"/{bin,sbin,etc/qemu,mods,a,b}
  cp "$(command -v busybox)" "$r/bin/busybox"
  for t in cryptsetup mke2fs e2fsck; do copy_elf "$(command -v $t)" "$r" $t; done
  cp -L /lib/x86_64-linux-gnu/libgcc_s.so.1 "$r/lib/x86_64-linux-gnu/"
  cp /etc/mke2fs.conf "$r/etc/"
  copy_elf "$ga" "$r" qemu-ga
  for m in virtio_pci virtio_blk virtio_console dm_crypt xts aesni_intel crc32c_generic ext4; do
    modprobe -S "$kver" --show-depends "$m"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r m; do
    case $m in *.xz) xz -dc "$m" >"$r/mods/$(basename "$m" .xz)"; basename "$m" .xz ;; *) cp "$m" "$r/mods/"; basename "$m" ;; esac
  done >"$r/mods/list"
  guest_init >"$r/init"
  printf '#!/bin/sh\n: >/run/halt\n' >"$r/sbin/shutdown"
  printf '#!/bin/sh\necho "$1 $(date +%%s)" >>/hook.log\n[ ! -e /hook.fail ] || exit 1\nif [ -e /hook.slow ]; then sleep $(cat /hook.slow); fi\n' >"$r/etc/qemu/fsfreeze-hook"
  chmod 755 "$r/init" "$r/sbin/shutdown" "$r/etc/qemu/fsfreeze-hook"
  pack "$r" >"$TMPS/i"
  mv "$TMPS/k" "$KERNEL"; mv "$TMPS/i" "$INITRD"; chmod 644 "$KERNEL" "$INITRD"
  rm -rf "$TMPS"; TMPS=''
}

guest_init() { cat <<'EOI'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /var/run
/bin/busybox --install -s /bin
export PATH=/sbin:/bin DM_DISABLE_UDEV=1
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
say() { printf '\n%s\n' "$*" >/dev/console; }
off() { sync; sleep 0.2; poweroff -f; sleep 60; }
fail() { [ -s /tmp/log ] && head -n 5 /tmp/log >/dev/console; say "RIG-FAIL $*"; off; }
while read -r m; do insmod "/mods/$m" || fail "module $m"; done </mods/list
for n in a b; do
  i=0; d=
  while :; do
    for s in /sys/block/vd*/serial; do [ "$(cat $s 2>/dev/null)" = $n ] && d=/dev/$(basename $(dirname $s)); done
    [ -n "$d" ] && [ -b "$d" ] && break
    i=$((i + 1)); [ $i -lt 100 ] || fail "no disk $n"; sleep 0.1
  done
  eval dev_$n=$d
done
MODE=live; for w in $(cat /proc/cmdline); do case $w in rig=*) MODE=${w#rig=} ;; esac; done
# ticks of file $1: lines count up from 1; only the last, not yet synced, may be torn
ticks() { [ -e $1 ] || { echo 0; return 0; }; awk 'bad { gap = 1; exit } $1 != NR { bad = 1; next } { n = NR } END { print n + 0; exit gap }' $1; }
for n in a b; do
  eval d=\$dev_$n
  /sbin/cryptsetup open --allow-discards --key-file /job/key $d $n >/tmp/log 2>&1 || fail "luks $n"
  if [ $MODE = check ]; then
    mount -t ext4 /dev/mapper/$n /$n 2>/tmp/log && umount /$n || fail "mount $n"       # replays the journal into the overlay
    /sbin/e2fsck -fn /dev/mapper/$n >/tmp/log 2>&1 && say "FSCK $n ok" || { say "FSCK $n bad"; fail "fsck $n"; }
    mount -t ext4 -o ro /dev/mapper/$n /$n || fail "mount $n"
    [ "$(cat /$n/name)" = $n ] || fail "name $n"
    t=$(ticks /$n/ticks) || {
      awk '$1 != NR { print "line " NR ": " $0 " of " length($0); if (++k > 3) exit }' /$n/ticks | cat -v | cut -c1-60 >/tmp/log
      ls -l /$n/ticks >>/tmp/log; fail "gap in the ticks of $n"; }
    say "TICKS $n $t"; eval t_$n=$t
    [ ! -e /$n/sums ] || (cd /$n && sha256sum -c sums >/tmp/log 2>&1) || fail "sums $n"
    [ ! -e /$n/sums ] || say "SUMS $n $(wc -l </$n/sums)"
  else
    if ! head -c 2048 /dev/mapper/$n | tail -c 968 | head -c 2 | grep -q "$(printf '\123\357')"; then
      /sbin/mke2fs -q -t ext4 -b 4096 -L rig$n /dev/mapper/$n >/tmp/log 2>&1 || fail "mkfs $n"
    fi
    mount -t ext4 -o noinit_itable,discard /dev/mapper/$n /$n || fail "mount $n"
    echo $n >/$n/name; sync
  fi
done
if [ $MODE = check ]; then say "LAG $((t_a - t_b))"; umount /a /b; say CHECK-OK; off; fi
port() { local p; p=$(grep -l "^$1$" /sys/class/virtio-ports/*/name); p=${p%/name}; echo /dev/${p##*/}; }
ga=$(port org.qemu.guest_agent.0)
/sbin/qemu-ga -d -m virtio-serial -p $ga -t /run -f /run/ga.pid -l /run/ga.log -F/etc/qemu/fsfreeze-hook || fail qemu-ga
cat >/bin/ticker <<'E'
#!/bin/busybox sh
n=$(wc -l </a/ticks 2>/dev/null || echo 0)
m=$(wc -l </b/ticks 2>/dev/null || echo 0)
[ $m -ge $n ] || n=$m
head -n $n /a/ticks >/tmp/ta 2>/dev/null; cat /tmp/ta >/a/ticks
head -n $n /b/ticks >/tmp/tb 2>/dev/null; cat /tmp/tb >/b/ticks; sync
while [ ! -e /run/noticks ]; do
  n=$((n + 1))
  echo "$n $(date +%s)" >>/a/ticks; sync /a/ticks
  echo "$n $(date +%s)" >>/b/ticks; sync /b/ticks
done
E
chmod 755 /bin/ticker
port=$(port org.cairn.rig.0)
# A line: TOKEN COMMAND; the answer ends with a line RIG-END TOKEN STATUS. EOF means no client is there. The port stays
# open: closing it would throw away what a client has sent.
exec 3<>$port
while :; do
  read -r token line <&3 || { sleep 0.1; continue; }
  sh -c "$line" >/tmp/out 2>&1 </dev/null 3>&-; rc=$?
  { cat /tmp/out; printf '\nRIG-END %s %s\n' $token $rc; } >&3
done &
say RIG-READY
while [ ! -e /run/halt ]; do sleep 0.3; done
: >/run/noticks; sleep 0.5; kill $(cat /run/ga.pid)
umount /a /b && /sbin/cryptsetup close a && /sbin/cryptsetup close b && say RIG-OFF
off
EOI
}

# The second archive, with the key; the kernel takes archives one behind the other.
initrd_for() {  # KEY OUT
  mkdir -p "$2.d/job"; cp "$1" "$2.d/job/key"; chmod 755 "$2.d" "$2.d/job"; chmod 644 "$2.d/job/key"
  cat "$INITRD" <(pack "$2.d") >"$2"; rm -rf "$2.d"
}

make_disks() {
  local n
  head -c 64 /dev/urandom >"$D/key"; chmod 600 "$D/key"
  for n in a b; do
    truncate -s "${SIZE}M" "$D/$n.raw"
    cryptsetup luksFormat -q --type luks2 --cipher aes-xts-plain64 --key-size 512 --sector-size 512 --pbkdf argon2id \
      --pbkdf-memory 32768 --pbkdf-parallel 1 --pbkdf-force-iterations 4 --key-file "$D/key" "$D/$n.raw"
  done
  qemu-img convert -f raw -O qcow2 "$D/a.raw" "$D/a.qcow2"; rm "$D/a.raw"
}

alive() { [ -n "${1:-}" ] && [ -d "/proc/$1" ] && ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }
# kill_pid SIG FILE NAME: only if the process is the one that was noted (same start time, same program)
kill_pid() {
  local pid start
  [ -e "$2" ] || return 0; read -r pid start <"$2"
  if alive "$pid" && [ "$(cut -d' ' -f22 <"/proc/$pid/stat" 2>/dev/null)" = "$start" ]; then kill "-$1" "$pid" 2>/dev/null || true; else return 0; fi
  for _ in $(seq 100); do alive "$pid" && [ "$(cut -d' ' -f22 <"/proc/$pid/stat" 2>/dev/null)" = "$start" ] || return 0; sleep 0.1; done
  return 1
}
note_pid() { echo "$1 $(cut -d' ' -f22 <"/proc/$1/stat")" >"$2"; }
qpid() { if [ -e "$D/qemu.pid" ]; then cut -d" " -f1 <"$D/qemu.pid"; fi; }

wait_ready() {
  local end=$((SECONDS + TIMEOUT))
  until tr -d '\r' <"$D/serial" 2>/dev/null | grep -qa '^RIG-READY'; do
    if tr -d '\r' <"$D/serial" 2>/dev/null | grep -a '^RIG-FAIL' >&2; then return 1; fi
    alive "$(qpid)" || { echo "rig: QEMU is gone" >&2; tail -n5 "$D/qemu.log" "$D/sys/log/qemu/$DOM.log" 2>/dev/null >&2; return 1; }
    [ "$SECONDS" -lt "$end" ] || { echo "rig: no READY in $TIMEOUT s" >&2; tail -n 20 "$D/serial" >&2; return 1; }
    sleep 0.1
  done
}

cmd_start() {
  local mode=$2
  case $mode in libvirt|qmp) ;; *) die "mode is libvirt or qmp" ;; esac
  mkdir -p "$1"; D=$(readlink -f "$1"); chmod 711 "$D"
  [ ${#D} -le 70 ] || die "$D is too long a path for Unix sockets"
  if alive "$(qpid)"; then die "a guest of $D runs already"; fi
  prepare
  [ -e "$D/a.qcow2" ] || make_disks
  initrd_for "$D/key" "$D/initrd"; chmod 644 "$D/initrd"
  rm -f "$D"/{qmp,qga,cmd}.sock; : >"$D/serial"; chmod 666 "$D/serial"; echo "$mode" >"$D/mode"
  "start_$mode"
  if ! wait_ready; then exit 3; fi
  echo "READY pid $(qpid)"
}

start_qmp() {
  setsid qemu-system-x86_64 -name rig -nodefaults -no-user-config -display none -no-reboot -machine pc -accel tcg,thread=multi \
    -cpu max -smp 1 -m "$MEM" -kernel "$KERNEL" -initrd "$D/initrd" -append "$APPEND" \
    -blockdev "driver=file,node-name=a-file,filename=$D/a.qcow2,discard=unmap${RIG_FILE_OPTS:-}" \
    -blockdev driver=qcow2,node-name=a,file=a-file,discard=unmap -device virtio-blk-pci,id=disk-a,drive=a,serial=a \
    -blockdev "driver=file,node-name=b-file,filename=$D/b.raw,discard=unmap${RIG_FILE_OPTS:-}" \
    -blockdev driver=raw,node-name=b,file=b-file,discard=unmap -device virtio-blk-pci,id=disk-b,drive=b,serial=b \
    -chardev "file,id=con,path=$D/serial,append=on" -serial chardev:con -device virtio-serial-pci \
    -chardev "socket,path=$D/qga.sock,server=on,wait=off,id=ga" -device virtserialport,chardev=ga,name=org.qemu.guest_agent.0 \
    -chardev "socket,path=$D/cmd.sock,server=on,wait=off,id=cmd" -device virtserialport,chardev=cmd,name=org.cairn.rig.0 \
    -qmp "unix:$D/qmp.sock,server=on,wait=off" -qmp "unix:$D/qmp2.sock,server=on,wait=off" \
    ${RIG_QEMU_ARGS:-} </dev/null >"$D/qemu.log" 2>&1 &
  note_pid $! "$D/qemu.pid"
  disown
}

# The rig's own libvirtd (qemu:///system) in a mount namespace of its own: the host's /etc/libvirt, /run/libvirt and
# /var/lib/libvirt are neither seen nor touched.
start_libvirtd() {
  local s=$D/sys pid
  pid=; if [ -e "$D/libvirtd.pid" ]; then read -r pid _ <"$D/libvirtd.pid"; fi
  if alive "$pid" && [ -S "$s/run/libvirt-sock" ]; then return; fi
  command -v libvirtd >/dev/null || die "no libvirtd: run scripts/setup --e2e"
  [ "$(id -u)" = 0 ] || die "libvirt mode needs root"
  mkdir -p "$s"/{etc,lib,run,log,cache}; rm -f "$s"/run/libvirt-*
  [ -e "$s/etc/qemu" ] || cp -r /etc/libvirt/. "$s/etc/"
  cat >"$s/etc/qemu.conf" <<E
security_driver = "none"
user = "$QUSER"
group = "$(id -gn "$QUSER")"
dynamic_ownership = 1
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
E
  cat >"$s/etc/libvirtd.conf" <<E
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "2:file:$s/libvirtd.log"
E
  setsid unshare -m --propagation private bash -c '
    s=$1; for p in etc:/etc/libvirt run:/run/libvirt lib:/var/lib/libvirt log:/var/log/libvirt cache:/var/cache/libvirt; do
      mkdir -p "${p#*:}"; mount --bind "$s/${p%%:*}" "${p#*:}"; done
    exec libvirtd -p /run/libvirt/libvirtd.pid' _ "$s" </dev/null >"$s/out" 2>&1 &
  note_pid $! "$D/libvirtd.pid"; disown
  for _ in $(seq 200); do
    if virsh -q -c "$(uri)" version >/dev/null 2>&1; then return; fi
    alive "$(cut -d' ' -f1 <"$D/libvirtd.pid")" || { cat "$s/out" >&2; tail "$s/libvirtd.log" >&2; exit 3; }
    sleep 0.1
  done
  echo "rig: libvirtd does not answer" >&2; tail "$s/libvirtd.log" >&2; exit 3
}
uri() { echo "qemu+unix:///system?socket=$D/sys/run/libvirt-sock"; }

start_libvirt() {
  local f
  id -u "$QUSER" >/dev/null 2>&1 || die "no user $QUSER (RIG_QEMU_USER)"
  for f in "$KERNEL" "$D/initrd"; do
    setpriv --reuid="$QUSER" --regid="$(id -g "$QUSER")" --clear-groups test -r "$f" \
      || die "QEMU's user $QUSER cannot read $f: no folder on the way may be private (not below mktemp -d, not /root)"
  done
  start_libvirtd
  [ -e "$D/uuid" ] || cat /proc/sys/kernel/random/uuid >"$D/uuid"
  cat >"$D/domain.xml" <<E
<domain type='qemu'>
  <name>$DOM</name><uuid>$(cat "$D/uuid")</uuid>
  <memory unit='MiB'>$MEM</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$KERNEL</kernel><initrd>$D/initrd</initrd><cmdline>$APPEND</cmdline></os>
  <features><acpi/><apic/></features>
  <cpu mode='maximum'/>
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/><source file='$D/a.qcow2'/>
      <target dev='vda' bus='virtio'/><serial>a</serial></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw' discard='unmap'/><source file='$D/b.raw'/>
      <target dev='vdb' bus='virtio'/><serial>b</serial></disk>
    <serial type='file'><source path='$D/serial'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <channel type='unix'><source mode='bind' path='$D/sock/cmd.sock'/><target type='virtio' name='org.cairn.rig.0'/></channel>
    <memballoon model='none'/>
  </devices>
</domain>
E
  mkdir -p "$D/sock"; chown "$QUSER" "$D/sock"; rm -f "$D/sock/cmd.sock"
  virsh -q -c "$(uri)" define "$D/domain.xml" >/dev/null
  virsh -q -c "$(uri)" start $DOM >/dev/null
  note_pid "$(cat "$D/sys/run/qemu/$DOM.pid")" "$D/qemu.pid"
}

open_dir() { D=$(readlink -f "$1"); [ -e "$D/mode" ] || die "$1 is no rig"; MODE=$(cat "$D/mode"); CMD=$D/cmd.sock; [ "$MODE" = qmp ] || CMD=$D/sock/cmd.sock; }

cmd_run() {
  open_dir "$1"
  python3 - "$CMD" "$2" "$TIMEOUT" <<'E'
import os, re, socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(float(sys.argv[3])); s.connect(sys.argv[1])
token = os.urandom(6).hex()
s.sendall(('%s %s\n' % (token, sys.argv[2].replace('\n', ';'))).encode())
end = re.compile(rb'\nRIG-END (\w+) (\d+)\n'); buf = b''
try:
    while True:
        m = end.search(buf)
        if m and m[1].decode() == token: out, rc = buf[:m.start()], m[2]; break
        if m: buf = buf[m.end():]; continue                # the answer to a client that went away
        d = s.recv(65536)
        if not d: sys.exit('rig: the guest closed the channel')
        buf += d
except TimeoutError: print('rig: the guest does not answer', file=sys.stderr); sys.exit(3)
sys.stdout.buffer.write(out + (b'' if out.endswith(b'\n') or not out else b'\n')); sys.exit(int(rc))
E
}

cmd_ticker() {
  case $2 in
    on) cmd_run "$1" 'rm -f /run/noticks; ticker >/tmp/ticker.log 2>&1 &' ;;
    off) cmd_run "$1" ': >/run/noticks; while ps | grep -v grep | grep -q bin/ticker; do sleep 0.1; done; echo ticks $(wc -l </a/ticks) $(wc -l </b/ticks)' ;;
    *) die "on or off" ;;
  esac
}

json_client() {  # SOCKET qmp|qga JSON...
  python3 - "$@" <<'E'
import json, socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(sys.argv[1]); f = s.makefile('rwb')
def reply(events):
    while True:
        l = f.readline()
        if not l: sys.exit('rig: connection closed')
        m = json.loads(l.lstrip(b'\xff'))
        if 'event' in m:
            if events: print(json.dumps(m))
            continue
        return m
if sys.argv[2] == 'qmp':
    f.readline(); f.write(b'{"execute":"qmp_capabilities"}\n'); f.flush(); reply(False)
else:
    f.write(b'\xff{"execute":"guest-sync-delimited","arguments":{"id":4711}}\n'); f.flush()
    while True:
        l = f.readline()
        if b'\xff' in l and json.loads(l[l.index(b'\xff')+1:]).get('return') == 4711: break
bad = 0
for c in sys.argv[3:]:
    f.write(c.encode() + b'\n'); f.flush()
    if 'guest-shutdown' in c or '"quit"' in c: break
    m = reply(True); bad |= 'error' in m; print(json.dumps(m))
sys.exit(bad)
E
}
cmd_qmp() { open_dir "$1"; shift; if [ "$MODE" = qmp ]; then json_client "$D/qmp2.sock" qmp "$@"; else for c in "$@"; do virsh -q -c "$(uri)" qemu-monitor-command $DOM "$c"; done; fi; }
cmd_qga() { open_dir "$1"; shift; if [ "$MODE" = qmp ]; then json_client "$D/qga.sock" qga "$@"; else for c in "$@"; do virsh -q -c "$(uri)" qemu-agent-command $DOM "$c"; done; fi; }
cmd_virsh() { open_dir "$1"; shift; virsh -c "$(uri)" "$@"; }
cmd_env() {
  open_dir "$1"
  echo "RIG_PID=$(qpid) RIG_A=$D/a.qcow2 RIG_B=$D/b.raw RIG_KEY=$D/key RIG_CMD=$CMD RIG_MODE=$MODE"
  if [ "$MODE" = qmp ]; then echo "RIG_QMP=$D/qmp.sock RIG_QGA=$D/qga.sock"; else echo "RIG_URI='$(uri)' RIG_DOMAIN=$DOM"; fi
}

gone() { local end=$((SECONDS + ${1:-60})); while alive "$(qpid)"; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.1; done; }
cmd_off() {
  open_dir "$1"; alive "$(qpid)" || { echo OFF; return; }
  (cmd_run "$D" ': >/run/halt') >/dev/null || true
  gone "$TIMEOUT" || { echo "rig: the guest does not power off" >&2; exit 3; }
  tr -d '\r' <"$D/serial" | grep -qa '^RIG-OFF' && echo "OFF clean" || { echo "OFF unclean"; exit 1; }
}
cmd_crash() {
  open_dir "$1"; kill_pid KILL "$D/qemu.pid"; gone 10
  for _ in $(seq 100); do if qemu-img info "$D/a.qcow2" >/dev/null 2>&1; then break; fi; sleep 0.1; done   # locks go last
  echo CRASHED
}
cmd_daemon() {
  open_dir "$1"; [ "$MODE" = libvirt ] || die "not in libvirt mode"
  case $2 in
    kill) kill_pid KILL "$D/libvirtd.pid"; rm -f "$D/libvirtd.pid"; echo KILLED ;;
    start) start_libvirtd; echo STARTED ;;
    *) die "kill or start" ;;
  esac
}
cmd_stop() {
  open_dir "$1"
  kill_pid TERM "$D/qemu.pid" || kill_pid KILL "$D/qemu.pid" || true
  if [ -e "$D/libvirtd.pid" ]; then kill_pid TERM "$D/libvirtd.pid" || kill_pid KILL "$D/libvirtd.pid" || true; fi
  rm -f "$D/qemu.pid" "$D/libvirtd.pid" "$D"/*.sock "$D"/sock/*.sock
  echo STOPPED
}

cmd_check() {
  local a b max=${4:-1} lag end
  a=$(readlink -f "$1") b=$(readlink -f "$2"); prepare; scratch
  initrd_for "$3" "$TMPS/initrd"
  : >"$TMPS/serial"
  TMPDIR=$TMPS setpriv --pdeathsig TERM qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -machine pc \
    -accel tcg,thread=multi -cpu max -smp 1 -m "$MEM" -kernel "$KERNEL" -initrd "$TMPS/initrd" -append "$APPEND rig=check" \
    -drive "file=$a,format=raw,if=none,id=a,snapshot=on" -device virtio-blk-pci,drive=a,serial=a \
    -drive "file=$b,format=raw,if=none,id=b,snapshot=on" -device virtio-blk-pci,drive=b,serial=b \
    -chardev "file,id=con,path=$TMPS/serial" -serial chardev:con </dev/null >"$TMPS/qemu.log" 2>&1 &
  local p=$!; end=$((SECONDS + TIMEOUT))
  while alive $p; do [ "$SECONDS" -lt "$end" ] || { kill $p; break; }; sleep 0.1; done; wait $p 2>/dev/null || true
  tr -d '\r' <"$TMPS/serial" | grep -aE '^(FSCK|TICKS|SUMS|LAG) ' || true
  if tr -d '\r' <"$TMPS/serial" | grep -qa '^CHECK-OK'; then
    lag=$(tr -d '\r' <"$TMPS/serial" | grep -a '^LAG ' | cut -d' ' -f2)
    if [ "$lag" -lt 0 ] || [ "$lag" -gt "$max" ]; then echo "CHECK-FAIL not one instant: lag $lag"; exit 1; fi
    echo CHECK-OK; return
  fi
  if w=$(tr -d '\r' <"$TMPS/serial" | grep -a '^RIG-FAIL'); then tr -d '\r' <"$TMPS/serial" | tail -n 8 >&2; echo "CHECK-FAIL ${w#RIG-FAIL }"; exit 1; fi
  cat "$TMPS/qemu.log" "$TMPS/serial" >&2; echo "CHECK-FAIL no verdict"; exit 3
}

usage() { sed -n '2,/^set -e/{/^#/s/^# \{0,1\}//p}' "$SELF" >&2; exit 2; }
n() { if [ "$1" -lt "$2" ] || [ "$1" -gt "$3" ]; then usage; fi; }
c=${1:-}; shift || true
case $c in
  start) n $# 2 2; cmd_start "$@" ;;
  run) n $# 2 2; cmd_run "$@" ;;
  ticker) n $# 2 2; cmd_ticker "$@" ;;
  qga) n $# 2 99; cmd_qga "$@" ;;
  qmp) n $# 2 99; cmd_qmp "$@" ;;
  virsh) n $# 2 99; cmd_virsh "$@" ;;
  env) n $# 1 1; cmd_env "$@" ;;
  check) n $# 3 4; cmd_check "$@" ;;
  off) n $# 1 1; cmd_off "$@" ;;
  crash) n $# 1 1; cmd_crash "$@" ;;
  daemon) n $# 2 2; cmd_daemon "$@" ;;
  stop) n $# 1 1; cmd_stop "$@" ;;
  wipe) n $# 1 1; cmd_stop "$@"; rm -rf "$D" ;;
  *) usage ;;
esac
