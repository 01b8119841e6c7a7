/** From a question to its records, asking the rules of its zone in CoreDNS's order. */
import * as dns from "dns-packet";
import type { Random } from "../../runtime/runtime.ts";
import { familyOf, reversedAddress } from "./address.ts";
import { answer } from "./answer.ts";
import type { Over } from "./ask-server.ts";
import type { ClusterNames } from "./cluster-names.ts";
import type { DnsConfig } from "./dns-config.ts";
import type { Forwarder } from "./forward.ts";
import { type Records, rcodes } from "./reply.ts";
import { isWithin } from "./zone-name.ts";
import type { ForwardRule } from "./zone-rules.ts";
import { type Zone, zoneOfName } from "./zones.ts";

export interface Resolving {
  readonly names: ClusterNames;
  readonly config: DnsConfig;
  readonly domain: string;
  /** Whether the lists of the cluster's names are in. */
  readonly isReady: boolean;
  readonly random: Random;
  /** The servers of a rule; of the node when there is none. */
  readonly forwarder: (rule: ForwardRule | undefined) => Forwarder;
  readonly signal: AbortSignal;
}

export interface Asking {
  readonly question: dns.Question;
  /** The question as it came, when it may be handed on as it is. */
  readonly bytes: Uint8Array;
  readonly over: Over;
}

/** Records, or the bytes of another server's answer. */
export type Resolved = Records | Uint8Array;

const nodeHostsTtl = 60;
const rewritesMax = 16;

export function resolve(desk: Resolving, asking: Asking): Resolved | Promise<Resolved> {
  const { question } = asking;
  const zone = zoneOfName(desk.config.custom, bare(question.name));
  if (zone.rewrites.length === 0) return fromZone(desk, zone, asking);
  return rewriteAndAsk(desk, zone, asking);
}

/** Asks under the new name and answers under the old. */
async function rewriteAndAsk(desk: Resolving, zone: Zone, asking: Asking): Promise<Resolved> {
  let { question } = asking;
  const applied: Zone["rewrites"][number][] = [];
  for (const rule of zone.rewrites.slice(0, rewritesMax)) {
    const next = rule.rewritten(question);
    if (next === undefined) continue;
    question = next;
    applied.push(rule);
    if (!rule.continues) break;
  }
  if (applied.length === 0) return await fromZone(desk, zone, asking);
  const bytes = renamedQuery(asking.bytes, question);
  const found = await fromZone(desk, zone, { ...asking, question, bytes });
  const records = found instanceof Uint8Array ? recordsOf(found) : found;
  const asked = question.name.toLowerCase();
  const renamed = (one: dns.Answer): dns.Answer => {
    if (one.type === "OPT") return one;
    if (bare(one.name) === bare(asked)) return { ...one, name: asking.question.name };
    return applied.reduce((answer, rule) => rule.renamed(answer), one as dns.Answer);
  };
  return { ...records, answers: records.answers.map(renamed) };
}

function fromZone(desk: Resolving, zone: Zone, asking: Asking): Resolved | Promise<Resolved> {
  const { question } = asking;
  const name = bare(question.name);
  for (const template of zone.templates) {
    const reply = template.reply(question);
    if (reply !== "not-mine") return { ...reply, isAuthoritative: true };
  }
  const known = fromHosts(desk, zone, question, name);
  if (known !== undefined) return known;
  const isMain = zone === desk.config.custom.main;
  const reply = isMain ? answer(question, desk.names, desk.domain) : ({ type: "forward" } as const);
  if (reply.type === "forward") return forwarded(desk, zone, asking, isMain);
  if (!desk.isReady) return emptyReply(rcodes.SERVFAIL);
  switch (reply.type) {
    case "no-such-name":
      return emptyReply(rcodes.NXDOMAIN);
    case "answers":
      return own(shuffled(desk.random, reply.answers), reply.more);
    case "alias":
      return withTarget(desk, asking, reply.alias, reply.target);
  }
}

