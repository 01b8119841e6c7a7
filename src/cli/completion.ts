/** `k3 completion bash|zsh`: made from the command and flag tables. */
import type { CommandContext } from "./command.ts";
import { commands } from "./commands.ts";
import { serverFlags } from "./flag-rows.ts";

export async function runCompletion(context: CommandContext): Promise<number> {
  const [shell] = context.args.filter((argument) => !argument.startsWith("-"));
  if (shell !== "bash" && shell !== "zsh") {
    context.err("Usage: k3 completion bash|zsh\n");
    return 1;
  }
  context.out(shell === "bash" ? bashScript() : zshScript());
  return 0;
}

const flagWords = (): string =>
  serverFlags
    .filter((row) => row.hidden !== true && row.unsupported === undefined)
    .map(({ name }) => `--${name}`)
    .join(" ");

function bashScript(): string {
  const names = commands.map(({ name }) => name).join(" ");
  const cases = commands
    .filter(({ subcommands }) => subcommands !== undefined)
    .map(({ name, subcommands = [] }) => `    ${name}) words="${subcommands.join(" ")}" ;;`);
  return `# bash completion for k3
_k3() {
  local words="" current="\${COMP_WORDS[COMP_CWORD]}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${names} --version --help"
  else
    case "\${COMP_WORDS[1]}" in
    server) words="${flagWords()}" ;;
${cases.join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _k3 k3
`;
}

function zshScript(): string {
  const rows = commands.map(({ name, help }) => `    '${name}:${help.replaceAll("'", "")}'`);
  const cases = commands
    .filter(({ subcommands }) => subcommands !== undefined)
    .map(({ name, subcommands = [] }) => `    ${name}) compadd -- ${subcommands.join(" ")} ;;`);
  return `#compdef k3
_k3() {
  local -a names
  names=(
${rows.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe 'command' names
    return
  fi
  case "$words[2]" in
    server) compadd -- ${flagWords()} ;;
${cases.join("\n")}
    *) _files ;;
  esac
}
compdef _k3 k3
`;
}
