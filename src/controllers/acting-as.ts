/** Lets each controller act as its own service account, as `--use-service-account-credentials`. */
import type { Client } from "../client/client.ts";
import type { ControllerContext } from "../live/controller.ts";
import { createEventRecorder } from "../live/event-recorder.ts";

/** What controllers share; the client they write with and their events are each one's own. */
export type ActingContext = Pick<ControllerContext, "client" | "live" | "runtime">;

/** `client` as the service account `name` of kube-system. */
export function actingAs(client: Client, name: string): Client {
  return client.as(`system:serviceaccount:kube-system:${name}`, [
    "system:serviceaccounts",
    "system:serviceaccounts:kube-system",
    "system:authenticated",
  ]);
}

/** `component` becomes the source of the events. */
export function contextAs(
  { client, live, runtime }: ActingContext,
  account: string,
  component: string,
): ControllerContext {
  const own = actingAs(client, account);
  return { client: own, live, runtime, events: createEventRecorder(own, runtime, component, "") };
}
