#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The daemon: schedules, mount, control API, kill -9 during a backup, SIGHUP with good and bad settings, SIGTERM.
. "$(dirname "$0")/lib.sh"
needs root fuse curl jq

truncate -s 256M "$work/web.img"
fill "$work/web.img" 0 $((24 * MiB)) first
truncate -s 8M "$work/small.img"
fill "$work/small.img" 0 $((2 * MiB)) small
web='web: { policy: manual, disks: { root: { image: web.img } } }'
small='small: { policy: often, disks: { root: { image: small.img } } }'
# Yearly: never by itself here, apart from the first catch-up run, if there is one.
policies='policies:
  manual: { schedule: "0 0 1 1 *" }
  often: { schedule: "every 1m" }'
points=$work/points
mnt=$points
EXTRA=$policies settings "$web"
# The shortest schedule is one a minute. So that nobody waits for whole minutes, the programs of this script see a clock
# that it can put forward; the schedule, its timer and the clock's rules are cairnd's own. Without it the waits are real.
stepped_clock=$(find "$CAIRN_BUILD/tests/e2e" -name libstepped_clock.so -print -quit 2>/dev/null)
if [ -n "$stepped_clock" ]; then export LD_PRELOAD=$stepped_clock CAIRN_STEPPED_CLOCK=$work/clock; fi
echo 0 >"$work/clock"
# The next minute begins in ten seconds. Only forward, and never by a whole minute.
near_the_minute() {
  local ahead
  [ -n "$stepped_clock" ] || return 0
  ahead=$(($(cat "$work/clock") + (110 - $(date +%s) % 60) % 60))
  echo $ahead >"$work/clock.next" && mv "$work/clock.next" "$work/clock"
  holds "the clock is put forward" $(($(date +%s) % 60)) -ge 50
}
new_store
get() { curl -sS --fail-with-body --unix-socket "$work/cairnd.sock" "http://cairn/v1/$1"; }
post() { curl -sS --unix-socket "$work/cairnd.sock" -X POST -H 'Content-Type: application/json' -d "$2" "http://cairn/v1/$1"; }
here_is() { [ -n "$(find "$points/$1" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sed -n "$2p")" ]; }

# What keeps it from starting is an error, never a crash; asked to stop before it has started, it stops.
sed "s#^socket: .*#socket: $work/no/run/s.sock#" "$config" >"$work/other.yaml"
exits "a socket that cannot be: refused" 1 timeout 30 "$CAIRND" --config "$work/other.yaml"
contains "the missing directory is named" "$(cat "$stderr")" "$work/no is not a directory"
check_fails "and nothing stays mounted" findmnt "$points"
printf '#!/bin/sh\ntouch %s/asked\nexec sleep 600\n' "$work" >"$work/ask"
chmod +x "$work/ask"
sed "s#key_file: [^ ]*#passphrase_command: [ $work/ask ]#" "$config" >"$work/other.yaml"
"$CAIRND" --config "$work/other.yaml" >"$work/asking.log" 2>&1 &
asking=$!
children+=($asking)
wait_until 30 test -e "$work/asked"
kill -TERM $asking
check "SIGTERM while a passphrase_command runs: it ends" wait_until 10 ended $asking
wait $asking
equal "with 0" $? 0

