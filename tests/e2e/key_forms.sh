#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Keys as they come: the text that Windows saves, passphrases from editors and other systems, large key files, sticks
# without modes, a .BEK file through a pipe, BitLocker that opens without a secret, a paper key with slips.
. "$(dirname "$0")/lib.sh"
needs root cryptsetup jq python3

maker=$(find "$CAIRN_BUILD/tests" -name make_bitlocker_volume -type f -perm -u+x -print -quit 2>/dev/null)
[ -n "$maker" ] || { not_ok "make_bitlocker_volume was built"; end; }
recovery=$("$maker" "$work/win.img")
"$maker" --startup-key "$work/startup.BEK" "$work/boot.img" >"$work/said"
"$maker" --clear-key-only "$work/open.img" >"$work/said"
composed=$(printf 'l\303\266senord') decomposed=$(printf 'lo\314\210senord')
new_luks() { # FILE KEY-FILE
  truncate -s 24M "$1"
  cryptsetup luksFormat -q --type luks2 "${cheap_kdf[@]}" --key-file "$2" "$1"
}
umask 077
printf %s "$decomposed" >"$work/pw.nfd"
printf %s "$composed" >"$work/pw.nfc"
printf secret >"$work/pw"
head -c 8M /dev/urandom >"$work/large.key"
new_luks "$work/nfd.img" "$work/pw.nfd"
new_luks "$work/pw.img" "$work/pw"
new_luks "$work/large.img" "$work/large.key"
lines=()
for name in win boot nfd pw large; do
  lines+=("$name: { disks: { root: { image: $name.img, bek: main/$name, kek: main/k } } }")
done
EXTRA="key_vaults: { main: { provider: local, path: $work/vault, key_file: $work/vault.key } }" \
  settings "${lines[@]}" "open: { disks: { root: { image: open.img } } }"
new_store --recovery-key-out "$work/paper"
check "vault init" cairn vault init --create-key-file
check "key create" cairn key create k

# The text file of Windows, and the same as other programs save it.
python3 - "$work" "$recovery" <<'PY'
import sys
work, key = sys.argv[1:]
prose = ("BitLocker Drive Encryption recovery key\r\n\r\nIdentifier:\r\n\r\n\t0F26F24F-7D1A-4DAC-8F25-4E0B4C9C2AAB\r\n\r\n"
         "Recovery Key:\r\n\r\n\t%s\r\n\r\nIf the identifier does not match, try another.\r\n")
open(work + "/windows.txt", "wb").write(b"\xff\xfe" + (prose % key).encode("utf-16-le"))
open(work + "/big.txt", "wb").write(b"\xfe\xff" + (prose % key).encode("utf-16-be"))
open(work + "/bom.txt", "wb").write(b"\xef\xbb\xbf" + key.encode())
open(work + "/dashes.txt", "w").write(key.replace("-", "\u2013"))
open(work + "/typo.txt", "w").write(prose % (key[:-1] + str((int(key[-1]) + 1) % 10)))
PY
for form in windows big bom dashes; do check "recovery password: $form" cairn key import win/root --from "$work/$form.txt"; done
run cairn key import win/root --from "$work/windows.txt" --json
equal "it is known what was read" "$(jq -r .read_as "$stdout")" "the recovery password in it"
refuses "a mistyped group is named" bek-invalid cairn key import win/root --from "$work/typo.txt"
contains "by its number" "$(cat "$stderr")" "group 8 of 8"

# A .BEK file through a pipe keeps its name.
run sh -c "cairn key import boot/root --from - <'$work/startup.BEK'"
equal "a .BEK by standard input" $status 0
contains "has its own name" "$(cairn key show main/boot)" ".BEK"

# Passphrases.
check "composed letters for a decomposed passphrase" cairn key import nfd/root --from "$work/pw.nfc"
contains "and that is said" "$(cairn key import nfd/root --from "$work/pw.nfc")" "decomposed letters"
printf '\357\273\277secret\r\n' >"$work/notepad"
check "a byte order mark and a line end of Windows" cairn key import pw/root --from "$work/notepad"
printf '\377\376s\000e\000c\000r\000e\000t\000' >"$work/utf16"
check "UTF-16" cairn key import pw/root --from "$work/utf16"
refuses "a wrong passphrase still is one" bek-does-not-open cairn key import pw/root --from "$work/pw.nfc"
contains "with what was tried" "$(cat "$stderr")" "tried, too: with decomposed letters"

# Key files as large as cryptsetup takes them.
check "a key file of 8 MiB" cairn key import large/root --from "$work/large.key"
printf x >>"$work/large.key"
refuses "one byte more is not taken" key-file-invalid cairn key import large/root --from "$work/large.key"
contains "and what to do instead is said" "$(cat "$stderr")" "luksAddKey"

# A stick on which all files have the same mode.
cp "$work/pw" "$work/stick"
chmod 0777 "$work/stick"
refuses "a key that others may read" key-file-permissions cairn key import pw/root --from "$work/stick"
contains "both ways out are said" "$(cat "$stderr")" "--from - < $work/stick, or --ignore-mode"
check "--ignore-mode" cairn key import pw/root --from "$work/stick" --ignore-mode
run sh -c "cairn key import pw/root --from - <'$work/stick'"
equal "--from -" $status 0

# All of it in points that are proved; without a secret with a warning.
exits "backups" 3 cairn backup --all
contains "BitLocker without a secret is warned of" "$(cat "$stdout")" protection-suspended
for name in win boot nfd pw large open; do equal "$name is proved" "$(point_fact $name proof)" proved; done
equal "without a secret" "$(cairn points open --json | jq -r '.[-1].point' | xargs -I@ cairn points @ --json | jq -r '.. | .secret? // empty' | head -n 1)" ""
run cairn config check
contains "config check warns, too" "$(cat "$stdout")" protection-suspended
exits "verify --proof opens them all" 0 cairn verify --proof
mkdir "$work/out"
exits "a restore says that no secret is needed" 0 cairn restore open@latest --to "$work/out"
contains "in words" "$(cat "$stdout")" "opens without any secret"
check "the large key comes back out of the point" cairn key export large@latest --to "$work/back"
equal "all of it" "$(sha "$work/back")" "$(head -c 8M "$work/large.key" | sha256sum | cut -d ' ' -f 1)"

# The paper.
paper() { cairn --no-daemon --recovery-key "$1" points; }
python3 - "$work" <<'PY'
import sys
work = sys.argv[1]
key = open(work + "/paper").read().strip()
put = lambda name, text, encoding="utf-8": open(f"{work}/paper.{name}", "wb").write(text.encode(encoding))
put("bom", "\ufeff" + key + "\r\n")
put("utf16", key, "utf-16")
put("dashes", key.replace("-", "\u2011"))
put("alike", key.replace("O", "0").replace("I", "1"))
at = 15 + 3 * 8 + 2  # in group 4
put("typo", key[:at] + ("A" if key[at] != "A" else "B") + key[at + 1:])
put("short", key[:at] + key[at + 1:])
PY
for form in bom utf16 dashes alike; do check "paper key: $form" paper "$work/paper.$form"; done
for form in typo short; do
  refuses "paper key: $form" key-file-invalid cairn --no-daemon --recovery-key "$work/paper.$form" points
  contains "its group is named" "$(cat "$stderr")" "group 4 of 8"
done
end
