/** The usage of nodes and pods, from two looks at each kubelet's `/metrics/resource`. */
import { nodes } from "../../client/resources.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import type { NodeConnector } from "../node-connector.ts";

/** What something used: over `windowMs` until `atMs`. */
export interface Usage {
  readonly cpuNanoCores: number;
  readonly memoryBytes: number;
  readonly atMs: number;
  readonly windowMs: number;
}
export interface UsageSource {
  node(name: string): Usage | undefined;
  /** By container name; undefined when not all of them have been seen twice. */
  pod(namespace: string, name: string): ReadonlyMap<string, Usage> | undefined;
}

/** One look: cumulative processor time, memory in use. */
interface Sample {
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
  readonly atMs: number;
}
/** Samples of one node by what they are of: "" is the node, else `namespace/pod/container`. */
export type Samples = ReadonlyMap<string, Sample>;

const limits = { everyMs: 15_000, secondLookMs: 2000, answerMs: 10_000 } as const;

export class UsageCollector implements UsageSource {
  readonly #looks = new Map<string, { readonly last: Samples; readonly usage: Usages }>();

  constructor(
    private readonly connector: NodeConnector,
    private readonly runtime: Runtime,
  ) {}

  /** Looks at all nodes until the scope ends; the second look comes soon after the first. */
  start(scope: Scope, live: LiveSets): void {
    scope.task("usage", async (signal) => {
      const set = live.of(nodes);
      await set.ready(signal);
      for (let waitMs: number = limits.secondLookMs; !signal.aborted; waitMs = limits.everyMs) {
        const names = Array.from(set.list(), ({ key }) => key);
        for (const name of this.#looks.keys()) if (!names.includes(name)) this.#looks.delete(name);
        await Promise.all(names.map((name) => this.look(name, signal)));
        await this.runtime.clock.sleep(waitMs, signal);
      }
    });
  }

  /** Takes one sample of a node; a node that does not answer keeps nothing. */
  async look(name: string, signal: AbortSignal): Promise<void> {
    const known = this.#looks.get(name);
    try {
      const text = await this.#ask(name, signal);
      const last = samplesOf(text, this.runtime.clock.now().getTime());
      this.#looks.set(name, { last, usage: usagesOf(known?.last, last) });
    } catch (error) {
      if (signal.aborted) return;
      this.#looks.delete(name);
      this.runtime.log.debug("A node does not tell its usage", { node: name, error });
    }
  }

  async #ask(name: string, signal: AbortSignal): Promise<string> {
    const both = AbortSignal.any([signal, AbortSignal.timeout(limits.answerMs)]);
    const request = new Request("https://node/metrics/resource", { signal: both });
    const response = await this.connector.nodeFetch(name, request);
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status}: ${text.slice(0, 200)}`);
    return text;
  }

  node(name: string): Usage | undefined {
    return this.#looks.get(name)?.usage.get("");
  }

  pod(namespace: string, name: string): ReadonlyMap<string, Usage> | undefined {
    const prefix = `${namespace}/${name}/`;
    const found = new Map<string, Usage>();
    for (const { last, usage } of this.#looks.values()) {
      for (const key of last.keys()) {
        if (!key.startsWith(prefix)) continue;
        const one = usage.get(key);
        if (one === undefined) return undefined;
        found.set(key.slice(prefix.length), one);
      }
    }
    return found.size === 0 ? undefined : found;
  }
}

type Usages = ReadonlyMap<string, Usage>;

/** What lies between two looks; what was started anew in between is left out. */
export function usagesOf(before: Samples | undefined, after: Samples): Usages {
  const usages = new Map<string, Usage>();
  for (const [key, { cpuSeconds, memoryBytes, atMs }] of after) {
    const earlier = before?.get(key);
    const windowMs = atMs - (earlier?.atMs ?? atMs);
    if (earlier === undefined || windowMs <= 0 || cpuSeconds < earlier.cpuSeconds) continue;
    const cpuNanoCores = ((cpuSeconds - earlier.cpuSeconds) * 1e12) / windowMs;
    usages.set(key, { cpuNanoCores: Math.round(cpuNanoCores), memoryBytes, atMs, windowMs });
  }
  return usages;
}

const cpuNames = /^(node|container)_cpu_usage_seconds_total$/;
const memoryNames = /^(node|container)_memory_working_set_bytes$/;
const metricLine = /^([a-z_]+)(?:\{([^}]*)\})? (\S+)(?: (\d+))?$/;

/** Reads the Prometheus text of `/metrics/resource`; lines without a time are of `nowMs`. */
export function samplesOf(text: string, nowMs: number): Samples {
  const cpu = new Map<string, { readonly value: number; readonly atMs: number }>();
  const memory = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, name = "", labels = "", value = "", time] = metricLine.exec(line) ?? [];
    if (cpuNames.test(name)) {
      cpu.set(keyOf(name, labels), { value: Number(value), atMs: time ? Number(time) : nowMs });
    } else if (memoryNames.test(name)) memory.set(keyOf(name, labels), Number(value));
  }
  const samples = new Map<string, Sample>();
  for (const [key, { value: cpuSeconds, atMs }] of cpu) {
    const memoryBytes = memory.get(key);
    if (memoryBytes !== undefined) samples.set(key, { cpuSeconds, memoryBytes, atMs });
  }
  return samples;
}

function keyOf(name: string, labels: string): string {
  if (name.startsWith("node_")) return "";
  const of = (label: string): string =>
    new RegExp(`(?:^|,)${label}="([^"]*)"`).exec(labels)?.[1] ?? "";
  return `${of("namespace")}/${of("pod")}/${of("container")}`;
}
