# What every end-to-end script shares: a temporary directory that is always cleaned up, checks that print TAP lines,
# settings, images, and a way to wait for a condition. Source it first:  . "$(dirname "$0")/lib.sh"
#
#   CAIRN_BUILD     build directory with the programs (default: build-test beside tests/)
#   CAIRN_TESTDATA  directory with the BitLocker volumes (default: ../shared/testdata beside the checkout)
#
# Output:  ok - NAME   |   not ok - NAME, then "# ..." lines   |   ok - NAME # SKIP REASON   and at the end  1..COUNT
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
set -u -o pipefail
export LC_ALL=C TZ=UTC
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
: "${CAIRN_BUILD:=$repo/build-test}"
: "${CAIRN_TESTDATA:=$repo/../shared/testdata}"
CAIRN_BUILD=$(cd "$CAIRN_BUILD" && pwd) || exit 1
script=$(basename "$0" .sh)
find_program() {
  local path
  path=$(find "$CAIRN_BUILD/daemon" -name "$1" -type f -perm -u+x -print -quit 2>/dev/null)
  if [ -z "$path" ]; then echo "$script: no program $1 below $CAIRN_BUILD/daemon: build it first" >&2; exit 1; fi
  echo "$path"
}
CAIRN=$(find_program cairn) || exit 1
CAIRND=$(find_program cairnd) || exit 1

work=$(mktemp -d "${TMPDIR:-/tmp}/cairn-e2e-$script.XXXXXX") || exit 1
work=$(cd "$work" && pwd -P)
config=$work/cairn.yaml
mnt=$work/mnt
stdout=$work/stdout.last
stderr=$work/stderr.last
count=0
finished=no
children=()

# --- ending -----------------------------------------------------------------------------------------------------------
clean_up() {
  local status=$? pid target device
  trap - EXIT
  trap '' INT TERM
  cd /
  for pid in ${children[@]+"${children[@]}"}; do kill -9 "$pid" 2>/dev/null; done
  # Deepest first: a file system inside the work directory may hold the mount point of another.
  for target in $(findmnt -rno TARGET | grep -F "$work" | sort -r); do
    umount "$target" 2>/dev/null || umount -l "$target" 2>/dev/null
  done
  for device in $(losetup -nO NAME,BACK-FILE -l 2>/dev/null | grep -F "$work" | awk '{print $1}'); do
    losetup -d "$device" 2>/dev/null
  done
  # Programs that put themselves into the background have our unique directory in their arguments.
  for pid in $(own_processes); do kill -9 "$pid" 2>/dev/null; done
  rm -rf --one-file-system "$work"
  if [ "$finished" != yes ]; then
    count=$((count + 1))
    echo "not ok - $script runs to its end"
    echo "# it ended early with status $status"
    echo "1..$count"
    exit 1
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

own_processes() {
  local entry
  for entry in /proc/[0-9]*; do
    [ "${entry#/proc/}" != $$ ] || continue
    if { tr '\0' ' ' <"$entry/cmdline"; } 2>/dev/null | grep -qF "$work"; then echo "${entry#/proc/}"; fi
  done
}

# The last line of every script.
end() {
  echo "1..$count"
  finished=yes
  exit 0
}

# --- checks -----------------------------------------------------------------------------------------------------------
ok() { count=$((count + 1)); echo "ok - $script: $1"; }
not_ok() {
  count=$((count + 1))
  echo "not ok - $script: $1"
  shift
  if [ $# -gt 0 ]; then printf '%s\n' "$@" | sed 's/^/# /'; fi
}
skip() { count=$((count + 1)); echo "ok - $script: $1 # SKIP $2"; }

# check NAME COMMAND...: passes when the command ends with 0; its output is shown when it does not.
check() {
  local name=$1 said status
  shift
  said=$("$@" 2>&1)
  status=$?
  if [ $status -eq 0 ]; then ok "$name"; else not_ok "$name" "\$ $*" "ended with $status" "${said:0:2000}"; fi
  return $status
}
# check_fails NAME COMMAND...: passes when the command does not end with 0.
check_fails() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then not_ok "$name" "\$ $*" "ended with 0, and should not have" "${said:0:2000}"; else ok "$name"; fi
}
# equal NAME FOUND EXPECTED
equal() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "found:    ${2:0:1000}" "expected: ${3:0:1000}"; fi; }
# holds NAME EXPRESSION-FOR-test...: holds "small" "$a" -lt 5
holds() {
  local name=$1
  shift
  if test "$@"; then ok "$name"; else not_ok "$name" "not true: $*"; fi
}
contains() { if grep -qF -- "$3" <<<"$2"; then ok "$1"; else not_ok "$1" "not in it: $3" "${2:0:2000}"; fi; }

