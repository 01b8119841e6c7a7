/**
 * The node lifecycle controller: a node whose kubelet falls silent becomes Unknown, conditions
 * become taints, and taints evict the pods that do not tolerate them.
 */
import { leases, nodes, pods } from "../../client/resources.ts";
import type { Node, NodeCondition, Pod } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../../live/controller.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { indexPodsByNode, podsByNode } from "../../live/pods-by-node.ts";
import type { Counter, Metrics } from "../../runtime/metrics.ts";
import { formatTime, isDeleting, mutable, timeNow } from "../objects.ts";
import { isPodReady, type LivePod } from "../pod-state.ts";
import {
  evictionTimeMs,
  type LiveNode,
  planLabels,
  planTaints,
  taintId,
  wantsEviction,
} from "./taints.ts";
import { type Permission, ZonePace, zoneOf, zonesOf } from "./zones.ts";

/** How long a silent node counts as alive (upstream's node-monitor-grace-period). */
const graceMs = 50_000;
/** A new node gets longer for its first heartbeat. */
const startupGraceMs = 60_000;
const monitorMs = 5_000;

interface Heartbeat {
  readonly text: string;
  readonly seenAtMs: number;
}

/** Creates the node lifecycle controller. */
export function createNodeLifecycleController(
  context: ControllerContext,
  metrics: Metrics,
): Controller {
  const nodeSet = context.live.of(nodes);
  const podSet = context.live.of(pods);
  indexPodsByNode(podSet);
  const reconciler = new NodeReconciler(context, podSet, metrics);
  return {
    name: "node-lifecycle",
    concurrent: 5,
    watches: [
      watchRule(nodes, ({ now }) => [now.key]),
      watchRule(pods, ({ type, now, before }) => {
        const { nodeName } = now.object.spec;
        const isNew = before === undefined || before.object.spec.nodeName !== nodeName;
        return nodeName && isNew && type !== "deleted" ? [nodeName] : [];
      }),
    ],
    async reconcile(key) {
      const node = nodeSet.get(key)?.object;
      if (node !== undefined) return await reconciler.reconcile(node);
      reconciler.forget(key);
      return "done";
    },
  };
}

class NodeReconciler {
  readonly #context: ControllerContext;
  readonly #pods: LiveSet<Pod>;
  readonly #heartbeats = new Map<string, Heartbeat>();
  readonly #pace = new ZonePace();
  readonly #taints = new Map<string, ReadonlyMap<string, number>>();

  readonly #evictions: Counter;

