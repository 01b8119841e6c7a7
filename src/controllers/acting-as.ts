/** Lets each controller act as its own service account, as `--use-service-account-credentials`. */
import type { Client } from "../client/client.ts";
import type { ControllerContext } from "../live/controller.ts";

/** `client` as the service account `name` of kube-system. */
export function actingAs(client: Client, name: string): Client {
  return client.as(`system:serviceaccount:kube-system:${name}`, [
    "system:serviceaccounts",
    "system:serviceaccounts:kube-system",
    "system:authenticated",
  ]);
}

export function contextAs(context: ControllerContext, name: string): ControllerContext {
  return { ...context, client: actingAs(context.client, name) };
}
