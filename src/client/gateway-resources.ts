/** The identity of the Gateway API's resources, which are custom ones. */
import {
  type Gateway,
  type GatewayClass,
  type GrpcRoute,
  gatewayGroup,
  type HttpRoute,
  type ReferenceGrant,
} from "../schema/gateway-api.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Resource } from "./client.ts";

function row<T extends KubeObject>(kind: string, plural: string, version = "v1"): Resource<T> {
  return { group: gatewayGroup, version, plural, kind, namespaced: kind !== "GatewayClass" };
}

export const gatewayClasses = row<GatewayClass>("GatewayClass", "gatewayclasses");
export const gateways = row<Gateway>("Gateway", "gateways");
export const httpRoutes = row<HttpRoute>("HTTPRoute", "httproutes");
export const grpcRoutes = row<GrpcRoute>("GRPCRoute", "grpcroutes");
export const referenceGrants = row<ReferenceGrant>("ReferenceGrant", "referencegrants", "v1beta1");
