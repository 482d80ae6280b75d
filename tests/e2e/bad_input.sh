#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Bad input, and what it gets: each its own error from the catalogue, exit 1 (2 when used wrongly), nothing lost.
. "$(dirname "$0")/lib.sh"
needs root fuse jq

truncate -s 8M "$work/web.img"
fill "$work/web.img" 0 $((2 * MiB)) web
settings "$(one_disk web-01 web.img)"
cp "$config" "$work/good.yaml"
good() { cp "$work/good.yaml" "$config"; }

# Settings
refuses "no settings file" settings-missing "$CAIRN" --config "$work/nothing.yaml" points
refuses "the settings file is a directory" settings-unreadable "$CAIRN" --config "$work" points
{ cat "$work/good.yaml"; echo 'storr: 1'; echo 'polices: {}'; } >"$config"
refuses "unknown keys" settings-invalid cairn config check
contains "unknown keys: place of the first" "$(cat "$stderr")" "cairn.yaml:$(grep -n storr "$config" | cut -d : -f 1):1"
contains "unknown keys: the second as well" "$(cat "$stderr")" "polices"
contains "unknown keys: did you mean" "$(cat "$stderr")" "policies"
sed 's/state_dir: .*/state_dir: [1, 2]/; s/allow_other: false/allow_other: 17/' "$work/good.yaml" >"$config"
refuses "wrong types" settings-invalid cairn config check
contains "wrong types: both are reported" "$(cat "$stderr")" "allow_other"
printf 'store: { path: [\n' >"$config"
refuses "not YAML" settings-invalid cairn config check
: >"$config"
refuses "an empty settings file" settings-invalid cairn config check
head -c 5000 /dev/urandom >"$config"
refuses "settings of random bytes" settings-invalid cairn config check
good

# The store
refuses "neither store nor key file" store-missing cairn points
contains "the way to both" "$(cat "$stderr")" "cairn store init --create-key-file"
head -c 32 /dev/urandom >"$work/store.key"
chmod 600 "$work/store.key"
refuses "store path missing" store-missing cairn points
mkdir "$work/store"
refuses "an empty folder" store-missing cairn points
echo '{"name": "something else"}' >"$work/store/store.json"
refuses "not a store" not-a-store cairn points
rm -rf "$work/store" "$work/store.key"
new_store
refuses "store init again" store-exists cairn store init
mv "$work/store.key" "$work/right.key"
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/store.key"
chmod 600 "$work/store.key"
began=$SECONDS
refuses "wrong key" wrong-key cairn points
holds "wrong key: reported within seconds" $((SECONDS - began)) -lt 5
: >"$work/store.key"
refuses "an empty key file" key-file-invalid cairn points
cp "$work/right.key" "$work/store.key"
chmod 644 "$work/store.key"
refuses "a key file that others can read" key-file-permissions cairn points
chmod 600 "$work/store.key"
jq '.version = 99' "$work/store/store.json" >"$work/store.json.new"
cp "$work/store/store.json" "$work/store.json.good"
cp "$work/store.json.new" "$work/store/store.json"
exits "one store.json that is damaged: its copy is used" 0 cairn points
holds "and that is said" "$(grep -c 'store.json.copy is used' "$stderr")" -ge 1
cp "$work/store.json.new" "$work/store/store.json.copy"
refuses "a store of a newer format" store-too-new cairn points
head -c 100 "$work/store.json.good" | tee "$work/store/store.json" >"$work/store/store.json.copy"
refuses "store.json cut off" store-damaged cairn points
cp "$work/store.json.good" "$work/store/store.json"
cp "$work/store.json.good" "$work/store/store.json.copy"
backup web-01 && ok "after all that the store takes a backup"

# Locked by another process: a backup that is held up by a stopped writer.
truncate -s 192M "$work/big.img"
fill "$work/big.img" 0 $((192 * MiB)) big
settings "$(one_disk web-01 web.img)" "$(one_disk big big.img)"
"$CAIRN" --config "$config" backup big >"$work/big.log" 2>&1 &
writer=$!
children+=($writer)
packs=$(find "$work/store/packs" -type f | wc -l)
packing() { [ "$(find "$work/store/packs" -type f | wc -l)" -gt "$packs" ] || ended $writer; }
wait_until 60 packing
kill -STOP $writer
if ended $writer; then skip "locked store" "the other backup was over too soon"; else
  sed "s#$work/state#$work/state2#" "$config" >"$work/other.yaml"
  mkdir -p "$work/state2"
  refuses "the store is locked by another process" store-locked "$CAIRN" --config "$work/other.yaml" backup --wait 0s web-01
  contains "it says who" "$(cat "$stderr")" "$writer"
  check "reading goes on meanwhile" cairn points
fi
kill -CONT $writer
wait $writer
good

