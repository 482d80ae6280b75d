#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Damage in the store: pack, index, point, store.json: each its own error, everything else readable.
. "$(dirname "$0")/lib.sh"
needs fuse jq python3

truncate -s 96M "$work/web.img"
fill "$work/web.img" 0 $((90 * MiB)) web
truncate -s 8M "$work/other.img"
fill "$work/other.img" 0 $((4 * MiB)) other
settings "$(one_disk web web.img)" "$(one_disk other other.img)"
new_store
backup other
backup web
cp -a "$work/store" "$work/store.good"
whole() { rm -rf "$work/store"; cp -a "$work/store.good" "$work/store"; }

# One bit of one pack: EIO for that read alone, one line in the log, the rest is readable.
pack=$(find "$work/store/packs" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
half=$(($(stat -c %s "$pack") / 2))
chmod u+w "$pack"
byte=$(od -An -tu1 -j $half -N 1 "$pack" | tr -d ' ')
printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$pack" bs=1 seek=$half conv=notrunc status=none
mkdir -p "$mnt"
"$CAIRN" --config "$config" mount "$mnt" --foreground >"$work/fg.log" 2>&1 &
server=$!
children+=($server)
wait_until 20 test -f "$(disk web)"
cat >"$work/read_all.py" <<'PY'
import errno, os, sys
image, mounted = (os.open(p, os.O_RDONLY) for p in sys.argv[1:3])
bad, wrong, others, at, size = 0, 0, 0, 0, os.fstat(mounted).st_size
while at < size:
    try:
        if os.pread(mounted, 65536, at) != os.pread(image, 65536, at): wrong += 1
    except OSError as e:
        if e.errno == errno.EIO: bad += 1
        else: others += 1
    at += 65536
print("wrong=%d others=%d" % (wrong, others), "bad=some" if 0 < bad <= int(sys.argv[3]) else "bad=%d" % bad)
PY
chunk=$(cairn store info --json | jq -r '.chunk_size')
equal "a flipped bit in a pack: EIO for what it hits alone, no wrong byte anywhere" \
  "$(python3 "$work/read_all.py" "$work/web.img" "$(disk web)" $((chunk / 65536 * 2)))" "wrong=0 others=0 bad=some"
check "another machine's disk is readable" cmp "$work/other.img" "$(disk other)"
lines=$(grep -E 'web' "$work/fg.log" | grep -c 'root')
holds "the log has a line that names machine and disk" "$lines" -ge 1
holds "and not one for every try" "$lines" -lt 20
contains "it names the offset" "$(grep root "$work/fg.log" | head -n 1)" "offset"
umount_points
wait $server
mkdir "$work/out"
refuses "restore of the damaged disk" chunk-damaged cairn restore web@latest --to "$work/out"
contains "it says how to get out the rest" "$(cat "$stderr")" "--salvage"
equal "and no half file is left" "$(find "$work/out" -type f | wc -l)" 0
check "restore of the other machine" cairn restore other@latest --to "$work/out"

# A pack that is gone.
whole
rm -f "$(find "$work/store/packs" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)"
run cairn restore web@latest --to "$work/out" --force
if [ $status -eq 1 ] && grep -qE '\[(chunk-missing|pack-damaged|object-missing|pack-missing)\]' "$stderr"; then ok "a pack that is gone"
else not_ok "a pack that is gone" "status $status" "$(cat "$stderr")"; fi

# A pack that is cut off.
whole
pack=$(find "$work/store/packs" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
chmod u+w "$pack"
truncate -s 70000 "$pack"
run cairn restore web@latest --to "$work/out" --force
if [ $status -eq 1 ] && grep -qE '\[(pack-damaged|chunk-damaged)\]' "$stderr"; then ok "a pack that is cut off"
else not_ok "a pack that is cut off" "status $status" "$(cat "$stderr")"; fi
run cairn store rebuild-index
contains "rebuild-index names the damaged pack" "$(cat "$stdout" "$stderr")" "$(basename "$pack" | cut -c 1-12)"

# A point.
whole
point=$(find "$work/store/points" -type f -name '*web*' | head -n 1)
[ -n "$point" ] || point=$(find "$work/store/points" -type f -path '*web*' | head -n 1)
chmod u+w "$point"
fill "$point" $(($(stat -c %s "$point") / 2)) 8 point
refuses "a damaged point: restore" point-damaged cairn restore web@latest --to "$work/out" --force
mount_points
check "a damaged point: other points are in the mount" cmp "$work/other.img" "$(disk other)"
umount_points
run cairn points
contains "points still lists the sound one" "$(cat "$stdout")" other
backup other && ok "a damaged point does not keep other machines from being backed up"

# The index: gone, and garbage.
whole
index=$(find "$work/store" -name '*index*' -not -path '*/packs/*' | head -n 1)
holds "the index is found in the store" -n "$index"
rm -rf "$index"
run cairn restore web@latest --to "$work/out" --force
if [ $status -eq 3 ] && cat "$stdout" "$stderr" | grep -qF '[index-missing]'; then ok "the index is gone: read all the same, and said so"
else not_ok "the index is gone" "status $status" "$(cat "$stderr")"; fi
check "rebuild-index" cairn store rebuild-index
check "after it the disk restores" cairn restore web@latest --to "$work/out" --force
check "bit-exact" cmp "$work/web.img" "$(find "$work/out" -name 'root.img' | head -n 1)"
before=$(du -sk "$work/store/packs" | cut -f 1)
backup web
holds "and its chunks are known again: nothing is stored twice" $(($(du -sk "$work/store/packs" | cut -f 1) - before)) -lt 128

whole
index=$(find "$work/store" -name '*index*' -not -path '*/packs/*' | head -n 1)
find "$index" -type f | while read -r file; do fill "$file" 0 16384 garbage; done
run timeout 60 cairn restore web@latest --to "$work/out" --force
if [ $status -eq 3 ] && cat "$stdout" "$stderr" | grep -qF '[index-damaged]'; then ok "a garbage index: read all the same, and said so"
else not_ok "a garbage index" "status $status" "$(cat "$stderr")"; fi
check "rebuild-index of garbage" cairn store rebuild-index
check "after it the disk restores again" cairn restore web@latest --to "$work/out" --force

# store.json
whole
chmod u+w "$work/store/store.json"
fill "$work/store/store.json" 10 20 json
check "store.json of garbage: its copy is used" cairn points
cp "$work/store/store.json" "$work/store/store.json.copy"
refuses "both of garbage" store-damaged cairn points
rm -f "$work/store/store.json" "$work/store/store.json.copy"
refuses "both are gone" store-missing cairn points
whole
check "nothing was lost" cairn restore web@latest --to "$work/out" --force
end
