/** What all connections of the ingress process share: routes, backends, limits, counts. */
import type { Clock, Logger, Random } from "../../runtime/runtime.ts";
import type { Streams } from "../../runtime/stream-sockets.ts";
import { BackendPool, keyOf, placeOf } from "./backend-pool.ts";
import { Balancer } from "./balancer.ts";
import { type AnswerFields, type Decision, type Forward, plainAnswer } from "./decision.ts";
import type { Asker, Exchange, ExchangeOptions } from "./exchange.ts";
import { changedAnswer, changedPath, withFields } from "./filters.ts";
import { fieldOf } from "./header-fields.ts";
import { Http1Exchange } from "./http1-exchange.ts";
import { Http2Exchange } from "./http2-exchange.ts";
import { Http2Pool } from "./http2-pool.ts";
import type { IngressMetrics } from "./ingress-metrics.ts";
import { normalPath } from "./normal-path.ts";
import type { Request } from "./request-out.ts";
import { hostOf, type Match, RouteMatcher } from "./route-matcher.ts";
import { checkRules } from "./route-rules.ts";
import type { Backend, BackendShare, CanaryRules, Route } from "./route-table.ts";

/** A connection that may take too long. */
export interface Timed {
  /** Nobody waits for an answer on it. */
  readonly isIdle: boolean;
  tick(nowMs: number): void;
  destroy(): void;
}

export interface GatewayOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly streams: Streams;
  readonly metrics: IngressMetrics;
  readonly logAccess: (line: string) => void;
}

const gatewayLimits = {
  clientsMax: 10_000,
  tickMs: 250,
  connectMs: 5000,
} as const;

export class IngressGateway {
  readonly options: GatewayOptions;
  readonly pool: BackendPool;
  readonly http2Pool: Http2Pool;
  #matcher = new RouteMatcher([]);
  readonly #balancers = new Map<string, Balancer>();
  readonly #clients = new Set<Timed>();
  /** Where connections to backends may lead, by their keys. */
  #known: ReadonlySet<string> = new Set();

  constructor(options: GatewayOptions) {
    this.options = options;
    this.pool = new BackendPool(options.streams, () => this.nowMs());
    this.http2Pool = new Http2Pool(options.streams, () => this.nowMs());
  }

  nowMs(): number {
    return this.options.clock.monotonicMs();
  }

