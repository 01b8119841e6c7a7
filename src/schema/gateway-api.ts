/** The kinds of the Gateway API as far as k3 reads and writes them (v1.4, standard channel). */
import type { Condition, LabelSelector } from "../gen/meta-v1.ts";
import type { KubeObject } from "./object.ts";

export const gatewayGroup = "gateway.networking.k8s.io";

/** What Traefik calls itself as a controller of Gateways; k3 stands in for it. */
export const gatewayControllerName = "traefik.io/gateway-controller";

export interface GatewayClass extends KubeObject {
  spec: { controllerName: string };
  status?: { conditions?: Condition[]; supportedFeatures?: { name: string }[] };
}

export interface Gateway extends KubeObject {
  spec: {
    gatewayClassName: string;
    listeners: GatewayListener[];
    addresses?: { type?: string; value?: string }[];
  };
  status?: {
    addresses?: { type: string; value: string }[];
    conditions?: Condition[];
    listeners?: ListenerStatus[];
  };
}

export interface GatewayListener {
  name: string;
  hostname?: string;
  port: number;
  /** "HTTP", "HTTPS", "TLS", "TCP", "UDP" or a name with a domain. */
  protocol: string;
  tls?: { mode?: string; certificateRefs?: ObjectReference[] };
  allowedRoutes?: {
    kinds?: RouteKind[];
    namespaces?: { from?: "All" | "Selector" | "Same"; selector?: LabelSelector };
  };
}

export interface ListenerStatus {
  name: string;
  attachedRoutes: number;
  supportedKinds: RouteKind[];
  conditions: Condition[];
}

export interface RouteKind {
  group?: string;
  kind: string;
}

export interface ObjectReference {
  group?: string;
  kind?: string;
  name: string;
  namespace?: string;
}

export interface ParentReference extends ObjectReference {
  sectionName?: string;
  port?: number;
}

export interface BackendReference extends ObjectReference {
  port?: number;
  weight?: number;
  filters?: RouteFilter[];
}

export interface FieldValue {
  name: string;
  value: string;
}

export interface FieldChange {
  set?: FieldValue[];
  add?: FieldValue[];
  remove?: string[];
}

export interface PathChange {
  type: "ReplaceFullPath" | "ReplacePrefixMatch";
  replaceFullPath?: string;
  replacePrefixMatch?: string;
}

export interface RouteFilter {
  type: string;
  requestHeaderModifier?: FieldChange;
  responseHeaderModifier?: FieldChange;
  requestRedirect?: {
    scheme?: string;
    hostname?: string;
    path?: PathChange;
    port?: number;
    statusCode?: number;
  };
  urlRewrite?: { hostname?: string; path?: PathChange };
}

export interface ValueMatch extends FieldValue {
  type?: "Exact" | "RegularExpression";
}

export interface RouteRule<M> {
  name?: string;
  matches?: M[];
  filters?: RouteFilter[];
  backendRefs?: BackendReference[];
  /** As `1h30m`, `500ms`; "0s" is no limit. */
  timeouts?: { request?: string; backendRequest?: string };
}

export interface HttpMatch {
  path?: { type?: "Exact" | "PathPrefix" | "RegularExpression"; value?: string };
  headers?: ValueMatch[];
  queryParams?: ValueMatch[];
  method?: string;
}

export interface GrpcMatch {
  method?: { type?: "Exact" | "RegularExpression"; service?: string; method?: string };
  headers?: ValueMatch[];
}

export interface GatewayRoute<M> extends KubeObject {
  spec: { parentRefs?: ParentReference[]; hostnames?: string[]; rules?: RouteRule<M>[] };
  status?: RouteStatus;
}

export interface RouteStatus {
  parents: { parentRef: ParentReference; controllerName: string; conditions: Condition[] }[];
}

export type HttpRoute = GatewayRoute<HttpMatch>;
export type GrpcRoute = GatewayRoute<GrpcMatch>;

export interface ReferenceGrant extends KubeObject {
  spec: {
    from: { group: string; kind: string; namespace: string }[];
    to: { group: string; kind: string; name?: string }[];
  };
}
