#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# kill -9 of cairn and cairnd at random moments, a few rounds; 200 of them: scripts/faults --kind "kill -9".
. "$(dirname "$0")/lib.sh"
needs root fuse python3
check "nothing is lost in 5 rounds" env TMPDIR="$work" python3 "$repo/tests/faults/kill_rounds.py" "$CAIRN" "$CAIRND" --rounds 5
end
