import { expect, test } from "bun:test";
import {
  cpuQuotaUs,
  cpuShares,
  milliCpu,
  oomScore,
  podCgroup,
  qosClassOf,
  wholeValue,
} from "./resources.ts";
import type { Pod } from "./types.ts";

type Resources = NonNullable<Pod["spec"]["containers"][number]["resources"]>;

function pod(resources: Resources): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", uid: "u" },
    spec: { containers: [{ name: "c", resources }] },
  };
}

test("quantities become whole thousandths and bytes, rounded up", () => {
  expect([milliCpu("0.1"), milliCpu("250m"), milliCpu("2"), milliCpu("1u")]).toEqual([
    100, 250, 2000, 1,
  ]);
  expect([wholeValue("4Ki"), wholeValue("1Ei"), wholeValue("2E")]).toEqual([4096, 2 ** 60, 2e18]);
  expect([wholeValue("64Mi"), wholeValue("1e3"), wholeValue("1k")]).toEqual([67108864, 1000, 1000]);
});

test("cgroup numbers follow upstream's conversion and minimums", () => {
  expect([cpuShares(0), cpuShares(1), cpuShares(500)]).toEqual([2, 2, 512]);
  expect([cpuQuotaUs(0), cpuQuotaUs(1), cpuQuotaUs(500)]).toEqual([0, 1000, 50000]);
});

test("qosClassOf() and what follows from it", () => {
  const guaranteed = pod({ limits: { cpu: "1", memory: "1Gi" } });
  const burstable = pod({ requests: { memory: "1Gi" } });
  expect(qosClassOf(guaranteed)).toBe("Guaranteed");
  expect(qosClassOf(burstable)).toBe("Burstable");
  expect(qosClassOf(pod({}))).toBe("BestEffort");
  expect(podCgroup(guaranteed)).toBe("/kubepods/podu");
  expect(podCgroup(burstable)).toBe("/kubepods/burstable/podu");
  const score = (of: Pod): number =>
    oomScore(of, of.spec.containers[0] ?? { name: "" }, 4 * 2 ** 30);
  expect([score(guaranteed), score(burstable), score(pod({}))]).toEqual([-997, 750, 1000]);
});
