/** Drives one table of commands with every kubectl there is: the embedded one and the machine's. */
import { expect } from "bun:test";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import type { Cluster, Result } from "./cluster.ts";

/** One command, and what it must say. Templates: see `templateOf`. */
export interface Case {
  /** Words after `kubectl`; a text is split at spaces. `{id}` tells the kubectls apart. */
  readonly run: string | readonly string[];
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** 0 when it is not said; "any" where versions of kubectl differ. */
  readonly code?: number | "any";
  /** The whole of stdout. */
  readonly out?: string;
  /** Parts of stdout. */
  readonly has?: readonly string[];
  /** What must not stand in stdout. */
  readonly hasNot?: readonly string[];
  /** Parts of stderr. */
  readonly err?: readonly string[];
  /** Asked again until it says that, for what controllers do in their own time. */
  readonly until?: true;
  /** Set for commands that replace a whole list of an object all kubectls work on (taints). */
  readonly shares?: true;
}

export interface Kubectl {
  /** A letter, for names of objects that have no namespace. */
  readonly id: string;
  readonly path: string;
  readonly kubeconfig: string;
  readonly namespace: string;
}

const untilMs = 30_000;

/** The embedded kubectl and the one in PATH, each with a namespace of its own. */
export async function kubectlsOf(cluster: Cluster, subject: string): Promise<readonly Kubectl[]> {
  const embedded = join(cluster.dataDir, "data/current/bin/kubectl");
  const other = Bun.which("kubectl");
  if (other === null) console.log(`left out: ${subject} by another kubectl: none is in PATH`);
  const paths = other === null ? [embedded] : [embedded, other];
  const made = paths.map(async (path, index): Promise<Kubectl> => {
    const id = "ab".charAt(index);
    const namespace = `${subject}-${id}`;
    const kubeconfig = join(cluster.dataDir, `${namespace}.yaml`);
    copyFileSync(cluster.kubeconfig, kubeconfig);
    await cluster.run(`create namespace ${namespace}`);
    const set = ["config", "set-context", "--current", `--namespace=${namespace}`];
    await spawn([path, ...set], { KUBECONFIG: kubeconfig });
    return { id, path, kubeconfig, namespace };
  });
  return Promise.all(made);
}

async function spawn(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin = "",
): Promise<Result> {
  const child = Bun.spawn([...command], {
    env: { ...process.env, ...env },
    stdin: new TextEncoder().encode(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** Runs one command; its words may hold `{id}` and `{ns}`. */
export function kubectlRun(kubectl: Kubectl, one: Pick<Case, "run" | "stdin" | "env">) {
  const words = typeof one.run === "string" ? one.run.split(" ") : one.run;
  const own = words.map((word) => filled(word, kubectl));
  const env = { KUBECONFIG: kubectl.kubeconfig, ...one.env };
  return spawn([kubectl.path, ...own], env, filled(one.stdin ?? "", kubectl));
}

function filled(text: string, { id, namespace }: Kubectl): string {
  return text.replaceAll("{id}", id).replaceAll("{ns}", namespace);
}

/** Runs a case with every kubectl: at once, unless they would overwrite each other's changes. */
export async function check(kubectls: readonly Kubectl[], one: Case): Promise<void> {
  if (one.shares === true) for (const kubectl of kubectls) await checkWith(kubectl, one);
  else await Promise.all(kubectls.map((kubectl) => checkWith(kubectl, one)));
}

async function checkWith(kubectl: Kubectl, one: Case): Promise<void> {
  const end = Date.now() + untilMs;
  for (;;) {
    const result = await kubectlRun(kubectl, one);
    if (one.until !== true || Date.now() > end || problemOf(kubectl, one, result) === undefined) {
      expect(problemOf(kubectl, one, result)).toBeUndefined();
      return;
    }
    await Bun.sleep(100);
  }
}

/** What is wrong with the answer, or undefined. */
function problemOf(kubectl: Kubectl, one: Case, result: Result): string | undefined {
  const said = `${kubectl.path} ${one.run}\nexit ${result.code}\n${result.stdout}${result.stderr}`;
  const stdout = squeezed(result.stdout);
  const stderr = squeezed(result.stderr);
  const template = (text: string) => templateOf(filled(text, kubectl));
  const { code = 0, out, has = [], hasNot = [], err = [] } = one;
  if (code !== "any" && code !== result.code) return `exit code is not ${code}: ${said}`;
  if (out !== undefined && !new RegExp(`^${template(out)}$`).test(stdout))
    return `stdout is not «${out}»: ${said}`;
  const missing =
    has.find((text) => !new RegExp(template(text)).test(stdout)) ??
    err.find((text) => !new RegExp(template(text)).test(stderr));
  if (missing !== undefined) return `«${missing}» is missing: ${said}`;
  const wrong = hasNot.find((text) => new RegExp(template(text)).test(stdout));
  return wrong === undefined ? undefined : `«${wrong}» is there: ${said}`;
}

const tokens: Readonly<Record<string, string>> = {
  age: "(?:\\d+[smhdy])+",
  any: ".*",
  ip: "[0-9a-f.:]+",
  name: "[-a-z0-9.]+",
  number: "\\d+",
  uid: "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
  time: "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?Z",
};

/** Text with `{age}`, `{name}` and so on; runs of blanks count as one. */
function templateOf(text: string): string {
  return squeezed(text)
    .replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")
    .replace(/\\\{(\w+)\\\}/g, (whole, token: string) => tokens[token] ?? whole);
}

function squeezed(text: string): string {
  return text
    .split("\n")
    .map((line) => line.replace(/[ \t]+/g, " ").trimEnd())
    .join("\n")
    .trim();
}
