/** The cluster's DNS alone, over a made-up cluster: `dns-server.ts SERVICES`; prints its port. */
import { startDns } from "../src/agent/dns/dns-server.ts";
import { endpoint, service, slice } from "../src/agent/net/testing/objects.ts";
import type { Resource } from "../src/client/client.ts";
import { endpointSlices, namespaces, services } from "../src/client/resources.ts";
import type { LiveSet, LiveSets } from "../src/live/live-set.ts";
import { LiveSetImpl } from "../src/live/live-set-impl.ts";
import { createExecutor } from "../src/runtime/executor.ts";
import { createRuntime } from "../src/runtime/real.ts";
import { type KubeObject, keyOf } from "../src/schema/object.ts";

const count = Number(process.argv[2]);
const runtime = createRuntime({ logLevel: "warn" });
const sets = new Map<string, LiveSetImpl<KubeObject>>();

function setOf(plural: string): LiveSetImpl<KubeObject> {
  const set = sets.get(plural) ?? new LiveSetImpl<KubeObject>();
  if (!sets.has(plural)) sets.set(plural, set);
  return set;
}

function fill({ plural }: { readonly plural: string }, objects: readonly KubeObject[]): void {
  const live = objects.map((object) => ({
    key: keyOf(object),
    revision: 1,
    object,
    labels: object.metadata.labels,
    json: () => new TextEncoder().encode(JSON.stringify(object)),
  }));
  setOf(plural).reset(live, 1);
}

/** The address of service `i`; dnsmasq gets the same. */
const addressOf = (i: number): string => `10.43.${i >> 8}.${i & 255}`;

const numbers = Array.from({ length: count }, (_, i) => i);
fill(namespaces, [{ apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } }]);
fill(
  services,
  numbers.map((i) =>
    i % 10 === 0
      ? service(`s${i}`, { clusterIP: "None", clusterIPs: ["None"] })
      : service(`s${i}`, { clusterIP: addressOf(i), clusterIPs: [addressOf(i)] }),
  ),
);
fill(
  endpointSlices,
  numbers.map((i) =>
    slice(
      `s${i}`,
      [1, 2, 3].map((pod) => endpoint(`10.42.${pod}.${i & 255}`)),
    ),
  ),
);
const live: LiveSets = {
  of: <T extends KubeObject>({ plural }: Resource<T>): LiveSet<T> => {
    const set = setOf(plural);
    if (!set.filled) set.reset([], 1);
    return set as unknown as LiveSet<T>;
  },
};
const executor = createExecutor(runtime);
await executor.start([
  {
    name: "dns",
    needs: [],
    health: () => ({ ok: true }),
    start: async (scope) => {
      const domain = "cluster.local";
      const where = { address: "127.0.0.1", port: 0, metricsPort: 0, domain };
      const dns = await startDns({ runtime, live, events: { event: () => {} }, scope, ...where });
      console.log(dns.port);
    },
  },
]);
