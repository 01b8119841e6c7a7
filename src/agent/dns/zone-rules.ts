/** The rules `hosts` and `forward` of a zone. */
import { canonicalAddress } from "./address.ts";
import type { Over, Server } from "./ask-server.ts";
import { CorefileError, type Directive } from "./corefile.ts";
import { type Hosts, noHosts, parseHosts } from "./hosts.ts";
import { zoneName, zonesPast } from "./zone-name.ts";

export interface HostsRule {
  readonly zones: readonly string[];
  readonly hosts: Hosts;
  readonly ttl: number;
  readonly hasReverse: boolean;
  readonly fallsThrough: (name: string) => boolean;
}

export interface ForwardRule {
  readonly from: string;
  readonly except: readonly string[];
  /** Empty means the node's own servers. */
  readonly servers: readonly Server[];
  readonly policy: "random" | "round_robin" | "sequential";
  readonly cacheMs: number;
  readonly over: Over | undefined;
}

/** `hosts [ZONE…] { … }`. @throws CorefileError */
export function hostsRule({ args, block, line }: Directive, names: readonly string[]): HostsRule {
  const lines: string[] = [];
  const settings = { ttl: 3600, hasReverse: true };
  let fallsThrough: HostsRule["fallsThrough"] = () => false;
  for (const one of block) {
    if (canonicalAddress(one.name) !== undefined) lines.push([one.name, ...one.args].join(" "));
    else if (one.name === "ttl" && Number(one.args[0]) > 0) settings.ttl = Number(one.args[0]);
    else if (one.name === "no_reverse") settings.hasReverse = false;
    else if (one.name === "fallthrough") {
      fallsThrough = zonesPast(one.args);
    } else if (one.name !== "reload") {
      throw new CorefileError(`line ${one.line}: hosts does not know "${one.name}"`);
    }
  }
  if (args[0]?.startsWith("/")) {
    throw new CorefileError(
      `line ${line}: hosts takes its lines in braces, not the file ${args[0]}`,
    );
  }
  const zones = args.length === 0 ? names : args.map(zoneName);
  const hosts = lines.length === 0 ? noHosts : parseHosts(lines.join("\n"));
  return { zones, hosts, ...settings, fallsThrough };
}

/** `forward FROM TO… { … }`. @throws CorefileError */
export function forwardRule(directive: Directive, cacheMs: number): ForwardRule {
  const { args, block, line } = directive;
  const [from, ...to] = args;
  if (from === undefined || to.length === 0) {
    throw new CorefileError(`line ${line}: forward takes FROM TO…`);
  }
  const option = (name: string): readonly string[] | undefined =>
    block.find((one) => one.name === name)?.args;
  for (const one of block) {
    if (forwardOptions.has(one.name)) continue;
    throw new CorefileError(`line ${one.line}: forward does not know "${one.name}"`);
  }
  const policy = option("policy")?.[0] ?? "random";
  if (policy !== "random" && policy !== "round_robin" && policy !== "sequential") {
    throw new CorefileError(`line ${line}: policy is random, round_robin or sequential`);
  }
  const ofNode = to.some((server) => server.startsWith("/"));
  const tlsName = option("tls_servername")?.[0];
  return {
    from: zoneName(from),
    except: (option("except") ?? []).map(zoneName),
    servers: ofNode ? [] : to.map((text) => serverOf(text, tlsName, line)),
    policy,
    cacheMs,
    over: option("force_tcp") ? "tcp" : option("prefer_udp") ? "udp" : undefined,
  };
}

const forwardOptions = new Set([
  "except",
  "expire",
  "failfast_all_unhealthy_upstreams",
  "force_tcp",
  "health_check",
  "max_concurrent",
  "max_fails",
  "next",
  "policy",
  "prefer_udp",
  "tls",
  "tls_servername",
]);

/** `10.0.0.1`, `10.0.0.1:5353`, `[fd00::1]:53`, `tls://9.9.9.9`. */
function serverOf(text: string, tlsName: string | undefined, line: number): Server {
  const [, scheme = "dns", rest = ""] = /^(?:(dns|tls):\/\/)?(.+)$/.exec(text) ?? [];
  const [, bracketed, plain, port] =
    /^(?:\[(.+)\]|([^:]+|[0-9a-f:]+?))(?::(\d+))?$/i.exec(rest) ?? [];
  const isBare = rest.includes(":") && canonicalAddress(rest) !== undefined;
  const host = isBare ? rest : (bracketed ?? plain ?? "");
  if (canonicalAddress(host) === undefined) {
    throw new CorefileError(`line ${line}: forward takes addresses, not "${text}"`);
  }
  const usual = scheme === "tls" ? 853 : 53;
  const server = { host, port: isBare || port === undefined ? usual : Number(port) };
  return scheme === "tls" ? { ...server, tlsName: tlsName ?? host } : server;
}
