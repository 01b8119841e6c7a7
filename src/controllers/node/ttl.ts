/** Tells kubelets how long they may cache what pods read: longer the more nodes there are. */
import { nodes } from "../../client/resources.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";

const annotation = "node.alpha.kubernetes.io/ttl";

/** Ranges overlap, so that a cluster at a border does not flap. */
const steps: readonly (readonly [least: number, most: number, seconds: number])[] = [
  [0, 100, 0],
  [90, 500, 15],
  [450, 1000, 30],
  [900, 2000, 60],
  [1800, 10_000, 300],
  [9000, Number.POSITIVE_INFINITY, 600],
];

/** The step for so many nodes, coming from the present one. */
export function ttlStep(current: number, count: number): number {
  let step = current;
  while (step + 1 < steps.length && count > (steps[step]?.[1] ?? 0)) step++;
  while (step > 0 && count < (steps[step]?.[0] ?? 0)) step--;
  return step;
}

/** Creates the TTL controller. */
export function createTtlController(context: ControllerContext): Controller {
  const nodeSet = context.live.of(nodes);
  let step = 0;
  return {
    name: "ttl",
    concurrent: 5,
    watches: [
      watchRule(nodes, ({ type, now }) => {
        if (type === "modified") return [now.key];
        const before = step;
        const keys = Array.from(nodeSet.list(), ({ key }) => key);
        step = ttlStep(step, keys.length);
        return step === before ? [now.key] : keys;
      }),
    ],
    async reconcile(key) {
      const node = nodeSet.get(key)?.object;
      if (node === undefined) return "done";
      const wanted = String(steps[step]?.[2] ?? 0);
      if (node.metadata.annotations?.[annotation] === wanted) return "done";
      const { uid } = node.metadata;
      const metadata = { uid, annotations: { [annotation]: wanted } };
      await context.client.patch(nodes, "", key, "strategic", { metadata });
      return "done";
    },
  };
}
