/** The whole request path in the process: door, fairness, authorization, pipeline, store. */
import { FlowControl } from "../api/flowcontrol/flow-control.ts";
import { WatchCounts } from "../api/flowcontrol/watch-counts.ts";
import { createApiApp } from "../api/http.ts";
import { webFetch } from "../api/test-http.ts";
import { createMetrics, type Metrics } from "../runtime/metrics.ts";
import { openWorld, type World } from "./test-world.ts";

export interface TestApp extends AsyncDisposable {
  readonly world: World;
  readonly metrics: Metrics;
  /** As the user that `x-user` names; without it as an administrator. */
  send(path: string, init?: RequestInit): Promise<Response>;
}

export async function openApp(): Promise<TestApp> {
  const world = await openWorld();
  const { runtime, live, client, pipeline } = world;
  const watches = new WatchCounts();
  const metrics = createMetrics();
  const app = createApiApp({
    pipeline,
    runtime,
    metrics,
    gate: new FlowControl({ runtime, live, client, metrics, watches, serverLimit: 600 }),
    authenticate: async (headers) => {
      const name = headers.get("x-user") ?? "root";
      const groups = name === "root" ? ["system:masters"] : [];
      return { name, uid: "", groups: [...groups, "system:authenticated"], extra: {} };
    },
    health: async () => [],
    version: {},
    serverAddress: "",
  });
  return {
    world,
    metrics,
    send: (path, init = {}) => webFetch(app, new Request(`https://localhost${path}`, init)),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

/** Four requests that differ in everything from those of any other `index`. */
export async function sendDistinct({ send }: TestApp, index: number): Promise<void> {
  const i = index;
  const headers = { "x-user": `user-${i}`, "user-agent": `agent-${i}`, "audit-id": `id-${i}` };
  const accept = `application/json;v=${i}`;
  const maps = "/api/v1/namespaces/default/configmaps";
  for (const [path, init] of [
    [`/apis/group-${i}.example.com/v${i}/things-${i}/name-${i}`, { headers }],
    [`/path-${i}/of/nothing?query-${i}`, { headers }],
    [`${maps}/name-${i}`, { headers: { ...headers, accept } }],
    [`${maps}?labelSelector=l${i}`, { headers, method: "OPTIONS" }],
  ] as const)
    await (await send(path, init)).bytes();
}
