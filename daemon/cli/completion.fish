# Fish completion for cairn. What can stand where is answered by the program itself ("cairn __complete"), so it cannot
# disagree with the program; where that has no answer, files can stand.
# SPDX-License-Identifier: GPL-3.0-or-later

function __cairn_complete
    set -l typed (commandline -ct)
    set -l words (commandline -opc)
    type -q $words[1]; or return
    set -l found ($words[1] __complete $words[2..-1] "$typed" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path "$typed"
    end
end

complete -c cairn -f -a '(__cairn_complete)'
