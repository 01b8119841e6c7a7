/** Objects of the services that K3s ships: marked as its own, so that others are left alone. */
import type { Client, Resource } from "../client/client.ts";
import { isReason } from "../lib/api-error.ts";
import type { KubeObject } from "../schema/object.ts";

const ownerAnnotation = "objectset.rio.cattle.io/owner-name";

/** The annotations that mark an object of the addon. */
export function ownedBy(addon: string): Record<string, string> {
  return { [ownerAnnotation]: addon };
}

/** Deletes the object when it is the addon's; absent is fine. */
export async function removeOwn<T extends KubeObject>(
  client: Client,
  addon: string,
  resource: Resource<T>,
  at: { readonly namespace: string; readonly name: string },
): Promise<void> {
  try {
    const { metadata } = await client.get(resource, at.namespace, at.name);
    const isOwn = metadata.annotations?.[ownerAnnotation] === addon;
    if (isOwn) await client.delete(resource, at.namespace, at.name);
  } catch (error) {
    if (!isReason(error, "NotFound")) throw error;
  }
}
