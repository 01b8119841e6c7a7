/** Scheduler extenders: services that filter, score, bind and preempt beside the scheduler. */
import type { Runtime, TlsOptions } from "../runtime/runtime.ts";
import type { LivePod } from "./amounts.ts";
import type { Rejection } from "./filters.ts";
import type { NodeInfo } from "./node-info.ts";
import type { Candidate } from "./preemption.ts";

/** One row of `extenders` in a KubeSchedulerConfiguration; an absent verb is not supported. */
export interface ExtenderSettings {
  /** Without a slash at the end. */
  readonly urlPrefix: string;
  readonly filterVerb: string | undefined;
  readonly prioritizeVerb: string | undefined;
  readonly preemptVerb: string | undefined;
  readonly bindVerb: string | undefined;
  /** How much its scores of 0 to 10 count. */
  readonly weight: number;
  readonly timeoutMs: number;
  readonly tls: TlsOptions;
  /** It knows the nodes and wants their names only. */
  readonly nodeCacheCapable: boolean;
  /** Only pods that ask for one of these concern it; all pods when there are none. */
  readonly managedResources: ReadonlySet<string>;
  /** Scheduling goes on without it when it fails. */
  readonly ignorable: boolean;
}

export interface FilterOutcome {
  readonly feasible: readonly NodeInfo[];
  readonly rejections: ReadonlyMap<string, Rejection>;
}

/** An extender scores up to 10 where plugins score up to 100. */
const pointsPerScore = 10;

export class Extenders {
  constructor(
    private readonly all: readonly ExtenderSettings[],
    private readonly runtime: Runtime,
  ) {}

  /** True when some extender wants to have its say about the pod. */
  concern(pod: LivePod): boolean {
    return this.#interested(pod).length > 0;
  }

