/** Sends each request to both servers and keeps how the answers differ. */
import { allowedFor } from "./allowed.ts";
import { type Answer, type Exchange, isObject, type JsonObject, send } from "./client.ts";
import { type Difference, describeDifference, differences, signatureOf } from "./compare.ts";
import { normalise } from "./normal.ts";
import type { Servers } from "./servers.ts";

export type Side = "upstream" | "k3";
export type Answers = Readonly<Record<Side, Answer>>;

export interface Finding {
  readonly title: string;
  /** As upstream got it. */
  readonly exchange: Exchange;
  readonly statuses: string;
  readonly differences: readonly Difference[];
}

export class Pair {
  readonly findings: Finding[] = [];
  readonly allowed = new Map<string, number>();
  count = 0;
  readonly #servers: Servers;

  constructor(servers: Servers) {
    this.#servers = servers;
  }

  /** `make` is asked per server where a request needs what that server said before. */
  async send(title: string, make: Exchange | ((side: Side) => Exchange)): Promise<Answers> {
    const exchangeFor = typeof make === "function" ? make : (): Exchange => make;
    const exchanges = { upstream: exchangeFor("upstream"), k3: exchangeFor("k3") };
    const [upstream, k3] = await Promise.all([
      send(this.#servers.upstream, exchanges.upstream),
      send(this.#servers.k3, exchanges.k3),
    ]);
    this.count += 1;
    const found = differences(
      normalise(upstream, exchanges.upstream),
      normalise(k3, exchanges.k3),
    ).filter((one) => !this.#isAllowed(one, exchanges.upstream));
    if (found.length > 0) {
      const statuses = `${upstream.status} ${k3.status}`;
      this.findings.push({ title, exchange: exchanges.upstream, statuses, differences: found });
    }
    return { upstream, k3 };
  }

  /** Both answers without comparing them: to wait, or to learn what a later request needs. */
  async ask(exchange: Exchange): Promise<Answers> {
    const [upstream, k3] = await Promise.all([
      send(this.#servers.upstream, exchange),
      send(this.#servers.k3, exchange),
    ]);
    return { upstream, k3 };
  }

  #isAllowed(difference: Difference, exchange: Exchange): boolean {
    const reason = allowedFor(difference, exchange);
    if (reason === undefined) return false;
    this.allowed.set(reason, (this.allowed.get(reason) ?? 0) + 1);
    return true;
  }
}

/** The body of one side's answer as an object; empty when it is none. */
export function objectOf(answers: Answers, side: Side): JsonObject {
  const { body } = answers[side];
  return isObject(body) ? structuredClone(body) : {};
}

function shownBody(body: Exchange["body"]): string {
  if (body === undefined) return "";
  return typeof body === "string" ? body : JSON.stringify(body);
}

const bodyShownMax = 1500;

export function describeFinding({ title, exchange, statuses, differences: all }: Finding): string {
  const headers = Object.entries(exchange.headers ?? {}).map(
    ([name, value]) => ` -H '${name}: ${value}'`,
  );
  const body = shownBody(exchange.body).slice(0, bodyShownMax);
  return [
    `${title} [${statuses}]`,
    `  ${exchange.method} ${exchange.path}${headers.join("")}`,
    ...(body === "" ? [] : [`  ${body}`]),
    ...all.slice(0, 12).map(describeDifference),
  ].join("\n");
}

/** Findings by the signature of their first difference, the most frequent first. */
export function grouped(findings: readonly Finding[]): readonly (readonly [string, Finding[]])[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    for (const signature of new Set(finding.differences.map(signatureOf))) {
      const group = groups.get(signature);
      if (group === undefined) groups.set(signature, [finding]);
      else group.push(finding);
    }
  }
  return [...groups].sort(([, a], [, b]) => b.length - a.length);
}
