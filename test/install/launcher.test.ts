/** The self-extracting form: where it unpacks to, what it keeps, and what it refuses. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildRelease } from "../../scripts/release.ts";

const arch = process.arch === "arm64" ? "arm64" : "amd64";
const missing = ["gcc", "zstd", "dpkg-deb"].filter((name) => Bun.which(name) === null);
if (missing.length > 0) console.log(`left out: launcher: needs ${missing.join(", ")}`);

/** Prints what a program learns of its start. */
const program = `
  import { readFileSync } from "node:fs";
  const argv = readFileSync("/proc/self/cmdline", "utf8").split("\\0").slice(0, -1);
  console.log(JSON.stringify({ argv, path: process.execPath }));
`;

describe.skipIf(missing.length > 0)("the self-extracting file", () => {
  let dir = "";
  let k3 = "";

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "launcher-"));
    k3 = join(dir, "k3");
    writeFileSync(join(dir, "program.ts"), program);
    const plain = join(dir, "plain");
    const argv = [process.execPath, "build", "--compile", "program.ts", `--outfile=${plain}`];
    expect(await Bun.spawn(argv, { cwd: dir, stdout: "ignore" }).exited).toBe(0);
    await buildRelease(arch, plain, k3, "quick");
  }, 120_000);

  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  async function start(
    argv: readonly [string, ...string[]],
    env: Readonly<Record<string, string>>,
  ): Promise<{ code: number; argv: string[]; path: string; stderr: string }> {
    const child = Bun.spawn([...argv], { env: { ...env }, stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    const said = stdout === "" ? { argv: [], path: "" } : JSON.parse(stdout);
    return { code, stderr, ...said };
  }

  const versions = (base: string): string[] =>
    readdirSync(join(base, "data")).filter((name) => name !== ".k3.lock");

  test("unpacks once below the data directory and keeps its arguments and name", async () => {
    const base = join(dir, "first");
    const link = join(dir, "kubectl");
    symlinkSync(k3, link);
    const first = await start([link, "get", "a b", ""], { K3S_DATA_DIR: base });
    expect(first.argv).toEqual([link, "get", "a b", ""]);
    expect(first.path).toStartWith(join(base, "data/k3-"));
    const [version] = versions(base);
    const second = await start([k3], { K3S_DATA_DIR: base });
    expect(second.path).toBe(first.path);
    expect(versions(base)).toEqual([version ?? ""]);
  }, 30_000);

  test("follows --data-dir of the server command", async () => {
    const base = join(dir, "flag");
    for (const argv of [
      [k3, "server", "--data-dir", base],
      [k3, "agent", `--data-dir=${base}`],
      [k3, "server", "-d", base],
    ] as [string, ...string[]][]) {
      expect((await start(argv, {})).path).toStartWith(join(base, "data/k3-"));
    }
  }, 30_000);

  test("replaces parts of a killed start and versions nothing runs", async () => {
    const base = join(dir, "old");
    mkdirSync(join(base, "data/.k3-123"), { recursive: true });
    writeFileSync(join(base, "data/.k3-123/k3"), "half");
    mkdirSync(join(base, "data", `k3-${"0".repeat(64)}`));
    const { code } = await start([k3], { K3S_DATA_DIR: base });
    expect(code).toBe(0);
    expect(versions(base)).toHaveLength(1);
    expect(versions(base)[0]).not.toContain("0000000000");
  }, 30_000);

  test("takes the next place when one cannot be used", async () => {
    const home = join(dir, "home");
    mkdirSync(home);
    writeFileSync(join(dir, "file"), "");
    const chosen = await start([k3], { K3S_DATA_DIR: join(dir, "file"), HOME: home });
    expect(chosen.code).toBe(0);
    expect(chosen.path).toStartWith(join(home, ".rancher/k3s/data/k3-"));
  }, 30_000);

  test("does not run what others could have written", async () => {
    const base = join(dir, "shared");
    mkdirSync(join(base, "data"), { recursive: true });
    chmodSync(join(base, "data"), 0o777);
    const { path } = await start([k3], { K3S_DATA_DIR: base, HOME: join(dir, "home") });
    expect(path).toStartWith(join(dir, "home/.rancher/k3s/data/k3-"));
  }, 30_000);

  test("a file cut short says so", async () => {
    const cut = join(dir, "cut");
    writeFileSync(cut, readFileSync(k3));
    chmodSync(cut, 0o755);
    truncateSync(cut, 2_000_000);
    const { code, stderr } = await start([cut], { K3S_DATA_DIR: join(dir, "never") });
    expect(code).toBe(1);
    expect(stderr).toContain("damaged or cut short");
    expect(existsSync(join(dir, "never"))).toBe(false);
  });
});
