/** Removes pods that nobody else will: of gone nodes, never placed, or over for too long. */
import { nodes, pods } from "../client/resources.ts";
import type { Node } from "../gen/core-v1.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { Controller, ControllerContext } from "../live/controller.ts";
import { byCreation, formatTime, isDeleting } from "./objects.ts";
import { isPodTerminal, type LivePod } from "./pod-state.ts";

const everyMs = 20_000;
/** A node must be gone this long: its object may just be re-created. */
const quarantineMs = 40_000;
const terminatedPodsMax = 12_500;

export interface GarbagePod {
  readonly pod: LivePod;
  readonly why: "orphaned" | "stuck" | "unplaced" | "old";
}

const outOfService = "node.kubernetes.io/out-of-service";

/** Someone says that the node is off for good: what stops there never will by itself. */
function isOutOfService({ spec, status }: DeepReadonly<Node>): boolean {
  const isReady = status?.conditions?.some((c) => c.type === "Ready" && c.status === "True");
  return isReady !== true && spec?.taints?.some(({ key }) => key === outOfService) === true;
}

/** Creates the pod garbage collector; it looks around every 20 seconds. */
export function createPodGarbageCollector(context: ControllerContext): Controller {
  const { client, live, runtime } = context;
  const podSet = live.of(pods);
  const nodeSet = live.of(nodes);
  const goneSince = new Map<string, number>();
  return {
    name: "pod-garbage-collector",
    concurrent: 1,
    watches: [],
    initialKeys: ["all"],
    async reconcile() {
      const now = runtime.clock.now();
      const all = Array.from(podSet.list(), ({ object }) => object);
      const missing = new Set(
        all
          .map((pod) => pod.spec.nodeName ?? "")
          .filter((name) => name !== "" && nodeSet.get(name) === undefined),
      );
      for (const name of goneSince.keys()) if (!missing.has(name)) goneSince.delete(name);
      for (const name of missing) {
        if (!goneSince.has(name)) goneSince.set(name, now.getTime());
      }
      const gone = new Set(
        [...goneSince]
          .filter(([, since]) => now.getTime() - since >= quarantineMs)
          .map(([name]) => name),
      );
      const off = new Set(
        Array.from(nodeSet.list())
          .filter(({ object }) => isOutOfService(object))
          .map(({ key }) => key),
      );
      for (const garbage of planPodGarbage(all, { gone, off })) await remove(garbage, now);
      return { againInMs: everyMs };
    },
  };

  async function remove({ pod, why }: GarbagePod, now: Date): Promise<void> {
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    try {
      if (!isPodTerminal(pod)) {
        const condition = {
          type: "DisruptionTarget",
          status: "True",
          reason: "DeletionByPodGC",
          message: "PodGC: node no longer exists",
          lastTransitionTime: formatTime(now),
        };
        const conditions = why === "orphaned" ? [condition] : [];
        const status = { phase: "Failed", ...(conditions.length > 0 ? { conditions } : {}) };
        const body = { metadata: { uid }, status };
        await client.patch(pods, namespace, name, "strategic", body, { subresource: "status" });
      }
      await client.delete(pods, namespace, name, {
        gracePeriodSeconds: 0,
        preconditions: { uid },
      });
    } catch (error) {
      if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
    }
  }
}

/** Each pod at most once; of those that are over only as many as exceed the limit, oldest first. */
export function planPodGarbage(
  all: readonly LivePod[],
  nodes: { readonly gone: ReadonlySet<string>; readonly off: ReadonlySet<string> },
  terminatedMax = terminatedPodsMax,
): GarbagePod[] {
  const garbage: GarbagePod[] = [];
  const over: LivePod[] = [];
  for (const pod of all) {
    const node = pod.spec.nodeName ?? "";
    if (nodes.gone.has(node)) garbage.push({ pod, why: "orphaned" });
    else if (nodes.off.has(node) && isDeleting(pod)) garbage.push({ pod, why: "stuck" });
    else if (node === "" && isDeleting(pod)) garbage.push({ pod, why: "unplaced" });
    else if (isPodTerminal(pod)) over.push(pod);
  }
  const surplus = Math.max(0, over.length - terminatedMax);
  for (const pod of over.sort(byCreation).slice(0, surplus)) garbage.push({ pod, why: "old" });
  return garbage;
}
