/** Follows the CustomResourceDefinitions and serves what they define. */
import type { Registry } from "../../api/registry.ts";
import { customResourceDefinitions } from "../../client/resources.ts";
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { StoreLiveSets } from "../../live/store-feed.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { webhookConversion } from "./conversion-webhook.ts";
import { isEstablished } from "./established.ts";
import { customResourceRows } from "./row.ts";

type Crd = DeepReadonly<CustomResourceDefinition>;

interface Served {
  readonly signature: string;
  readonly rows: Disposable;
  readonly removed: AbortController;
}

/** Keeps the registry in step with the definitions until it is disposed. */
export function serveCustomResources(options: {
  readonly registry: Registry;
  readonly live: StoreLiveSets;
  readonly runtime: Runtime;
}): Disposable {
  const { registry, live } = options;
  const served = new Map<string, Served>();
  const withdraw = (key: string, forGood: boolean): AbortController | undefined => {
    const known = served.get(key);
    known?.rows[Symbol.dispose]();
    served.delete(key);
    if (forGood) known?.removed.abort();
    return forGood ? undefined : known?.removed;
  };
  const follow = (key: string, crd: Crd | undefined): void => {
    if (crd === undefined || !isEstablished(crd)) {
      withdraw(key, true);
      return;
    }
    const signature = signatureOf(crd);
    if (served.get(key)?.signature === signature) return;
    const removed = withdraw(key, false) ?? new AbortController();
    const convert = webhookConversion(crd, options);
    const rows = customResourceRows(crd, { removed: removed.signal, convert }).filter(
      (row) => !registry.isTaken(row),
    );
    served.set(key, { signature, rows: registry.add(rows), removed });
    // What was read under the former schema is read again under this one.
    for (const row of rows) live.relocate(row);
  };
  const set = live.of(customResourceDefinitions);
  const subscription = set.subscribe(({ type, now }) =>
    follow(now.key, type === "deleted" ? undefined : now.object),
  );
  for (const { key, object } of set.list()) follow(key, object);
  return {
    [Symbol.dispose]() {
      subscription[Symbol.dispose]();
      for (const key of [...served.keys()]) withdraw(key, true);
    },
  };
}

/** Changes whenever the rows of a definition would. */
function signatureOf(crd: Crd): string {
  const { uid, generation, deletionTimestamp } = crd.metadata;
  const isTerminating = deletionTimestamp !== undefined;
  return JSON.stringify([uid, generation, isTerminating, crd.status?.acceptedNames]);
}
