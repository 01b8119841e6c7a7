/** What the ingress counts, under Traefik's names. */
import { createMetrics } from "../../runtime/metrics.ts";
import type { EntryPoint } from "./route-table.ts";

/** One request that is over. */
export interface Served {
  readonly entryPoint: EntryPoint;
  readonly method: string;
  readonly status: number;
  /** The Ingress that routed it; "" for none. */
  readonly ingress: string;
  readonly ms: number;
  readonly bytes: number;
}

export interface IngressMetrics {
  open(connections: number): void;
  served(request: Served): void;
  text(): string;
}

/** Methods are chosen by strangers: only these have a series of their own. */
const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const buckets = [0.1, 0.3, 1.2, 5];
const seriesMax = 5000;

export function createIngressMetrics(): IngressMetrics {
  const metrics = createMetrics();
  const open = metrics.gauge("traefik_open_connections", "Connections of clients that are open.");
  const requests = metrics.counter("traefik_router_requests_total", "Requests by their Ingress.");
  const bytes = metrics.counter(
    "traefik_router_responses_bytes_total",
    "Bytes of answers' bodies.",
  );
  const durations = metrics.histogram(
    "traefik_entrypoint_request_duration_seconds",
    "How long requests took.",
    buckets,
  );
  const all = {};
  const known = new Map<string, Readonly<Record<string, string>>>();
  const observe = {
    web: durations.bound({ entrypoint: "web" }),
    websecure: durations.bound({ entrypoint: "websecure" }),
  };
  return {
    open: (connections) => open.set(all, connections),
    served({ entryPoint, method: asked, status, ingress, ms, bytes: count }) {
      const method = methods.has(asked) ? asked : "EXTENSION_METHOD";
      const key = `${entryPoint} ${method} ${status} ${ingress}`;
      let labels = known.get(key);
      if (labels === undefined) {
        if (known.size >= seriesMax) return;
        labels = {
          code: String(status),
          entrypoint: entryPoint,
          method,
          router: ingress,
        };
        known.set(key, labels);
      }
      requests.add(labels);
      if (count > 0) bytes.add(labels, count);
      observe[entryPoint](ms / 1000);
    },
    text: () => metrics.text(),
  };
}
