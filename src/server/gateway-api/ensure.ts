/** Makes the Gateway API be there: its definitions and the class that k3 serves. */
import { createIfAbsent } from "../../api/auth/bootstrap-policy.ts";
import type { Client } from "../../client/client.ts";
import { gatewayClasses } from "../../client/gateway-resources.ts";
import { customResourceDefinitions, nodes } from "../../client/resources.ts";
import type { Node } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { LiveSet, LiveSets } from "../../live/live-set.ts";
import type { Clock } from "../../runtime/runtime.ts";
import { gatewayControllerName } from "../../schema/gateway-api.ts";
import { ingressName } from "../../schema/served-ingress.ts";
import { ownedBy, removeOwn } from "../addon-objects.ts";
import { gatewayDefinitions } from "./definitions.ts";

const addon = "traefik";
const againMs = 100;

export interface GatewayApiOptions {
  readonly client: Client;
  readonly live: LiveSets;
  readonly clock: Clock;
  readonly nodeName: string;
}

/** Makes what is missing; definitions that an administrator has put there stay as they are. */
export async function ensureGatewayApi(
  { client, live, clock, nodeName }: GatewayApiOptions,
  signal: AbortSignal,
): Promise<void> {
  // To judge their rules takes a while, and nobody waits for them: the node comes first.
  await nodeReady(live.of(nodes), nodeName, signal);
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

async function nodeReady(set: LiveSet<Node>, name: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = (): void => {
    const conditions = set.get(name)?.object.status?.conditions ?? [];
    const isReady = conditions.some(({ type, status }) => type === "Ready" && status === "True");
    if (isReady || signal.aborted) resolve();
  };
  signal.addEventListener("abort", look, { once: true });
  using _ = set.subscribe(look);
  look();
  await promise;
}

/** `--disable traefik`: the class goes; definitions stay, with what users made of them. */
export async function removeGatewayClass(client: Client): Promise<void> {
  await removeOwn(client, addon, gatewayClasses, { namespace: "", name: ingressName });
}