# cairn ARGUMENT...: with the settings of this script. A program, not a function, so that timeout and others can run it.
# other ARGUMENT...: with the settings in $work/other.yaml.
mkdir "$work/bin"
printf '#!/bin/sh\nexec "%s" --config "%s" "$@"\n' "$CAIRN" "$config" >"$work/bin/cairn"
printf '#!/bin/sh\nexec "%s" --config "%s" "$@"\n' "$CAIRN" "$work/other.yaml" >"$work/bin/other"
chmod +x "$work/bin/cairn" "$work/bin/other"
PATH=$work/bin:$PATH
# run COMMAND...: keeps what it printed in $stdout and $stderr and its exit code in $status.
run() {
  "$@" >"$stdout" 2>"$stderr"
  status=$?
  return $status
}
# exits NAME CODE COMMAND...
exits() {
  local name=$1 wanted=$2
  shift 2
  run "$@"
  if [ $status -eq "$wanted" ]; then ok "$name"; else
    not_ok "$name" "\$ $*" "ended with $status, expected $wanted" "$(head -c 1500 "$stderr")" "$(head -c 500 "$stdout")"
  fi
}
# refuses NAME ERROR-NAME COMMAND...: exit 1 and the error's name in brackets on stderr.
# refuses_with CODE NAME ERROR-NAME COMMAND...: the same with another exit code.
refuses() { refuses_with 1 "$@"; }
refuses_with() {
  local wanted=$1 name=$2 error=$3
  shift 3
  run timeout 60 "$@"
  if [ $status -eq "$wanted" ] && grep -qF -- "[$error]" "$stderr"; then ok "$name"; else
    not_ok "$name" "\$ $*" "ended with $status, expected $wanted and [$error] on stderr" "$(head -c 1500 "$stderr")"
  fi
}
# wait_until SECONDS COMMAND...: tries again and again; fails when the time is over.
wait_until() {
  local deadline=$(($(date +%s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$(date +%s)" -ge $deadline ]; then return 1; fi
    sleep 0.05
  done
}

# --- what this machine can do -----------------------------------------------------------------------------------------
have() { command -v "$1" >/dev/null 2>&1; }
can_mount() { [ -c /dev/fuse ] && [ -r /dev/fuse ] && { [ "$(id -u)" -eq 0 ] || have fusermount3; }; }
can_loop() { [ "$(id -u)" -eq 0 ] && [ -c /dev/loop-control ] && losetup -f >/dev/null 2>&1; }
# needs WHAT...: skips the whole script when something is missing.
needs() {
  local what missing=
  for what in "$@"; do
    case $what in
      fuse) can_mount || missing="no /dev/fuse" ;;
      loop) can_loop || missing="no loop devices, or not root" ;;
      root) [ "$(id -u)" -eq 0 ] || missing="not root" ;;
      *) have "$what" || missing="no $what" ;;
    esac
    if [ -n "$missing" ]; then skip "all of it" "$missing"; end; fi
  done
}

# --- data -------------------------------------------------------------------------------------------------------------
# random_bytes SEED COUNT: looks like ciphertext, the same for the same seed.
random_bytes() {
  local key
  key=$(printf %s "$1" | sha256sum | cut -c 1-32)
  head -c "$2" /dev/zero | openssl enc -aes-128-ctr -K "$key" -iv 00000000000000000000000000000000
}
# fill FILE OFFSET COUNT SEED: overwrites that part of the file (or device).
fill() { random_bytes "$4" "$3" | dd of="$1" bs=256K seek="$2" oflag=seek_bytes iflag=fullblock conv=notrunc status=none; }
MiB=$((1024 * 1024))

