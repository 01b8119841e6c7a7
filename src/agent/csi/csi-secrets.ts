/** Secrets that drivers are given with their calls. */
import type { ObjectSource } from "../kubelet/object-source.ts";
import type { SecretRef } from "./csi-volume.ts";

export type CsiSecrets = Pick<ObjectSource, "secret">;

/** Throws in upstream's words where the Secret is not there. */
export async function secretTexts(
  objects: CsiSecrets,
  field: string,
  ref: SecretRef | undefined,
): Promise<Readonly<Record<string, string>>> {
  if (ref === undefined) return {};
  const { namespace, name } = ref;
  const found = await objects.secret(namespace, name);
  if (found !== undefined) return Object.fromEntries(found.texts);
  throw new Error(
    `fetching ${field} ${namespace}/${name} failed: kubernetes.io/csi: failed to find the secret ` +
      `${name} in the namespace ${namespace} with error: secrets "${name}" not found`,
  );
}
