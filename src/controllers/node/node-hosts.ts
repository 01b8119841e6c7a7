/**
 * Keeps the nodes' names and addresses as lines of `NodeHosts` in kube-system/coredns, which the
 * cluster's DNS answers from (K3s' node controller). Lines of other names are left as they are.
 */
import { configMaps, nodes } from "../../client/resources.ts";
import type { ConfigMap, Node } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";

const namespace = "kube-system";
const name = "coredns";
const key = `${namespace}/${name}`;

/** The text with the lines of `node` as its addresses say; without them when it is gone. */
export function nodeHostsWith(
  text: string,
  nodeName: string,
  node: DeepReadonly<Node> | undefined,
): string {
  const isOwn = (line: string): boolean => line.trim().split(/\s+/)[1] === nodeName;
  const others = text.split("\n").filter((line) => line.trim() !== "" && !isOwn(line));
  const own = (node?.status?.addresses ?? [])
    .filter(({ type }) => type === "InternalIP")
    .map(({ address }) => `${address} ${nodeName}`);
  return [...others, ...own]
    .sort()
    .map((line) => `${line}\n`)
    .join("");
}

/** Keys are the names of nodes; a ConfigMap that was changed or deleted wakes them all. */
export function createNodeHostsController({ client, live }: ControllerContext): Controller {
  const nodeSet = live.of(nodes);
  const mapSet = live.of(configMaps);
  return {
    name: "node-hosts",
    concurrent: 1,
    watches: [
      watchRule(nodes, ({ now }) => [now.key]),
      watchRule(configMaps, ({ now }) =>
        now.key === key ? Array.from(nodeSet.list(), (node) => node.key) : [],
      ),
    ],
    async reconcile(nodeName) {
      const held = mapSet.get(key)?.object;
      const before = held?.data?.NodeHosts ?? "";
      const after = nodeHostsWith(before, nodeName, nodeSet.get(nodeName)?.object);
      if (after === before) return "done";
      if (held === undefined) {
        await client.create(configMaps, emptyMap(after)).catch((error: unknown) => {
          if (!isReason(error, "AlreadyExists")) throw error;
        });
        // Whoever made it in between may have forgotten this node.
        return { againInMs: againMs };
      }
      await client.update(configMaps, {
        ...(held as ConfigMap),
        data: { ...held.data, NodeHosts: after },
      });
      return "done";
    },
  };
}

const againMs = 1000;

function emptyMap(text: string): ConfigMap {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace },
    data: { NodeHosts: text },
  };
}
