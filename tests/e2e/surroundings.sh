#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What surrounds the process: closed standard descriptors, no /proc, limits of files, memory and sizes, a state directory
# that cannot be written. None of it is damage, and each is said.
. "$(dirname "$0")/lib.sh"
needs root jq unshare setpriv prlimit

random_bytes disk $((3 * MiB)) >"$work/a.img"
settings "$(one_disk web a.img)"
new_store
backup web

# --- standard descriptors ---------------------------------------------------------------------------------------------
for closed in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
  before=$(cd "$work/store" && find points packs -type f | wc -l)
  bash -c "'$CAIRN' --config '$config' backup web --full-read $closed" >/dev/null 2>&1
  check "closed ($closed): the store is whole" cairn verify --data
  holds "closed ($closed): the point was made" "$(cd "$work/store" && find points packs -type f | wc -l)" -gt "$before"
done

# --- no /proc ---------------------------------------------------------------------------------------------------------
# Programs, not functions: timeout runs them.
cat >"$work/bin/without_proc" <<'SCRIPT'
#!/bin/sh
exec unshare --mount --propagation private sh -c 'umount -l /proc && exec "$@"' sh "$@"
SCRIPT
cat >"$work/bin/unlockable" <<'SCRIPT'
#!/bin/sh
exec prlimit --memlock=65536:65536 setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock "$@"
SCRIPT
chmod +x "$work/bin/without_proc" "$work/bin/unlockable"
if without_proc true 2>/dev/null; then
  mkdir "$work/out"
  check "without /proc: points" without_proc "$CAIRN" --config "$config" points
  check "without /proc: restore" without_proc "$CAIRN" --config "$config" restore web@latest --to "$work/out"
  check "and the disk is whole" cmp "$work/a.img" "$work/out/root.img"
  refuses "without /proc: a backup, which cannot look for encryption, says what is missing" no-proc without_proc "$CAIRN" --config "$config" backup web
  if [ -c /dev/fuse ]; then
    refuses "without /proc: mount says what is missing" no-proc without_proc "$CAIRN" --config "$config" mount "$work/mnt0"
  fi
else
  skip "without /proc" "it cannot be unmounted here"
fi

# --- limits -----------------------------------------------------------------------------------------------------------
refuses "too few open files are called that" too-many-open-files prlimit --nofile=12:12 "$CAIRN" --config "$config" backup web
refuses "a limit of file sizes is an error, not the end" file-size-limit prlimit --fsize=1000000:1000000 "$CAIRN" --config "$config" restore web@latest --to "$work" --force
check "nothing of that is damage" cairn verify --data
refuses "too little lockable memory" memory-not-lockable unlockable "$CAIRN" --config "$config" points
refuses "too little lockable memory, told by the daemon" memory-not-lockable unlockable timeout 20 "$CAIRND" --config "$config"

# --- a state directory that cannot be written -------------------------------------------------------------------------
history=$(cairn jobs --json | jq length)
if mount --bind "$work/state" "$work/state" && mount -o remount,ro,bind "$work/state"; then
  check "a read-only state directory: the backup is made" cairn backup web
  exits "and says so" 0 cairn backup web
  equal "once" "$(cat "$stdout" "$stderr" | grep -c journal-not-writable)" 1
  contains "with the reason" "$(cat "$stdout" "$stderr")" "Read-only file system; make state_dir writable"
  exits "the history can still be read" 0 cairn jobs --json
  equal "all of it" "$(jq length "$stdout")" "$history"
  run cairn jobs
  contains "and is said to be old" "$(cat "$stderr")" journal-not-writable
  umount "$work/state"
else
  skip "a read-only state directory" "no bind mounts"
fi
mkdir "$work/full"
if mount -t tmpfs -o size=64K none "$work/full"; then
  sed "s#^state_dir: .*#state_dir: $work/full#" "$config" >"$work/other.yaml"
  head -c 1M /dev/zero >"$work/full/filler" 2>/dev/null
  exits "a full state directory: the backup is made" 0 other backup web
  contains "and it is called full" "$(cat "$stdout" "$stderr")" "[journal-not-writable]"
  check_fails "not damaged" grep -q journal-damaged "$stdout" "$stderr"
  refuses "the daemon says so, too" no-space timeout 20 "$CAIRND" --config "$work/other.yaml"
  umount "$work/full"
else
  skip "a full state directory" "no tmpfs"
fi

end
