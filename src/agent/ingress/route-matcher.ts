/** Finds the route of a request: the most exact host, then the longest path, then the oldest. */
import { pathPattern } from "./path-pattern.ts";
import type { EntryPoint, Route } from "./route-table.ts";

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
}

const noGroups: readonly string[] = [];

export class RouteMatcher {
  readonly #byHost = new Map<string, Candidate[]>();
  /** The lists of hosts in the order they are tried in, made when first asked for. */
  readonly #ordered = new Map<string, readonly Candidate[]>();

  constructor(routes: readonly Route[]) {
    for (const [order, route] of routes.entries()) {
      const candidate = candidateOf(route, order);
      const known = this.#byHost.get(route.host);
      if (known === undefined) this.#byHost.set(route.host, [candidate]);
      else known.push(candidate);
    }
  }

  /** `host` in lower case and without port. */
  find(entryPoint: EntryPoint, host: string, path: string): Match | undefined {
    for (const { route, matches } of this.#candidates(host)) {
      if (!route.entryPoints.includes(entryPoint)) continue;
      const groups = matches(path);
      if (groups !== undefined) return { route, groups };
    }
    return undefined;
  }

  #candidates(host: string): readonly Candidate[] {
    const wildcard = `*${host.slice(Math.max(0, host.indexOf(".")))}`;
    // Hosts that nobody has named share a list, so that strangers cannot fill the memory.
    const key = this.#byHost.has(host) ? host : this.#byHost.has(wildcard) ? wildcard : "";
    const known = this.#ordered.get(key);
    if (known !== undefined) return known;
    const all = [...new Set([host, wildcard, ""])].flatMap((one) => this.#byHost.get(one) ?? []);
    const list = inOrder(all);
    this.#ordered.set(key, list);
    return list;
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
      a.order - b.order,
  );
}

const matchRank = { exact: 0, prefix: 1, start: 2, regexp: 3 } as const;

function hostRank(host: string): number {
  return host === "" ? 0 : host.startsWith("*") ? 1 : 2;
}

/** What a priority is compared with where none is given: Traefik goes by its rules' length. */
function ruleLength({ host, path }: Route): number {
  const ofHost = host === "" ? 0 : "Host(``)".length + host.length;
  const between = host === "" || path === "" ? 0 : " && ".length;
  return ofHost + between + "PathPrefix(``)".length + path.length;
}

function candidateOf(route: Route, order: number): Candidate {
  const path = route.match === "prefix" ? route.path.replace(/\/+$/, "") : route.path;
  return { route, order, path, matches: matcherOf(route, path) };
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
