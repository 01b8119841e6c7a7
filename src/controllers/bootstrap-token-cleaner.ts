/** Deletes bootstrap tokens once they have expired (upstream's tokencleaner). */
import { secrets } from "../client/resources.ts";
import { isReason } from "../lib/api-error.ts";
import { type Controller, type ControllerContext, watchRule } from "../live/controller.ts";

const namespace = "kube-system";
const tokenType = "bootstrap.kubernetes.io/token";

export function createBootstrapTokenCleaner(context: ControllerContext): Controller {
  const { client, live, runtime } = context;
  const set = live.of(secrets);
  return {
    name: "token-cleaner",
    concurrent: 1,
    watches: [
      watchRule(secrets, ({ now }) =>
        now.object.type === tokenType && now.object.metadata.namespace === namespace
          ? [now.key]
          : [],
      ),
    ],
    async reconcile(key) {
      const secret = set.get(key)?.object;
      if (secret === undefined || secret.type !== tokenType) return "done";
      const text = Buffer.from(secret.data?.expiration ?? "", "base64").toString();
      if (text === "") return "done";
      const remainingMs = Date.parse(text) - runtime.clock.now().getTime();
      if (remainingMs > 0) return { againInMs: remainingMs };
      const { name = "", uid } = secret.metadata;
      try {
        await client.delete(secrets, namespace, name, {
          ...(uid === undefined ? {} : { preconditions: { uid } }),
        });
      } catch (error) {
        // Gone or made anew: the next change wakes this again.
        if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
      }
      return "done";
    },
  };
}
