/** Removes pods that nobody else will: of gone nodes, never placed, or over for too long. */
import { nodes, pods } from "../client/resources.ts";
import { isReason } from "../lib/api-error.ts";
import type { Controller, ControllerContext } from "../live/controller.ts";
import { byCreation, formatTime, isDeleting } from "./objects.ts";
import { isPodTerminal, type LivePod } from "./pod-state.ts";

const everyMs = 20_000;
/** A node must be gone this long: its object may just be re-created. */
const quarantineMs = 40_000;
const terminatedPodsMax = 12_500;

export type GarbagePod = { readonly pod: LivePod; readonly why: "orphaned" | "unplaced" | "old" };

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
      for (const garbage of planPodGarbage(all, gone)) await remove(garbage, now);
      return { againInMs: everyMs };
    },
  };

  async function remove({ pod, why }: GarbagePod, now: Date): Promise<void> {
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    try {
      if (why === "orphaned" && !isPodTerminal(pod)) {
        const condition = {
          type: "DisruptionTarget",
          status: "True",
          reason: "DeletionByPodGC",
          message: "PodGC: node no longer exists",
          lastTransitionTime: formatTime(now),
        };
        const status = { phase: "Failed", conditions: [condition] };
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
  goneNodes: ReadonlySet<string>,
  terminatedMax = terminatedPodsMax,
): GarbagePod[] {
  const garbage: GarbagePod[] = [];
  const over: LivePod[] = [];
  for (const pod of all) {
    const node = pod.spec.nodeName ?? "";
    if (goneNodes.has(node)) garbage.push({ pod, why: "orphaned" });
    else if (node === "" && isDeleting(pod)) garbage.push({ pod, why: "unplaced" });
    else if (isPodTerminal(pod)) over.push(pod);
  }
  const surplus = Math.max(0, over.length - terminatedMax);
  for (const pod of over.sort(byCreation).slice(0, surplus)) garbage.push({ pod, why: "old" });
  return garbage;
}