  /** One after the other, each with what the ones before have left. Throws what one says. */
  async filter(pod: LivePod, nodes: readonly NodeInfo[]): Promise<FilterOutcome> {
    const rejections = new Map<string, Rejection>();
    let feasible = nodes;
    for (const extender of this.#interested(pod)) {
      if (feasible.length === 0) break;
      if (extender.filterVerb === undefined) continue;
      const answer = await this.#unlessIgnored(extender, () =>
        this.#filterBy(extender, pod, feasible),
      );
      if (answer === undefined) continue;
      feasible = answer.feasible;
      for (const [node, rejection] of answer.rejections) rejections.set(node, rejection);
    }
    return { feasible, rejections };
  }

  /** Points by node name, to be added to the scheduler's own; one that fails gives none. */
  async prioritize(pod: LivePod, nodes: readonly NodeInfo[]): Promise<ReadonlyMap<string, number>> {
    const points = new Map<string, number>();
    const scorers = this.#interested(pod).filter((one) => one.prioritizeVerb !== undefined);
    const answers = scorers.map(async (extender) => {
      try {
        const body = argumentsFor(extender, pod, nodes);
        return { extender, list: await this.#send(extender, extender.prioritizeVerb, body) };
      } catch (error) {
        this.runtime.log.warn("An extender scores no nodes", {
          extender: extender.urlPrefix,
          error,
        });
        return { extender, list: [] };
      }
    });
    for (const { extender, list } of await Promise.all(answers)) {
      for (const row of Array.isArray(list) ? list : []) {
        const host = String(member(row, "Host"));
        const score = Number(member(row, "Score") ?? 0) * extender.weight * pointsPerScore;
        points.set(host, (points.get(host) ?? 0) + score);
      }
    }
    return points;
  }

  /** Undefined when the scheduler binds the pod itself. */
  binderOf(pod: LivePod): ((node: string) => Promise<void>) | undefined {
    const extender = this.#interested(pod).find(({ bindVerb }) => bindVerb !== undefined);
    if (extender === undefined) return undefined;
    const { name, namespace, uid } = pod.metadata;
    return async (node) => {
      const body = { PodName: name, PodNamespace: namespace, PodUID: uid, Node: node };
      refuse(await this.#send(extender, extender.bindVerb, body));
    };
  }

  /** The candidates that are left, with the victims the extenders say. Throws what one says. */
  async preempt(
    pod: LivePod,
    candidates: readonly Candidate[],
    nodes: readonly NodeInfo[],
  ): Promise<readonly Candidate[]> {
    let left = candidates;
    for (const extender of this.#interested(pod)) {
      if (left.length === 0) break;
      if (extender.preemptVerb === undefined) continue;
      const answer = await this.#unlessIgnored(extender, () =>
        this.#preemptBy(extender, pod, left, nodes),
      );
      left = answer ?? left;
    }
    return left;
  }

  #interested(pod: LivePod): readonly ExtenderSettings[] {
    if (this.all.length === 0) return this.all;
    const { containers, initContainers = [] } = pod.spec;
    const asked = new Set(
      [...containers, ...initContainers].flatMap(({ resources }) => [
        ...Object.keys(resources?.requests ?? {}),
        ...Object.keys(resources?.limits ?? {}),
      ]),
    );
    return this.all.filter(
      ({ managedResources }) =>
        managedResources.size === 0 || !managedResources.isDisjointFrom(asked),
    );
  }

  async #filterBy(
    extender: ExtenderSettings,
    pod: LivePod,
    nodes: readonly NodeInfo[],
  ): Promise<FilterOutcome> {
    const body = argumentsFor(extender, pod, nodes);
    const answer = refuse(await this.#send(extender, extender.filterVerb, body));
    const names = extender.nodeCacheCapable ? member(answer, "NodeNames") : undefined;
    const items = member(member(answer, "Nodes"), "items");
    const kept = (names ?? listOf(items).map((node) => nameOf(node))) as readonly string[];
    const byName = new Map(nodes.map((node) => [node.name, node]));
    const feasible = kept.map((name) => {
      const node = byName.get(name);
      if (node !== undefined) return node;
      const which = `extender "${extender.urlPrefix}" claims a filtered node "${name}"`;
      throw new Error(`${which} which is not found in the input node list`);
    });
    const rejections = new Map([
      ...rejectionsOf(member(answer, "FailedNodes"), false),
      ...rejectionsOf(member(answer, "FailedAndUnresolvableNodes"), true),
    ]);
    return { feasible, rejections };
  }

  async #preemptBy(
    extender: ExtenderSettings,
    pod: LivePod,
    candidates: readonly Candidate[],
    nodes: readonly NodeInfo[],
  ): Promise<readonly Candidate[]> {
    const { nodeCacheCapable, ignorable, urlPrefix } = extender;
    const victims = candidates.map(({ node, victims, violations }) => {
      const pods = nodeCacheCapable
        ? victims.map(({ metadata }) => ({ UID: metadata.uid ?? "" }))
        : victims;
      return [node, { Pods: pods, NumPDBViolations: violations }] as const;
    });
    const key = nodeCacheCapable ? "NodeNameToMetaVictims" : "NodeNameToVictims";
    const body = { Pod: pod, [key]: Object.fromEntries(victims) };
    const answer = await this.#send(extender, extender.preemptVerb, body);
    const left = Object.entries(member(answer, "NodeNameToMetaVictims") ?? {});
    const kept: Candidate[] = [];
    for (const [node, row] of left) {
      const info = nodes.find(({ name }) => name === node);
      const pods = listOf(member(row, "Pods")).map((victim) => {
        const uid = String(member(victim, "UID"));
        const found = info?.pods.get(uid);
        if (found !== undefined) return found;
        const claim = `extender: ${urlPrefix} claims to preempt pod (UID: ${uid}) on node: ${node}`;
        throw new Error(`${claim}, but the pod is not found on that node`);
      });
      const violations = Number(member(row, "NumPDBViolations") ?? 0);
      if (pods.length > 0) kept.push({ node, victims: pods, violations });
      else if (!ignorable) throw new Error(`expected at least one victim pod on node "${node}"`);
    }
    return kept;
  }

  async #unlessIgnored<T>(
    { ignorable, urlPrefix }: ExtenderSettings,
    work: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!ignorable) throw error;
      this.runtime.log.info("An extender failed and is skipped", { extender: urlPrefix, error });
      return undefined;
    }
  }

  async #send(
    { urlPrefix, tls, timeoutMs }: ExtenderSettings,
    verb = "",
    body: object,
  ): Promise<unknown> {
    const { clock, net } = this.runtime;
    const url = `${urlPrefix}/${verb}`;
    const over = new AbortController();
    const late = clock.sleep(timeoutMs, over.signal).then(() => {
      if (!over.signal.aborted) over.abort(new Error(`Post "${url}": context deadline exceeded`));
    });
    try {
      const headers = { "content-type": "application/json" };
      const request = new Request(url, {
        method: "POST",
        headers,
        body: JSON.stringify(body),
        signal: over.signal,
      });
      const response = await net.fetch(request, { tls });
      if (response.status !== 200) {
        const code = response.status;
        throw new Error(`failed ${verb} with extender at URL ${url}, code ${code}`);
      }
      return await response.json();
    } finally {
      over.abort();
      await late;
    }
  }
}

function argumentsFor(
  { nodeCacheCapable }: ExtenderSettings,
  pod: LivePod,
  nodes: readonly NodeInfo[],
): object {
  const names = nodes.map(({ name }) => name);
  if (nodeCacheCapable) return { Pod: pod, Nodes: null, NodeNames: names };
  return {
    Pod: pod,
    Nodes: { metadata: {}, items: nodes.map(({ node }) => node) },
    NodeNames: null,
  };
}

/** A member by its name in any case: Go's decoder, for which extenders are written, is as lax. */
function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  const entries = Object.entries(value);
  const wanted = name.toLowerCase();
  const found =
    entries.find(([key]) => key === name) ?? entries.find(([key]) => key.toLowerCase() === wanted);
  return found?.[1] ?? undefined;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function nameOf(node: unknown): string {
  return String(member(member(node, "metadata"), "name"));
}

/** The answer, unless it carries an error. */
function refuse(answer: unknown): unknown {
  const error = member(answer, "Error");
  if (typeof error === "string" && error !== "") throw new Error(error);
  return answer;
}

function rejectionsOf(
  failed: unknown,
  isFinal: boolean,
): readonly (readonly [string, Rejection])[] {
  return Object.entries(failed ?? {}).map(([node, reason]) => [
    node,
    { filter: "any", reasons: [String(reason)], isFinal },
  ]);
}
