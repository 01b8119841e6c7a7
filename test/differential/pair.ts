/** Sends each request to both servers and keeps how the answers differ. */
import { allowedFor, noteUpstream } from "./allowed.ts";
import { type Answer, type Exchange, isObject, type JsonObject, send } from "./client.ts";
import { type Difference, describeDifference, differences, signatureOf } from "./compare.ts";
import { normalise, textOf } from "./normal.ts";
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
    noteUpstream(exchanges.upstream, upstream);
    const given = [textOf(exchanges.upstream), textOf(exchanges.k3)];
    const found = differences(normalise(upstream, given), normalise(k3, given)).filter(
      (one) => !this.#isAllowed(one, exchanges.upstream),
    );
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

/** Where one answer is an error and the other none, only the error tells something. */
function worthShowing(all: readonly Difference[]): readonly Difference[] {
  if (!all.some(({ path }) => path === ".status")) return all;
  return all.filter(({ path }) => /^\.(status|body|body\.(message|details.*))$/.test(path));
}

export function describeFinding({ title, exchange, statuses, differences: all }: Finding): string {
  const headers = Object.entries(exchange.headers ?? {}).map(
    ([name, value]) => ` -H '${name}: ${value}'`,
  );
  const body = shownBody(exchange.body).slice(0, bodyShownMax);
  return [
    `${title} [${statuses}]`,
    `  ${exchange.method} ${exchange.path}${headers.join("")}`,
    ...(body === "" ? [] : [`  ${body}`]),
    ...worthShowing(all).slice(0, 12).map(describeDifference),
  ].join("\n");
}

/** Each finding under the most frequent way in which it differs, the most frequent way first. */
export function grouped(findings: readonly Finding[]): readonly (readonly [string, Finding[]])[] {
  const signatures = findings.map(({ differences }) => new Set(differences.map(signatureOf)));
  const frequencies = new Map<string, number>();
  for (const one of signatures.flatMap((set) => [...set]))
    frequencies.set(one, (frequencies.get(one) ?? 0) + 1);
  const frequency = (one: string): number => frequencies.get(one) ?? 0;
  const groups = new Map<string, Finding[]>();
  for (const [index, finding] of findings.entries()) {
    const ordered = [...(signatures[index] ?? [])].sort((a, b) => frequency(b) - frequency(a));
    const signature = ordered[0] ?? "";
    const group = groups.get(signature);
    if (group === undefined) groups.set(signature, [finding]);
    else group.push(finding);
  }
  return [...groups].sort(([, a], [, b]) => b.length - a.length);
}
