# Bash completion for cairn. What can stand where is answered by the program itself ("cairn __complete"), so it knows
# the machines and recovery points of the settings, and cannot disagree with the program.
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

_cairn() {
  # Words are split at blanks only: bash would also split web-01@latest at the "@".
  local line=${COMP_LINE:0:$COMP_POINT}
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  local current=${words[-1]}
  local program=${words[0]/#\~/$HOME}
  local found
  if ! found=$("$program" __complete "${words[@]:1}" 2>/dev/null); then
    # Without the program: the commands alone.
    [[ ${#words[@]} -eq 2 ]] || return
    found=$(compgen -W 'store config machine backup points mount umount restore prune delete undelete protect vault key verify status jobs explain version help' -- "$current")
  fi
  mapfile -t COMPREPLY < <([ -z "$found" ] || printf '%s\n' "$found")
  # bash replaces only what follows the last word break before the cursor.
  local break_at=${current%"${current##*["$COMP_WORDBREAKS"]}"}
  if [[ -n $break_at ]]; then COMPREPLY=("${COMPREPLY[@]#"$break_at"}"); fi
}
complete -o bashdefault -o default -F _cairn cairn
