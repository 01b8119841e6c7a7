/** What a question about the cluster domain is answered with: the Kubernetes DNS specification. */
import type { Answer, Question } from "dns-packet";
import type { Service } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { dashedAddress, familyOf, reversedAddress } from "./address.ts";
import type { ClusterNames, EndpointName } from "./cluster-names.ts";

export type Reply =
  /** Not ours: ask the node's resolvers. */
  | { readonly type: "forward" }
  /** The name exists; no answers means it has none of that type. */
  | {
      readonly type: "answers";
      readonly answers: readonly Answer[];
      readonly more: readonly Answer[];
    }
  /** A CNAME; the addresses of `target` belong into the answer too. */
  | { readonly type: "alias"; readonly alias: Answer; readonly target: string }
  | { readonly type: "no-such-name" };

/** Short, because services come and go; the same as CoreDNS's default. */
const ttl = 5;

const none: Reply = { type: "answers", answers: [], more: [] };
const noSuchName: Reply = { type: "no-such-name" };

export function answer(question: Question, names: ClusterNames, domain: string): Reply {
  const name = question.name.toLowerCase().replace(/\.$/, "");
  if (name === domain) return apexReply(question, domain);
  if (!name.endsWith(`.${domain}`)) return outsideReply(question, name, names, domain);
  const labels = name.slice(0, -domain.length - 1).split(".");
  const kind = labels.pop();
  if (kind === "svc") return serviceReply(question, labels, names, domain);
  if (kind === "pod") return podReply(question, labels, names);
  if (kind === "dns-version" && labels.length === 0) {
    return question.type === "TXT"
      ? answers([{ name: question.name, type: "TXT", ttl, data: "1.1.0" }])
      : none;
  }
  return noSuchName;
}

/** Goes into the authority section of answers that have nothing. */
export function soaOf(domain: string): Answer {
  return {
    name: domain,
    type: "SOA",
    ttl,
    data: {
      mname: `ns.dns.${domain}`,
      rname: `hostmaster.${domain}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86_400,
      minimum: ttl,
    },
  };
}

function apexReply(question: Question, domain: string): Reply {
  if (question.type === "SOA") return answers([soaOf(domain)]);
  if (question.type !== "NS") return none;
  return answers([{ name: question.name, type: "NS", ttl, data: `ns.dns.${domain}` }]);
}

function outsideReply(
  question: Question,
  name: string,
  names: ClusterNames,
  domain: string,
): Reply {
  const ip = question.type === "PTR" ? reversedAddress(name) : undefined;
  const found = ip === undefined ? [] : names.namesOf(ip);
  if (found.length === 0) return { type: "forward" };
  return answers(
    found.map((one) => ({ name: question.name, type: "PTR", ttl, data: `${one}.${domain}` })),
  );
}

/** `labels` is what stands before `.svc`. */
function serviceReply(
  question: Question,
  labels: readonly string[],
  names: ClusterNames,
  domain: string,
): Reply {
  const [namespace = "", name, ...before] = [...labels].reverse();
  if (namespace === "") return none;
  if (name === undefined) return names.hasNamespace(namespace) ? none : noSuchName;
  const service = names.service(namespace, name);
  if (service === undefined) return noSuchName;
  const base = `${name}.${namespace}.svc.${domain}`;
  if (service.spec?.type === "ExternalName") return aliasReply(question, before, service);
  const headless = service.spec?.clusterIP === "None";
  const endpoints = headless ? names.endpoints(namespace, name) : [];
  if (before.length === 0) {
    if (question.type === "SRV") return srvReply(question, service, endpoints, base, () => true);
    const ips = headless
      ? endpoints.map(({ ip }) => ip)
      : (service.spec?.clusterIPs ?? [service.spec?.clusterIP ?? ""]);
    return addresses(question, ips);
  }
  if (before.length === 1) {
    const hosts = endpoints.filter(({ label }) => label === before[0]);
    if (hosts.length > 0)
      return addresses(
        question,
        hosts.map(({ ip }) => ip),
      );
    return /^_(tcp|udp|sctp)$/.test(before[0] ?? "") ? none : noSuchName;
  }
  const [protocol = "", port = ""] = before;
  if (before.length > 2 || !protocol.startsWith("_") || !port.startsWith("_")) return noSuchName;
  const fits = (one: NamedPort): boolean =>
    `_${one.name}` === port && `_${one.protocol}` === protocol;
  return srvReply(question, service, endpoints, base, fits);
}

interface NamedPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

function srvReply(
  question: Question,
  service: DeepReadonly<Service>,
  endpoints: readonly EndpointName[],
  base: string,
  fits: (port: NamedPort) => boolean,
): Reply {
  const records: Answer[] = [];
  const more: Answer[] = [];
  const add = (target: string, ports: readonly NamedPort[], ips: readonly string[]): void => {
    const fitting = ports.filter(fits);
    for (const { port } of fitting) {
      const data = { priority: 0, weight: 100, port, target };
      records.push({ name: question.name, type: "SRV", ttl, data });
    }
    if (fitting.length === 0) return;
    for (const ip of ips) more.push({ name: target, type: familyOf(ip), ttl, data: ip });
  };
  const { clusterIP = "", ports = [] } = service.spec ?? {};
  if (clusterIP === "None") {
    for (const { label, ip, ports } of endpoints) add(`${label}.${base}`, ports, [ip]);
  } else {
    const named = ports.map(({ name = "", protocol = "TCP", port }) => ({
      name,
      protocol: protocol.toLowerCase(),
      port,
    }));
    add(base, named, service.spec?.clusterIPs ?? [clusterIP]);
  }
  if (records.length === 0) return question.name.startsWith("_") ? noSuchName : none;
  return question.type === "SRV" ? { type: "answers", answers: records, more } : none;
}

function aliasReply(
  question: Question,
  before: readonly string[],
  service: DeepReadonly<Service>,
): Reply {
  const target = service.spec?.externalName?.replace(/\.$/, "") ?? "";
  if (before.length > 0 || target === "") return noSuchName;
  const alias: Answer = { name: question.name, type: "CNAME", ttl, data: target };
  if (question.type === "CNAME") return answers([alias]);
  return { type: "alias", alias, target };
}

/** `10-42-0-7.default.pod`: the address is in the name, the namespace must exist. */
function podReply(question: Question, labels: readonly string[], names: ClusterNames): Reply {
  const [namespace = "", dashed, more] = [...labels].reverse();
  if (namespace === "") return none;
  if (!names.hasNamespace(namespace)) return noSuchName;
  if (dashed === undefined) return none;
  const ip = dashedAddress(dashed);
  return more === undefined && ip !== undefined ? addresses(question, [ip]) : noSuchName;
}

function addresses(question: Question, ips: readonly string[]): Reply {
  const wanted = ips.filter((ip) => ip !== "" && ip !== "None" && familyOf(ip) === question.type);
  return answers(
    [...new Set(wanted)].map((ip) => ({
      name: question.name,
      type: familyOf(ip),
      ttl,
      data: ip,
    })),
  );
}

function answers(records: readonly Answer[]): Reply {
  return { type: "answers", answers: records, more: [] };
}
