#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Memory stays bounded: a 16 TiB disk with 20,000 scattered pieces of data, and a mount with 10,000 recovery points, each
# below 256 MiB resident. SPDX-License-Identifier: GPL-3.0-or-later
. "$(dirname "$0")/lib.sh"
needs fuse jq python3
make_points=$CAIRN_BUILD/tests/bench/make_points
[ -x "$make_points" ] || { skip "all of it" "no $make_points: build it first"; end; }
limit=$((256 * 1024)) # KiB

# peak.py FILE COMMAND...: runs it and puts its largest resident set, in KiB, into FILE.
cat >"$work/peak.py" <<'PY'
import os, resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
PY
# pieces.py write|check FILE: 4 KiB pieces, their places and bytes from their numbers.
cat >"$work/pieces.py" <<'PY'
import hashlib, os, sys
what, path, pieces = sys.argv[1], sys.argv[2], 20000
fd = os.open(path, os.O_RDWR if what == "write" else os.O_RDONLY)
blocks = os.fstat(fd).st_size // 4096
wrong = 0
for i in range(pieces):
    place = int.from_bytes(hashlib.sha256(b"place %d" % i).digest()[:8], "little") % (blocks // pieces) + i * (blocks // pieces)
    data = hashlib.shake_128(b"piece %d" % i).digest(4096)
    if what == "write": os.pwrite(fd, data, place * 4096)
    elif os.pread(fd, 4096, place * 4096) != data: wrong += 1
if wrong: sys.exit("%d of %d pieces differ" % (wrong, pieces))
PY
peak_of() { awk '/^VmHWM/ {print $2}' "/proc/$1/status"; }
# below_limit NAME KIB
below_limit() {
  echo "# $1: $(($2 / 1024)) MiB at most"
  holds "$1 stays below 256 MiB" "$2" -lt "$limit"
}

# ext4 has no files of quite 16 TiB.
truncate -s 16T "$work/huge.img" 2>/dev/null || truncate -s $((16 * 1024 * 1024 * MiB - 65536)) "$work/huge.img" ||
  { skip "all of it" "this file system has no 16 TiB files"; end; }
check "the image is made" python3 "$work/pieces.py" write "$work/huge.img"
settings "$(one_disk huge huge.img)"
new_store
check "backup" python3 "$work/peak.py" "$work/peak" cairn backup huge
below_limit "a backup of 16 TiB" "$(cat "$work/peak")"
check "a backup of the same" python3 "$work/peak.py" "$work/peak" cairn backup huge
below_limit "the next backup" "$(cat "$work/peak")"
mkdir "$work/out"
check "restore" python3 "$work/peak.py" "$work/peak" cairn restore huge@latest --to "$work/out"
below_limit "restoring 16 TiB" "$(cat "$work/peak")"
check "all pieces are restored" python3 "$work/pieces.py" check "$(find "$work/out" -type f -name '*.img')"
rm -rf "$work/out"

check "10,000 recovery points" "$make_points" "$work/store" "$work/store.key" huge@latest 10000
equal "points counts them" "$(cairn points --json | jq length)" 10000
mount_points
server=
for pid in $(own_processes); do
  if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q "cairn .*mount "; then server=$pid; fi
done
check "all pieces are in the mounted disk" python3 "$work/pieces.py" check "$(disk huge)"
below_limit "a mount, 16 TiB read" "$(peak_of "$server")"
equal "ls shows 1,000 points of one machine" "$(find "$mnt/many" -mindepth 1 -maxdepth 1 -type d | wc -l)" 1000
check "ls -lR of 10,000 points" sh -c "ls -lR '$mnt' >'$work/listing'"
equal "with a disk in each" "$(grep -c root.img "$work/listing")" 10000
documents=$(find "$mnt" -name recovery-point.json -exec cat {} + | grep -c '"format": "cairn-recovery-point"')
equal "every recovery-point.json reads" "$documents" 10000
below_limit "a mount with 10,000 points" "$(peak_of "$server")"
umount_points
end
