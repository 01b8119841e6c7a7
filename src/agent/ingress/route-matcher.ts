/** Finds the route of a request: the most exact host, then the longest path, then the oldest. */
import { fieldOf } from "./header-fields.ts";
import { pathPattern, wholePattern } from "./path-pattern.ts";
import type { Request } from "./request-out.ts";
import type { EntryPoint, Route, RouteConditions, ValueCondition } from "./route-table.ts";

export interface Match {
  readonly route: Route;
  /** What the groups of a regular expression caught. */
  readonly groups: readonly string[];
}

interface Candidate {
  readonly route: Route;
  readonly order: number;
  /** The path without a slash at its end, where that makes no difference. */
  readonly path: string;
  readonly matches: (path: string) => readonly string[] | undefined;
  /** Absent: no conditions. */
  readonly fits: ((asked: Asked) => boolean) | undefined;
}

/** What conditions are compared with. */
export interface Asked {
  readonly request: Pick<Request, "method" | "fields">;
  /** With its question mark. */
  readonly query: string;
}

const noGroups: readonly string[] = [];

export class RouteMatcher {
  readonly #byHost = new Map<string, Candidate[]>();
  /** The lists of hosts in the order they are tried in, made when first asked for. */
  readonly #ordered = new Map<string, readonly Candidate[]>();
  readonly #hasDeep: boolean;

  constructor(routes: readonly Route[]) {
    for (const [order, route] of routes.entries()) {
      const candidate = candidateOf(route, order);
      const known = this.#byHost.get(route.host);
      if (known === undefined) this.#byHost.set(route.host, [candidate]);
      else known.push(candidate);
    }
    this.#hasDeep = routes.some(({ host }) => host.startsWith("**"));
  }

  /** `host` in lower case and without port. */
  find(entryPoint: EntryPoint, host: string, path: string, asked: Asked): Match | undefined {
    for (const { route, matches, fits } of this.#candidates(host)) {
      if (!route.entryPoints.includes(entryPoint)) continue;
      const groups = matches(path);
      if (groups === undefined) continue;
      if (fits === undefined || fits(asked)) return { route, groups };
    }
    return undefined;
  }

  #candidates(host: string): readonly Candidate[] {
    const names = this.#namesFor(host);
    // Hosts that nobody has named share a list, so that strangers cannot fill the memory.
    const key = names[0] ?? "";
    const known = this.#ordered.get(key);
    if (known !== undefined) return known;
    const list = inOrder(names.flatMap((one) => this.#byHost.get(one) ?? []));
    this.#ordered.set(key, list);
    return list;
  }

  /** Those of the routes' hosts that mean this one, the narrowest first: it tells the others. */
  #namesFor(host: string): readonly string[] {
    const names: string[] = [];
    const add = (name: string): void => {
      if (this.#byHost.has(name) && !names.includes(name)) names.push(name);
    };
    add(host);
    add(`*${host.slice(Math.max(0, host.indexOf(".")))}`);
    if (this.#hasDeep) {
      for (let dot = host.indexOf("."); dot !== -1; dot = host.indexOf(".", dot + 1)) {
        add(`**${host.slice(dot)}`);
      }
    }
    add("");
    return names;
  }
}

function inOrder(candidates: readonly Candidate[]): readonly Candidate[] {
  const byPriority = candidates.some(({ route }) => route.priority !== undefined);
  const priority = ({ route }: Candidate): number =>
    byPriority ? (route.priority ?? ruleLength(route)) : 0;
  return [...candidates].sort(
    (a, b) =>
      Number(a.route.isDefault) - Number(b.route.isDefault) ||
      priority(b) - priority(a) ||
      hostRank(b.route.host) - hostRank(a.route.host) ||
      b.path.length - a.path.length ||
      matchRank[a.route.match] - matchRank[b.route.match] ||
      byConditions(a.route.conditions, b.route.conditions) ||
      a.order - b.order,
  );
}

const matchRank = { exact: 0, prefix: 1, start: 2, regexp: 3 } as const;

const nameBytesMax = 253;

/** Names before wildcards, and of these the longer ones. */
function hostRank(host: string): number {
  if (host === "") return 0;
  if (!host.startsWith("*")) return nameBytesMax + 1;
  return host.replace(/^\*+/, "").length;
}

/** A method counts for more than fields, and these for more than what is in the query. */
function byConditions(a: RouteConditions = {}, b: RouteConditions = {}): number {
  const method = Number(b.method !== undefined) - Number(a.method !== undefined);
  if (method !== 0) return method;
  const count = (list: readonly unknown[] = []): number => list.length;
  return count(b.headers) - count(a.headers) || count(b.queries) - count(a.queries);
}

function fitsOf(conditions: RouteConditions | undefined): Candidate["fits"] {
  if (conditions === undefined) return undefined;
  const { method, headers = [], queries = [] } = conditions;
  const ofFields = headers.map(comparison);
  const ofQuery = queries.map(comparison);
  return ({ request, query }) => {
    if (method !== undefined && method !== request.method) return false;
    if (!ofFields.every(({ name, is }) => is(allOf(request.fields, name)))) return false;
    if (ofQuery.length === 0) return true;
    const given = new URLSearchParams(query);
    return ofQuery.every(({ name, is }) => is(given.get(name) ?? undefined));
  };
}

/** Several fields of one name are one list. */
function allOf(fields: Request["fields"], name: string): string | undefined {
  const first = fieldOf(fields, name);
  if (first === undefined) return undefined;
  const values = fields.filter(({ lower }) => lower === name);
  return values.length === 1 ? first : values.map(({ value }) => value).join(",");
}

interface Comparison {
  readonly name: string;
  readonly is: (value: string | undefined) => boolean;
}

/** An expression that cannot be read fits nothing. */
function comparison({ name, value, isRegexp }: ValueCondition): Comparison {
  if (!isRegexp) return { name, is: (given) => given === value };
  const matches = wholePattern(value);
  return { name, is: (given) => given !== undefined && matches(given) };
}

/** What a priority is compared with where none is given: Traefik goes by its rules' length. */
function ruleLength({ host, path }: Route): number {
  const ofHost = host === "" ? 0 : "Host(``)".length + host.length;
  const between = host === "" || path === "" ? 0 : " && ".length;
  return ofHost + between + "PathPrefix(``)".length + path.length;
}

function candidateOf(route: Route, order: number): Candidate {
  const path = route.match === "prefix" ? route.path.replace(/\/+$/, "") : route.path;
  return { route, order, path, matches: matcherOf(route, path), fits: fitsOf(route.conditions) };
}

function matcherOf(route: Route, path: string): Candidate["matches"] {
  const yes = (is: boolean): readonly string[] | undefined => (is ? noGroups : undefined);
  switch (route.match) {
    case "exact":
      return (asked) => yes(asked === path);
    case "prefix":
      return (asked) =>
        yes(asked.startsWith(path) && (asked.length === path.length || asked[path.length] === "/"));
    case "start":
      return (asked) => yes(asked.startsWith(path));
    case "regexp":
      return pathPattern(path) ?? (() => undefined);
  }
}

/** Lower case, without port and the root's dot. */
export function hostOf(authority: string): string {
  const end = authority.startsWith("[") ? authority.indexOf("]") + 1 : authority.indexOf(":");
  const host = (end > 0 ? authority.slice(0, end) : authority).toLowerCase();
  return host.endsWith(".") ? host.slice(0, -1) : host;
}
