/** Tells the objects of the Gateway API what became of them; writes only what has changed. */
import type { Client, Resource } from "../../../client/client.ts";
import { gatewayClasses, gateways } from "../../../client/gateway-resources.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import {
  type Gateway,
  type GatewayClass,
  gatewayControllerName,
  gatewayGroup,
  type RouteStatus,
} from "../../../schema/gateway-api.ts";
import type { KubeObject } from "../../../schema/object.ts";
import { sameJson } from "../../../schema/same-json.ts";
import { conditionsOf, finding } from "./conditions.ts";
import type { GatewayPlan, GatewayState, RouteState } from "./plan-gateways.ts";

/** What of the specification is served, by its names. */
export const supportedFeatures: readonly string[] = [
  "GRPCRoute",
  "Gateway",
  "HTTPRoute",
  "HTTPRouteBackendProtocolH2C",
  "HTTPRouteBackendProtocolWebSocket",
  "HTTPRouteBackendRequestHeaderModification",
  "HTTPRouteBackendTimeout",
  "HTTPRouteHostRewrite",
  "HTTPRouteMethodMatching",
  "HTTPRouteNamedRouteRule",
  "HTTPRoutePathRedirect",
  "HTTPRoutePathRewrite",
  "HTTPRoutePortRedirect",
  "HTTPRouteQueryParamMatching",
  "HTTPRouteRequestTimeout",
  "HTTPRouteResponseHeaderModification",
  "HTTPRouteSchemeRedirect",
  "ReferenceGrant",
];

export interface StatusWrite {
  readonly resource: Resource<KubeObject>;
  readonly object: DeepReadonly<KubeObject>;
  readonly status: object;
}

/** `now` is a time as RFC 3339 has it. */
export function statusWrites(plan: GatewayPlan, now: string): readonly StatusWrite[] {
  const writes: StatusWrite[] = [
    ...plan.classes.map((one) => ({
      resource: gatewayClasses as Resource<KubeObject>,
      object: one,
      status: classStatus(one, now),
    })),
    ...plan.gateways.map((state) => ({
      resource: gateways as Resource<KubeObject>,
      object: state.gateway,
      status: gatewayStatus(state, now),
    })),
    ...plan.parents.map((state) => ({
      resource: state.resource as Resource<KubeObject>,
      object: state.route,
      status: routeStatus(state, now),
    })),
  ];
  return writes.filter(({ object, status }) => {
    const present = (object as { readonly status?: object }).status ?? { parents: [] };
    return !sameJson(present, status);
  });
}

/** Throws Conflict when the object has changed since: the change leads here again. */
export async function writeStatus(
  client: Client,
  { resource, object, status }: StatusWrite,
): Promise<void> {
  const { namespace = "", name = "", resourceVersion } = object.metadata;
  const body = { metadata: { resourceVersion }, status };
  await client.patch(resource, namespace, name, "merge", body, { subresource: "status" });
}

function classStatus({ metadata, status }: DeepReadonly<GatewayClass>, now: string): object {
  const findings = [
    finding("Accepted", true, "Accepted"),
    finding("SupportedVersion", true, "SupportedVersion"),
  ];
  return {
    conditions: conditionsOf(findings, status?.conditions, metadata.generation ?? 1, now),
    supportedFeatures: supportedFeatures.map((name) => ({ name })),
  };
}

function gatewayStatus(
  { gateway, addresses, findings, listeners }: GatewayState,
  now: string,
): object {
  const { metadata, status } = gateway;
  const generation = metadata.generation ?? 1;
  const before = (name: string): NonNullable<DeepReadonly<Gateway>["status"]>["conditions"] =>
    status?.listeners?.find((one) => one.name === name)?.conditions;
  return {
    addresses: addresses.map((value) => ({ type: "IPAddress", value })),
    conditions: conditionsOf(findings, status?.conditions, generation, now),
    listeners: listeners.map(({ listener: { name }, attached, kinds, findings: own }) => ({
      name,
      attachedRoutes: attached,
      supportedKinds: kinds,
      conditions: conditionsOf(own, before(name), generation, now),
    })),
  };
}

/** What other controllers say of other parents stays. */
function routeStatus({ route, parents }: RouteState, now: string): DeepReadonly<RouteStatus> {
  const present = route.status?.parents ?? [];
  const key = ({ group = gatewayGroup, kind = "Gateway", ...rest }: object & RefParts): string =>
    JSON.stringify([group, kind, rest.namespace, rest.name, rest.sectionName, rest.port]);
  const others = present.filter((one) => one.controllerName !== gatewayControllerName);
  const own = parents.map(({ parentRef, findings }) => {
    const before = present.find(
      (one) =>
        one.controllerName === gatewayControllerName && key(one.parentRef) === key(parentRef),
    );
    return {
      parentRef,
      controllerName: gatewayControllerName,
      conditions: conditionsOf(findings, before?.conditions, route.metadata.generation ?? 1, now),
    };
  });
  return { parents: [...others, ...own] };
}

interface RefParts {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly sectionName?: string;
  readonly port?: number;
}
