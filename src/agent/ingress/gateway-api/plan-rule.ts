/** One rule of a route of the Gateway API: what it compares, what it changes, where it leads. */
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import { parseDuration } from "../../../lib/duration.ts";
import type {
  BackendReference,
  FieldChange as FieldChangeOfFilter,
  GrpcMatch,
  HttpMatch,
  PathChange as PathChangeOfFilter,
  RouteFilter,
  RouteRule,
  ValueMatch,
} from "../../../schema/gateway-api.ts";
import { defined } from "../annotation-values.ts";
import { backendOf } from "../plan-backend.ts";
import type {
  Backend,
  BackendShare,
  FieldChange,
  PathChange,
  PathMatch,
  RouteConditions,
  RouteRules,
  ValueCondition,
} from "../route-table.ts";
import { type Finding, finding } from "./conditions.ts";
import { isPermitted, type Referrer, targetOf } from "./references.ts";
import type { GatewayView } from "./view.ts";

/** Where a rule applies. */
export interface Place {
  readonly path: string;
  readonly match: PathMatch;
  readonly conditions?: RouteConditions;
}

export interface RulePlan {
  readonly rules: RouteRules;
  readonly backends: readonly Backend[];
  /** The first reference that leads nowhere. */
  readonly unresolved: Finding | undefined;
  /** A filter that is not known here; the rule must not be served without it. */
  readonly unsupported: string | undefined;
}

export function planRule(
  { filters = [], backendRefs = [], timeouts }: DeepReadonly<RouteRule<unknown>>,
  from: Referrer,
  view: GatewayView,
): RulePlan {
  const backends: Backend[] = [];
  let unresolved: Finding | undefined;
  let unsupported: string | undefined;
  const ofRule = changesOf(filters);
  if (typeof ofRule === "string") unsupported = ofRule;
  const shares = backendRefs.map((reference): BackendShare => {
    const { weight = 1, filters: own = [] } = reference;
    const changes = changesOf(own);
    if (typeof changes === "string") unsupported ??= changes;
    const backend = backendFor(reference, from, view);
    if ("type" in backend) {
      unresolved ??= backend;
      return { backend: "", weight };
    }
    backends.push(backend);
    if (typeof changes === "string") return { backend: backend.name, weight };
    const { requestFields, answerFields } = changes;
    return { backend: backend.name, weight, ...defined({ requestFields, answerFields }) };
  });
  const changes = typeof ofRule === "string" ? {} : ofRule;
  const wholeMs = shortest(timeouts?.request, timeouts?.backendRequest);
  return {
    rules: { ...changes, shares, ...defined({ wholeMs }) },
    backends,
    unresolved,
    unsupported,
  };
}

function backendFor(
  reference: DeepReadonly<BackendReference>,
  from: Referrer,
  view: GatewayView,
): Backend | Finding {
  const wrong = (reason: string, message: string): Finding =>
    finding("ResolvedRefs", false, reason, message);
  const target = targetOf(reference, { kind: "Service", namespace: from.namespace });
  if (target.group !== "" || target.kind !== "Service") {
    return wrong("InvalidKind", `${target.kind} ${target.name} is no Service`);
  }
  const key = `${target.namespace}/${target.name}`;
  if (!isPermitted(from, target, view.grants)) {
    return wrong("RefNotPermitted", `Service ${key} may not be used: no ReferenceGrant permits it`);
  }
  const { port } = reference;
  const protocol = from.kind === "GRPCRoute" ? "h2c" : undefined;
  const wanted = { key, port: port === undefined ? {} : { number: port }, protocol } as const;
  const found = backendOf(wanted, view.service(key), view.slices(key));
  return typeof found === "string" ? wrong("BackendNotFound", found) : found;
}

type Changes = Pick<
  RouteRules,
  "requestFields" | "answerFields" | "redirectTo" | "pathChange" | "upstreamHost"
>;

