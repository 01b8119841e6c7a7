/** The table of commands. Each loads its own code only: `k3 kubectl` never sees the server. */
import type { CommandContext, CommandRow, RunCommand } from "./command.ts";

function notYet(name: string, why: string): () => Promise<RunCommand> {
  return async () => async (context) => {
    context.err(`k3 ${name} is not available in this version: ${why}\n`);
    return 1;
  };
}

export const commands: readonly CommandRow[] = [
  {
    name: "server",
    help: "Run the control plane and, unless disabled, a node",
    load: async () => (await import("./server.ts")).runServerCommand,
  },
  {
    name: "agent",
    help: "Run a node that joins a server",
    load: async () => (await import("./agent.ts")).runAgentCommand,
  },
  {
    name: "kubectl",
    help: "Run kubectl",
    load: async () => (await import("./kubectl.ts")).runKubectl,
  },
  {
    name: "crictl",
    help: "Look at containers, pods and images of this node",
    load: async () => (await import("./crictl.ts")).runCrictl,
    subcommands: [
      "ps",
      "pods",
      "images",
      "logs",
      "exec",
      "inspect",
      "inspectp",
      "stats",
      "rmi",
      "info",
      "version",
    ],
  },
  {
    name: "ctr",
    help: "Run ctr",
    load: async () => (await import("./ctr.ts")).runCtr,
  },
  {
    name: "check-config",
    help: "Tell whether this machine can run k3",
    load: async () => (await import("./check-config.ts")).runCheckConfig,
  },
  {
    name: "killall",
    help: "Stop all pods and remove what they left on this machine",
    load: async () => (await import("./killall.ts")).runKillall,
  },
  {
    name: "uninstall",
    help: "As killall; then remove the services, the data and all files of k3",
    load: async () => (await import("./uninstall.ts")).runUninstall,
  },
  {
    name: "token",
    help: "Manage tokens",
    load: notYet("token", "nodes join with the token in the file server/token"),
    subcommands: ["create", "delete", "generate", "list", "rotate"],
  },
  {
    name: "etcd-snapshot",
    help: "Manage snapshots of etcd",
    load: notYet("etcd-snapshot", "it stores its data in SQLite"),
    subcommands: ["save", "delete", "ls", "prune"],
  },
  {
    name: "secrets-encrypt",
    help: "Manage the encryption of Secrets",
    load: notYet("secrets-encrypt", "Secrets are not encrypted yet"),
    subcommands: ["status", "enable", "disable", "prepare", "rotate", "reencrypt", "rotate-keys"],
  },
  {
    name: "certificate",
    help: "Manage certificates",
    load: notYet("certificate", "certificates renew themselves at each start"),
    subcommands: ["check", "rotate", "rotate-ca"],
  },
  {
    name: "completion",
    help: "Print shell completion (bash or zsh)",
    load: async () => (await import("./completion.ts")).runCompletion,
    subcommands: ["bash", "zsh"],
  },
];

/** Programs that the binary answers for when it is called by their name. */
const applets: ReadonlySet<string> = new Set(["kubectl", "crictl", "ctr"]);

/** Programs of a bare control plane, as tests of operators start them; by their name only. */
const standIns: ReadonlyMap<string, () => Promise<RunCommand>> = new Map([
  ["kube-apiserver", async () => (await import("./kube-apiserver.ts")).runKubeApiserver],
  ["etcd", async () => (await import("./etcd.ts")).runEtcd],
]);

/** What k3 starts of itself. */
const parts: ReadonlyMap<string, () => Promise<RunCommand>> = new Map([
  ["ingress", async () => (await import("./ingress.ts")).runIngressCommand],
]);

/** Runs what the arguments ask for; resolves to the exit code. */
export async function dispatch(calledAs: string, context: CommandContext): Promise<number> {
  const name = calledAs.slice(calledAs.lastIndexOf("/") + 1);
  if (applets.has(name)) return runRow(name, context);
  const standIn = standIns.get(name);
  if (standIn !== undefined) return (await standIn())(context);
  const script = scriptOf(name);
  const args = script === undefined ? context.args : [...script, ...context.args];
  const { leading, command, rest } = splitArguments(args);
  switch (command) {
    case "--version":
    case "-v":
    case "version":
      return (await import("./version.ts")).runVersion(context);
    case undefined:
    case "help":
    case "--help":
    case "-h":
      context.out(helpText());
      return 0;
  }
  const given = { ...context, args: [...leading, ...rest] };
  const part = parts.get(command);
  return part === undefined ? runRow(command, given) : (await part())(given);
}

/** K3s' installer leaves scripts that end it; links of their names to k3 are those scripts. */
function scriptOf(name: string): readonly string[] | undefined {
  if (name === "k3s-killall.sh") return ["killall"];
  const [, service] = /^(k3s(?:-.+)?)-uninstall\.sh$/.exec(name) ?? [];
  return service === undefined ? undefined : ["uninstall", `--service=${service}`];
}

async function runRow(name: string, context: CommandContext): Promise<number> {
  const row = commands.find((command) => command.name === name);
  if (row !== undefined) return (await row.load())(context);
  const { nearestName } = await import("./flags.ts");
  const nearest = nearestName(
    name,
    commands.map((command) => command.name),
  );
  const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
  context.err(`k3 has no command ${JSON.stringify(name)}${hint}\n\n${helpText()}`);
  return 1;
}

/** K3s takes `--debug` and `--data-dir` before the command too. */
function splitArguments(args: readonly string[]): {
  readonly leading: readonly string[];
  readonly command: string | undefined;
  readonly rest: readonly string[];
} {
  let at = 0;
  while (at < args.length) {
    const argument = args[at] ?? "";
    if (/^(--debug(=.*)?|--data-dir=.*|-d=.*)$/.test(argument)) at += 1;
    else if (argument === "--data-dir" || argument === "-d") at += 2;
    else break;
  }
  return { leading: args.slice(0, at), command: args[at], rest: args.slice(at + 1) };
}

export function helpText(): string {
  const rows = commands.map(({ name, help }) => `   ${name.padEnd(16)} ${help}`);
  return [
    "k3 - Kubernetes for small machines in one file",
    "",
    "Usage: k3 [--debug] [--data-dir DIR] COMMAND [FLAGS]",
    "",
    "Commands:",
    ...rows,
    "",
    "   k3 COMMAND --help tells the flags, k3 --version the version.",
    "",
  ].join("\n");
}
