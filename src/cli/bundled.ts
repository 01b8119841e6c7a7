/** Programs that travel inside the binary, run in the foreground. */
import { access } from "../runtime/access.ts";
import { payloadFile, unpackBundle } from "../runtime/bundle.ts";
import { runForeground } from "../runtime/foreground.ts";
import { homedir } from "../runtime/machine.ts";
import type { CommandContext } from "./command.ts";
import { UsageError } from "./flags.ts";

/** Of root, unless told otherwise. */
export const usualDataDir = "/var/lib/rancher/k3s";

/** Takes `--data-dir` and `--debug` from the front: the rest belongs to the program. */
export function splitOwnFlags(
  context: CommandContext,
  fallback: string = usualDataDir,
): {
  readonly dataDir: string;
  readonly args: readonly string[];
} {
  const args = [...context.args];
  let dataDir = context.env.K3S_DATA_DIR || undefined;
  for (;;) {
    const [first = "", second] = args;
    if (/^--debug(=.*)?$/.test(first)) args.shift();
    else if (/^(--data-dir|-d)=/.test(first)) {
      dataDir = first.slice(first.indexOf("=") + 1);
      args.shift();
    } else if (first === "--data-dir" || first === "-d") {
      dataDir = second;
      args.splice(0, 2);
    } else break;
  }
  return { dataDir: dataDir ?? fallback, args };
}

/** Where the program lies, after unpacking; a folder of one's own where the server's is closed. */
export async function bundledProgram(name: string, dataDir: string): Promise<string> {
  const current = `${dataDir}/data/current/bin/${name}`;
  const payload = payloadFile();
  if (payload === undefined) {
    if (access(current, "execute")) return current;
    throw new UsageError(`Cannot find ${name}: build the bundled programs with scripts/build`);
  }
  const unpacked = `${dataDir}/data/${payload.sha256}/bin/${name}`;
  if (access(unpacked, "execute")) return unpacked;
  const isOurs = dataDir !== usualDataDir || process.getuid?.() === 0;
  const own = isOurs ? dataDir : `${homedir()}/.rancher/k3s`;
  const { bin } = await unpackBundle({ dataDir: own, payload });
  return `${bin}/${name}`;
}

export async function runBundled(
  name: string,
  dataDir: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  stdin: "inherit" | "ignore" = "inherit",
): Promise<number> {
  return runForeground([await bundledProgram(name, dataDir), ...args], env, stdin);
}
