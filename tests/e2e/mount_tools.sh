#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The mounted disks under the tools that people use on them; attributes; permissions; points that come and go.
. "$(dirname "$0")/lib.sh"
needs root fuse loop jq python3 cryptsetup

make_luks "$work/web.img" 64M luks2
fill "$work/web.img" $((16 * MiB)) $((6 * MiB)) data
fill "$work/web.img" $((50 * MiB + 1234)) 70000 more
printf '<domain><name>web</name></domain>\n' >"$work/web.xml"
EXTRA=$without_keys settings "web: { definition: web.xml, disks: { root: { image: web.img } } }"
new_store
backup web
mount_points
file=$(disk web)
stamp=$(latest web)

equal "the layout of a point" "$(cd "$mnt/web/$stamp" && find . -maxdepth 2 ! -path './headers/*' | sort | tr '\n' ' ')" \
  ". ./disks ./disks/root.img ./headers ./machine.xml ./recovery-point.json "
equal "latest is a link to it" "$(readlink "$mnt/web/latest")" "$stamp"
check "the definition is there" cmp "$work/web.xml" "$mnt/web/latest/machine.xml"
check "recovery-point.json is JSON" jq -e .disks "$mnt/web/latest/recovery-point.json"

cp --sparse=always "$file" "$work/copy.img"
check "cp --sparse=always: same bytes" cmp "$work/web.img" "$work/copy.img"
holds "cp --sparse=always: sparse" "$(allocated "$work/copy.img")" -lt $((24 * MiB))
check "dd: same bytes" bash -c "dd if=$file bs=1M status=none | cmp - $work/web.img"
check "dd iflag=direct: same bytes" bash -c "dd if=$file bs=1M iflag=direct status=none | cmp - $work/web.img"
check "dd of odd pieces: same bytes" bash -c "dd if=$file bs=4093 skip=5000 count=900 status=none | cmp - <(dd if=$work/web.img bs=4093 skip=5000 count=900 status=none)"
if have qemu-img; then
  check "qemu-img compare" qemu-img compare -f raw -F raw "$work/web.img" "$file"
  check "qemu-img convert to qcow2" qemu-img convert -f raw -O qcow2 "$file" "$work/web.qcow2"
  check "the qcow2 is the same disk" qemu-img compare -f raw -F qcow2 "$work/web.img" "$work/web.qcow2"
else
  skip "qemu-img" "not installed"
fi
device=$(losetup -r -f --show "$file")
check "losetup -r: the device has the same bytes" cmp "$work/web.img" "$device"
check "losetup -r: cryptsetup unlocks the device" cryptsetup open --test-passphrase --key-file "$work/passphrase" "$device"
losetup -d "$device"
check "cryptsetup luksDump" cryptsetup luksDump "$file"
check "cryptsetup open --test-passphrase" cryptsetup open --test-passphrase --key-file "$work/passphrase" "$file"
parallel_read() {
  local pids=() pid failed=0
  for _ in 1 2 3 4 5 6; do cmp "$work/web.img" "$file" & pids+=($!); done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return $failed
}
check "six readers at once see the same bytes" parallel_read

equal "size" "$(stat -L -c %s "$file")" "$(stat -c %s "$work/web.img")"
holds "blocks: not more than the disk's data and a chunk each" "$(($(stat -L -c %b "$file") * 512))" -lt $((24 * MiB))
holds "blocks: some" "$(stat -L -c %b "$file")" -gt 0
equal "mtime is the point's time" "$(date -u -d "@$(stat -L -c %Y "$file")" +%Y%m%dT%H%M%SZ)" "$stamp"
check "statfs answers" stat -f "$mnt"
check "df answers" df "$mnt"
contains "it shows as a read-only fuse mount" "$(findmnt -no OPTIONS "$mnt")" "ro"

cat >"$work/map.py" <<'PY'
import os, sys
# Everything that is data in the image must be data in the mounted disk; holes of the mounted disk must read as zeros.
image, mounted = (os.open(p, os.O_RDONLY) for p in sys.argv[1:3])
size, at, holes = os.fstat(mounted).st_size, 0, 0
while at < size:
    try: data = os.lseek(mounted, at, os.SEEK_DATA)
    except OSError: data = size
    if data > at:
        holes += 1
        if os.pread(image, data - at, at).strip(b"\0"): sys.exit("data of the image in a hole at %d" % at)
    if data == size: break
    at = os.lseek(mounted, data, os.SEEK_HOLE)
if holes < 2: sys.exit("only %d holes" % holes)
try: os.lseek(mounted, size, os.SEEK_DATA); sys.exit("SEEK_DATA at the end succeeded")
except OSError as e:
    if e.errno != 6: sys.exit("SEEK_DATA at the end: %s" % e)
