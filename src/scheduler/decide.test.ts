import { expect, test } from "bun:test";
import type { Node, Pod } from "../gen/core-v1.ts";
import { selectorOfMap } from "../lib/selector.ts";
import { decide, fitMessage, nodesToFind } from "./decide.ts";
import { emptyNodeInfo, type Snapshot, snapshotOf, withPod } from "./node-info.ts";
import { planPreemption } from "./preemption.ts";
import { defaultProfile } from "./profile.ts";
import { emptyView } from "./view.ts";

const view = emptyView;

function node(
  name: string,
  edit: Partial<Node["spec"]> & { labels?: Record<string, string> } = {},
): Node {
  const { labels, ...spec } = edit;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...labels } },
    spec,
    status: { allocatable: { cpu: "2", memory: "4Gi", pods: "110" } },
  };
}

let uids = 0;
function pod(
  name: string,
  spec: Partial<Pod["spec"]> = {},
  labels: Record<string, string> = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: `u${++uids}`, labels },
    spec: { containers: [{ name: "c", image: "i" }], ...spec },
  };
}

const asks = (cpu: string): Partial<Pod["spec"]> => ({
  containers: [{ name: "c", image: "i", resources: { requests: { cpu } } }],
});

function snapshot(...nodes: readonly (readonly [Node, ...Pod[]])[]): Snapshot {
  return snapshotOf(nodes.map(([n, ...on]) => on.reduce(withPod, emptyNodeInfo(n))));
}

function run(wanted: Pod, at: Snapshot) {
  return decide({
    pod: wanted,
    snapshot: at,
    view,
    profile: defaultProfile,
    nominations: new Map(),
    startIndex: 0,
    random: () => 0,
  });
}

const table: readonly (readonly [string, Pod, Snapshot, string])[] = [
  ["resources", pod("a", asks("3")), snapshot([node("n")]), "1 Insufficient cpu"],
  [
    "extended resources",
    pod("a", {
      containers: [{ name: "c", image: "i", resources: { requests: { "example.com/gpu": "1" } } }],
    }),
    snapshot([node("n")]),
    "1 Insufficient example.com/gpu",
  ],
  [
    "taints",
    pod("a"),
    snapshot([node("n", { taints: [{ key: "k", value: "v", effect: "NoSchedule" }] })]),
    "1 node(s) had untolerated taint(s)",
  ],
  [
    "cordon",
    pod("a"),
    snapshot([node("n", { unschedulable: true })]),
    "1 node(s) were unschedulable",
  ],
  [
    "nodeSelector",
    pod("a", { nodeSelector: { disk: "ssd" } }),
    snapshot([node("n")], [node("m")]),
    "2 node(s) didn't match Pod's node affinity/selector",
  ],
  [
    "declared features",
    pod("a", {
      containers: [
        { name: "c", image: "i", restartPolicyRules: [{ action: "RestartAllContainers" }] },
      ],
    }),
    snapshot([node("n")]),
    "1 node(s) didn't match Pod's required features",
  ],
  [
    "host ports",
    pod("a", {
      containers: [{ name: "c", image: "i", ports: [{ containerPort: 1, hostPort: 80 }] }],
    }),
    snapshot([
      node("n"),
      pod("b", {
        containers: [
          {
            name: "c",
            image: "i",
            ports: [{ containerPort: 1, hostPort: 80, hostIP: "10.0.0.1" }],
          },
        ],
      }),
    ]),
    "1 node(s) didn't have free ports for the requested pod ports",
  ],
  [
    "anti-affinity",
    pod(
      "a",
      {
        affinity: {
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              {
                topologyKey: "kubernetes.io/hostname",
                labelSelector: { matchLabels: { app: "x" } },
              },
            ],
          },
        },
      },
      { app: "x" },
    ),
    snapshot([node("n"), pod("b", {}, { app: "x" })]),
    "1 node(s) didn't match pod anti-affinity rules",
  ],
  [
    "spread",
    pod(
      "a",
      {
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: "zone",
            whenUnsatisfiable: "DoNotSchedule",
            labelSelector: { matchLabels: { app: "x" } },
          },
        ],
      },
      { app: "x" },
    ),
    snapshot(
      [node("n", { labels: { zone: "a" } }), pod("b", {}, { app: "x" })],
      [node("m", { labels: { zone: "b" }, unschedulable: true })],
    ),
    "1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable",
  ],
];

