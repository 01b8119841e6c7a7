/**
 * A cluster of 500 nodes without machines: 30 pods on each come, run and are told of, leases are
 * renewed as kubelets do. What the server needs for it, and how long its answers take meanwhile.
 */
import type { ClientHttp2Session } from "node:http2";
import type { Bench, Measure } from "./main.ts";
import { type Answer, BenchServer, usageOf } from "./server.ts";

const nodeCount = 500;
const podsPerNode = 30;
const replicasPerSet = 300;
const leaseEveryMs = 10_000;
const statusesAtOnce = 64;
const limitMs = 300_000;

interface PodEvent {
  readonly type: string;
  readonly object: {
    readonly metadata: {
      readonly name: string;
      readonly uid?: string;
      readonly resourceVersion?: string;
    };
    readonly spec?: { readonly nodeName?: string };
    readonly status?: { readonly phase?: string };
  };
}

export const nodesBench: Bench = {
  name: "nodes",
  async run(): Promise<readonly Measure[]> {
    // A range with a part for each of the nodes: the usual one has 256.
    const server = new BenchServer(["--disable-agent", "--cluster-cidr=10.128.0.0/14"]);
    try {
      await server.start();
      return await measure(server);
    } finally {
      await server.destroy();
    }
  },
};

async function measure(server: BenchServer): Promise<readonly Measure[]> {
  const session = server.connect();
  const latencies: number[] = [];
  const timed = async (method: string, path: string, body?: unknown) => {
    const begin = performance.now();
    const answer = await server.request(method, path, body, session);
    latencies.push(performance.now() - begin);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.body}`);
  };
  await createNodes(timed);
  const renewed = renewLeases(server, session);
  try {
    const begin = performance.now();
    const wanted = nodeCount * podsPerNode;
    const running = runPods(server, session, wanted, timed);
    for (let set = 0; set * replicasPerSet < wanted; set += 1) {
      await timed("POST", "/apis/apps/v1/namespaces/default/replicasets", replicaSet(set));
    }
    await running;
    const tookMs = performance.now() - begin;
    const { residentMb, cpuSeconds } = usageOf(server.pid);
    // At rest: only the leases go on.
    await Bun.sleep(2 * leaseEveryMs);
    const later = usageOf(server.pid);
    const idle = ((later.cpuSeconds - cpuSeconds) / (2 * leaseEveryMs)) * 1000 * 100;
    // A node that is silent for long loses its pods, which would be another measurement.
    if (renewed.failures > 0) throw new Error(`${renewed.failures} leases were not renewed`);
    return [
      { name: "15,000 pods on 500 nodes, all Running", unit: "s", runs: [tookMs / 1000] },
      { name: "pods per second, through all stages", unit: "/s", runs: [wanted / (tookMs / 1000)] },
      { name: "server resident", unit: "MB", runs: [residentMb], budget: "≤ 700" },
      {
        name: "answers to writes meanwhile, p99",
        unit: "ms",
        runs: [p99(latencies)],
        budget: "≤ 1000",
      },
      { name: "processor of the server at rest", unit: "%", runs: [idle] },
    ];
  } finally {
    clearInterval(renewed.timer);
    session.destroy();
  }
}

type Timed = (method: string, path: string, body?: unknown) => Promise<void>;

const nodeName = (index: number): string => `node-${index}`;

async function createNodes(timed: Timed): Promise<void> {
  const amounts = { cpu: "4", memory: "32Gi", pods: "110" };
  for (let index = 0; index < nodeCount; index += 1) {
    const name = nodeName(index);
    await timed("POST", "/api/v1/nodes", {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels: { "kubernetes.io/hostname": name } },
      status: {
        allocatable: amounts,
        capacity: amounts,
        conditions: [{ type: "Ready", status: "True", reason: "KubeletReady" }],
      },
    });
    await timed("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name },
      spec: { holderIdentity: name, leaseDurationSeconds: 40 },
    });
  }
}

/** Renews the leases of all nodes again and again, as kubelets do: on top of their last one. */
function renewLeases(server: BenchServer, session: ClientHttp2Session) {
  const versions = new Map<number, string>();
  const path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
  const versionIn = ({ status, body }: Answer): string => {
    if (status !== 200) throw new Error(body);
    return JSON.parse(body).metadata.resourceVersion;
  };
  const renew = async (index: number): Promise<void> => {
    const name = nodeName(index);
    const one = `${path}/${name}`;
    const resourceVersion =
      versions.get(index) ?? versionIn(await server.request("GET", one, undefined, session));
    const renewTime = new Date().toISOString().replace(/Z$/, "000Z");
    const lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name, resourceVersion },
      spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime },
    };
    versions.set(index, versionIn(await server.request("PUT", one, lease, session)));
  };
  let isUnderWay = false;
  const renewAll = async (): Promise<void> => {
    if (isUnderWay) return;
    isUnderWay = true;
    for (let index = 0; index < nodeCount; index += 1) {
      await renew(index).catch(() => {
        renewed.failures += 1;
      });
    }
    isUnderWay = false;
  };
  const renewed = { failures: 0, timer: setInterval(() => void renewAll(), leaseEveryMs) };
  return renewed;
}

function replicaSet(index: number) {
  const labels = { app: `set-${index}` };
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { name: `set-${index}` },
    spec: {
      replicas: replicasPerSet,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: "main", image: "registry.test/app:1" }] },
      },
    },
  };
}

/** Plays all kubelets: what is bound is told to run. Resolves once `wanted` pods do. */
function runPods(
  server: BenchServer,
  session: ClientHttp2Session,
  wanted: number,
  timed: Timed,
): Promise<void> {
  const told = new Set<string>();
  const waiting: PodEvent["object"][] = [];
  let under = 0;
  let running = 0;
  const done = Promise.withResolvers<void>();
  const late = setTimeout(() => done.reject(new Error(`${running} of ${wanted} run`)), limitMs);
  const next = (): void => {
    while (under < statusesAtOnce) {
      const pod = waiting.shift();
      if (pod === undefined) return;
      under += 1;
      void tell(pod, timed)
        .then(() => {
          running += 1;
          if (running === wanted) done.resolve();
        }, done.reject)
        .finally(() => {
          under -= 1;
          next();
        });
    }
  };
  let isOver = false;
  let version = "";
  const follow = (): void => {
    const from = version === "" ? "" : `&resourceVersion=${version}`;
    const path = `/api/v1/namespaces/default/pods?watch=true${from}`;
    // Who falls behind is sent away, and asks again from where it was.
    server.watch(path, seen, session).once("close", () => {
      if (!isOver) follow();
    });
  };
  const seen = (event: unknown): void => {
    const { object } = event as PodEvent;
    version = object.metadata.resourceVersion ?? version;
    const isBound = (object.spec?.nodeName ?? "") !== "" && object.status?.phase === "Pending";
    if (!isBound || told.has(object.metadata.name)) return;
    told.add(object.metadata.name);
    waiting.push(object);
    next();
  };
  follow();
  return done.promise.finally(() => {
    clearTimeout(late);
    isOver = true;
  });
}

let lastAddress = 10;

async function tell({ metadata }: PodEvent["object"], timed: Timed): Promise<void> {
  lastAddress += 1;
  const podIP = `10.${42 + (lastAddress >> 16)}.${(lastAddress >> 8) & 255}.${lastAddress & 255}`;
  const now = `${new Date().toISOString().slice(0, 19)}Z`;
  const conditions = ["Initialized", "ContainersReady", "Ready"].map((type) => ({
    type,
    status: "True",
    lastTransitionTime: now,
  }));
  await timed("PUT", `/api/v1/namespaces/default/pods/${metadata.name}/status`, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: metadata.name, uid: metadata.uid },
    status: { phase: "Running", conditions, podIP, podIPs: [{ ip: podIP }], startTime: now },
  });
}

function p99(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? 0;
}
