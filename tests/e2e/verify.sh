#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Damage is found and named, stays known, and is repaired: by a copy of the store, and by the next backup.
. "$(dirname "$0")/lib.sh"
needs fuse jq openssl

truncate -s 64M "$work/web.img"
fill "$work/web.img" 0 $((40 * MiB)) base
settings "$(one_disk web web.img)"
new_store
backup web
cp "$work/web.img" "$work/first.img"
first=$(latest web)
fill "$work/web.img" $((60 * MiB)) 4096 change
wait_until 5 sh -c "[ \$(date -u +%Y%m%dT%H%M%SZ) != $first ]"
backup web

exits "a whole store verifies" 0 cairn verify --data
contains "and says so" "$(cat "$stdout")" "all is there"
exits "without any key too" 0 cairn verify --keyless
exits "and from the directory alone" 0 "$CAIRN" --config /nonexistent verify --keyless --store "$work/store"

# The largest pack holds the disk's chunks; a byte in its middle is one chunk's.
cp -a "$work/store" "$work/replica"
pack=$(find "$work/store/packs" -type f -size +8M | sort | head -n 1)
cp "$pack" "$work/pack.good"
flip() { # FILE OFFSET
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
  printf "$(printf '\\x%02x' $((byte ^ 64)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
flip "$pack" $((5 * MiB))
exits "keyless finds the flipped byte" 1 cairn verify --keyless
contains "and names the pack" "$(cat "$stdout")" "$(basename "$pack")"
exits "verify --data finds it" 1 cairn verify --data --json
equal "as damage" "$(jq -r .error.name "$stdout")" damage-found
equal "both points are hit" "$(jq '.jobs[0].result.damage.points | length' "$stdout")" 2
equal "one chunk of 64 KiB each" "$(jq -c '[.jobs[0].result.damage.points[].disks[0].bytes]' "$stdout")" "[65536,65536]"
offset=$(jq '.jobs[0].result.damage.points[0].disks[0].ranges[0][0]' "$stdout")

# What can be read of a damaged disk is got out of it; what is lost is zeros, and said.
mkdir "$work/out" "$work/recovered"
refuses "a damaged disk is not restored" chunk-damaged cairn restore "web@$first" --to "$work/out"
contains "and the way out is named" "$(cat "$stderr")" "--salvage"
holds "nothing is left of it" -z "$(ls -A "$work/out")"
exits "unless it is salvaged" 3 cairn restore "web@$first" --to "$work/out" --salvage
contains "the range is printed" "$(cat "$stdout")" "zeros: bytes $offset-$((offset + 65535))"
contains "and a sentence says it" "$(cat "$stdout")" "64.0 KiB of 64.0 MiB cannot be read, and are zeros in $work/out/root.img"
cp "$work/first.img" "$work/holed.img"
dd if=/dev/zero of="$work/holed.img" bs=64K seek=$((offset / 65536)) count=1 conv=notrunc status=none
check_fails "it hit data" cmp -s "$work/first.img" "$work/holed.img"
check "the file is the disk, and zeros in that range alone" cmp "$work/holed.img" "$work/out/root.img"
exits "as a document" 3 cairn restore "web@$first" --to "$work/out" --salvage --force --json
equal "with the range" "$(jq -c '.jobs[0].result.files[0].damaged' "$stdout")" "{\"bytes\":65536,\"ranges\":[[$offset,65536]]}"
equal "and the job's state" "$(jq -r '.jobs[0].state' "$stdout")" CompletedWithWarnings
run cairn jobs "$(jq -r '.jobs[0].id' "$stdout")"
contains "the job tells it later, too" "$(cat "$stdout")" "zeros: bytes $offset-$((offset + 65535))"
recover() { "$CAIRN" --config /nonexistent --store "$work/store" store recover --key-file "$work/store.key" --to "$work/recovered" "$@"; }
exits "recover does not extract it" 1 recover "web@$first"
exits "it salvages, too" 3 recover "web@$first" --salvage
contains "with the range" "$(cat "$stdout")" "zeros: bytes $offset-$((offset + 65535))"
check "the same file" cmp "$work/holed.img" "$work/recovered/root.img"

mount_points
readable() { dd if="$(disk web "$first")" bs=64K skip=$(($1 / 65536)) count="$2" status=none 2>/dev/null; }
check_fails "just that range cannot be read" dd if="$(disk web "$first")" of=/dev/null bs=64K iflag=fullblock skip=$((offset / 65536)) count=1
equal "all before it can" "$(readable 0 $((offset / 65536)) | sha256sum)" "$(head -c "$offset" "$work/first.img" | sha256sum)"
equal "all after it can" "$(readable $((offset + 65536)) 9999 | sha256sum)" \
  "$(tail -c +$((offset + 65537)) "$work/first.img" | sha256sum)"
umount_points
run cairn status --json
contains "status warns of it" "$(jq -r '.warnings[]' "$stdout")" "[damage-known]"
refuses "a verify without data still knows" damage-found cairn verify

# Repaired by the next backup, which stores the chunk anew.
wait_until 5 sh -c "[ \$(date -u +%Y%m%dT%H%M%SZ) != $(latest web) ]"
backup web
run cairn status --json
equal "no point is damaged any more" "$(jq '.verify.damage.points | length' "$stdout")" 0
exits "repair puts what is left of the pack into a new one" 0 cairn verify --repair
holds "the old file is kept" -f "$work/store/aside/$(basename "$pack")"
mount_points
check "the old point is whole" cmp "$work/first.img" "$(disk web "$first")"
umount_points
exits "all is there" 0 cairn verify --data
exits "then there is nothing to salvage" 0 cairn restore "web@$first" --to "$work/out" --salvage --force --json
equal "and it says so" "$(jq -c '.jobs[0].result.files[0].damaged' "$stdout")" null
check "the disk is restored whole" cmp "$work/first.img" "$work/out/root.img"
check_fails "and the quarantine is empty then" test -e "$work/store/aside/$(basename "$pack")"

# Repaired by a copy of the store.
rm -rf "$work/store"
cp -a "$work/replica" "$work/store"
exits "a replica that was put back on purpose is accepted" 0 cairn store accept-rollback --yes
rm "$pack"
flip "$work/store/points/web@$first" 100
printf x >"$work/store/store.json"
refuses "a lost pack, point and store.json are found" damage-found cairn verify
refuses "without a copy they cannot all be repaired" not-repaired cairn verify --repair
exits "with one they are" 0 cairn verify --repair --from "$work/replica"
contains "and it says what it did" "$(cat "$stdout")" "REPAIRED"
mount_points
check "the disk is whole" cmp "$work/first.img" "$(disk web "$first")"
umount_points
check "store.json is what it was" cmp "$work/store/store.json" "$work/replica/store.json"
truncate -s 1M "$work/other.img"
sed "s|$work/store,|$work/other,|" "$config" >"$work/other.yaml"
run other store init
refuses "another store is no replica" replica-differs cairn verify --repair --from "$work/other"

# A point that vanishes is noticed by the one after it.
rm "$work/store/points/web@$first"
refuses "a gap is found" damage-found cairn verify
contains "and named" "$(cat "$stdout")" "MISSING  web@$first"
exits "accepted, it is none" 0 cairn verify --accept-gaps
exits "for good" 0 cairn verify

# And so is the newest one, which no other names.
newest=$(ls "$work/store/points" | grep "^web@" | tail -n 1)
mv "$work/store/points/$newest" "$work/newest"
refuses "the newest point is missed" damage-found cairn verify
contains "and named" "$(cat "$stdout")" "MISSING  $newest: newest/web names it as the newest point"
mv "$work/newest" "$work/store/points/$newest"
exits "back, nothing is missing" 0 cairn verify

# The same through the daemon, which also says how old the checks are.
start_daemon
exits "the daemon verifies" 0 cairn verify --data --rate 1GiB
run cairn status --json
equal "nothing is unchecked" "$(jq .verify.never_bytes "$stdout")" 0
equal "nothing is late" "$(jq .verify.late "$stdout")" false
equal "it was a job" "$(cairn jobs --json | jq -r '.[0].kind')" verify
stop_daemon

exits "wrong use is said: --salvage of a header" 2 cairn restore web@latest --header-only --salvage --to "$work/out"
exits "wrong use is said: --from without --repair" 2 cairn verify --from /tmp
exits "wrong use is said: --keyless and --data" 2 cairn verify --keyless --data
exits "wrong use is said: 0 percent" 2 cairn verify --data 0
end
