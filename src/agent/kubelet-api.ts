/** What a kubelet serves on 10250: logs, exec, attach, port-forward, pods, health. */
import { Hono } from "hono";
import { createMetrics } from "../runtime/metrics.ts";
import type { ByteStream } from "../runtime/runtime.ts";
import { criMessage } from "./cri/client.ts";
import type { Ingress } from "./ingress/ingress.ts";
import { latestOf, previousOf } from "./kubelet/cri-state.ts";
import type { Kubelet } from "./kubelet/kubelet.ts";
import { type LogOptions, readLog } from "./kubelet/log-reader.ts";
import { statsSummary } from "./kubelet/stats-summary.ts";
import { containersOf, type Pod } from "./kubelet/types.ts";
import { cadvisorMetrics, resourceMetrics, volumeMetrics } from "./kubelet/usage-metrics.ts";
import { VolumeStats } from "./kubelet/volume-stats.ts";
import { addCheckpoint } from "./kubelet-api-checkpoint.ts";
import { HttpError } from "./streaming/http-error.ts";
import { type ContainerRef, serveStream, type UpgradeHead } from "./streaming/streams.ts";

export interface KubeletApp {
  fetch(request: Request): Promise<Response>;
  /** Serves exec, attach and port-forward on a raw connection, until one side ends. */
  upgrade(head: UpgradeHead, socket: ByteStream): Promise<void>;
}

export interface KubeletAppOptions {
  readonly kubelet: Kubelet;
  /** Where Ingresses are served by this node. */
  readonly ingress?: Ingress;
}

export function createKubeletApp({ kubelet, ingress }: KubeletAppOptions): KubeletApp {
  const app = new Hono();
  app.onError((error, context) => {
    if (error instanceof HttpError) return context.text(error.message, error.status);
    return context.text(criMessage(error), 500);
  });
  app.get("/healthz", (context) => context.text("ok"));
  app.get("/healthz/:check", (context) => context.text("ok"));
  app.get("/pods", (context) =>
    context.json({ kind: "PodList", apiVersion: "v1", metadata: {}, items: kubelet.pods() }),
  );
  addPages(app, kubelet);
  if (ingress !== undefined) {
    app.get("/metrics/ingress", async () => metricsText(await ingress.metrics()));
  }
  addCheckpoint(app, kubelet);
  app.get("/containerLogs/:namespace/:pod/:container", (context) => {
    const { namespace, pod, container } = context.req.param();
    return containerLogs(kubelet, { namespace, pod, container }, context.req.raw);
  });
  return {
    fetch: async (request) => await app.fetch(request),
    upgrade: (head, socket) => serveStream(kubelet, head, socket),
  };
}

/** What a node tells of itself: settings, usage, metrics. */
function addPages(app: Hono, kubelet: Kubelet): void {
  const { context, machine, stats } = kubelet;
  app.get("/configz", (to) => to.json({ kubeletconfig: kubelet.config }));
  const volumeStats = new VolumeStats(context);
  app.get("/stats/summary", async (to) => {
    const { nodeName } = context;
    const pods = kubelet.pods();
    const [use, volumes] = await Promise.all([stats.read(), volumeStats.read(pods)]);
    return to.json(statsSummary({ use, volumes, nodeName, pods }));
  });
  app.get("/metrics/resource", async () =>
    metricsText(resourceMetrics(await stats.read(), kubelet.pods())),
  );
  app.get("/metrics/cadvisor", async () =>
    metricsText(cadvisorMetrics(await stats.read(), machine)),
  );
  app.get("/metrics", async () => {
    const volumes = await volumeStats.read(kubelet.pods());
    return metricsText(`${kubeletMetrics(kubelet)}${volumeMetrics(volumes)}`);
  });
  app.get("/metrics/probes", () => metricsText(context.prober.metrics.text()));
  const running = (): readonly Pod[] =>
    kubelet.pods().filter((pod) => {
      const { containers } = context.cache.peek(pod.metadata.uid ?? "");
      return containers.some(({ state }) => state === "running");
    });
  app.get("/runningpods/", (to) =>
    to.json({ kind: "PodList", apiVersion: "v1", metadata: {}, items: running() }),
  );
}

const metricsType = "text/plain; version=0.0.4; charset=utf-8";

function metricsText(text: string): Response {
  return new Response(text, { headers: { "Content-Type": metricsType } });
}