# Disks
settings "$(one_disk web-01 nowhere.img)"
refuses "a disk that does not exist: config check" image-missing cairn config check
refuses "a disk that does not exist: backup" image-missing cairn backup web-01
equal "the job is journalled as Failed" "$(cairn jobs --json | jq -r '[.[] | select(.kind == "backup")][0].state')" Failed
mkdir "$work/folder"
settings "$(one_disk web-01 folder)"
refuses "a disk that is a directory" image-not-a-disk cairn backup web-01
mkfifo "$work/fifo"
settings "$(one_disk web-01 fifo)"
refuses "a disk that is a pipe" image-not-a-disk timeout 20 "$CAIRN" --config "$config" backup web-01
ln -s loop "$work/loop"
settings "$(one_disk web-01 loop)"
run cairn backup web-01
equal "a disk that is a circle of links: exit 1" "$status" 1
: >"$work/empty.img"
settings "$(one_disk empty empty.img)"
run cairn backup empty
if [ $status -le 3 ] && [ $status -ne 2 ]; then ok "an empty disk is no crash"; else not_ok "an empty disk is no crash" "$(cat "$stderr")"; fi
if have setpriv; then
  # Not readable: for a user who is not root.
  mkdir -p "$work/user"
  cp "$work/web.img" "$work/user/secret.img"
  chmod 000 "$work/user/secret.img"
  chmod 755 "$work"
  mkdir "$work/user/state" "$work/user/points"
  {
    echo 'store: { path: store, key_file: store.key }'
    echo 'state_dir: state'
    echo 'socket: cairnd.sock'
    echo 'mount: { path: points }'
    echo 'machines: { web-01: { disks: { root: { image: secret.img } } } }'
  } >"$work/user/cairn.yaml"
  chown -R 65534:65534 "$work/user"
  chown 0 "$work/user/secret.img"
  as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$CAIRN" --config "$work/user/cairn.yaml" "$@"; }
  if setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$CAIRN"; then
    as_nobody store init --create-key-file >/dev/null 2>"$stderr" || not_ok "a user's own store" "$(cat "$stderr")"
    run as_nobody backup web-01
    if [ $status -eq 1 ] && grep -qE '\[(permission-denied|image-unreadable)\]' "$stderr"; then ok "a disk that is not readable"
    else not_ok "a disk that is not readable" "status $status" "$(cat "$stderr")"; fi
  else
    skip "a disk that is not readable" "the programs cannot be reached by another user"
  fi
fi

# Shrinks during the backup: cut off when the first packs are there.
settings "$(one_disk shrink shrink.img)"
truncate -s 384M "$work/shrink.img"
fill "$work/shrink.img" 0 $((384 * MiB)) shrink
packs=$(find "$work/store/packs" -type f | wc -l)
"$CAIRN" --config "$config" backup shrink >"$work/shrink.log" 2>&1 &
writer=$!
children+=($writer)
wait_until 60 packing
truncate -s 1M "$work/shrink.img"
wait $writer
status=$?
if [ $status -eq 1 ] && grep -qF '[image-shrank]' "$work/shrink.log"; then ok "a disk that shrinks during the backup"
else not_ok "a disk that shrinks during the backup" "status $status" "$(cat "$work/shrink.log")"; fi
check "no point of it" bash -c "[ -z \"\$('$CAIRN' --config '$config' points --json | jq -r '.[].machine' | grep shrink)\" ]"
rm -f "$work/shrink.img"
good

# Names
refuses "unknown machine" no-such-machine cairn backup web-02
contains "unknown machine: the nearest" "$(cat "$stderr")" web-01
refuses "unknown machine: points" no-such-machine cairn points wbe-01
mkdir -p "$work/out"
refuses "restore of an unknown machine" no-such-machine cairn restore web-0@latest --to "$work/out"
refuses "restore of an unknown point" no-such-point cairn restore web-01@19991231T000000Z --to "$work/out"
refuses "restore of an unknown disk" no-such-disk cairn restore web-01@latest --disk rot --to "$work/out"
contains "unknown disk: the nearest" "$(cat "$stderr")" root
refuses "restore to a place that is not there" target-missing cairn restore web-01@latest --to "$work/nowhere"
check "restore" cairn restore web-01@latest --to "$work/out"
refuses "restore over a file" target-exists cairn restore web-01@latest --to "$work/out"
check "restore over a file with --force" cairn restore web-01@latest --to "$work/out" --force
check "the restored file" cmp "$work/web.img" "$(find "$work/out" -name '*.img' | head -n 1)"
equal "nothing temporary is left beside it" "$(find "$work/out" -type f | wc -l)" 1

# The mount
refuses "mount point missing" mount-point-missing cairn mount "$work/no-such-place"
mkdir "$work/full"
touch "$work/full/file"
refuses "mount point not empty" mount-point-not-empty cairn mount "$work/full"
touch "$work/a-file"
run cairn mount "$work/a-file"
equal "a mount point that is a file: exit 1" "$status" 1
mkdir -p "$mnt"
mount_points
refuses "mount point busy" mount-point-busy cairn mount "$mnt"
umount_points
refuses "umount of what is not mounted" not-mounted cairn umount "$work/full"
if have unshare; then
  # /dev without fuse, in a mount namespace of its own.
  refuses "no /dev/fuse" no-fuse unshare -m --propagation private sh -c "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && exec '$CAIRN' --config '$config' mount '$mnt'"
else
  skip "no /dev/fuse" "no unshare"
fi

# Used wrongly
exits "an unknown command: exit 2" 2 cairn bakcup
exits "an unknown option: exit 2" 2 cairn points --jsno
exits "no command: exit 2" 2 cairn
exits "backup without a machine: exit 2" 2 cairn backup
rm -rf "$work/store2"
sed "s#$work/store,#$work/store2,#" "$work/good.yaml" >"$work/second.yaml"
for size in 1000 32KiB 8MiB 96KiB abc; do
  run "$CAIRN" --config "$work/second.yaml" store init --chunk-size $size
  if [ $status -eq 2 ] && [ ! -e "$work/store2/store.json" ]; then ok "chunk size $size is refused with exit 2"
  else not_ok "chunk size $size is refused with exit 2" "ended with $status" "$(cat "$stderr")"; fi
done
refuses_with 2 "explain of an unknown name" unknown-error-name cairn explain store-loked
contains "explain: the nearest" "$(cat "$stderr")" store-locked
if cairn explain store-locked | grep -q .; then ok "explain prints something"; else not_ok "explain prints something"; fi

check "in the end everything is as it was" cairn points web-01
end
