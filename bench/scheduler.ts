/**
 * The scheduler in the shapes of Kubernetes' own scheduler_perf: decisions over a snapshot of
 * 5,000 nodes, and pods bound through the API of the built binary.
 */
import type { Node, Pod } from "../src/gen/core-v1.ts";
import { NodeCache } from "../src/scheduler/cache.ts";
import { decide } from "../src/scheduler/decide.ts";
import { defaultProfile } from "../src/scheduler/profile.ts";
import { emptyView } from "../src/scheduler/view.ts";
import type { Bench, Measure } from "./main.ts";
import { BenchServer } from "./server.ts";

const runs = 5;
const nodesInSnapshot = 5_000;
const podsBefore = 1_000;
const podsPerRun = 2_000;
const nodesInApi = 500;
const podsThroughApi = 2_000;
const zones = 3;

type PodSpec = Partial<Pod["spec"]>;
const labels = { color: "blue" };
const selector = { matchLabels: labels };
const zoneKey = "topology.kubernetes.io/zone";
const hostKey = "kubernetes.io/hostname";

/** Shapes of scheduler_perf's configurations, by what their pods ask for. */
const shapes: Readonly<Record<string, PodSpec>> = {
  SchedulingBasic: {},
  SchedulingNodeAffinity: {
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: zoneKey, operator: "In", values: ["zone-0", "zone-1"] }] },
          ],
        },
      },
    },
  },
  SchedulingPodAntiAffinity: {
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { labelSelector: selector, topologyKey: hostKey },
        ],
      },
    },
  },
  SchedulingPreferredPodAffinity: {
    affinity: {
      podAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 1, podAffinityTerm: { labelSelector: selector, topologyKey: hostKey } },
        ],
      },
    },
  },
  TopologySpreading: {
    topologySpreadConstraints: [
      {
        maxSkew: 5,
        topologyKey: zoneKey,
        whenUnsatisfiable: "DoNotSchedule",
        labelSelector: selector,
      },
    ],
  },
};

function nodeAt(index: number): Node {
  const name = `node-${index}`;
  const amounts = { cpu: "4", memory: "32Gi", pods: "110" };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { [hostKey]: name, [zoneKey]: `zone-${index % zones}` } },
    spec: {},
    status: { allocatable: amounts, capacity: amounts },
  };
}

function podAt(index: number, spec: PodSpec): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${index}`, namespace: "default", uid: `uid-${index}`, labels },
    spec: {
      containers: [
        { name: "c", image: "pause", resources: { requests: { cpu: "100m", memory: "500Mi" } } },
      ],
      ...spec,
    },
  };
}

/** Decides for `count` pods, each counted for its node before the next one's turn. */
function place(cache: NodeCache, from: number, count: number, spec: PodSpec): void {
  let startIndex = 0;
  for (let index = from; index < from + count; index++) {
    const pod = podAt(index, spec);
    const snapshot = cache.snapshot();
    const decision = decide({
      pod,
      snapshot,
      view: emptyView,
      profile: defaultProfile,
      nominations: new Map(),
      startIndex,
      random: (below) => index % below,
    });
    if (decision.node === undefined) throw new Error(`pod ${index}: ${decision.message}`);
    startIndex = (startIndex + decision.looked) % snapshot.nodes.length;
    cache.setPod(pod, decision.node);
  }
}

function decisionsPerSecond(spec: PodSpec): number[] {
  const results: number[] = [];
  for (let run = 0; run <= runs; run++) {
    const cache = new NodeCache();
    for (let index = 0; index < nodesInSnapshot; index++) cache.setNode(nodeAt(index));
    place(cache, 0, podsBefore, spec);
    const begin = performance.now();
    place(cache, podsBefore, podsPerRun, spec);
    const perSecond = (podsPerRun / (performance.now() - begin)) * 1000;
    // The first run only warms up.
    if (run > 0) results.push(perSecond);
  }
  return results;
}

async function createAll(
  server: BenchServer,
  path: string,
  objects: readonly unknown[],
): Promise<void> {
  const sessions = Array.from({ length: 16 }, () => server.connect());
  let next = 0;
  await Promise.all(
    sessions.map(async (session) => {
      for (let index = next++; index < objects.length; index = next++) {
        const { status } = await server.request("POST", path, objects[index], session);
        if (status !== 201) throw new Error(`create answered ${status}`);
      }
      session.destroy();
    }),
  );
}

async function boundPerSecond(): Promise<number[]> {
  const results: number[] = [];
  for (let run = 0; run < runs; run++) {
    const server = new BenchServer(["--disable-agent"]);
    try {
      await server.start();
      const nodes = Array.from({ length: nodesInApi }, (_, index) => nodeAt(index));
      await createAll(server, "/api/v1/nodes", nodes);
      const list = "/api/v1/namespaces/default/pods?limit=1&fieldSelector=spec.nodeName%3D";
      const pods = Array.from({ length: podsThroughApi }, (_, index) => {
        const { uid: _made, ...metadata } = podAt(index, {}).metadata;
        return { ...podAt(index, {}), metadata };
      });
      const begin = performance.now();
      await createAll(server, "/api/v1/namespaces/default/pods", pods);
      await server.until(async () => {
        const { items } = JSON.parse((await server.get(list)).body) as { items: unknown[] };
        return items.length === 0;
      });
      results.push((podsThroughApi / (performance.now() - begin)) * 1000);
    } finally {
      await server.destroy();
    }
  }
  return results;
}

export const schedulerBench: Bench = {
  name: "scheduler",
  async run(): Promise<readonly Measure[]> {
    const decided = Object.entries(shapes).map(([name, spec]) => ({
      name: `${name}, ${nodesInSnapshot} nodes, snapshot`,
      unit: "pods/s",
      runs: decisionsPerSecond(spec),
      // The other shapes look at all pods: told, and not held against anything.
      ...(name === "SchedulingBasic" ? { budget: "≥ 2000" } : {}),
    }));
    const bound = {
      name: `created and bound through the API, ${nodesInApi} nodes`,
      unit: "pods/s",
      runs: await boundPerSecond(),
      budget: "≥ 800",
    };
    return [...decided, bound];
  },
};
