/** The cluster's DNS alone, over a made-up cluster: `dns-server.ts SERVICES`; prints its port. */
import { startDns } from "../src/agent/dns/dns-server.ts";
import { endpoint, service, slice } from "../src/agent/net/testing/objects.ts";
import { endpointSlices, namespaces, services } from "../src/client/resources.ts";
import { createExecutor } from "../src/runtime/executor.ts";
import { createRuntime } from "../src/runtime/real.ts";
import { MemoryLive } from "./memory-live.ts";

const count = Number(process.argv[2]);
const runtime = createRuntime({ logLevel: "warn" });
const live = new MemoryLive();

/** The address of service `i`; dnsmasq gets the same. */
const addressOf = (i: number): string => `10.43.${i >> 8}.${i & 255}`;

const numbers = Array.from({ length: count }, (_, i) => i);
live.fill(namespaces, [{ apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } }]);
live.fill(
  services,
  numbers.map((i) =>
    i % 10 === 0
      ? service(`s${i}`, { clusterIP: "None", clusterIPs: ["None"] })
      : service(`s${i}`, { clusterIP: addressOf(i), clusterIPs: [addressOf(i)] }),
  ),
);
live.fill(
  endpointSlices,
  numbers.map((i) =>
    slice(
      `s${i}`,
      [1, 2, 3].map((pod) => endpoint(`10.42.${pod}.${i & 255}`)),
    ),
  ),
);
const executor = createExecutor(runtime);
await executor.start([
  {
    name: "dns",
    needs: [],
    health: () => ({ ok: true }),
    start: async (scope) => {
      const domain = "cluster.local";
      const where = { addresses: ["127.0.0.1"], port: 0, metricsPort: 0, domain };
      const dns = await startDns({ runtime, live, events: { event: () => {} }, scope, ...where });
      console.log(dns.port);
    },
  },
]);
