/** Gives each node its own part of the cluster's pod addresses, of each family. */
import { nodes } from "../../client/resources.ts";
import type { Node } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { fromNumber, type IpFamily, parseRange } from "../../lib/ip-range.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";

export interface NodeIpamOptions {
  /** For example `10.42.0.0/16`: one, or one of each family. */
  readonly clusterCidrs: readonly string[];
  /** Prefix lengths of a node's parts. */
  readonly nodeCidrMaskSizes?: Readonly<Partial<Record<IpFamily, number>>>;
}

/** Which parts nodes have; a set of them is one. */
type Used = Pick<ReadonlySet<string>, "has">;

const byCidr = "node-ipam";
const maskSizes: Readonly<Record<IpFamily, number>> = { IPv4: 24, IPv6: 64 };

/** Creates the controller that fills `spec.podCIDRs`, one node at a time: no part twice. */
export function createNodeIpamController(
  context: ControllerContext,
  options: NodeIpamOptions,
): Controller {
  const nodeSet = context.live.of(nodes);
  nodeSet.addIndex(byCidr, cidrsOf);
  const granted = new Map<string, readonly string[]>();
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
      if (cidrsOf(node).length > 0) {
        granted.delete(key);
        return "done";
      }
      const promised = new Set([...granted.values()].flat());
      const used = {
        has: (cidr: string) => promised.has(cidr) || [...nodeSet.by(byCidr, cidr)].length > 0,
      };
      const cidrs = granted.get(key) ?? nextCidrs(options, used);
      if (cidrs === undefined) {
        const message = `Node ${key} status is now: CIDRNotAvailable`;
        context.events.event(node, "Normal", "CIDRNotAvailable", message);
        return { againInMs: 30_000 };
      }
      granted.set(key, cidrs);
      // A patch: the kubelet changes its node all the time, which is no conflict with this.
      const { uid } = node.metadata;
      const body = { metadata: { uid }, spec: { podCIDR: cidrs[0], podCIDRs: cidrs } };
      await context.client.patch(nodes, "", key, "strategic", body);
      return "done";
    },
  };
}

function cidrsOf({ spec }: DeepReadonly<Node>): readonly string[] {
  const { podCIDR = "", podCIDRs = [podCIDR] } = spec ?? {};
  return podCIDRs.filter((cidr) => cidr !== "");
}

/** A part of each range; undefined when one of them has none left. */
function nextCidrs(
  { clusterCidrs, nodeCidrMaskSizes = {} }: NodeIpamOptions,
  used: Used,
): readonly string[] | undefined {
  const found = clusterCidrs.flatMap(
    (cidr) => nextCidr(cidr, nodeCidrMaskSizes[parseRange(cidr).family], used) ?? [],
  );
  return found.length === clusterCidrs.length ? found : undefined;
}

/** The first part of `clusterCidr` that is not used; undefined when none is left. */
export function nextCidr(
  clusterCidr: string,
  maskSize: number | undefined,
  used: Used,
): string | undefined {
  const { family, first, size } = parseRange(clusterCidr);
  const mask = maskSize ?? maskSizes[family];
  const step = 1n << BigInt((family === "IPv4" ? 32 : 128) - mask);
  for (let offset = 0n; offset < size; offset += step) {
    const cidr = `${fromNumber(first + offset, family)}/${mask}`;
    if (!used.has(cidr)) return cidr;
  }
  return undefined;
}
