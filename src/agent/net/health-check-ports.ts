/**
 * Balancers ask each node at a Service's `healthCheckNodePort` whether it has endpoints of its own:
 * 200 with their number, or 503, in kube-proxy's words.
 */
import type { Listener, Runtime } from "../../runtime/runtime.ts";
import type { ServicePortRow } from "./service-ports.ts";

/** One Service with the Local policy. */
export interface HealthCheckedService {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly localEndpoints: number;
}

/** Each Service once, however many ports it has. */
export function healthChecked(rows: readonly ServicePortRow[]): readonly HealthCheckedService[] {
  const byPort = new Map<number, HealthCheckedService>();
  for (const { id, healthCheckPort: port, localReady } of rows) {
    if (port === 0) continue;
    const [namespace = "", name = ""] = id.split("/");
    const known = byPort.get(port)?.localEndpoints ?? 0;
    const localEndpoints = Math.max(known, localReady);
    byPort.set(port, { namespace, name, port, localEndpoints });
  }
  return [...byPort.values()];
}

interface Open {
  service: HealthCheckedService;
  readonly listener: Promise<Listener | undefined>;
}

export class HealthCheckPorts {
  readonly #runtime: Runtime;
  readonly #host: string;
  readonly #open = new Map<number, Open>();

  /** `host`: the address to listen on, of one family or of both. */
  constructor(runtime: Runtime, host: string) {
    this.#runtime = runtime;
    this.#host = host;
  }

  /** Resolves when the ports of these services are open, and no others. */
  async update(services: readonly HealthCheckedService[]): Promise<void> {
    const wanted = new Map(services.map((service) => [service.port, service]));
    const gone = [...this.#open].filter(([port]) => !wanted.has(port));
    await Promise.all(gone.map(([port, open]) => this.#close(port, open)));
    for (const [port, service] of wanted) {
      const known = this.#open.get(port);
      if (known !== undefined) known.service = service;
      else this.#open.set(port, { service, listener: this.#listen(port) });
    }
    await Promise.all([...this.#open.values()].map(({ listener }) => listener));
  }

  async #close(port: number, { listener }: Open): Promise<void> {
    this.#open.delete(port);
    (await listener)?.close();
  }

  async #listen(port: number): Promise<Listener | undefined> {
    try {
      return await this.#runtime.net.serve(this.#host, port, async () => this.#answer(port));
    } catch (error) {
      // Tried again with the next change of services, as kube-proxy does.
      this.#runtime.log.warn("A health check port cannot be opened", { port, error });
      this.#open.delete(port);
      return undefined;
    }
  }

  #answer(port: number): Response {
    const service = this.#open.get(port)?.service;
    if (service === undefined) return new Response(null, { status: 503 });
    const { namespace, name, localEndpoints } = service;
    const headers = {
      "content-type": "application/json",
      "x-content-type-options": "nosniff",
      "x-load-balancing-endpoint-weight": String(localEndpoints),
    };
    const body = { service: { namespace, name }, localEndpoints, serviceProxyHealthy: true };
    const status = localEndpoints > 0 ? 200 : 503;
    return new Response(JSON.stringify(body), { status, headers });
  }
}
