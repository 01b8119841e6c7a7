/** Makes the Gateway API be there: its definitions and the class that k3 serves. */
import { createIfAbsent } from "../../api/auth/bootstrap-policy.ts";
import type { Client } from "../../client/client.ts";
import { gatewayClasses } from "../../client/gateway-resources.ts";
import { customResourceDefinitions } from "../../client/resources.ts";
import { isReason } from "../../lib/api-error.ts";
import type { Clock } from "../../runtime/runtime.ts";
import { gatewayControllerName } from "../../schema/gateway-api.ts";
import { ingressName } from "../../schema/served-ingress.ts";
import { ownedBy, removeOwn } from "../addon-objects.ts";
import { gatewayDefinitions } from "./definitions.ts";

const addon = "traefik";
const againMs = 100;

/** Makes what is missing; definitions that an administrator has put there stay as they are. */
export async function ensureGatewayApi(
  client: Client,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (const definition of gatewayDefinitions) {
    await createIfAbsent(client, customResourceDefinitions, definition);
  }
  while (!signal.aborted) {
    try {
      await createIfAbsent(client, gatewayClasses, {
        apiVersion: "gateway.networking.k8s.io/v1",
        kind: "GatewayClass",
        metadata: { name: ingressName, annotations: ownedBy(addon) },
        spec: { controllerName: gatewayControllerName },
      });
      return;
    } catch (error) {
      // Until the definition is served nobody knows the kind.
      if (!isReason(error, "NotFound")) throw error;
      await clock.sleep(againMs, signal);
    }
  }
}

/** `--disable traefik`: the class goes; definitions stay, with what users made of them. */
export async function removeGatewayClass(client: Client): Promise<void> {
  await removeOwn(client, addon, gatewayClasses, { namespace: "", name: ingressName });
}