/** The lines of the zone's `hosts`, then the cluster's nodes. */
function fromHosts(
  { config }: Resolving,
  zone: Zone,
  question: dns.Question,
  name: string,
): Records | undefined {
  for (const { zones, hosts, ttl, hasReverse, fallsThrough } of zone.hosts) {
    if (!zones.some((own) => isWithin(name, own)) && question.type !== "PTR") continue;
    const found = hostRecords(question, name, hosts, ttl, hasReverse);
    if (found !== undefined) return found;
    if (zones.some((own) => isWithin(name, own)) && !fallsThrough(name)) {
      return emptyReply(rcodes.NXDOMAIN);
    }
  }
  if (zone !== config.custom.main) return undefined;
  return hostRecords(question, name, config.nodeHosts, nodeHostsTtl, true);
}

function hostRecords(
  question: dns.Question,
  name: string,
  hosts: DnsConfig["nodeHosts"],
  ttl: number,
  hasReverse: boolean,
): Records | undefined {
  if (question.type === "PTR") {
    const ip = hasReverse ? reversedAddress(name) : undefined;
    const names = ip === undefined ? [] : hosts.namesOf(ip);
    if (names.length === 0) return undefined;
    return own(names.map((data) => ({ name: question.name, type: "PTR", ttl, data })));
  }
  const ips = hosts.addressesOf(name);
  if (ips.length === 0) return undefined;
  const wanted = ips.filter((ip) => familyOf(ip) === question.type);
  return own(wanted.map((data) => ({ name: question.name, type: familyOf(data), ttl, data })));
}

async function forwarded(
  desk: Resolving,
  zone: Zone,
  { question, bytes, over }: Asking,
  isMain: boolean,
): Promise<Resolved> {
  const name = bare(question.name);
  const rule = zone.forwards
    .filter(({ from, except }) => isWithin(name, from) && !except.some((e) => isWithin(name, e)))
    .reduce<ForwardRule | undefined>(
      (best, one) => (best === undefined || one.from.length > best.from.length ? one : best),
      undefined,
    );
  // A zone of its own that forwards nothing has nothing more to say.
  if (rule === undefined && !isMain) return emptyReply(rcodes.REFUSED);
  const reply = await desk.forwarder(rule).ask(bytes, rule?.over ?? over, desk.signal);
  return reply ?? emptyReply(rcodes.SERVFAIL);
}

/** The addresses of an alias's target; an alias alone is an answer too. */
async function withTarget(
  desk: Resolving,
  asking: Asking,
  alias: dns.Answer,
  target: string,
): Promise<Records> {
  const next = { ...asking.question, name: target };
  const reply = answer(next, desk.names, desk.domain);
  if (reply.type === "answers") return own([alias, ...reply.answers]);
  // An alias of an alias is left to the client: two of them may point at each other.
  if (reply.type === "alias") return own([alias, reply.alias]);
  if (reply.type === "no-such-name") return own([alias]);
  const query = dns.encode({ type: "query", flags: dns.RECURSION_DESIRED, questions: [next] });
  const asked = { question: next, bytes: query, over: asking.over };
  const found = await resolve(desk, asked);
  const { answers } = found instanceof Uint8Array ? recordsOf(found) : found;
  return own([alias, ...answers]);
}

function own(answers: readonly dns.Answer[], more: readonly dns.Answer[] = []): Records {
  return { rcode: rcodes.NOERROR, answers, more, isAuthoritative: true };
}

function emptyReply(rcode: number): Records {
  const isDenial = rcode === rcodes.NXDOMAIN;
  const base = { rcode, answers: [], more: [], isAuthoritative: isDenial };
  return isDenial ? base : { ...base, authorities: [] };
}

function recordsOf(bytes: Uint8Array): Records {
  const { answers, authorities, additionals, flags } = dns.decode(bytes);
  const more = additionals.filter((record) => record.type !== "OPT");
  return { rcode: flags & 0xf, answers, authorities, more, isAuthoritative: false };
}

/** The same query about another name or type. */
function renamedQuery(bytes: Uint8Array, question: dns.Question): Uint8Array {
  const { id, flags, additionals } = dns.decode(bytes);
  return dns.encode({ id, type: "query", flags, questions: [question], additionals });
}

function bare(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

/** Clients take the first address: each gets another one. */
function shuffled<T>(random: Random, items: readonly T[]): readonly T[] {
  if (items.length < 2) return items;
  const mixed = [...items];
  for (let i = mixed.length - 1; i > 0; i--) {
    const other = random.int(i + 1);
    const held = mixed[i] as T;
    mixed[i] = mixed[other] as T;
    mixed[other] = held;
  }
  return mixed;
}
