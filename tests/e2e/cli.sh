#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The command line: --json and nothing else on stdout, exit codes, help, completion, restore, and meson install.
. "$(dirname "$0")/lib.sh"
needs jq

truncate -s 16M "$work/web.img"
fill "$work/web.img" 0 $((4 * MiB)) web
cp "$work/web.img" "$work/data.img"
fill "$work/data.img" 0 $MiB data
settings "web: { disks: { root: { image: web.img }, data: { image: data.img } } }"

# pure NAME COMMAND...: stdout is exactly one JSON document.
pure() {
  local name=$1 said
  shift
  run "$@"
  said=$(jq -e -s 'length == 1' <"$stdout" 2>&1)
  if [ "$said" = true ]; then ok "--json: $name"; else not_ok "--json: $name" "status $status" "$said" "$(cat "$stdout" "$stderr")"; fi
}
pure "store init" cairn --json store init --create-key-file
pure "store info" cairn --json store info
pure "store keys list" cairn --json store keys list
pure "config check" cairn --json config check
pure "points of an empty store" cairn --json points
pure "backup" cairn --json backup web
pure "points" cairn --json points
pure "points of a machine, --json behind" cairn points web --json
pure "status" cairn --json status
pure "jobs" cairn --json jobs
pure "explain" cairn --json explain wrong-key
mkdir "$work/out"
pure "restore" cairn --json restore web@latest --to "$work/out"
pure "store rebuild-index" cairn --json store rebuild-index
run cairn --json backup wbe
equal "an error with --json is exit 1" "$status" 1
contains "and its name is machine-readable" "$(cat "$stdout" "$stderr")" no-such-machine
if [ -s "$stdout" ]; then check "and stdout is JSON all the same" jq -e . "$stdout"; else ok "and stdout is empty"; fi

cairn points --json >"$work/points.json"
for field in machine point time consistency proof disks new_bytes; do
  check "points --json has $field" jq -e ".[0] | has(\"$field\")" "$work/points.json"
done
equal "points --json: disks" "$(jq -r '[.[0].disks[].name] | sort | join(" ")' "$work/points.json")" "data root"
equal "points --json: size" "$(jq -r '.[0].disks[] | select(.name == "root").size' "$work/points.json")" $((16 * MiB))

# Restore
check "restore wrote root" cmp "$work/web.img" "$(find "$work/out" -name 'root.img')"
check "restore wrote data" cmp "$work/data.img" "$(find "$work/out" -name 'data.img')"
mkdir "$work/one"
check "restore --disk" cairn restore web@latest --disk data --to "$work/one"
equal "restores that one only" "$(find "$work/one" -type f -printf '%f\n')" data.img
mkdir "$work/prefix"
stamp=$(cairn points web --json | jq -r '.[-1].point' | sed 's/.*@//')
check "POINT may be a unique prefix" cairn restore "web@${stamp%??}" --to "$work/prefix"
sparse=$(find "$work/out" -name root.img)
holds "restored files are sparse" "$(allocated "$sparse")" -lt $((8 * MiB))

# A point's times are UTC whatever the caller's zone.
contains "points shows UTC" "$(TZ=Asia/Tokyo "$CAIRN" --config "$config" points "web@$stamp")" \
  "${stamp:0:4}-${stamp:4:2}-${stamp:6:2} ${stamp:9:2}:${stamp:11:2}:${stamp:13:2}Z"
contains "jobs are filtered" "$("$CAIRN" --config "$config" jobs --machine web --kind backup)" "Completed"
contains "and a list may be empty" "$("$CAIRN" --config "$config" jobs --machine web --state failed)" "no jobs like that"
refuses_with 2 "a state that is none is refused" used-wrongly cairn jobs --state broken
contains "points are filtered" "$("$CAIRN" --config "$config" points --since 2099-01-01)" "no recovery points since"
equal "and limited" "$("$CAIRN" --config "$config" points --limit 1 --json | jq length)" 1
# script(1) gives it a terminal: no line is longer than that is wide, and NO_COLOR is honoured.
on_screen() {  # WIDTH COMMAND...: the widest line that it shows
  script -qec "stty cols $1; $(printf '%q ' "$CAIRN" --config "$config" "${@:2}")" /dev/null | tr -d '\r' >"$work/screen"
  sed 's/\x1b\[[0-9;]*m//g' "$work/screen" | LC_ALL=C.UTF-8 wc -L
}
for command in points jobs status; do
  holds "$command fits 80 columns" "$(on_screen 80 "$command")" -le 80
