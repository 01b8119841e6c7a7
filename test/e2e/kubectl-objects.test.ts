/** Every day's commands on objects, by the embedded kubectl and by the machine's own. */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { Cluster, reasonToSkip } from "./cluster.ts";
import { serverSideCases } from "./kubectl-apply-cases.ts";
import { applyCases, changeCases, deleteCases, otherCases } from "./kubectl-change-cases.ts";
import { createCases, describeCases, getCases, kindCases } from "./kubectl-object-cases.ts";
import { check, type Kubectl, kubectlsOf } from "./kubectls.ts";

const skip = reasonToSkip();
if (skip !== undefined) console.log(`left out: kubectl on objects: ${skip}`);

const groups = {
  create: createCases,
  get: getCases,
  describe: describeCases,
  kinds: kindCases,
  change: changeCases,
  apply: applyCases,
  serverSide: serverSideCases,
  other: otherCases,
  delete: deleteCases,
} as const;

describe.skipIf(skip !== undefined)("kubectl on objects", () => {
  let cluster: Cluster;
  let kubectls: readonly Kubectl[];

  beforeAll(async () => {
    cluster = new Cluster();
    await cluster.start();
    kubectls = await kubectlsOf(cluster, "objects");
  });
  afterAll(async () => {
    await cluster?.destroy();
  });

  for (const [name, cases] of Object.entries(groups))
    for (const one of cases) {
      const words = typeof one.run === "string" ? one.run : one.run.join(" ");
      test(`${name}: kubectl ${words}`, () => check(kubectls, one));
    }
});