  constructor(context: ControllerContext, podSet: LiveSet<Pod>, metrics: Metrics) {
    this.#context = context;
    this.#pods = podSet;
    this.#evictions = metrics.counter(
      "node_collector_evictions_total",
      "Nodes that began to lose their pods, by zone.",
    );
  }

  forget(name: string): void {
    this.#heartbeats.delete(name);
    this.#taints.delete(name);
  }

  async reconcile(node: LiveNode): Promise<Outcome> {
    const nowMs = this.#context.runtime.clock.now().getTime();
    const { name = "" } = node.metadata;
    if (!this.#heartbeats.has(name)) {
      const message = `Node ${name} event: Registered Node ${name} in Controller`;
      this.#context.events.event(node, "Normal", "RegisteredNode", message);
    }
    const silent = this.#silence(node);
    let current = node;
    if (silent !== undefined) {
      const conditions = planSilentConditions(node, silent, new Date(nowMs));
      if (conditions !== undefined) {
        const status = { ...mutable<Node>(node).status, conditions };
        current = await this.#context.client.update(
          nodes,
          { ...mutable<Node>(node), status },
          { subresource: "status" },
        );
      }
    }
    current = await this.#setTaints(current);
    const isReady = current.status?.conditions?.some(
      (c) => c.type === "Ready" && c.status === "True",
    );
    const onNode = Array.from(
      this.#pods.by(podsByNode, node.metadata.name ?? ""),
      ({ object }) => object,
    );
    if (!isReady) for (const pod of onNode) await this.#markNotReady(pod);
    const nextMs = await this.#evict(current, onNode, nowMs);
    return { againInMs: Math.min(monitorMs, Math.max(1, nextMs - nowMs)) };
  }

  async #setTaints(node: LiveNode): Promise<LiveNode> {
    const permission = this.#permission(node);
    const taints = planTaints(node, timeNow(this.#context.runtime.clock), permission);
    const labels = planLabels(node);
    if (taints === undefined && labels === undefined) return node;
    const copy = mutable<Node>(node);
    copy.metadata.labels = { ...copy.metadata.labels, ...labels };
    if (taints !== undefined) copy.spec = { ...copy.spec, taints };
    const updated = await this.#context.client.update(nodes, copy);
    if (wantsEviction(node) && !wantsEviction(updated)) this.#evictions.add({ zone: zoneOf(node) });
    return updated;
  }

  /** Asked only where it matters: a permission to add is used up. */
  #permission(node: LiveNode): Permission {
    const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
    if (ready === undefined || ready.status === "True") return "wait";
    const all = Array.from(this.#context.live.of(nodes).list(), ({ object }) => object).filter(
      ({ metadata }) => metadata.name !== node.metadata.name,
    );
    const isWanted = wantsEviction(node);
    return isWanted || isAllDown([node, ...all])
      ? this.#pace.ask(node, [node, ...all], this.#context.runtime.clock.monotonicMs())
      : "wait";
  }

  /** Why the node counts as silent; a heartbeat is any change of its lease or its Ready time. */
  #silence(node: LiveNode): "never" | "stopped" | undefined {
    // What a clock on the wall shows may jump: what counts is for how long nothing was heard.
    const nowMs = this.#context.runtime.clock.monotonicMs();
    const name = node.metadata.name ?? "";
    const lease = this.#context.live.of(leases).get(`kube-node-lease/${name}`)?.object;
    const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
    const renewed = lease?.spec?.renewTime ?? "";
    const beaten = ready?.status === "Unknown" ? "" : (ready?.lastHeartbeatTime ?? "");
    const text = `${renewed}|${beaten}`;
    const known = this.#heartbeats.get(name);
    const isRevived = known !== undefined && known.text !== text && text !== `${renewed}|`;
    if (known === undefined || isRevived || renewedLater(known.text, text)) {
      this.#heartbeats.set(name, { text, seenAtMs: nowMs });
      return undefined;
    }
    const limitMs = ready === undefined ? startupGraceMs : graceMs;
    if (nowMs - known.seenAtMs <= limitMs) return undefined;
    return ready === undefined ? "never" : "stopped";
  }

  async #markNotReady(pod: LivePod): Promise<void> {
    if (!isPodReady(pod)) return;
    const copy = mutable<Pod>(pod);
    const conditions = (copy.status?.conditions ?? []).map((condition) =>
      condition.type === "Ready"
        ? {
            ...condition,
            status: "False",
            lastTransitionTime: timeNow(this.#context.runtime.clock),
          }
        : condition,
    );
    try {
      const status = { ...copy.status, conditions };
      await this.#context.client.update(pods, { ...copy, status }, { subresource: "status" });
      this.#context.events.event(pod, "Warning", "NodeNotReady", "Node is not ready");
    } catch (error) {
      if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
    }
  }

  /** Deletes the pods whose time is up; returns when the next one's is. */
  async #evict(node: LiveNode, onNode: readonly LivePod[], nowMs: number): Promise<number> {
    let nextMs = Number.POSITIVE_INFINITY;
    const seen = this.#seenTaints(node, nowMs);
    for (const pod of onNode) {
      const atMs = evictionTimeMs(pod, node, nowMs, (taint) => seen.get(taintId(taint)) ?? nowMs);
      if (atMs === undefined || isDeleting(pod)) continue;
      if (atMs > nowMs) nextMs = Math.min(nextMs, atMs);
      else await this.#evictPod(pod, nowMs);
    }
    return nextMs;
  }

  /** Since when each of the node's taints is known. */
  #seenTaints(node: LiveNode, nowMs: number): ReadonlyMap<string, number> {
    const name = node.metadata.name ?? "";
    const before = this.#taints.get(name);
    const ids = (node.spec?.taints ?? []).map(taintId);
    const seen = new Map(ids.map((id) => [id, before?.get(id) ?? nowMs]));
    this.#taints.set(name, seen);
    return seen;
  }

  async #evictPod(pod: LivePod, nowMs: number): Promise<void> {
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    const { client, events } = this.#context;
    const message = `Marking for deletion Pod ${namespace}/${name}`;
    events.event(pod, "Normal", "TaintManagerEviction", message);
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByTaintManager",
      message: "Taint manager: deleting due to NoExecute taint",
      lastTransitionTime: formatTime(new Date(nowMs)),
    };
    try {
      const body = { metadata: { uid }, status: { conditions: [condition] } };
      await client.patch(pods, namespace, name, "strategic", body, { subresource: "status" });
      await client.delete(pods, namespace, name, { preconditions: { uid } });
    } catch (error) {
      if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
    }
  }
}

function isAllDown(all: readonly LiveNode[]): boolean {
  const zones = [...zonesOf(all).values()];
  return zones.length > 0 && zones.every(({ state }) => state === "full");
}

function renewedLater(before: string, now: string): boolean {
  return before.split("|")[0] !== now.split("|")[0];
}

const kubeletConditions = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] as const;

/** The conditions of a silent node, or undefined when they say so already. */
export function planSilentConditions(
  node: LiveNode,
  silence: "never" | "stopped",
  now: Date,
): NodeCondition[] | undefined {
  const present = mutable<NodeCondition[]>(node.status?.conditions ?? []);
  const isTold = kubeletConditions.every((type) =>
    present.some((condition) => condition.type === type && condition.status === "Unknown"),
  );
  if (isTold) return undefined;
  const time = formatTime(now);
  const texts = {
    never: ["NodeStatusNeverUpdated", "Kubelet never posted node status."],
    stopped: ["NodeStatusUnknown", "Kubelet stopped posting node status."],
  } as const;
  const [reason, message] = texts[silence];
  const conditions = present.map((condition) => {
    const isOurs = kubeletConditions.some((type) => type === condition.type);
    if (!isOurs || condition.status === "Unknown") return condition;
    return { ...condition, status: "Unknown", reason, message, lastTransitionTime: time };
  });
  for (const type of kubeletConditions) {
    if (conditions.some((condition) => condition.type === type)) continue;
    const lastHeartbeatTime = node.metadata.creationTimestamp ?? time;
    conditions.push({
      type,
      status: "Unknown",
      lastHeartbeatTime,
      lastTransitionTime: time,
      reason: "NodeStatusNeverUpdated",
      message: "Kubelet never posted node status.",
    });
  }
  return conditions;
}
