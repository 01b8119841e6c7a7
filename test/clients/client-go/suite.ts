/** A program on client-go, as operators are written, against one node. */
import { join } from "node:path";
import { Cluster, testImage } from "../../e2e/cluster.ts";
import { goBuild, mustSucceed, OUT, pinnedVersion, type Result, type Suite } from "../suite.ts";

const module = "k8s.io/client-go";
const program = join(OUT, "client-go");
const version = await pinnedVersion(module);

async function prepare(): Promise<void> {
  const source = await Bun.file(join(import.meta.dir, "main.go")).text();
  const stamp = `${version} ${Bun.hash(source)}`;
  await goBuild(program, stamp, ["build", "-trimpath", "-o", program, "./client-go"]);
}

async function run(_dir: string, only: string): Promise<readonly Result[]> {
  const cluster = new Cluster();
  try {
    await cluster.start();
    const env = { KUBECONFIG: cluster.kubeconfig, IMAGE: testImage };
    const lines = (await mustSucceed([program], { env })).trim().split("\n");
    const all = lines.map((line) => JSON.parse(line) as { name: string; problem?: string });
    return all
      .filter(({ name }) => name.includes(only))
      .map(({ name, problem }) => ({ name, problem }));
  } finally {
    await cluster.destroy();
  }
}

export const suite: Suite = { title: `a program on client-go ${version}`, prepare, run };
