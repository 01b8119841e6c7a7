/** The CustomResourceDefinitions of the Gateway API that k3 serves. */
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import { gateway, gatewayClass, referenceGrant } from "./gateway-kinds.ts";
import { grpcRoute, httpRoute } from "./route-kinds.ts";

export const gatewayDefinitions: readonly CustomResourceDefinition[] = [
  gatewayClass,
  gateway,
  httpRoute,
  grpcRoute,
  referenceGrant,
];
