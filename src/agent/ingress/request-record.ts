/** What is noted of a request: counts for the metrics, a line for the access log. */
import type { StreamSocket } from "../../runtime/stream-sockets.ts";
import { fieldOf } from "./header-fields.ts";
import type { IngressGateway } from "./ingress-gateway.ts";
import type { Request } from "./request-out.ts";
import type { EntryPoint, Route } from "./route-table.ts";

export class RequestRecord {
  readonly #startedMs: number;
  #route: Route | undefined;
  #status = 499;
  #bytes = 0;

  constructor(
    private readonly gateway: IngressGateway,
    private readonly request: Request,
    private readonly target: string,
  ) {
    this.#startedMs = gateway.nowMs();
  }

  /** Of a request that could not be read. */
  static unread(
    gateway: IngressGateway,
    entryPoint: EntryPoint,
    { remoteAddress: clientIp }: StreamSocket,
  ): RequestRecord {
    const nothing = { method: "", host: "", fields: [], connection: [] };
    return new RequestRecord(gateway, { ...nothing, entryPoint, clientIp }, "");
  }

  routed(route: Route | undefined): void {
    this.#route = route;
  }

  answered(status: number, bytes: number): void {
    this.#status = status;
    this.#bytes += bytes;
  }

  sent(bytes: number): void {
    this.#bytes += bytes;
  }

  finish(): void {
    const { method, entryPoint } = this.request;
    const { metrics } = this.gateway.options;
    const ms = this.gateway.nowMs() - this.#startedMs;
    const ingress = this.#route?.ingress ?? "";
    metrics.served({ entryPoint, method, status: this.#status, ingress, ms, bytes: this.#bytes });
    if (this.#route?.rules.logsAccess) this.gateway.options.logAccess(this.#line(ms, ingress));
  }

  /** The common log format, and behind it what Traefik adds: router and duration. */
  #line(ms: number, ingress: string): string {
    const { clientIp, method, fields } = this.request;
    const time = this.gateway.options.clock.now().toISOString();
    const [referer, agent] = ["referer", "user-agent"].map((name) => quoted(fieldOf(fields, name)));
    const first = `${method} ${this.target} HTTP/1.1`;
    return (
      `${clientIp} - - [${time}] ${quoted(first)} ${this.#status} ${this.#bytes} ` +
      `${referer} ${agent} ${quoted(ingress)} ${Math.round(ms)}ms\n`
    );
  }
}

/** Strangers write these texts: none may end its line or its quotes. */
function quoted(text: string | undefined): string {
  return JSON.stringify(text === undefined || text === "" ? "-" : text);
}