cheap_kdf=(--pbkdf pbkdf2 --pbkdf-force-iterations 1000)
# make_luks FILE SIZE luks1|luks2: a LUKS volume with "ciphertext" in a part of it; unlocks with $work/passphrase.
make_luks() {
  truncate -s "$2" "$1"
  printf 'correct horse' >"$work/passphrase"
  cryptsetup luksFormat -q --type "$3" "${cheap_kdf[@]}" --key-file "$work/passphrase" "$1"
}
unfinished() { (cd "$1" && find . -path './tmp/*' -type f | wc -l); }  # of a store
allocated() { echo $(($(stat -c %b "$1") * 512)); }
sha() { sha256sum "$1" | cut -d ' ' -f 1; }

# --- settings ---------------------------------------------------------------------------------------------------------
# settings MACHINE-LINE...: writes $config; a line is "web: { disks: { root: { image: a.img } } }".
# In the environment: STORE (directory, default $work/store), EXTRA (lines before the machines), ALLOW_OTHER.
settings() {
  {
    echo "store: { path: ${STORE:-$work/store}, key_file: $work/store.key }"
    echo "state_dir: $work/state"
    echo "socket: $work/cairnd.sock"
    echo "mount: { path: $work/points, allow_other: ${ALLOW_OTHER:-false} }"
    if [ -n "${EXTRA:-}" ]; then printf '%s\n' "$EXTRA"; fi
    if [ $# -gt 0 ]; then
      echo "machines:"
      printf '  %s\n' "$@"
    else
      echo "machines: {}"
    fi
  } >"$config"
  mkdir -p "$work/points" "$work/state"
}
# EXTRA for tests of encrypted disks that are not about their keys.
# shellcheck disable=SC2034
without_keys='policies: { default: { on_missing_keys: warn } }'
# one_disk MACHINE IMAGE: the line of a machine with one disk, "root".
one_disk() { echo "$1: { disks: { root: { image: $2 } } }"; }

# new_store OPTION...: the store and its key file.
new_store() {
  if ! run cairn store init --create-key-file "$@"; then
    not_ok "store init" "$(cat "$stderr")"
    end
  fi
}
# backup MACHINE...: must end with 0, or with 3 and a warning. Job reports are in $stdout.
backup() {
  run cairn backup "$@"
  case $status in
    0 | 3) return 0 ;;
    *) not_ok "backup $*" "ended with $status" "$(cat "$stderr")"; return 1 ;;
  esac
}
# stamps MACHINE: the stamps of its points, oldest first.
stamps() { cairn points "$1" --json | jq -r '.[].point' | sed 's/.*@//'; }
latest() { stamps "$1" | tail -n 1; }
# point_fact MACHINE FIELD: of its newest point.
point_fact() { cairn points "$1" --json | jq -r ".[-1].$2"; }

mount_points() {
  mkdir -p "$mnt"
  if ! run cairn mount "$mnt" "$@"; then not_ok "mount" "$(cat "$stderr")"; return 1; fi
}
umount_points() {
  run cairn umount "$mnt" || not_ok "umount" "$(cat "$stderr")"
}
# disk MACHINE [POINT] [DISK]: the path of a mounted disk.
disk() { echo "$mnt/$1/${2:-latest}/disks/${3:-root}.img"; }

# start_daemon [OPTION...]: cairnd in the background; returns when it answers. $daemon is its process.
start_daemon() {
  "$CAIRND" --config "$config" "$@" >>"$work/cairnd.log" 2>&1 &
  daemon=$!
  disown "$daemon" 2>/dev/null
  children+=("$daemon")
  if ! wait_until 30 curl -sf --unix-socket "$work/cairnd.sock" http://cairn/v1/status; then
    not_ok "cairnd answers" "$(tail -n 20 "$work/cairnd.log")"
    return 1
  fi
}
ended() { ! kill -0 "$1" 2>/dev/null || [ "$(awk '{print $3}' "/proc/$1/stat" 2>/dev/null)" = Z ]; }
# stop_daemon [SIGNAL]
stop_daemon() {
  kill "-${1:-TERM}" "$daemon" 2>/dev/null
  wait_until 30 ended "$daemon"
}
