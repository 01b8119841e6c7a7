/** What the plan of the Gateway API is made from. */
import type { Secret, Service } from "../../../gen/core-v1.ts";
import type { EndpointSlice } from "../../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import type {
  Gateway,
  GatewayClass,
  GrpcRoute,
  HttpRoute,
  ReferenceGrant,
} from "../../../schema/gateway-api.ts";

export interface GatewayView {
  /** In any order. */
  readonly classes: readonly DeepReadonly<GatewayClass>[];
  readonly gateways: readonly DeepReadonly<Gateway>[];
  readonly httpRoutes: readonly DeepReadonly<HttpRoute>[];
  readonly grpcRoutes: readonly DeepReadonly<GrpcRoute>[];
  readonly grants: readonly DeepReadonly<ReferenceGrant>[];
  /** Where the ingress is to be reached. */
  readonly addresses: readonly string[];
  readonly namespaceLabels: (name: string) => Readonly<Record<string, string>> | undefined;
  /** By `namespace/name`. */
  readonly service: (key: string) => DeepReadonly<Service> | undefined;
  readonly slices: (key: string) => Iterable<DeepReadonly<EndpointSlice>>;
  readonly secret: (key: string) => DeepReadonly<Secret> | undefined;
}