/** A text names the filter that is not known here. */
function changesOf(filters: readonly DeepReadonly<RouteFilter>[]): Changes | string {
  let changes: Changes = {};
  for (const filter of filters) {
    const { type, requestHeaderModifier, responseHeaderModifier } = filter;
    const { requestRedirect, urlRewrite } = filter;
    switch (type) {
      case "RequestHeaderModifier":
        changes = { ...changes, requestFields: fieldChange(requestHeaderModifier) };
        break;
      case "ResponseHeaderModifier":
        changes = { ...changes, answerFields: fieldChange(responseHeaderModifier) };
        break;
      case "RequestRedirect": {
        const {
          scheme,
          hostname: host,
          port,
          path,
          statusCode: status = 302,
        } = requestRedirect ?? {};
        const more = defined({ scheme, host, port, path: pathChange(path) });
        changes = { ...changes, redirectTo: { status, ...more } };
        break;
      }
      case "URLRewrite": {
        const { hostname: upstreamHost, path } = urlRewrite ?? {};
        changes = { ...changes, ...defined({ upstreamHost, pathChange: pathChange(path) }) };
        break;
      }
      default:
        return `filters of type ${type} are not supported`;
    }
  }
  return changes;
}

function fieldChange(filter: DeepReadonly<FieldChangeOfFilter> = {}): FieldChange {
  const pairs = (list: DeepReadonly<FieldChangeOfFilter>["set"]): FieldChange["set"] =>
    (list ?? []).map(({ name, value }) => [name, value] as const);
  return {
    set: pairs(filter.set),
    add: pairs(filter.add),
    remove: (filter.remove ?? []).map((name) => name.toLowerCase()),
  };
}

function pathChange(change: DeepReadonly<PathChangeOfFilter> | undefined): PathChange | undefined {
  if (change === undefined) return undefined;
  return change.type === "ReplaceFullPath"
    ? { replaces: "all", by: change.replaceFullPath ?? "" }
    : { replaces: "prefix", by: change.replacePrefixMatch ?? "" };
}

/** In milliseconds; "0s" and what is absent are no limit. */
function shortest(...texts: readonly (string | undefined)[]): number | undefined {
  const given = texts.map((text) => (text === undefined ? 0 : parseDuration(text)));
  const limits = given.filter((ms) => ms > 0);
  return limits.length === 0 ? undefined : Math.min(...limits);
}

const everyPath: Place = { path: "/", match: "prefix" };

const pathMatches = { Exact: "exact", PathPrefix: "prefix", RegularExpression: "regexp" } as const;

export function httpPlaces(
  matches: readonly DeepReadonly<HttpMatch>[] | undefined,
): readonly Place[] {
  if (matches === undefined || matches.length === 0) return [everyPath];
  return matches.map(({ path, headers = [], queryParams = [], method }) => ({
    path: path?.value ?? "/",
    match: pathMatches[path?.type ?? "PathPrefix"],
    ...conditionsOf({
      method,
      headers: fieldConditions(headers),
      queries: conditions(queryParams),
    }),
  }));
}

/** A call of gRPC is a POST to `/service/method`. */
export function grpcPlaces(
  matches: readonly DeepReadonly<GrpcMatch>[] | undefined,
): readonly Place[] {
  if (matches === undefined || matches.length === 0) return [everyPath];
  return matches.map(({ method, headers = [] }) => ({
    ...grpcPath(method),
    ...conditionsOf({ method: undefined, headers: fieldConditions(headers), queries: [] }),
  }));
}

function grpcPath(called: DeepReadonly<GrpcMatch>["method"]): Place {
  const { type, service, method } = called ?? {};
  if (service === undefined && method === undefined) return everyPath;
  if (type === "RegularExpression") {
    return { path: `/(?:${service ?? "[^/]+"})/(?:${method ?? "[^/]+"})$`, match: "regexp" };
  }
  if (service === undefined) return { path: `/[^/]+/${escaped(method ?? "")}$`, match: "regexp" };
  if (method === undefined) return { path: `/${service}/`, match: "prefix" };
  return { path: `/${service}/${method}`, match: "exact" };
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

function conditions(matches: readonly DeepReadonly<ValueMatch>[]): readonly ValueCondition[] {
  return matches.map(({ name, value, type }) => ({
    name,
    value,
    isRegexp: type === "RegularExpression",
  }));
}

function fieldConditions(matches: readonly DeepReadonly<ValueMatch>[]): readonly ValueCondition[] {
  return conditions(matches).map((one) => ({ ...one, name: one.name.toLowerCase() }));
}

/** Nothing where there is nothing to compare: most routes have none. */
function conditionsOf(of: {
  readonly method: string | undefined;
  readonly headers: readonly ValueCondition[];
  readonly queries: readonly ValueCondition[];
}): Pick<Place, "conditions"> {
  const { method, headers, queries } = of;
  const given = defined({
    method,
    headers: headers.length === 0 ? undefined : headers,
    queries: queries.length === 0 ? undefined : queries,
  });
  return Object.keys(given).length === 0 ? {} : { conditions: given };
}
