#compdef cairn
# Zsh completion for cairn. What can stand where is answered by the program itself ("cairn __complete"), so it cannot
# disagree with the program; where that has no answer, files can stand.
# SPDX-License-Identifier: GPL-3.0-or-later

_cairn() {
  local -a found
  local answer
  answer=$("${words[1]/#\~/$HOME}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
  found=("${(@f)answer}")
  if [[ -z $answer ]]; then
    _files
  else
    compadd -a found
  fi
}

if [[ $funcstack[1] == _cairn ]]; then
  _cairn "$@"
else
  compdef _cairn cairn
fi
