#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A reader written from FORMAT.md alone (tests/format/read_store.py) gets every disk out, bit for bit: of the golden stores and of
# a fresh one, with each kind of key and no index. Damage and wrong keys are refused in a line that names them.
. "$(dirname "$0")/lib.sh"
needs jq openssl /usr/bin/python3
if ! /usr/bin/python3 -c 'import cryptography' 2>/dev/null; then skip "all of it" "no python3-cryptography"; end; fi

read_store() { /usr/bin/python3 "$repo/tests/format/read_store.py" "$@"; }
out=$work/out
# gives NAME IMAGE POINT DISK KEY...: the disk is IMAGE, and as sparse.
gives() {
  local name=$1 image=$2 point=$3 disk=$4
  shift 4
  rm -f "$out"
  check "$name" read_store "$work/store" "$@" write "$point" "$disk" "$out"
  check "$name: bit for bit" cmp "$image" "$out"
}
# will_not NAME TEXT ARGUMENT...: exit 1, TEXT in a line on stderr, no traceback, no file.
will_not() {
  local name=$1 text=$2
  shift 2
  rm -f "$out"
  run read_store "$@"
  if [ $status -eq 1 ] && grep -qF -- "$text" "$stderr" && ! grep -qvE '^read_store: ' "$stderr" && [ ! -e "$out" ]; then ok "$name"; else
    not_ok "$name" "ended with $status, expected 1 and: $text" "$(head -c 1500 "$stderr")"
  fi
}
# flip FILE OFFSET
flip() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
  printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# --- the golden stores ------------------------------------------------------------------------------------------------
/usr/bin/python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(32)))' >"$work/golden.key"
chmod 600 "$work/golden.key"
point=golden@20261121T000000Z
while read -r expected name; do
  rm -rf "$out" "$work/golden" "$work/recovered"
  check "$name: the disk is read" read_store "$repo/tests/fs/store/golden/$name" --key-file "$work/golden.key" write $point root "$out"
  equal "$name: it is what it was" "$(sha "$out")" "$expected"
  equal "$name: its point is listed" "$(read_store "$repo/tests/fs/store/golden/$name" --key-file "$work/golden.key" list)" "$point root $(stat -c %s "$out")"
  cp -a "$repo/tests/fs/store/golden/$name" "$work/golden"
  mkdir "$work/recovered"
  TMPDIR=$work run "$CAIRN" --store "$work/golden" store recover --key-file "$work/golden.key" --to "$work/recovered" $point
  check "$name: cairn says the same" cmp "$out" "$work/recovered/root.img"
done <"$repo/tests/format/golden.sha256"
equal "no golden store is left out" "$(cut -d ' ' -f 3 "$repo/tests/format/golden.sha256")" "$(ls "$repo/tests/fs/store/golden")"

# --- a fresh store: text and ciphertext, holes, a last chunk that is not whole, maps of one, two and three levels -------
truncate -s $((80 * MiB + 12345)) "$work/web.img"
fill "$work/web.img" 0 $((5 * MiB)) web
fill "$work/web.img" $((66 * MiB + 700)) $((3 * MiB)) far
seq 300000 | dd of="$work/web.img" bs=1M seek=30 conv=notrunc status=none
fill "$work/web.img" $((80 * MiB)) 12345 end
truncate -s $((64 * 1024 * MiB + 5 * MiB)) "$work/wide.img"  # its 64 GiB are all that a map of two levels covers
fill "$work/wide.img" $((3 * 1024 * MiB)) $MiB wide
fill "$work/wide.img" $((64 * 1024 * MiB + 3 * MiB)) $MiB wider
truncate -s 3M "$work/zero.img"
settings "$(one_disk web web.img)" "$(one_disk zero zero.img)" "$(one_disk wide wide.img)"
new_store --recovery-key-out "$work/paper"
printf 'a long enough passphrase\n' >"$work/pass"
chmod 600 "$work/pass"
check "keys add: a passphrase" cairn store keys add --passphrase-file "$work/pass"
backup web zero
web=web@$(latest web)
zero=zero@$(latest zero)
cp -a "$work/store" "$work/good"  # all its records are of the disk of web
backup wide
wide=wide@$(latest wide)
check "a point is deleted" cairn delete "$zero" --yes
rm -rf "$work/store/index" "$work/good/index"

key=(--key-file "$work/store.key")
equal "the points are listed" "$(read_store "$work/store" "${key[@]}" list)" "$web root $(stat -c %s "$work/web.img")
$wide root $(stat -c %s "$work/wide.img")
$zero root $((3 * MiB)) deleted"
gives "by key file" "$work/web.img" "$web" root "${key[@]}"
holds "it is sparse" "$(allocated "$out")" -lt $((12 * MiB))
check_fails "a file that is there is not replaced" read_store "$work/store" "${key[@]}" write "$zero" root "$out"
check "and is as it was" cmp "$work/web.img" "$out"
gives "by recovery key" "$work/web.img" "$web" root --recovery-key "$work/paper"
rm -f "$out"
tr 'A-Z-' 'a-z ' <"$work/paper" >"$work/typed"
check "by recovery key, typed in" read_store "$work/store" --recovery-key - write "$web" root "$out" <"$work/typed"
gives "by passphrase" "$work/web.img" "$web" root --passphrase-file "$work/pass"
gives "a disk of zeros, of a deleted point" "$work/zero.img" "$zero" root "${key[@]}"

