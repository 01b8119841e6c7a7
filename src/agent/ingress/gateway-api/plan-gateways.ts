/** From Gateways and the routes that attach to them to what is served, and what they are told. */
import type { Resource } from "../../../client/client.ts";
import { grpcRoutes, httpRoutes } from "../../../client/gateway-resources.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import { labelSelectorOf, matchesLabels, SelectorError } from "../../../lib/selector.ts";
import {
  type Gateway,
  type GatewayClass,
  type GatewayRoute,
  gatewayControllerName,
  gatewayGroup,
  type ParentReference,
} from "../../../schema/gateway-api.ts";
import { keyOf } from "../../../schema/object.ts";
import type { Backend, EntryPoint, Route, TlsCertificate } from "../route-table.ts";
import { type Finding, finding } from "./conditions.ts";
import { commonHosts, tableHost } from "./hostnames.ts";
import { type ListenerPlan, planListener } from "./listeners.ts";
import { grpcPlaces, httpPlaces, type Place, planRule, type RulePlan } from "./plan-rule.ts";
import type { GatewayView } from "./view.ts";

export interface GatewayPlan {
  readonly routes: readonly Route[];
  readonly backends: readonly Backend[];
  readonly certificates: readonly TlsCertificate[];
  readonly classes: readonly DeepReadonly<GatewayClass>[];
  readonly gateways: readonly GatewayState[];
  readonly parents: readonly RouteState[];
}

export interface GatewayState {
  readonly gateway: DeepReadonly<Gateway>;
  readonly addresses: readonly string[];
  readonly findings: readonly Finding[];
  readonly listeners: readonly (ListenerPlan & { readonly attached: number })[];
}

export interface RouteState {
  readonly resource: Resource<GatewayRoute<never>>;
  readonly route: DeepReadonly<GatewayRoute<never>>;
  /** Of the Gateways that are served here only. */
  readonly parents: readonly {
    readonly parentRef: DeepReadonly<ParentReference>;
    readonly findings: readonly Finding[];
  }[];
}

/** A route of any kind, with the places of its rules worked out. */
interface AnyRoute {
  readonly resource: Resource<GatewayRoute<never>>;
  readonly kind: string;
  readonly route: DeepReadonly<GatewayRoute<never>>;
  /** By rule. */
  readonly places: readonly (readonly Place[])[];
}

export function planGateways(view: GatewayView): GatewayPlan {
  const classes = view.classes.filter(({ spec }) => spec.controllerName === gatewayControllerName);
  const names = new Set(classes.map(({ metadata }) => metadata.name));
  const gateways = view.gateways
    .filter(({ spec }) => names.has(spec.gatewayClassName))
    .sort(byAge)
    .map((gateway) => ({
      gateway,
      listeners: gateway.spec.listeners.map((one) => planListener(gateway, one, view)),
    }));
  const planner = new RoutePlanner(view, new Map(gateways.map((one) => [keyOf(one.gateway), one])));
  const parents = routesOf(view).map((route) => planner.add(route));
  return {
    ...planner.plan(),
    certificates: gateways.flatMap(({ listeners }) =>
      listeners.flatMap(({ isOpen, certificates }) => (isOpen ? certificates : [])),
    ),
    classes,
    parents,
    gateways: gateways.map(({ gateway, listeners }) => ({
      gateway,
      ...gatewayState(gateway, listeners, view.addresses),
      listeners: listeners.map((one) => ({ ...one, attached: planner.attachedTo(one) })),
    })),
  };
}

/** Who came first keeps what two want. */
function byAge(a: DeepReadonly<GatewayRoute<never> | Gateway>, b: typeof a): number {
  const order = (one: typeof a): string => `${one.metadata.creationTimestamp ?? ""} ${keyOf(one)}`;
  return order(a) < order(b) ? -1 : 1;
}

function routesOf({ httpRoutes: http, grpcRoutes: grpc }: GatewayView): readonly AnyRoute[] {
  const all: AnyRoute[] = [
    ...http.map((route) => ({
      resource: httpRoutes as Resource<GatewayRoute<never>>,
      kind: "HTTPRoute",
      route: route as AnyRoute["route"],
      places: (route.spec.rules ?? []).map(({ matches }) => httpPlaces(matches)),
    })),
    ...grpc.map((route) => ({
      resource: grpcRoutes as Resource<GatewayRoute<never>>,
      kind: "GRPCRoute",
      route: route as AnyRoute["route"],
      places: (route.spec.rules ?? []).map(({ matches }) => grpcPlaces(matches)),
    })),
  ];
  return all.sort((a, b) => byAge(a.route, b.route));
}

function gatewayState(
  { spec }: DeepReadonly<Gateway>,
  listeners: readonly ListenerPlan[],
  own: readonly string[],
): Pick<GatewayState, "addresses" | "findings"> {
  const asked = (spec.addresses ?? []).flatMap(({ type = "IPAddress", value = "" }) =>
    value === "" ? [] : [{ type, value }],
  );
  const strange = asked.find(({ type }) => type !== "IPAddress");
  if (strange !== undefined) {
    const message = `addresses of type ${strange.type} are not supported`;
    return {
      addresses: [],
      findings: [
        finding("Accepted", false, "UnsupportedAddress", message),
        finding("Programmed", false, "Invalid", message),
      ],
    };
  }
  const unusable = asked.filter(({ value }) => !own.includes(value)).map(({ value }) => value);
  const isWhole = listeners.every(({ isOpen }) => isOpen);
  return {
    addresses: asked.length === 0 ? own : asked.map(({ value }) => value),
    findings: [
      isWhole
        ? finding("Accepted", true, "Accepted")
        : finding("Accepted", true, "ListenersNotValid", "some listeners cannot be served"),
      unusable.length > 0
        ? finding("Programmed", false, "AddressNotUsable", `${unusable.join(", ")} is not ours`)
        : own.length === 0
          ? finding("Programmed", false, "AddressNotAssigned", "the ingress has no address yet")
          : finding("Programmed", true, "Programmed"),
    ],
  };
}

