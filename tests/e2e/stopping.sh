#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What hangs or is in the way: an image whose file system does not answer, a mount that others use, a control API with
# slow clients, a socket that was removed, a store that another process writes to, a disk that a machine writes to, headers
# that ask for minutes of key derivation.
. "$(dirname "$0")/lib.sh"
needs root fuse curl jq python3

hanging=$(find "$CAIRN_BUILD/tests/e2e" -name hanging_file -type f -perm -u+x -print -quit 2>/dev/null)
[ -n "$hanging" ] || { skip "all of it" "hanging_file is not built"; end; }
get() { curl -sS --max-time 20 --unix-socket "$work/cairnd.sock" "http://cairn/v1/$1"; }
post() { curl -sS --max-time 20 --unix-socket "$work/cairnd.sock" -X POST -d "$2" "http://cairn/v1/$1"; }
state_of() { get "jobs/$1" | jq -r .state; }
job_is() { [ "$(state_of "$1")" = "$2" ]; }
job_began() { [ "$(get "jobs/$1" | jq '.progress.done_bytes')" -gt 0 ]; }
running() { [ "$(get status | jq .jobs.running)" = "$1" ]; }

random_bytes stuck $((48 * MiB)) >"$work/stuck.img"
random_bytes good $((2 * MiB)) >"$work/good.img"
EXTRA='policies: { default: { schedule: "0 0 1 1 *" } }' settings "$(one_disk stuck stuck.img)" "$(one_disk good good.img)"
new_store
serve_image() {
  "$hanging" "$work/stuck.img" >"$work/hanging.out" 2>&1 &
  server=$!
  disown "$server" 2>/dev/null
  children+=("$server")
  wait_until 20 grep -q mounted "$work/hanging.out"
}
# Whoever waits for it gets an error once its server is dead.
drop_image() {
  kill -KILL "$server"
  umount -l "$work/stuck.img" 2>/dev/null
}

# --- an image that hangs ----------------------------------------------------------------------------------------------
serve_image || not_ok "an image on a file system of its own" "$(cat "$work/hanging.out")"
start_daemon
wait_until 60 running 0
kill -STOP "$server"
job=$(post backups '{"machines":["stuck"]}' | jq -r '.jobs[0].id')
wait_until 20 job_is "$job" InProgress
equal "the backup waits for the image" "$(state_of "$job")" InProgress
post "jobs/$job/cancel" '' >/dev/null
check "cancelled, it ends within seconds" wait_until 10 job_is "$job" Cancelled
contains "and says that it was left behind" "$(get "jobs/$job" | jq -r .error.message)" "left behind"
refuses "its machine has no second backup while it hangs" job-conflict cairn backup --wait 0s stuck
check "other machines are backed up" cairn backup good
check "status answers" get status
kill -TERM "$daemon"
check "SIGTERM ends the daemon though the image hangs" wait_until 30 ended "$daemon"
drop_image
wait_until 10 bash -c "! findmnt $work/stuck.img"

serve_image || not_ok "an image that hangs again" "$(cat "$work/hanging.out")"
kill -STOP "$server"
"$CAIRN" --config "$config" --no-daemon backup stuck >"$stdout" 2>"$stderr" &
command=$!
children+=("$command")
sleep_until_waiting() { grep -q request_wait "/proc/$1"/task/*/stack 2>/dev/null || grep -q fuse "/proc/$1"/task/*/wchan 2>/dev/null; }
wait_until 20 sleep_until_waiting "$command"
kill -INT "$command"
check "Ctrl-C ends a command though the image hangs" wait_until 20 ended "$command"
drop_image
contains "it was cancelled" "$(cat "$stdout" "$stderr")" Cancelled

# --- a mount that others use ------------------------------------------------------------------------------------------
check "a backup to look at" cairn --no-daemon backup good
mount_points
server=$(pgrep -f "cairn --config $config mount $mnt" | head -n 1)
holds "the mount has a server" -n "$server"
exec 7<"$(disk good)"
refuses "umount while a file is open" mount-point-busy cairn umount "$mnt"
contains "says by whom" "$(cat "$stderr")" "pid $$"
exec 7<&-
unshare --mount --propagation private sleep 600 &
other=$!
children+=("$other")
wait_until 10 grep -q "$mnt" "/proc/$other/mountinfo"
check "umount while another mount namespace has a copy" cairn umount "$mnt"
check "leaves no server process behind" wait_until 10 ended "$server"
kill "$other"

