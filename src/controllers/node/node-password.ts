/** Lets the password of a node end with the node, and forgets those of nodes that never came. */
import { nodes, secrets } from "../../client/resources.ts";
import { isReason } from "../../lib/api-error.ts";
import { nodeOfPasswordSecret, nodePasswordSecret } from "../../lib/node-password.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";

const namespace = "kube-system";
/** So long may a node take between its first question and its registration, as with K3s. */
const unownedMs = 10 * 60 * 1000;

/** Its keys are names of nodes. */
export function createNodePasswordController(context: ControllerContext): Controller {
  const { client, live, runtime } = context;
  const [nodeSet, secretSet] = [live.of(nodes), live.of(secrets)];
  const gone = (error: unknown): void => {
    if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
  };
  return {
    name: "node-password",
    concurrent: 1,
    watches: [
      watchRule(nodes, ({ type, now }) => (type === "modified" ? [] : [now.key])),
      watchRule(secrets, ({ now }) => {
        const { name = "", namespace: place } = now.object.metadata;
        const node = place === namespace ? nodeOfPasswordSecret(name) : undefined;
        return node === undefined ? [] : [node];
      }),
    ],
    async reconcile(key) {
      const name = nodePasswordSecret(key);
      const secret = secretSet.get(`${namespace}/${name}`)?.object;
      if (secret === undefined) return "done";
      const { uid = "", ownerReferences = [], creationTimestamp = "" } = secret.metadata;
      const node = nodeSet.get(key)?.object;
      if (node !== undefined) {
        const owner = { apiVersion: "v1", kind: "Node", name: key, uid: node.metadata.uid ?? "" };
        if (ownerReferences.some((one) => one.uid === owner.uid)) return "done";
        const metadata = { uid, ownerReferences: [owner] };
        await client.patch(secrets, namespace, name, "merge", { metadata }).catch(gone);
        return "done";
      }
      if (ownerReferences.length > 0) return "done";
      const leftMs = Date.parse(creationTimestamp) + unownedMs - runtime.clock.now().getTime();
      if (leftMs > 0) return { againInMs: leftMs };
      await client.delete(secrets, namespace, name, { preconditions: { uid } }).catch(gone);
      return "done";
    },
  };
}
