#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Names in the store, the vault and the state directory replaced by links, pipes, devices and huge files: nothing outside
# changes, nothing hangs. One command for each case; all of them: scripts/faults --kind "hostile store".
. "$(dirname "$0")/lib.sh"
needs root fuse python3
check "nothing outside changes, nothing hangs" env TMPDIR="$work" python3 "$repo/tests/faults/hostile_store.py" "$CAIRN" "$CAIRND" --quick
end