PY
check "SEEK_DATA and SEEK_HOLE are right" python3 "$work/map.py" "$work/web.img" "$file"

errno_of() { python3 -c '
import errno, os, sys
try: eval(sys.argv[1], {"os": os, "p": sys.argv[2]})
except OSError as e: print(errno.errorcode[e.errno])
else: print("done")' "$1" "$2"; }
equal "opening to write is EROFS" "$(errno_of 'os.open(p, os.O_RDWR)' "$file")" EROFS
equal "making a file is EROFS" "$(errno_of 'os.open(p + "/new", os.O_WRONLY | os.O_CREAT)' "$mnt/web")" EROFS
equal "mkdir is EROFS" "$(errno_of 'os.mkdir(p + "/new")' "$mnt")" EROFS
equal "unlink is EROFS" "$(errno_of 'os.unlink(p)' "$file")" EROFS
equal "rename is EROFS" "$(errno_of 'os.rename(p, p + "2")' "$mnt/web/$stamp/recovery-point.json")" EROFS
equal "chmod is EROFS" "$(errno_of 'os.chmod(p, 0o777)' "$file")" EROFS
equal "truncate is EROFS" "$(errno_of 'os.truncate(p, 0)' "$file")" EROFS
equal "a name that is not there is ENOENT" "$(errno_of 'os.stat(p + "/nobody")' "$mnt")" ENOENT

# Points come and go without remounting.
cp --sparse=always "$work/web.img" "$work/old.img"
fill "$work/web.img" $((30 * MiB)) 100000 change
backup web
second=$(latest web)
check "a new point shows by itself" wait_until 10 test -f "$(disk web "$second")"
latest_is() { [ "$(readlink "$mnt/web/latest")" = "$1" ]; }
check "latest moves to it" wait_until 10 latest_is "$second"
check "it equals the image" cmp "$work/web.img" "$(disk web "$second")"
check "the older one is as it was" cmp "$work/old.img" "$(disk web "$stamp")"
object=$(find "$work/store/points" -type f | grep -F "$stamp" | head -n 1)
if [ -n "$object" ]; then
  mv "$object" "$work/taken-away"
  gone() { ! test -e "$mnt/web/$stamp"; }
  check "a point that is gone from the store vanishes" wait_until 10 gone
  mv "$work/taken-away" "$object"
  check "and is back when it is back" wait_until 10 test -f "$(disk web "$stamp")"
else
  not_ok "the point's object is found in the store" "$(find "$work/store/points")"
fi

# Who may look inside.
if have setpriv; then
  as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
  chmod 755 "$work"
  check "another user can reach the place" as_nobody ls "$work"
  check_fails "another user is refused by default" as_nobody ls "$mnt"
  umount_points
  mount_points --allow-other
  check "--allow-other lets another user list it" as_nobody ls "$mnt/web"
  check "--allow-other lets another user read a disk" as_nobody cmp "$work/web.img" "$(disk web "$second")"
else
  skip "other users" "no setpriv"
fi

# Busy: umount says so and the mount stays.
exec 7<"$(disk web "$second")"
refuses "umount with an open file is refused" mount-point-busy "$CAIRN" --config "$config" umount "$mnt"
check "and the file can still be read" cmp -n 4096 "$work/web.img" /dev/fd/7
exec 7<&-
umount_points
check_fails "nothing is mounted any more" findmnt "$mnt"
refuses "umount again is refused" not-mounted "$CAIRN" --config "$config" umount "$mnt"

# --foreground ends when it is unmounted from outside.
"$CAIRN" --config "$config" mount "$mnt" --foreground >"$work/fg.log" 2>&1 &
fg=$!
children+=($fg)
check "mount --foreground serves" wait_until 20 test -d "$mnt/web"
umount "$mnt"
check "and ends when somebody unmounts it" wait_until 20 ended $fg
wait $fg
"$CAIRN" --config "$config" mount "$mnt" --foreground >"$work/fg.log" 2>&1 &
fg=$!
children+=($fg)
wait_until 20 test -d "$mnt/web"
kill -TERM $fg
check "SIGTERM ends it" wait_until 20 ended $fg
wait $fg
check_fails "and takes the mount down" findmnt "$mnt"
# A reader that keeps a file open must not keep the server alive.
"$CAIRN" --config "$config" mount "$mnt" --foreground >"$work/fg.log" 2>&1 &
fg=$!
children+=($fg)
wait_until 20 test -f "$(disk web "$second")"
exec 7<"$(disk web "$second")"
kill -TERM $fg
check "SIGTERM with an open file: it ends" wait_until 20 ended $fg
exec 7<&-
check_fails "and takes the mount down too" findmnt "$mnt"
end