start_daemon
check "it has mounted the recovery points" findmnt "$points"
equal "the socket's mode" "$(stat -c %a "$work/cairnd.sock")" 660
check "GET /v1/status is JSON" bash -c "curl -sf --unix-socket $work/cairnd.sock http://cairn/v1/status | jq -e ."
check "GET /v1/points is JSON" bash -c "curl -sf --unix-socket $work/cairnd.sock http://cairn/v1/points | jq -e ."
check "GET /v1/jobs is JSON" bash -c "curl -sf --unix-socket $work/cairnd.sock http://cairn/v1/jobs | jq -e ."
equal "an unknown resource is 404" "$(curl -s -o "$work/answer" -w '%{http_code}' --unix-socket "$work/cairnd.sock" http://cairn/v1/nothing)" 404
check "and says so in JSON" jq -e . "$work/answer"
check_fails "an unknown point is an error" get points/web@20000101T000000Z
code=$(curl -s -o "$work/answer" -w '%{http_code}' --unix-socket "$work/cairnd.sock" -X POST -d '{not json' http://cairn/v1/backups)
holds "a body that is not JSON is refused, not fatal" "$code" -ge 400
check "the daemon still answers" get status
equal "curl's own content type will do" "$(curl -s -o "$work/answer" -w '%{http_code}' --unix-socket "$work/cairnd.sock" http://cairn/v1/backups -d '{"machines":["wbe"]}')" 404
equal "and the body was understood" "$(jq -r .error.name "$work/answer")" no-such-machine

# Backups on demand go through the daemon, with the same words.
cp --sparse=always "$work/web.img" "$work/first.img"
check "cairn backup asks the daemon" cairn backup web
first=$(latest web)
check "the point shows in the daemon's mount" wait_until 10 test -f "$(disk web "$first")"
check "it equals the image" cmp "$work/first.img" "$(disk web "$first")"
equal "the job is in the journal" "$(cairn jobs --json | jq -r '[.[] | select(.kind == "backup")][0].state')" Completed
daemon_points=$(cairn points --json)
local_points=$("$CAIRN" --config "$config" --no-daemon points --json)
equal "points: the same with and without the daemon" "$(jq -S . <<<"$daemon_points")" "$(jq -S . <<<"$local_points")"
refuses "an unknown machine, through the daemon" no-such-machine cairn backup wbe
contains "the nearest is suggested" "$(cat "$stderr")" web
mkdir "$work/out"
check "restore through the daemon" cairn restore web@latest --to "$work/out"
check "restores the same bytes" cmp "$work/first.img" "$(find "$work/out" -name '*.img' | head -n 1)"
exits "a second daemon is refused" 1 timeout 30 "$CAIRND" --config "$config"
contains "with an error of its own" "$(cat "$stderr")" daemon-running

# A bad file changes nothing; a good one brings the new machine, whose schedule then makes two points.
cp "$config" "$work/good.yaml"
echo 'storr: {}' >>"$config"
kill -HUP "$daemon"
reported() { grep -q 'storr' "$work/cairnd.log"; }
check "SIGHUP with a bad file: reported in the log" wait_until 10 reported
check "the daemon runs on with the old settings" cmp "$work/first.img" "$(disk web "$first")"
check "and answers" get status
EXTRA=$policies settings "$web" "$small"
near_the_minute
kill -HUP "$daemon"
knows_small() { get status | grep -q '"small"'; }
check "SIGHUP with a good file: the new machine is there" wait_until 10 knows_small
check "its schedule makes a point" wait_until 90 here_is small 1

# kill -9 during a backup.
fill "$work/web.img" 0 $((250 * MiB)) second
packs=$(find "$work/store/packs" -type f | wc -l)
"$CAIRN" --config "$config" backup web >"$work/killed.log" 2>&1 &
client=$!
children+=($client)
packing() { [ "$(find "$work/store/packs" -type f | wc -l)" -gt "$packs" ] || ended $client; }
wait_until 60 packing
# Somebody stands in the mount, so that it is busy when it is dead.
(cd "$points/web" && exec sleep 600) &
inside=$!
children+=($inside)
stands_there() { [ "$(readlink "/proc/$inside/cwd")" = "$points/web" ]; }
wait_until 10 stands_there
kill -9 "$daemon"
wait $client
holds "the client of a killed daemon does not say done" $? -ne 0
wait_until 10 ended "$daemon"
near_the_minute
start_daemon && ok "cairnd starts again after kill -9, with a dead mount and socket in its way"
check_fails "one who stood in the dead mount is not left in a live one" test -d "/proc/$inside/cwd/latest"
kill $inside
check "the committed point is bit-exact" cmp "$work/first.img" "$(disk web "$first")"
equal "there is no half point" "$(find "$points/web" -mindepth 1 -maxdepth 1 -type d | wc -l)" 1
equal "no job is InProgress for ever" "$(cairn jobs --json | jq -r '[.[] | select(.object == "web" and .state == "InProgress")] | length')" 0
check "the next backup completes" cairn backup web
second=$(latest web)
check "and equals the image" cmp "$work/web.img" "$(disk web "$second")"
check "the older point still does" cmp "$work/first.img" "$(disk web "$first")"

# The schedule has gone on through all this: a point a minute, across the kill -9.
check "the point of before the kill -9 is there" here_is small 1
check "the schedule has made another one" wait_until 90 here_is small 2
bad=
for stamp in $(find "$points/small" -mindepth 1 -maxdepth 1 -type d -printf '%f\n'); do
  cmp "$work/small.img" "$(disk small "$stamp")" || bad+=" $stamp"
done
equal "each scheduled point equals the image" "${bad:-none}" none
equal "the journal knows them as scheduled" "$(cairn jobs --json | jq -r '[.[] | select(.object == "small").trigger] | unique - ["catch-up"] | join(" ")')" schedule

# SIGTERM while a backup runs: clean, within seconds, the mount gone.
EXTRA=$policies settings "$web"
kill -HUP "$daemon"
fill "$work/web.img" 0 $((250 * MiB)) third
packs=$(find "$work/store/packs" -type f | wc -l)
"$CAIRN" --config "$config" backup web >"$work/stopped.log" 2>&1 &
client=$!
children+=($client)
wait_until 60 packing
began=$SECONDS
kill -TERM "$daemon"
check "SIGTERM during a backup: it ends" wait_until 30 ended "$daemon"
holds "within seconds" $((SECONDS - began)) -lt 20
wait $client
equal "the waiting client ends with an error" $? 1
contains "and hears why" "$(cat "$work/stopped.log")" "[shutting-down]"
check_fails "the mount is gone" findmnt "$points"
check_fails "the socket is gone" test -e "$work/cairnd.sock"

# Without a daemon: same settings, same answers.
equal "points without the daemon: what was there" "$(cairn points web --json | jq -r '.[0].point' | sed 's/.*@//')" "$first"
check "backup without the daemon" cairn backup web
# A restore that is killed leaves no half file (where the file system has O_TMPFILE).
mkdir "$work/cut"
"$CAIRN" --config "$config" restore web@latest --to "$work/cut" >"$work/cut.log" 2>&1 &
client=$!
children+=($client)
restoring() { readlink /proc/$client/fd/* | grep -q "^$work/cut/" || ended $client; }
wait_until 30 restoring
kill -9 $client
wait $client 2>/dev/null
equal "kill -9 during a restore: nothing is left" "$(ls -A "$work/cut")" ""
start_daemon
check "every committed point is bit-exact in the end: first" cmp "$work/first.img" "$(disk web "$first")"
check "every committed point is bit-exact in the end: newest" cmp "$work/web.img" "$(disk web "$(latest web)")"
# A busy mount does not keep the daemon from ending.
exec 7<"$(disk web "$first")"
stop_daemon TERM && ok "SIGTERM with an open file: it ends" || not_ok "SIGTERM with an open file: it ends" "$(tail "$work/cairnd.log")"
exec 7<&-
check_fails "and the mount is gone" findmnt "$points"
end