done
TERM=xterm on_screen 80 status >/dev/null
contains "colour on a terminal" "$(cat "$work/screen")" $'\x1b[33mwarning:'
NO_COLOR=1 TERM=xterm on_screen 80 status >/dev/null
holds "and none with NO_COLOR" "$(grep -c $'\x1b' "$work/screen")" -eq 0

run cairn backup web
holds "no progress on what is not a terminal" "$(grep -c $'\r' "$stderr")" -eq 0

# Help
for command in "" store "store init" "store info" "store rebuild-index" "store accept-rollback" "store keys" "config check" backup points mount umount \
  restore status jobs explain; do
  # shellcheck disable=SC2086
  run cairn $command --help
  if [ $status -eq 0 ] && [ -s "$stdout" ]; then ok "help: cairn $command"; else not_ok "help: cairn $command" "status $status" "$(cat "$stderr")"; fi
done
contains "help shows examples" "$(cairn backup --help)" "cairn backup"
contains "--version" "$(cairn --version)" "0."
names=$(sed -n 's/^    {[a-z_]*, "\([a-z-]*\)".*/\1/p' "$repo"/config/base/error_catalogue_*.cpp)
holds "the catalogue is found" "$(wc -w <<<"$names")" -gt 20
silent=
for name in $names; do cairn explain "$name" >"$stdout" 2>&1 && [ "$(wc -l <"$stdout")" -ge 2 ] || silent+=" $name"; done
equal "explain has words for every error of the catalogue" "${silent:-none}" none

# Completion: sourced into a bash as bash-completion does it.
completion=$(find "$repo/daemon" -name 'completion.bash' -type f | head -n 1)
if [ -z "$completion" ]; then not_ok "there is a bash completion"; else
  check "the completion parses" bash -n "$completion"
  answers=$(bash -c ". '$completion'
    spec=\$(complete -p cairn) || exit 1
    f=\$(sed 's/.*-F \([^ ]*\).*/\1/' <<<\"\$spec\")
    COMP_WORDS=(cairn ba); COMP_CWORD=1; COMP_LINE='cairn ba'; COMP_POINT=8
    \$f cairn ba cairn
    echo \"\${COMPREPLY[@]}\"" 2>&1)
  contains "cairn ba<TAB> completes to backup" "$answers" backup
fi

# meson install puts things where a distribution expects them.
if have meson; then
  check "meson install" env DESTDIR="$work/root" meson install -C "$CAIRN_BUILD" --no-rebuild --quiet
  installed=$(cd "$work/root" 2>/dev/null && find . -type f | sort)
  for wanted in /bin/cairn /cairnd cairn.yaml cairnd.service bash-completion/completions/cairn zsh/site-functions/_cairn \
    fish/vendor_completions.d/cairn.fish man1/cairn.1; do
    contains "installs $wanted" "$installed" "$wanted"
  done
  docs=$(sed -n 's#^Documentation=file://##p' "$(find "$work/root" -name cairnd.service | head -n 1)")
  check "the unit's documentation is installed" test -f "$work/root$docs"
  if meson introspect --buildoptions "$CAIRN_BUILD" | jq -e '.[] | select(.name == "sysconfdir").value == "etc"' >/dev/null; then
    check "the example lies beside the settings that are read" test -f "$work/root/etc/cairn/cairn.yaml.example"
  fi
  example=$(find "$work/root" -name '*cairn.yaml*' | head -n 1)
  sed -E "s#/srv|/var|/etc|/run#$work&#g" "$example" >"$work/example.yaml"
  mkdir -p "$work"/{srv,var/lib,etc/cairn,run}
  run "$CAIRN" --config "$work/example.yaml" config check
  if grep -qF '[settings-invalid]' "$stderr"; then not_ok "the example settings are valid" "$(cat "$stderr")"; else ok "the example settings are valid"; fi
  unit=$(find "$work/root" -name cairnd.service | head -n 1)
  if have systemd-analyze && [ -n "$unit" ]; then
    # The program is not under its real path here, which is all that may be complained about.
    said=$(systemd-analyze verify "$unit" 2>&1 | grep -F cairnd.service | grep -v 'not executable\|Command .* is not')
    equal "systemd accepts the unit" "$said" ""
  else
    skip "systemd accepts the unit" "no systemd-analyze"
  fi
else
  skip "meson install" "no meson"
fi
end
