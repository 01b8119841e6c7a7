/** Whether one object may refer to another: across namespaces only if that is granted. */
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import {
  gatewayGroup,
  type ObjectReference,
  type ReferenceGrant,
} from "../../../schema/gateway-api.ts";

export interface Referrer {
  readonly kind: string;
  readonly namespace: string;
}

/** A reference with everything said that its defaults say. */
export interface Target {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export function targetOf(
  { group = "", kind, name, namespace }: DeepReadonly<ObjectReference>,
  defaults: { readonly kind: string; readonly namespace: string },
): Target {
  return { group, kind: kind ?? defaults.kind, name, namespace: namespace ?? defaults.namespace };
}

/** A ReferenceGrant beside the target must let the referrer's namespace in. */
export function isPermitted(
  from: Referrer,
  to: Target,
  grants: Iterable<DeepReadonly<ReferenceGrant>>,
): boolean {
  if (from.namespace === to.namespace) return true;
  for (const { metadata, spec } of grants) {
    if (metadata.namespace !== to.namespace) continue;
    const isFrom = spec.from.some(
      ({ group, kind, namespace }) =>
        group === gatewayGroup && kind === from.kind && namespace === from.namespace,
    );
    const isTo = spec.to.some(
      ({ group, kind, name = "" }) =>
        group === to.group && kind === to.kind && (name === "" || name === to.name),
    );
    if (isFrom && isTo) return true;
  }
  return false;
}
