#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The BEK, the passphrase and the master key are nowhere that they must not be: every file of the store, the vault, the state
# directory and the logs, and every process's arguments and environment while all of it runs.
. "$(dirname "$0")/lib.sh"
needs root cryptsetup jq curl python3

shower=$(find "$CAIRN_BUILD/tests" -name show_master_key -type f -perm -u+x -print -quit 2>/dev/null)
[ -n "$shower" ] || { not_ok "show_master_key was built"; end; }
(umask 077
  head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$work/bek.key"
  printf 'a passphrase that nobody would guess %s' "$RANDOM$RANDOM" >"$work/typed.key")
for name in file typed; do truncate -s 24M "$work/$name.img"; done
cryptsetup luksFormat -q --type luks2 "${cheap_kdf[@]}" --key-file "$work/bek.key" "$work/file.img"
cryptsetup luksFormat -q --type luks1 "${cheap_kdf[@]}" --key-file "$work/typed.key" "$work/typed.img"

EXTRA="key_vaults: { main: { provider: local, path: vault, key_file: vault.key } }" settings \
  "file: { disks: { root: { image: file.img, bek: main/file, kek: main/backup } } }" \
  "typed: { disks: { root: { image: typed.img, bek: main/typed, kek: main/rsa } } }"

# What runs below is watched: all arguments and environments, again and again, into one file.
cat >"$work/watch.py" <<'PY'
import os, sys
seen = set()
with open(sys.argv[1], "wb", buffering=0) as out:
    while True:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            for what in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{pid}/{what}", "rb") as file:
                        text = file.read()
                except OSError:
                    continue
                if text not in seen:
                    seen.add(text)
                    out.write(text + b"\n")
PY
python3 "$work/watch.py" "$work/processes" &
watcher=$!
children+=("$watcher")
wait_until 10 test -s "$work/processes"

new_store --recovery-key-out "$work/recovery"
check "vault init" cairn vault init --create-key-file
check "an X25519 KEK" cairn key create backup
check "an RSA KEK" cairn key create rsa --type RSA-3072
check "import from a file" cairn key import file/root --from "$work/bek.key"
run sh -c "cairn key import typed/root --from - <$work/typed.key"
equal "import from standard input" $status 0
start_daemon
exits "backup by the daemon" 0 cairn backup --all
exits "a second one" 0 cairn backup --all
exits "verify --proof" 0 cairn verify --proof
exits "key drill" 0 cairn key drill
exits "rotate" 0 cairn key rotate rsa
cairn vault audit --limit 1000 >"$work/audit.txt"
cairn points file@latest --json >"$work/point.json"
cairn jobs --json >"$work/jobs.json"
cp "$work/file.img" "$work/kept.img"
dd if="$work/typed.img" of="$work/file.img" bs=1M conv=notrunc status=none
exits "a backup that fails for its key" 1 cairn backup file
cp "$stderr" "$work/failure.txt"
cp "$work/kept.img" "$work/file.img"
stop_daemon
kill "$watcher"

"$shower" "$work/store/store.json" "$work/store.key" >"$work/master"
equal "the store's master key is known here" "$(stat -c %s "$work/master")" 32
mkdir "$work/canary"
cp "$work/master" "$work/canary/master"
base64 "$work/typed.key" >"$work/canary/typed"
cat >"$work/scan.py" <<'PY'
import base64, os, sys
work = sys.argv[1]
secrets = {}
for name in ("bek.key", "typed.key", "master"):
    raw = open(os.path.join(work, name), "rb").read()
    forms = {"as it is": raw, "in hex": raw.hex().encode(), "in capital hex": raw.hex().upper().encode()}
    # base64 at each of three alignments, without the ends that depend on what stands beside it
    for shift in range(3):
        forms[f"in base64, shifted by {shift}"] = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0:-4]
    if name == "bek.key":  # its text is hex: what it stands for too
        forms["as bytes"] = bytes.fromhex(raw.decode())
    secrets[name] = forms
found = files = 0
for place in sys.argv[2:]:
    place = os.path.join(work, place)
    paths = [place] if os.path.isfile(place) else [os.path.join(d, f) for d, _, fs in os.walk(place) for f in fs]
    for path in paths:
        files += 1
        content = open(path, "rb").read()
        for name, forms in secrets.items():
            for form, pattern in forms.items():
                if pattern in content:
                    found += 1
                    print(f"{name} {form} in {path}")
print(f"{files} files, {found} found")
PY
scan() { python3 "$work/scan.py" "$work" "$@" | tail -n "${LINES_OF:-5}"; }
contains "the scan finds what is there" "$(scan canary)" "2 found"
said=$(scan store vault state cairnd.log processes audit.txt point.json jobs.json failure.txt)
contains "none of them in the store, the vault, the journal, the logs, arguments or environments" "$said" " 0 found"
holds "and there was something to look through" "$(grep -oE '^[0-9]+ files' <<<"$said" | cut -d ' ' -f 1)" -gt 10
contains "the processes were watched while it ran" "$(tr '\0' ' ' <"$work/processes" | grep -F cairn)" "key import file/root"
equal "no core files" "$(find "$work" -name 'core' -o -name 'core.*')" ""
end