rm -f "$out"
check "a map of three levels" read_store "$work/store" "${key[@]}" write "$wide" root "$out"
same_range() { cmp -n $((2 * MiB)) -i "$1" "$work/wide.img" "$out"; }
equal "of the right size" "$(stat -c %s "$out")" "$(stat -c %s "$work/wide.img")"
holds "and sparse" "$(allocated "$out")" -lt $((3 * MiB))
check "its first data are the same" same_range $((3 * 1024 * MiB - MiB / 2))
check "its last data are the same" same_range $((64 * 1024 * MiB + 3 * MiB - MiB / 2))

mv "$work/store/store.json" "$work/store.json"
gives "by the copy of store.json" "$work/zero.img" "$zero" root "${key[@]}"
mv "$work/store.json" "$work/store/store.json"

# --- wrong keys and damage ----------------------------------------------------------------------------------------------
write=(write "$web" root "$out")
head -c 32 /dev/zero >"$work/wrong"
will_not "a wrong key file" "no key slot opens with this key" "$work/store" --key-file "$work/wrong" "${write[@]}"
will_not "a wrong passphrase" "no key slot opens with this key" "$work/store" --passphrase-file "$work/wrong" list
sed 'y/ABCDEFGH/BCDEFGHA/' "$work/paper" >"$work/typo"
will_not "a recovery key with typing errors" "typing errors" "$work/store" --recovery-key "$work/typo" list
will_not "a point that is not there" "$web-" "$work/store" "${key[@]}" write "$web-" root "$out"
will_not "a disk that is not there" "no disk nothing" "$work/store" "${key[@]}" write "$web" nothing "$out"

whole() { rm -rf "$work/store"; cp -a "$work/good" "$work/store"; chmod -R u+w "$work/store"; }
# --- links inside of the store: nothing is read that they lead to -------------------------------------------------------
for place in store.json points packs newest "points/$web" "packs/$(basename "$(find "$work/good/packs" -mindepth 1 -maxdepth 1 -type d | head -n 1)")"; do
  whole
  rm -rf "$work/elsewhere"
  mv "$work/store/$place" "$work/elsewhere"
  ln -s "$work/elsewhere" "$work/store/$place"
  case $place in
    store.json)  # its copy is used
      check "a link at $place: is not followed" read_store "$work/store" "${key[@]}" list
      run read_store "$work/store" "${key[@]}" list
      contains "a link at $place: is named" "$(cat "$stderr")" "store.json: a symbolic link" ;;
    newest) will_not "a link at $place: is not followed" "a symbolic link" "$work/store" "${key[@]}" labels ;;
    *) will_not "a link at $place: is not followed" "a symbolic link" "$work/store" "${key[@]}" "${write[@]}" ;;
  esac
done

whole
pack=$(find "$work/store/packs" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
size=$(stat -c %s "$pack")
flip "$pack" $((size / 2))
will_not "a flipped bit in a record" "$pack: record " "$work/store" "${key[@]}" "${write[@]}"
contains "says what is wrong with it" "$(cat "$stderr")" "does not authenticate"
check "points are listed all the same" read_store "$work/store" "${key[@]}" list
whole
flip "$pack" $((size - 48))
will_not "a flipped bit in a footer" "$(basename "$pack"): its footer does not authenticate" "$work/store" "${key[@]}" "${write[@]}"
whole
truncate -s -1 "$pack"
will_not "a pack that is cut short" "$(basename "$pack"): its trailer is damaged" "$work/store" "${key[@]}" "${write[@]}"
rm -f "$pack"
will_not "a pack that is gone" "no pack that can be read has it" "$work/store" "${key[@]}" "${write[@]}"
whole
flip "$work/store/points/$web" 100
will_not "a flipped bit in a point" "points/$web: it does not authenticate" "$work/store" "${key[@]}" list
equal "the other point is listed" "$(cat "$stdout")" "$zero root $((3 * MiB))"
whole
mv "$work/store/points/$zero" "$work/store/points/$web"
will_not "a point under another's name" "points/$web: it does not authenticate" "$work/store" "${key[@]}" list
whole
sed -i 's/"label": "settings"/"label": "forged"/' "$work/store/store.json" "$work/store/store.json.copy"
will_not "a store.json that somebody changed" "store.json: its mac is wrong" "$work/store" "${key[@]}" list
end
