/**
 * Completion scripts: what a shell does with the candidates that the program finds. None evaluates
 * what was typed; it goes to the program as arguments, and what comes back is taken as text. The
 * program that is asked is the one whose name was typed, as it is the one that will run. It answers
 * in lines: first `words`, `files` or `folders`, then a candidate each, a tab and what it is.
 *
 * In the texts `@{` stands for a dollar and a brace, which TypeScript would take for its own.
 */

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = typeof SHELLS[number];

/** With nothing in `COMPREPLY` bash itself completes files, and knows how to quote them. */
const BASH = String.raw`# Completion of pki for bash
_pki_complete() {
  local program=$1 answer
  [[ $program == "~/"* ]] && program=$HOME/@{program:2}
  COMPREPLY=()
  mapfile -t answer < <(
    "$program" __complete bash "$COMP_WORDBREAKS" "@{COMP_LINE:0:COMP_POINT}" 2>/dev/null </dev/null
  )
  case @{answer[0]} in
    words) COMPREPLY=("@{answer[@]:1}") ;;
    files) compopt -o default ;;
    folders) compopt -o dirnames ;;
  esac
}
complete -F _pki_complete pki
`;

const ZSH = String.raw`#compdef pki
# Completion of pki for zsh
_pki() {
  local program=@{(Q)words[1]} tab=$'\t' line name
  local -a before answer described
  [[ $program == "~/"* ]] && program=$HOME/@{program[3,-1]}
  (( CURRENT > 2 )) && before=("@{(@Q)words[2,CURRENT-1]}")
  answer=("@{(@f)$("$program" __complete zsh "@{(@)before}" "@{(Q)PREFIX}" 2>/dev/null </dev/null)}")
  case $answer[1] in
    words)
      for line in "@{(@)answer[2,-1]}"; do
        name=@{line%%$tab*}
        described+=("@{name//:/\\:}:@{line#*$tab}")
      done
      _describe -t words pki described
      ;;
    files) compset -P '--*='; _files ;;
    folders) compset -P '--*='; _files -/ ;;
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _pki "$@"; else compdef _pki pki; fi
`;

const FISH = String.raw`# Completion of pki for fish
function __pki_complete
    set -l before (commandline -opc)
    set -l typed (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $before[1])
    set -e before[1]
    set -l answer ($program __complete fish $before "$typed" 2>/dev/null </dev/null)
    set -l option (string match -r '^--[^=]*=' -- "$typed")
    set -l path (string replace -r '^--[^=]*=' '' -- "$typed")
    switch "$answer[1]"
        case words
            printf '%s\n' $answer[2..-1]
        case files
            for found in "$option"(__fish_complete_path "$path")
                printf '%s\n' $found
            end
        case folders
            for found in "$option"(__fish_complete_directories "$path")
                printf '%s\n' $found
            end
    end
end
complete -c pki -f -a '(__pki_complete)'
`;

const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };

export function completionScript(shell: Shell): string {
  return SCRIPTS[shell].replaceAll("@{", "${");
}
