/** The state of a CustomResourceDefinition that decides whether it is served. */
import type { CustomResourceDefinition } from "../../gen/apiextensions-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";

/** True once the names of the definition are its own and it may be served. */
export function isEstablished(crd: DeepReadonly<CustomResourceDefinition>): boolean {
  const conditions = crd.status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === "Established" && status === "True");
}
