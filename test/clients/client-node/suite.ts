/** Kubernetes' client for JavaScript, from npm, run by Node against one node of ours. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "../../../scripts/apt.ts";
import { Cluster, testImage } from "../../e2e/cluster.ts";
import { mustSucceed, OUT, type Result, type Suite } from "../suite.ts";

const out = join(OUT, "client-node");
const lock = join(import.meta.dir, "package-lock.json");
const stamp = join(out, "installed");
const packages = JSON.parse(readFileSync(join(import.meta.dir, "package.json"), "utf8")) as {
  readonly dependencies: Readonly<Record<string, string>>;
};
const version = packages.dependencies["@kubernetes/client-node"];

/** A folder of its own, so that k3's dependencies do not grow. */
async function prepare(): Promise<void> {
  mkdirSync(out, { recursive: true });
  for (const file of ["package.json", "package-lock.json", "checks.mjs"])
    copyFileSync(join(import.meta.dir, file), join(out, file));
  const wanted = readFileSync(lock, "utf8");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  await mustRun(
    ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
    "It needs npm and a registry that it can reach.",
    { cwd: out },
  );
  writeFileSync(stamp, wanted);
}

async function run(_dir: string, only: string): Promise<readonly Result[]> {
  const cluster = new Cluster();
  try {
    await cluster.start();
    const env = { KUBECONFIG: cluster.kubeconfig, IMAGE: testImage };
    const text = await mustSucceed(["node", join(out, "checks.mjs")], { env });
    const all = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { name: string; problem?: string });
    return all
      .filter(({ name }) => name.includes(only))
      .map(({ name, problem }) => ({ name, problem }));
  } finally {
    await cluster.destroy();
  }
}

export const suite: Suite = { title: `@kubernetes/client-node ${version}`, prepare, run };
