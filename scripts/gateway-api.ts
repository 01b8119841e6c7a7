/**
 * Runs the Gateway API's conformance tests against a fresh k3 and reports on them.
 *
 *   bun scripts/gateway-api.ts [--test=NAME] [--record]    --record renews the score in docs
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ConformanceCluster } from "../test/conformance/cluster.ts";
import {
  buildGatewayImages,
  renderGatewayTests,
  runGatewayTests,
} from "../test/conformance/gateway-api.ts";
import { buildPrograms, OUT } from "../test/conformance/suite.ts";
import { ROOT } from "./deps.ts";

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { test: { type: "string" }, record: { type: "boolean", default: false } },
  });
  if (values.record && values.test !== undefined) {
    throw new Error("--record takes the score of all tests: leave out --test.");
  }
  await buildPrograms(["gateway.test", "echo-basic"]);
  const archive = await buildGatewayImages();
  const stamp = new Date().toISOString().slice(0, 19).replace(/[-:]/g, "");
  const dir = join(OUT, `${stamp}-gateway-api`);
  mkdirSync(dir, { recursive: true });
  const cluster = new ConformanceCluster({
    dir,
    node: true,
    archive,
    flags: [],
    registry: undefined,
    nodes: 1,
    network: undefined,
  });
  try {
    await cluster.start();
    console.log(`The log is ${dir}/gateway-api.log`);
    const tests = await runGatewayTests(dir, cluster.kubeconfig, values.test);
    const text = renderGatewayTests(tests);
    if (values.record) await Bun.write(join(ROOT, "docs/gateway-api-conformance.md"), text);
    console.log(text);
    return tests.length === 0 || tests.some(({ outcome }) => outcome === "FAIL") ? 1 : 0;
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