  /** Looks after what takes too long, until the signal aborts. */
  run(signal: AbortSignal): void {
    this.options.clock.every(gatewayLimits.tickMs, signal, () => this.#tick());
  }

  #tick(): void {
    const nowMs = this.nowMs();
    for (const client of this.#clients) client.tick(nowMs);
    const isKnown = (key: string): boolean => this.#known.has(key);
    this.pool.sweep(isKnown);
    this.http2Pool.sweep(isKnown);
  }

  /** False: there are too many clients already. */
  add(client: Timed): boolean {
    if (this.#clients.size >= gatewayLimits.clientsMax) return false;
    this.#clients.add(client);
    this.options.metrics.open(this.#clients.size);
    return true;
  }

  remove(client: Timed): void {
    if (this.#clients.delete(client)) this.options.metrics.open(this.#clients.size);
  }

  /** Closes clients as soon as they wait for nothing, and all at the deadline. */
  async drain(deadlineMs: number, pollMs: number): Promise<void> {
    const { clock } = this.options;
    const never = new AbortController().signal;
    for (;;) {
      const isLate = clock.monotonicMs() >= deadlineMs;
      for (const client of [...this.#clients]) if (isLate || client.isIdle) client.destroy();
      if (this.#clients.size === 0) break;
      await clock.sleep(pollMs, never);
    }
    this.pool.close();
    this.http2Pool.close();
  }

  setRoutes(routes: readonly Route[]): void {
    this.#matcher = new RouteMatcher(routes);
  }

  setBackends(backends: readonly Backend[]): void {
    this.#known = new Set(
      backends.flatMap((one) => one.endpoints.map((endpoint) => keyOf(placeOf(one, endpoint)))),
    );
    const names = new Set(backends.map(({ name }) => name));
    for (const name of this.#balancers.keys()) {
      if (!names.has(name)) this.#balancers.delete(name);
    }
    for (const backend of backends) {
      const known = this.#balancers.get(backend.name);
      if (known === undefined) this.#balancers.set(backend.name, new Balancer(backend));
      else known.replace(backend);
    }
  }

  /** A promise where passwords must be compared first. */
  decide(request: Request, target: string): Decision | Promise<Decision> {
    const mark = target.indexOf("?");
    const path = normalPath(mark === -1 ? target : target.slice(0, mark));
    if (path === undefined) return plainAnswer(400, "400 Bad Request");
    const query = mark === -1 ? "" : target.slice(mark);
    const host = hostOf(request.host);
    const found = this.#matcher.find(request.entryPoint, host, path, { request, query });
    if (found === undefined) return plainAnswer(404, "404 page not found");
    return checkRules({ request, match: found, path, query }, (fields) =>
      this.#forward(request, found, { path, query, fields }),
    );
  }

  /** Begins nothing yet. */
  exchange(
    { balancer, outgoing, preferred, route, requestFields }: Forward,
    asked: Pick<ExchangeOptions, "request" | "framing" | "upgrade">,
    asker: Asker,
  ): Exchange {
    const { connectMs = gatewayLimits.connectMs, readMs, wholeMs } = route.rules;
    const nowMs = (): number => this.nowMs();
    const request = requestFields.reduce(withFields, asked.request);
    const limits = { connectMs, readMs, wholeMs, nowMs };
    const options = { ...asked, ...limits, request, balancer, outgoing, preferred };
    const { protocol } = balancer.backend;
    return protocol === "h2c" || protocol === "h2"
      ? new Http2Exchange(options, this.http2Pool, asker)
      : new Http1Exchange(options, this.pool, asker);
  }

  #shareFor({ backend, rules }: Route, request: Request): Share {
    const { canary, shares } = rules;
    const drawn = (below: number): number => this.options.random.int(below);
    if (shares !== undefined) return shareByLot(shares, drawn);
    if (canary === undefined) return { backend };
    return { backend: isCanary(canary, request, drawn) ? canary.backend : backend };
  }

  #forward(
    request: Request,
    { route, groups }: Match,
    to: { readonly path: string; readonly query: string; readonly fields: AnswerFields },
  ): Decision {
    const { rules } = route;
    const share = this.#shareFor(route, request);
    if (share === undefined) return plainAnswer(500, "500 Internal Server Error", route);
    const balancer = this.#balancers.get(share.backend);
    if (balancer === undefined || balancer.backend.endpoints.length === 0) {
      return plainAnswer(503, "no available server", route);
    }
    const path = forwardedPath(route, to.path, groups);
    const changes = [rules.requestFields, share.requestFields];
    const answer = changedAnswer(to.fields, [rules.answerFields, share.answerFields]);
    return {
      type: "forward",
      route,
      balancer,
      outgoing: {
        target: `${path}${to.query}`,
        host: rules.upstreamHost,
        forwardedPrefix: rules.forwardedPrefix,
      },
      preferred: preferredOf(balancer, request),
      requestFields: changes.filter((one) => one !== undefined),
      ...answer,
    };
  }
}

/** The backend that a request goes to; undefined where none is to be had. */
type Share = Pick<BackendShare, "backend" | "requestFields" | "answerFields"> | undefined;

function shareByLot(shares: readonly BackendShare[], drawn: (below: number) => number): Share {
  const total = shares.reduce((sum, { weight }) => sum + weight, 0);
  if (total === 0) return undefined;
  let left = shares.length === 1 ? 0 : drawn(total);
  const share = shares.find(({ weight }) => {
    left -= weight;
    return left < 0;
  });
  return share?.backend === "" ? undefined : share;
}

function forwardedPath(
  { rules, ...route }: Route,
  path: string,
  groups: readonly string[],
): string {
  if (rules.rewriteTarget !== undefined) return rewritten(rules.rewriteTarget, groups);
  return rules.pathChange === undefined ? path : changedPath(rules.pathChange, route.path, path);
}

/** Fields and cookies decide before the lot does, as nginx has it. */
function isCanary(
  canary: CanaryRules,
  { fields }: Request,
  drawn: (below: number) => number,
): boolean {
  const { header, headerValue, cookie, weight, weightTotal } = canary;
  const told = header === undefined ? undefined : fieldOf(fields, header);
  if (told !== undefined) {
    if (headerValue !== undefined) {
      if (told === headerValue) return true;
    } else if (told === "always" || told === "never") {
      return told === "always";
    }
  }
  const kept = cookie === undefined ? undefined : cookieOf(fields, cookie);
  if (kept === "always" || kept === "never") return kept === "always";
  return weight > 0 && drawn(weightTotal) < weight;
}

/** `$1` is what the first group caught; what was not caught is nothing. */
function rewritten(target: string, groups: readonly string[]): string {
  const path = target.replace(/\$(\d)/g, (_, digit) => groups[Number(digit) - 1] ?? "");
  return path.startsWith("/") ? path : `/${path}`;
}

function preferredOf(balancer: Balancer, { fields }: Request): string | undefined {
  const name = balancer.backend.sticky?.name;
  if (name === undefined) return undefined;
  const mark = cookieOf(fields, name);
  return mark === undefined ? undefined : balancer.marked(mark);
}

/** The value of a cookie among the fields of a request. */
function cookieOf(fields: Request["fields"], name: string): string | undefined {
  for (const { lower, value } of fields) {
    if (lower !== "cookie") continue;
    for (const part of value.split(";")) {
      const [key = "", ...rest] = part.split("=");
      if (key.trim() === name) return rest.join("=").trim();
    }
  }
  return undefined;
}