interface PlannedGateway {
  readonly gateway: DeepReadonly<Gateway>;
  readonly listeners: readonly ListenerPlan[];
}

interface Attachment {
  readonly findings: readonly Finding[];
  readonly listeners: readonly { readonly plan: ListenerPlan; readonly hosts: readonly string[] }[];
}

class RoutePlanner {
  readonly #routes: Route[] = [];
  readonly #backends = new Map<string, Backend>();
  readonly #attached = new Map<ListenerPlan, number>();

  constructor(
    private readonly view: GatewayView,
    private readonly gateways: ReadonlyMap<string, PlannedGateway>,
  ) {}

  plan(): Pick<GatewayPlan, "routes" | "backends"> {
    return { routes: this.#routes, backends: [...this.#backends.values()] };
  }

  attachedTo(listener: ListenerPlan): number {
    return this.#attached.get(listener) ?? 0;
  }

  add(any: AnyRoute): RouteState {
    const { resource, route, kind } = any;
    const from = { kind, namespace: route.metadata.namespace ?? "" };
    const rules = (route.spec.rules ?? []).map((rule) => planRule(rule, from, this.view));
    const unsupported = rules.find((rule) => rule.unsupported !== undefined)?.unsupported;
    const unresolved = rules.find((rule) => rule.unresolved !== undefined)?.unresolved;
    const resolved = unresolved ?? finding("ResolvedRefs", true, "ResolvedRefs");
    const places = new Map<string, Set<EntryPoint>>();
    const parents = (route.spec.parentRefs ?? []).flatMap((parentRef) => {
      const attachment = this.#attach(any, parentRef, unsupported);
      if (attachment === undefined) return [];
      for (const { plan, hosts } of attachment.listeners) {
        this.#attached.set(plan, this.attachedTo(plan) + 1);
        if (!plan.isOpen || plan.entryPoint === undefined) continue;
        for (const host of hosts) {
          places.set(host, (places.get(host) ?? new Set()).add(plan.entryPoint));
        }
      }
      return [{ parentRef, findings: [...attachment.findings, resolved] }];
    });
    for (const [host, entryPoints] of places) this.#serve(any, rules, host, [...entryPoints]);
    return { resource, route, parents };
  }

  /** Undefined: the parent is not served here. */
  #attach(
    { kind, route }: AnyRoute,
    parentRef: DeepReadonly<ParentReference>,
    unsupported: string | undefined,
  ): Attachment | undefined {
    const { group = gatewayGroup, kind: parentKind = "Gateway", sectionName, port } = parentRef;
    const namespace = route.metadata.namespace ?? "";
    const key = `${parentRef.namespace ?? namespace}/${parentRef.name}`;
    const parent = this.gateways.get(key);
    if (group !== gatewayGroup || parentKind !== "Gateway" || parent === undefined)
      return undefined;
    const refused = (reason: string, message: string): Attachment => ({
      findings: [finding("Accepted", false, reason, message)],
      listeners: [],
    });
    if (unsupported !== undefined) return refused("UnsupportedValue", unsupported);
    const named = parent.listeners.filter(
      ({ listener }) =>
        (sectionName === undefined || listener.name === sectionName) &&
        (port === undefined || listener.port === port),
    );
    if (named.length === 0) return refused("NoMatchingParent", `${key} has no such listener`);
    const open = named.filter(
      (one) =>
        one.kinds.some((known) => known.kind === kind) &&
        this.#admits(parent.gateway, one, namespace),
    );
    if (open.length === 0) {
      return refused("NotAllowedByListeners", `${key} does not let this route in`);
    }
    const listeners = open
      .map((plan) => ({ plan, hosts: commonHosts(plan.listener.hostname, route.spec.hostnames) }))
      .filter(({ hosts }) => hosts.length > 0);
    if (listeners.length === 0) {
      const message = `${key} has no listener for these host names`;
      return refused("NoMatchingListenerHostname", message);
    }
    return { findings: [finding("Accepted", true, "Accepted")], listeners };
  }

  #admits(
    { metadata }: DeepReadonly<Gateway>,
    { listener }: ListenerPlan,
    namespace: string,
  ): boolean {
    const { from = "Same", selector } = listener.allowedRoutes?.namespaces ?? {};
    switch (from) {
      case "All":
        return true;
      case "Same":
        return namespace === metadata.namespace;
      case "Selector":
        try {
          return matchesLabels(labelSelectorOf(selector), this.view.namespaceLabels(namespace));
        } catch (error) {
          if (error instanceof SelectorError) return false;
          throw error;
        }
    }
  }

  #serve(
    { route, places }: AnyRoute,
    rules: readonly RulePlan[],
    host: string,
    entryPoints: readonly EntryPoint[],
  ): void {
    for (const [index, { rules: asked, backends }] of rules.entries()) {
      for (const backend of backends) this.#backends.set(backend.name, backend);
      for (const place of places[index] ?? []) {
        this.#routes.push({
          ingress: keyOf(route),
          host: tableHost(host),
          ...place,
          isDefault: false,
          entryPoints,
          backend: "",
          rules: asked,
        });
      }
    }
  }
}
