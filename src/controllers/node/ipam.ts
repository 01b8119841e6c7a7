/** Gives each node its own part of the cluster's pod addresses. */
import { nodes } from "../../client/resources.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";

export interface NodeIpamOptions {
  /** For example `10.42.0.0/16`. */
  readonly clusterCidr: string;
  /** Prefix length of a node's part. */
  readonly nodeCidrMaskSize?: number;
}

/** Creates the controller that fills `spec.podCIDR`, one node at a time: no part twice. */
export function createNodeIpamController(
  context: ControllerContext,
  options: NodeIpamOptions,
): Controller {
  const nodeSet = context.live.of(nodes);
  const granted = new Map<string, string>();
  return {
    name: "node-ipam",
    concurrent: 1,
    watches: [watchRule(nodes, ({ now }) => [now.key])],
    async reconcile(key) {
      const node = nodeSet.get(key)?.object;
      if (node === undefined) {
        granted.delete(key);
        return "done";
      }
      if ((node.spec?.podCIDR ?? "") !== "") return "done";
      const used = new Set(granted.values());
      for (const { object } of nodeSet.list()) {
        for (const cidr of object.spec?.podCIDRs ?? []) used.add(cidr);
        if (object.spec?.podCIDR) used.add(object.spec.podCIDR);
      }
      const cidr =
        granted.get(key) ?? nextCidr(options.clusterCidr, options.nodeCidrMaskSize, used);
      if (cidr === undefined) {
        const message = `Node ${key} status is now: CIDRNotAvailable`;
        context.events.event(node, "Normal", "CIDRNotAvailable", message);
        return { againInMs: 30_000 };
      }
      granted.set(key, cidr);
      // A patch: the kubelet changes its node all the time, which is no conflict with this.
      const { uid } = node.metadata;
      const body = { metadata: { uid }, spec: { podCIDR: cidr, podCIDRs: [cidr] } };
      await context.client.patch(nodes, "", key, "strategic", body);
      return "done";
    },
  };
}

/** The first IPv4 part of `clusterCidr` that is not used; undefined when none is left. */
export function nextCidr(
  clusterCidr: string,
  maskSize: number | undefined,
  used: ReadonlySet<string>,
): string | undefined {
  const size = maskSize ?? 24;
  const [address = "", bits = "0"] = clusterCidr.split("/");
  const base = address.split(".").reduce((number, part) => number * 256 + Number(part), 0);
  const step = 2 ** (32 - size);
  const count = 2 ** Math.max(0, size - Number(bits));
  for (let index = 0; index < count; index++) {
    const start = base + index * step;
    const octets = [24, 16, 8, 0].map((shift) => Math.floor(start / 2 ** shift) % 256);
    const cidr = `${octets.join(".")}/${size}`;
    if (!used.has(cidr)) return cidr;
  }
  return undefined;
}