function kubeletMetrics({ context, pods }: Kubelet): string {
  const metrics = createMetrics();
  const containers = pods().flatMap((pod) => context.cache.peek(pod.metadata.uid ?? "").containers);
  const states = Map.groupBy(containers, ({ state }) => state);
  const node = metrics.gauge(
    "kubelet_node_name",
    "[STABLE] The node's name. The count is always 1.",
  );
  node.set({ node: context.nodeName }, 1);
  const running = metrics.gauge(
    "kubelet_running_pods",
    "[STABLE] Number of pods that have a running pod sandbox",
  );
  const isUp = (pod: Pod): boolean =>
    context.cache.peek(pod.metadata.uid ?? "").sandboxes.some(({ ready }) => ready);
  running.set({}, pods().filter(isUp).length);
  const byState = metrics.gauge(
    "kubelet_running_containers",
    "[STABLE] Number of containers currently running",
  );
  for (const [state, of] of states) byState.set({ container_state: state }, of.length);
  return metrics.text();
}

function integer(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new HttpError(400, `Cannot use "${text}" as ${name}: it must be a whole number`);
}

function logOptions(query: URLSearchParams, nowMs: number): LogOptions {
  const isTrue = (name: string): boolean => ["true", "1"].includes(query.get(name) ?? "");
  const seconds = integer(query, "sinceSeconds");
  const time = query.get("sinceTime");
  const stream = query.get("stream");
  return {
    follow: isTrue("follow"),
    tailLines: integer(query, "tailLines"),
    sinceMs:
      seconds !== undefined
        ? nowMs - seconds * 1000
        : time === null
          ? undefined
          : new Date(time).getTime(),
    timestamps: isTrue("timestamps"),
    limitBytes: integer(query, "limitBytes"),
    stream: stream === "Stdout" ? "stdout" : stream === "Stderr" ? "stderr" : undefined,
  };
}

async function containerLogs(
  kubelet: Kubelet,
  ref: ContainerRef,
  request: Request,
): Promise<Response> {
  const { host, runtime, cache } = kubelet.context;
  const query = new URL(request.url).searchParams;
  const options = logOptions(query, runtime.clock.now().getTime());
  const previous = ["true", "1"].includes(query.get("previous") ?? "");
  const { uid, path, id } = await logPath(kubelet, ref, previous);
  const isRunning = (): boolean =>
    cache.peek(uid).containers.some((entry) => entry.id === id && entry.state === "running");
  const stop = new AbortController();
  const signal = AbortSignal.any([request.signal, stop.signal]);
  const source = { host, clock: runtime.clock, path, isRunning };
  const chunks = readLog(source, options, signal);
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await chunks.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
    cancel() {
      stop.abort();
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/plain" } });
}

/** The log file of the container, or upstream's sentence on why there is none. */
async function logPath(
  kubelet: Kubelet,
  { namespace, pod, container }: ContainerRef,
  previous: boolean,
): Promise<{ readonly uid: string; readonly path: string; readonly id: string }> {
  const record = kubelet.findPod(namespace, pod);
  if (record === undefined) throw new HttpError(404, `pod "${pod}" does not exist`);
  const named = containersOf(record.pod).some((entry) => entry.container.name === container);
  if (!named) throw new HttpError(404, `container "${container}" not found in pod "${pod}"`);
  const cri = await kubelet.context.cache.read(record.uid);
  const latest = latestOf(cri, container);
  const where = `container "${container}" in pod "${pod}"`;
  if (previous) {
    // While a restart is waited for, the container that ended last is the previous one.
    const between = latest?.state === "exited" && record.waiting.has(container);
    const chosen = between ? latest : previousOf(cri, container);
    if (chosen === undefined) {
      throw new HttpError(400, `previous terminated ${where} not found`);
    }
    return { uid: record.uid, path: chosen.logPath, id: chosen.id };
  }
  if (latest === undefined) {
    const waiting = record.waiting.get(container);
    if (waiting === undefined) {
      const inits = record.pod.spec.initContainers?.length ?? 0;
      const reason = inits > 0 ? "PodInitializing" : "ContainerCreating";
      throw new HttpError(400, `${where} is waiting to start: ${reason}`);
    }
    const fixed = /Image|ErrImage/.test(waiting.reason);
    const reason = fixed ? `trying and failing to pull image` : waiting.reason;
    throw new HttpError(400, `${where} is waiting to start: ${reason}`);
  }
  return { uid: record.uid, path: latest.logPath, id: latest.id };
}
