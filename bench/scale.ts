/**
 * The API server with much in it: selections over many objects, watches that wait, informers, and
 * how late its event loop is under load. Objects are laid into the store before the start.
 */
import { join } from "node:path";
import { encodeStored } from "../src/live/live-object.ts";
import { createRuntime } from "../src/runtime/real.ts";
import type { KubeObject } from "../src/schema/object.ts";
import { openSqliteStore } from "../src/store/sqlite.ts";
import type { Bench, Measure } from "./main.ts";
import { BenchServer, usageOf } from "./server.ts";

const objectsSelected = 100_000;
const listsPerRun = 20;
const runs = 5;
const watches = 10_000;
const watchesPerConnection = 200;
const podsStored = 10_000;
const nodesStored = 1000;
const informers = 5;
const creators = 64;
const loadSeconds = 20;
const settleMs = 5000;
const configMaps = "/api/v1/namespaces/default/configmaps";
const pods = "/api/v1/namespaces/default/pods";

export const scaleBench: Bench = {
  name: "scale",
  run: async () => [...(await selections()), ...(await idleWatches()), ...(await fullCluster())],
};

function configMap(index: number): KubeObject {
  const name = `map-${String(index).padStart(6, "0")}`;
  const labels = { app: `app-${index % 100}` };
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { ...metadataOf(name, index), namespace: "default", labels },
    data: { key: `value ${index}` },
  } as KubeObject;
}

