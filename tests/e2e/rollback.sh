#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A store that is put back to an older state: each command says so, with a daemon and without, until the newer state is
# there again or the older one is accepted. Another host cannot know.
. "$(dirname "$0")/lib.sh"
needs jq curl

truncate -s 4M "$work/a.img"
fill "$work/a.img" 0 $MiB first
settings "$(one_disk web a.img)"
new_store
backup web
sleep 1.1 # the next second: points of one second are dated one later
backup web
first=$(stamps web | head -n 1)
state() { cairn status --json | jq -r .rollback.state; }
equal "a store that only grew is as it was known" "$(state)" as-known

# put_back: what $1 changes is undone by putting back a copy of before. The newer state is kept.
put_back() {
  rm -rf "$work/copy" "$work/newer"
  cp -a "$work/store" "$work/copy"
  run "$@" || not_ok "$*" "$(cat "$stderr")"
  mv "$work/store" "$work/newer"
  cp -a "$work/copy" "$work/store"
}
put_newer_back() { rm -rf "$work/store" && mv "$work/newer" "$work/store"; }

for change in "cairn protect web@$first" "cairn protect web@$first --off" "cairn delete web@$first --yes"; do
  # shellcheck disable=SC2086
  put_back $change
  equal "the state before \"${change#cairn }\" is older" "$(state)" older
  put_newer_back
  equal "and ends when the newer one is there again" "$(state)" as-known
done

sleep 1.1
put_back cairn backup web
contains "status says it first" "$(cairn status | head -n 2)" "[store-rolled-back]"
exits "points says it" 3 cairn points
contains "by name" "$(cat "$stdout")" "store-rolled-back"
refuses "verify fails" store-rolled-back cairn verify
exits "a dry run of a prune says it" 3 cairn prune --dry-run
contains "and keeps what there is" "$(cat "$stdout" "$stderr")" "older than it was"
exits "a backup completes with a warning" 3 cairn backup web
contains "that names it" "$(cat "$stdout" "$stderr")" "store-rolled-back"
equal "its point does not hide it" "$(state)" older

cp "$config" "$work/other.yaml"
sed -i "s|^state_dir:.*|state_dir: $work/other-state|" "$work/other.yaml"
equal "another host cannot know" "$(other status --json | jq -r .rollback.state)" as-known

start_daemon
equal "a daemon says it" "$(curl -s --unix-socket "$work/cairnd.sock" http://cairn/v1/status | jq -r .rollback.state)" older
refuses_with 2 "accepting it asks" used-wrongly cairn store accept-rollback
exits "accepting it" 0 cairn store accept-rollback web --yes
equal "ends it, for the daemon too" "$(state)" as-known
exits "verify is well again" 0 cairn verify
stop_daemon

echo broken >"$(echo "$work"/state/seen/*.json)"
equal "a damaged memory is unknown" "$(state)" unknown
contains "and status says what to do" "$(cairn status)" "accept-rollback"
exits "which begins it anew" 0 cairn store accept-rollback --yes
equal "from the store as it is" "$(state)" as-known
end
