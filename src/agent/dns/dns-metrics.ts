/** What the DNS counts, under CoreDNS's names. */
import { createMetrics } from "../../runtime/metrics.ts";
import type { Clock } from "../../runtime/runtime.ts";
import type { Over } from "./ask-server.ts";
import { rcodes } from "./reply.ts";

export interface DnsMetrics {
  /** Counts a question; what it returns takes the reply. */
  begin(over: Over): (reply: Uint8Array) => void;
  /** Serves `/metrics`. */
  serve(request: Request): Promise<Response>;
}

const buckets = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.064, 0.25, 1, 4] as const;
/** In the order of their numbers. */
const codes = Object.keys(rcodes);

export function createDnsMetrics(clock: Clock): DnsMetrics {
  const metrics = createMetrics();
  const server = "dns://:53";
  const requests: Record<Over, number> = { udp: 0, tcp: 0 };
  const responses = new Map<string, number>();
  metrics.collect(
    "coredns_dns_requests_total",
    "Counter of DNS requests made per protocol.",
    () => (["udp", "tcp"] as const).map((proto) => [{ server, proto }, requests[proto]] as const),
    "counter",
  );
  metrics.collect(
    "coredns_dns_responses_total",
    "Counter of response status codes.",
    () => [...responses].map(([rcode, count]) => [{ server, rcode }, count] as const),
    "counter",
  );
  const durations = metrics.histogram(
    "coredns_dns_request_duration_seconds",
    "Histogram of the time (in seconds) each request took per protocol.",
    buckets,
  );
  const observe = {
    udp: durations.bound({ server, proto: "udp" }),
    tcp: durations.bound({ server, proto: "tcp" }),
  };
  return {
    begin: (over) => {
      const startMs = clock.monotonicMs();
      requests[over] += 1;
      return (reply) => {
        const rcode = codes[(reply[3] ?? 0) & 0xf] ?? "OTHER";
        responses.set(rcode, (responses.get(rcode) ?? 0) + 1);
        observe[over]((clock.monotonicMs() - startMs) / 1000);
      };
    },
    serve: async (request) =>
      new URL(request.url).pathname === "/metrics"
        ? new Response(metrics.text(), { headers: { "content-type": "text/plain; version=0.0.4" } })
        : new Response("404 page not found\n", { status: 404 }),
  };
}