function podOf(index: number): KubeObject {
  const name = `pod-${String(index).padStart(6, "0")}`;
  const labels = { app: `app-${index % 100}`, "pod-template-hash": "5d4f8c7b9" };
  const resources = { requests: { cpu: "100m", memory: "64Mi" } };
  const podIP = `10.${42 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...metadataOf(name, index), namespace: "default", labels },
    spec: {
      nodeName: `node-${index % nodesStored}`,
      containers: [
        {
          name: "main",
          image: "nowhere.invalid/none:1",
          resources,
          imagePullPolicy: "IfNotPresent",
          terminationMessagePath: "/dev/termination-log",
          terminationMessagePolicy: "File",
        },
      ],
      restartPolicy: "Always",
      dnsPolicy: "ClusterFirst",
      schedulerName: "default-scheduler",
      serviceAccountName: "default",
      securityContext: {},
      terminationGracePeriodSeconds: 30,
      enableServiceLinks: true,
    },
    status: {
      phase: "Running",
      podIP,
      podIPs: [{ ip: podIP }],
      startTime: "2026-01-01T00:00:00Z",
      qosClass: "Burstable",
      conditions: ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map((type) => ({
        type,
        status: "True",
        lastTransitionTime: "2026-01-01T00:00:00Z",
      })),
    },
  } as KubeObject;
}

function nodeOf(index: number): KubeObject {
  const amounts = { cpu: "4", memory: "32Gi", pods: "110" };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      ...metadataOf(`node-${index}`, index),
      labels: { "kubernetes.io/hostname": `node-${index}` },
    },
    // Nothing is evicted from a node that nobody reports for.
    spec: { unschedulable: true },
    status: {
      allocatable: amounts,
      capacity: amounts,
      conditions: [
        {
          type: "Ready",
          status: "True",
          lastHeartbeatTime: new Date().toISOString(),
          lastTransitionTime: new Date().toISOString(),
        },
      ],
    },
  } as KubeObject;
}

function metadataOf(name: string, index: number) {
  const uid = `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`;
  return { name, uid, creationTimestamp: "2026-01-01T00:00:00Z" };
}

async function fill(server: BenchServer, plural: string, objects: readonly KubeObject[]) {
  const runtime = createRuntime({ logLevel: "error" });
  const path = join(server.dataDir, "server/db/state.db");
  await using store = await openSqliteStore(path, runtime, { compactEveryMs: 0 });
  const puts = objects.map((object) => {
    const { namespace, name } = object.metadata;
    const key = namespace === undefined ? name : `${namespace}/${name}`;
    return store.put(`/registry/${plural}/${key}`, encodeStored(object), 0);
  });
  await Promise.all(puts);
}

const many = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

async function selections(): Promise<readonly Measure[]> {
  const server = new BenchServer(["--disable-agent"]);
  try {
    await fill(server, "configmaps", many(objectsSelected, configMap));
    await server.start();
    const took: number[] = [];
    for (let run = 0; run <= runs; run++) {
      const before = usageOf(server.pid).cpuSeconds;
      for (let i = 0; i < listsPerRun; i++) {
        const { body } = await server.get(`${configMaps}?labelSelector=app%3Dnone`);
        if (JSON.parse(body).items.length !== 0) throw new Error("something was selected");
      }
      const ms = ((usageOf(server.pid).cpuSeconds - before) * 1000) / listsPerRun;
      if (run > 0) took.push(ms);
    }
    const name = `LIST by a label nobody has, ${objectsSelected} objects, processor time`;
    return [{ name, unit: "ms", runs: took, budget: "≤ 10" }];
  } finally {
    await server.destroy();
  }
}

async function idleWatches(): Promise<readonly Measure[]> {
  const server = new BenchServer(["--disable-agent"]);
  try {
    await server.start();
    await Bun.sleep(settleMs);
    const before = usageOf(server.pid).residentMb;
    let begun = 0;
    const query = `${configMaps}?watch=true&resourceVersion=0&allowWatchBookmarks=true`;
    const onResponse = (): void => {
      begun += 1;
    };
    for (let at = 0; at < watches; at += watchesPerConnection) {
      const session = server.connect();
      for (let i = 0; i < watchesPerConnection; i++) {
        server.watch(query, () => {}, session).once("response", onResponse);
      }
      await server.until(async () => begun === at + watchesPerConnection);
    }
    await Bun.sleep(settleMs);
    const after = usageOf(server.pid).residentMb;
    return [
      {
        name: `resident with ${watches} idle watches`,
        unit: "MB",
        runs: [after],
        budget: "≤ 260",
      },
      { name: "a watch of these", unit: "kB", runs: [((after - before) * 1024) / watches] },
    ];
  } finally {
    await server.destroy();
  }
}

async function fullCluster(): Promise<readonly Measure[]> {
  const server = new BenchServer(["--disable-agent"]);
  try {
    await fill(server, "minions", many(nodesStored, nodeOf));
    await fill(server, "pods", many(podsStored, podOf));
    await server.start();
    for (let i = 0; i < informers; i++) {
      const session = server.connect();
      for (const path of [pods, "/api/v1/nodes"]) {
        const { body } = await server.request("GET", path, undefined, session);
        const { metadata, items } = JSON.parse(body);
        const wanted = path === pods ? podsStored : nodesStored;
        if (items.length !== wanted) throw new Error(`${path} has ${items.length} objects`);
        const query = `${path}?watch=true&resourceVersion=${metadata.resourceVersion}`;
        server.watch(query, () => {}, session);
      }
    }
    // What its start and the lists left behind is collected once there is nothing to do.
    await server.atRest();
    await Bun.sleep(settleMs);
    const resident = usageOf(server.pid).residentMb;
    const stored = `${podsStored} pods, ${nodesStored} nodes, ${informers} informers`;
    return [
      { name: `resident: ${stored}`, unit: "MB", runs: [resident], budget: "≤ 300" },
      ...(await underLoad(server)),
    ];
  } finally {
    await server.destroy();
  }
}

function late(metrics: string, quantile: string): Pick<Measure, "unit" | "runs"> {
  const line = new RegExp(`^k3_event_loop_delay_seconds\\{quantile="${quantile}"\\} (.+)$`, "m");
  return { unit: "ms", runs: [Number(line.exec(metrics)?.[1]) * 1000] };
}

/** Creates as fast as they go, and a list of everything again and again. */
async function underLoad(server: BenchServer): Promise<readonly Measure[]> {
  // The first reading begins the measurement.
  await server.get("/metrics");
  const end = performance.now() + loadSeconds * 1000;
  let created = 0;
  const creating = many(creators, async (creator) => {
    const session = server.connect();
    for (let i = 0; performance.now() < end; i++) {
      const metadata = { name: `load-${creator}-${i}` };
      const object = { apiVersion: "v1", kind: "ConfigMap", metadata, data: { i: `${i}` } };
      const { status } = await server.request("POST", configMaps, object, session);
      if (status !== 201) throw new Error(`create answered ${status}`);
      created += 1;
    }
    session.destroy();
  });
  let lists = 0;
  const wide = server.connect({ isWide: true });
  for (; performance.now() < end; lists++) await server.request("GET", pods, undefined, wide);
  wide.destroy();
  await Promise.all(creating);
  const { body } = await server.get("/metrics");
  const by = `${creators} creators and a list at a time`;
  return [
    { name: `event loop late, 99.9th percentile: ${by}`, ...late(body, "0.999"), budget: "≤ 15" },
    { name: "the same, 99th percentile", ...late(body, "0.99") },
    { name: "the same, median", ...late(body, "0.5") },
    { name: "creates beside it", unit: "1/s", runs: [created / loadSeconds] },
    { name: "lists beside it", unit: "1/s", runs: [lists / loadSeconds] },
  ];
}
