/**
 * Runs cri-tools' critest against the containerd of a fresh k3 and reports on it.
 *
 *   bun scripts/critest.ts [--focus=REGEXP] [--record]    --record renews docs/critest.md
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ConformanceCluster } from "../test/conformance/cluster.ts";
import { buildCritestImages, renderCritest, runCritest } from "../test/conformance/critest.ts";
import { serveImages } from "../test/conformance/registry.ts";
import { readReport } from "../test/conformance/report.ts";
import { buildPrograms, OUT } from "../test/conformance/suite.ts";
import { ROOT } from "./deps.ts";

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { focus: { type: "string" }, record: { type: "boolean", default: false } },
  });
  await buildPrograms(["agnhost", "nnp", "critest"]);
  const archive = await buildCritestImages();
  const dir = join(OUT, `${new Date().toISOString().slice(0, 19).replace(/[-:]/g, "")}-critest`);
  mkdirSync(dir, { recursive: true });
  using registry = await serveImages(archive, "127.0.0.1");
  const cluster = new ConformanceCluster({
    dir,
    node: true,
    archive,
    flags: [],
    registry,
    nodes: 1,
    network: undefined,
  });
  try {
    await cluster.start();
    console.log(`The log is ${dir}/critest.log`);
    const report = await runCritest(dir, values.focus);
    const results = readReport(await Bun.file(report).text());
    const text = renderCritest(results);
    if (values.record) await Bun.write(join(ROOT, "docs/critest.md"), text);
    console.log(text);
    return results.some(({ outcome }) => outcome === "failed") ? 1 : 0;
  } finally {
    await cluster.destroy();
  }
}

try {
  process.exit(await main());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
}