# A store that does not answer, and a reader of the mount that waits for it.
pack=$(find "$work/store/packs" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
"$hanging" "$pack" >"$work/hanging.out" 2>&1 &
server=$!
disown "$server" 2>/dev/null
children+=("$server")
wait_until 20 grep -q mounted "$work/hanging.out"
mount_points
mounted=$(pgrep -f "cairn --config $config mount $mnt" | head -n 1)
kill -STOP "$server"
cat "$(disk good)" >/dev/null 2>&1 &
reader=$!
disown "$reader" 2>/dev/null
children+=("$reader")
waits_in_fuse() { grep -q -e request_wait -e fuse -e folio_wait "/proc/$1/stack" "/proc/$1/wchan"; }
check "a reader waits for the store" wait_until 20 waits_in_fuse "$reader"
kill -TERM "$mounted"
check "SIGTERM ends the mount though the store hangs" wait_until 20 ended "$mounted"
check "and its reader has an error" wait_until 20 ended "$reader"
check_fails "nothing is mounted any more" findmnt "$mnt"
kill -KILL "$server"
umount -l "$pack"

start_daemon
exec 7<"$work/points/good/latest/disks/root.img"
unshare --mount --propagation private sleep 600 &
other=$!
children+=("$other")
wait_until 10 grep -q "$work/points" "/proc/$other/mountinfo"
kill -TERM "$daemon"
check "SIGTERM while files are open, in another mount namespace too" wait_until 20 ended "$daemon"
contains "the log says by whom" "$(grep unmounted-in-use "$work/cairnd.log")" "pid $$"
exec 7<&-
kill "$other"

# --- the control API --------------------------------------------------------------------------------------------------
start_daemon
# A byte of a request now and then, on 40 connections.
cat >"$work/slow.py" <<'PYTHON'
import socket, sys, time
clients = []
for _ in range(40):
    client = socket.socket(socket.AF_UNIX)
    client.connect(sys.argv[1])
    client.send(b"GET /v1/sta")
    clients.append(client)
open(sys.argv[2], "w").close()
while True:
    for client in clients:
        try:
            client.send(b"x")
        except OSError:
            pass
    time.sleep(0.1)
PYTHON
python3 "$work/slow.py" "$work/cairnd.sock" "$work/slow.begun" &
slow=$!
disown "$slow" 2>/dev/null
children+=("$slow")
wait_until 20 test -e "$work/slow.begun"
for _ in $(seq 5); do get status >"$work/answer"; done
check "status answers beside slow clients" jq -e .daemon.running "$work/answer"
kill "$slow"
rm -f "$work/cairnd.sock"
check "a socket that was removed is made anew" wait_until 20 get version
stop_daemon

# --- waiting ----------------------------------------------------------------------------------------------------------
exec 8<>"$work/store/lock"
flock 8
refuses "a store that is being written to: not at all" store-locked cairn backup --wait 0s good
refuses "a store that is being written to: a second" store-locked cairn backup --wait 1s good
contains "and how long was waited" "$(cat "$stderr")" "after waiting 1s"
cairn backup good >"$stdout" 2>&1 &
command=$!
children+=("$command")
wait_until 20 bash -c "'$CAIRN' --config '$config' jobs --json | jq -e '[.[] | select(.state == \"InProgress\")] | length == 1'"
flock -u 8
wait "$command"
equal "by itself it waits until the store is free" $? 0
exec 8>&-

# --- a disk that a machine writes to ----------------------------------------------------------------------------------
mkdir "$work/images"
cp "$work/good.img" "$work/images/root.img"
before=$(stat -c %i "$work/images/root.img")
exec 7<>"$work/images/root.img"
refuses "restore --force over a file that is open for writing" image-in-use cairn restore good@latest --to "$work/images" --force
contains "says by whom" "$(cat "$stderr")" "pid $$"
exec 7>&-
exec 7<"$work/images/root.img"
check "a reader is no hindrance" cairn restore good@latest --to "$work/images" --force
exec 7<&-
holds "then it is replaced" "$(stat -c %i "$work/images/root.img")" != "$before"
if have qemu-nbd; then
  qemu-nbd --fork -r -f raw -k "$work/nbd.sock" --pid-file="$work/nbd.pid" "$work/images/root.img"
  children+=("$(cat "$work/nbd.pid")")
  refuses "restore --force over what QEMU only reads, and locks" image-in-use cairn restore good@latest --to "$work/images" --force
  kill "$(cat "$work/nbd.pid")"
else
  skip "restore --force over what QEMU only reads, and locks" "no qemu-nbd"
fi

# --- minutes of key derivation ----------------------------------------------------------------------------------------
# 128 volumes, each of whose headers asks for 250 s: whoever rules the guest can write them.
if have cryptsetup && have sfdisk; then
  stop_daemon
  { echo "label: gpt"; for _ in $(seq 128); do echo "size=2MiB"; done; } >"$work/table"
  truncate -s 258M "$work/many.img"
  check "a disk of 128 partitions" sfdisk -q "$work/many.img" <"$work/table"
  printf 'correct horse' >"$work/passphrase"
  chmod 600 "$work/passphrase"
  truncate -s 2M "$work/volume"
  cryptsetup luksFormat -q --type luks2 "${cheap_kdf[@]}" --luks2-metadata-size 16k --luks2-keyslots-size 256k --offset 2048 \
    --key-file "$work/passphrase" "$work/volume" >/dev/null 2>&1
  put() { dd if="$work/volume" of="$work/many.img" bs=1M seek="$1" count=1 conv=notrunc status=none; }
  for number in $(seq 128); do put $((2 * number - 1)); done
  EXTRA="key_vaults: { main: { provider: local, path: vault, key_file: vault.key } }
policies: { default: { schedule: \"0 0 1 1 *\" } }" \
    settings "many: { disks: { root: { image: many.img, bek: main/disk, kek: main/backup } } }" "$(one_disk good good.img)"
  (umask 077; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/vault.key")
  check "vault init" cairn vault init
  check "key create" cairn key create backup
  exits "key import, as long as it is cheap" 0 cairn key import many/root --from "$work/passphrase" --json
  equal "it opens all volumes" "$(jq '.opened | length' "$stdout")" 128
  python3 - "$work/volume" <<'PYTHON'
import hashlib, json, sys
with open(sys.argv[1], "r+b") as file:
    for at in (0, 0x4000):
        file.seek(at)
        header = bytearray(file.read(0x4000))
        document = json.loads(header[4096:].split(b"\0")[0])
        for slot in document["keyslots"].values():
            slot["kdf"]["iterations"] = 250_000_000
        header[4096:] = json.dumps(document).encode().ljust(0x4000 - 4096, b"\0")
        header[448:512] = bytes(64)
        header[448:480] = hashlib.sha256(header).digest()
        file.seek(at)
        file.write(header)
PYTHON
  for number in $(seq 128); do put $((2 * number - 1)); done
  # A helper of that process has computed for half a second.
  derives() {
    local stat
    for stat in $(grep -lsF '(cairn-helper)' /proc/[0-9]*/stat); do
      awk -v parent="$1" '{ sub(/.*\) /, ""); exit !($2 == parent && $12 > 50) }' "$stat" 2>/dev/null && return 0
    done
    return 1
  }
  helper_of() {
    local stat
    for stat in $(grep -lsF '(cairn-helper)' /proc/[0-9]*/stat); do
      awk -v parent="$1" '{ pid = $1; sub(/.*\) /, ""); if ($2 == parent) print pid }' "$stat" 2>/dev/null
    done
  }
  "$CAIRN" --config "$config" --no-daemon backup many >"$stdout" 2>"$stderr" &
  command=$!
  children+=("$command")
  check "a backup derives keys" wait_until 60 derives "$command"
  helper=$(helper_of "$command")
  kill -INT "$command"
  check "Ctrl-C ends it in the middle of that" wait_until 10 ended "$command"
  contains "it was cancelled" "$(cat "$stdout" "$stderr")" Cancelled
  check "its helper has ended too" wait_until 5 ended "$helper"
  start_daemon
  job=$(post backups '{"machines":["many"]}' | jq -r '.jobs[0].id')
  wait_until 60 job_is "$job" InProgress
  check "the daemon derives keys" wait_until 60 derives "$daemon"
  post "jobs/$job/cancel" '' >/dev/null
  check "cancelled, the job ends within seconds" wait_until 10 job_is "$job" Cancelled
  check_fails "and was not left behind" grep -qF "left behind" <<<"$(get "jobs/$job" | jq -r .error.message)"
  job=$(post backups '{"machines":["many"]}' | jq -r '.jobs[0].id')
  wait_until 60 job_is "$job" InProgress
  check "the daemon derives keys again" wait_until 60 derives "$daemon"
  helper=$(helper_of "$daemon")
  kill -TERM "$daemon"
  check "SIGTERM ends the daemon within seconds" wait_until 10 ended "$daemon"
  check "and its helper" wait_until 5 ended "$helper"
  start_daemon
  check "the daemon derives keys once more" wait_until 60 derives "$daemon"
  helper=$(helper_of "$daemon")
  kill -KILL "$daemon"
  check "a helper ends with whoever started it" wait_until 10 ended "$helper"
else
  skip "minutes of key derivation" "no cryptsetup or sfdisk"
fi

end
