/** What every suite of foreign clients is: it runs, and tells of each of its tests. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "../../scripts/apt.ts";
import { BUILD } from "../../scripts/deps.ts";

export const MODULE = import.meta.dir;
/** Built programs, fetched packages and reports. */
export const OUT = join(BUILD, "clients");

export interface Result {
  readonly name: string;
  /** Why it failed, in a line; undefined when it passed. */
  readonly problem: string | undefined;
}

export interface Suite {
  /** What is run, with its version. */
  readonly title: string;
  /** Builds and fetches what the tests need; with everything there it does nothing. */
  prepare(): Promise<void>;
  /** `dir` takes logs; `only` narrows the tests down, "" is all of them. */
  run(dir: string, only: string): Promise<readonly Result[]>;
}

export type Step = readonly [name: string, run: () => Promise<void>];

/** Steps build upon each other, so each is run whatever became of those before. */
export async function runSteps(steps: readonly Step[], only: string): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const [name, run] of steps) {
    if (!name.includes(only)) continue;
    const problem = await run().then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    console.log(`${problem === undefined ? "ok    " : "FAILED"} ${name}`);
    if (problem !== undefined) console.log(`       ${problem.split("\n").join("\n       ")}`);
    results.push({ name, problem });
  }
  return results;
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; a failure is an outcome. */
export async function runProgram(
  argv: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<Outcome> {
  const child = Bun.spawn([...argv], {
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: "ignore",
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

/** As `runProgram`, but it must succeed; resolves to what was printed. */
export async function mustSucceed(
  argv: readonly string[],
  options: Parameters<typeof runProgram>[1] = {},
): Promise<string> {
  const { code, stdout, stderr } = await runProgram(argv, options);
  if (code !== 0)
    throw new Error(`${argv.slice(1).join(" ")} ended with ${code}: ${stderr || stdout}`);
  return stdout;
}

/** Runs Go's own tool in this folder, unless it has made `target` from the same `version`. */
export async function goBuild(
  target: string,
  version: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const stamp = `${target}.version`;
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === version) return;
  console.log(`Building ${target}`);
  mkdirSync(OUT, { recursive: true });
  const settings = Object.entries({ CGO_ENABLED: "0", ...env }).map((one) => one.join("="));
  await mustRun(
    ["nice", "env", ...settings, "go", ...args],
    "The build needs Go 1.26 and a module proxy that go env GOPROXY names.",
    { cwd: MODULE },
  );
  writeFileSync(stamp, version);
}

/** The folder of a Go module in the module cache, which is fetched when it is not there. */
export async function moduleFolder(path: string, version: string): Promise<string> {
  const text = await mustRun(
    ["go", "mod", "download", "-json", `${path}@${version}`],
    "It needs a module proxy that go env GOPROXY names.",
    { cwd: MODULE },
  );
  return (JSON.parse(text) as { Dir: string }).Dir;
}

/** The version that test/clients/go.mod pins. */
export async function pinnedVersion(path: string): Promise<string> {
  const text = await Bun.file(join(MODULE, "go.mod")).text();
  const line = text.split("\n").find((one) =>
    one
      .trim()
      .replace(/^require /, "")
      .startsWith(`${path} `),
  );
  const version = line
    ?.trim()
    .split(" ")
    .find((word) => word.startsWith("v"));
  if (version === undefined) throw new Error(`test/clients/go.mod requires no ${path}.`);
  return version;
}