for (const [what, wanted, at, reason] of table) {
  test(`decide() refuses for ${what} in upstream's words`, () => {
    expect(run(wanted, at)).toMatchObject({
      node: undefined,
      message: `0/${at.nodes.length} nodes are available: ${reason}.`,
    });
  });
}

test("decide() prefers the emptier node", () => {
  const at = snapshot([node("a"), pod("x", asks("1"))], [node("b")]);
  expect(run(pod("new", asks("500m")), at)).toMatchObject({ node: "b" });
});

test("decide() counts init containers by their peak and sidecars throughout", () => {
  const init = (cpu: string, restartPolicy?: string) => ({
    name: `i${cpu}`,
    image: "i",
    resources: { requests: { cpu } },
    ...(restartPolicy === undefined ? {} : { restartPolicy }),
  });
  const fits = pod("a", { ...asks("1"), initContainers: [init("2")] });
  expect(run(fits, snapshot([node("n")]))).toMatchObject({ node: "n" });
  const tooMuch = pod("a", {
    ...asks("1"),
    initContainers: [init("500m", "Always"), init("1600m")],
  });
  expect(run(tooMuch, snapshot([node("n")]))).toMatchObject({ node: undefined });
});

test("planPreemption() takes the least important victims and spares the rest", () => {
  const low = pod("low", { ...asks("1"), priority: 1 });
  const mid = pod("mid", { ...asks("1"), priority: 5 });
  const at = snapshot([node("n"), low, mid]);
  const wanted = pod("high", { ...asks("1"), priority: 10 });
  const decision = run(wanted, at);
  if (decision.node !== undefined) throw new Error("It must not fit");
  const input = {
    pod: wanted,
    snapshot: at,
    view,
    profile: defaultProfile,
    nominations: new Map(),
    budgets: [],
    random: () => 0,
  };
  const { rejections } = decision;
  expect(planPreemption({ ...input, rejections })).toEqual({ node: "n", victims: [low] });
  const never = pod("never", { ...asks("1"), priority: 10, preemptionPolicy: "Never" });
  expect(planPreemption({ ...input, rejections, pod: never })).toMatchObject({
    message: "preemption: not eligible due to preemptionPolicy=Never.",
  });
});

test("nodesToFind() looks at all of a hundred nodes and at a share of more", () => {
  expect([nodesToFind(50), nodesToFind(100), nodesToFind(1000), nodesToFind(6000)]).toEqual([
    50, 100, 420, 300,
  ]);
  expect(fitMessage(0, [])).toBe("0/0 nodes are available:");
});

test("a pod that names its node is told so of all the others", () => {
  const named = pod("daemon", {
    ...asks("3"),
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            { matchFields: [{ key: "metadata.name", operator: "In", values: ["n"] }] },
          ],
        },
      },
    },
  });
  expect(run(named, snapshot([node("m")], [node("n")], [node("o")]))).toMatchObject({
    message:
      "0/3 nodes are available: 1 Insufficient cpu, " +
      "2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
  });
});

test("pods of one group spread over hosts without asking for it", () => {
  const group = { app: "web" };
  const grouped = { ...view, groupSelector: () => selectorOfMap(group) };
  const decision = decide({
    pod: pod("c", {}, group),
    snapshot: snapshot(
      [node("m"), pod("a", {}, group), pod("b", {}, group)],
      [node("n"), pod("x"), pod("y")],
    ),
    view: grouped,
    profile: defaultProfile,
    nominations: new Map(),
    startIndex: 0,
    random: () => 0,
  });
  expect(decision.node).toBe("n");
});

test("profiles turn filters off and weigh scores their own way", () => {
  const profile = {
    ...defaultProfile,
    filters: new Set(defaultProfile.filters),
    fit: { ...defaultProfile.fit, type: "MostAllocated" as const },
    weights: { NodeResourcesFit: 1 },
  };
  profile.filters.delete("NodeUnschedulable");
  const at = snapshot([node("m", { unschedulable: true }), pod("a", asks("1"))], [node("n")]);
  const input = { pod: pod("b", asks("500m")), snapshot: at, view, nominations: new Map() };
  const more = { startIndex: 0, random: () => 0 };
  expect(decide({ ...input, ...more, profile }).node).toBe("m");
  expect(decide({ ...input, ...more, profile: defaultProfile }).node).toBe("n");
});
