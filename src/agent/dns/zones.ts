/** What the ConfigMap `coredns-custom` adds: zones of its own and rules for the cluster's. */
import { CorefileError, type Directive, parseCorefile, parseDirectives } from "./corefile.ts";
import { parseRewrite, type Rewrite } from "./rewrite.ts";
import { parseTemplate, type Template } from "./template.ts";
import { isWithin, zoneName } from "./zone-name.ts";
import { type ForwardRule, forwardRule, type HostsRule, hostsRule } from "./zone-rules.ts";

/** The rules of one server block, in the order in which CoreDNS asks its plugins. */
export interface Zone {
  /** In lower case without the final dot; "" is the root. */
  readonly names: readonly string[];
  readonly rewrites: readonly Rewrite[];
  readonly templates: readonly Template[];
  readonly hosts: readonly HostsRule[];
  readonly forwards: readonly ForwardRule[];
  readonly logsQueries: boolean;
}

/** The cluster's own zone with nothing added. */
const plainZone: Zone = {
  names: [""],
  rewrites: [],
  templates: [],
  hosts: [],
  forwards: [],
  logsQueries: false,
};

export interface CustomZones {
  /** What is added to the cluster's own block. */
  readonly main: Zone;
  readonly others: readonly Zone[];
}

export const noCustomZones: CustomZones = { main: plainZone, others: [] };

/** `*.override` and `*.server` of the ConfigMap's data. @throws CorefileError naming the key */
export function parseCustomZones(data: Readonly<Record<string, string>>): CustomZones {
  const own: Directive[] = [];
  const others: Zone[] = [];
  for (const key of Object.keys(data).sort()) {
    const text = data[key] ?? "";
    try {
      if (key.endsWith(".override")) {
        const directives = parseDirectives(text);
        zoneOf([""], directives); // a mistake is told with its own key
        own.push(...directives);
      }
      if (key.endsWith(".server")) {
        for (const { keys, directives } of parseCorefile(text)) {
          others.push(zoneOf(keys.map(checkedKey), directives));
        }
      }
    } catch (error) {
      if (error instanceof CorefileError) throw new CorefileError(`${key}: ${error.message}`);
      throw error;
    }
  }
  return { main: zoneOf([""], own), others };
}

/** The zone with the longest name that `name` is in. */
export function zoneOfName({ main, others }: CustomZones, name: string): Zone {
  let best = main;
  let length = -1;
  for (const zone of others) {
    for (const own of zone.names) {
      if (own.length > length && isWithin(name, own)) [best, length] = [zone, own.length];
    }
  }
  return best;
}

function checkedKey(key: string): string {
  const port = /:(\d+)$/.exec(key)?.[1] ?? "53";
  if (port !== "53") throw new CorefileError(`"${key}": the cluster's DNS has port 53 only`);
  if (/^(tls|grpc|https|quic):/.test(key)) {
    throw new CorefileError(`"${key}": only plain DNS is served`);
  }
  return zoneName(key);
}

/** Directives that ask for what is always so, or for what has no meaning inside of k3. */
const alwaysSo = new Set([
  "bufsize",
  "errors",
  "health",
  "loadbalance",
  "loop",
  "prometheus",
  "ready",
  "reload",
]);

const known = ["cache", "forward", "hosts", "log", "rewrite", "template", ...alwaysSo];

function zoneOf(names: readonly string[], directives: readonly Directive[]): Zone {
  const all = (name: string): readonly Directive[] =>
    directives.filter((directive) => directive.name === name);
  for (const { name, line } of directives) {
    if (known.includes(name)) continue;
    const accepted = [...known].sort().join(", ");
    throw new CorefileError(`line ${line}: unknown directive "${name}": there are ${accepted}`);
  }
  const cacheMs = cacheMsOf(all("cache")[0]);
  return {
    names,
    rewrites: all("rewrite").map(parseRewrite),
    templates: all("template").map((directive) => parseTemplate(directive, names)),
    hosts: all("hosts").map((directive) => hostsRule(directive, names)),
    forwards: all("forward").map((directive) => forwardRule(directive, cacheMs)),
    logsQueries: all("log").length > 0,
  };
}

function cacheMsOf(directive: Directive | undefined): number {
  const seconds = Number(directive?.args[0] ?? 30);
  if (directive !== undefined && !(seconds > 0)) {
    throw new CorefileError(`line ${directive.line}: cache takes seconds, not "${directive.args}"`);
  }
  return seconds * 1000;
}
