/** The rules of metadata that hold for every kind (rest.BeforeCreate and rest.BeforeUpdate). */

import { apiVersionOf } from "../client/request-form.ts";
import { ApiError } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { KubeObject } from "../schema/object.ts";

import type { ApiRequest } from "./request.ts";
import type { FieldError, ResourceDefinition } from "./resource-definition.ts";

const limits = { generatedPrefixMax: 58, generatedSuffix: 5 } as const;

/** RFC 3339 in whole seconds, as metav1.Time is written. */
export function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** `web-` becomes `web-x7k2p`. */
export function generatedName(prefix: string, runtime: Runtime): string {
  const stem = prefix.slice(0, limits.generatedPrefixMax);
  return `${stem}${runtime.random.suffix(limits.generatedSuffix)}`;
}

/** Name and namespace of body and URL must agree; what the body lacks comes from the URL. */
export function matchUrl(
  object: KubeObject,
  request: ApiRequest,
  definition: ResourceDefinition,
): void {
  object.apiVersion = apiVersionOf(definition);
  object.kind = definition.kind;
  const { metadata } = object;
  if (request.name !== "" && (metadata.name ?? "") !== request.name) {
    if (metadata.name) {
      throw new ApiError(
        "BadRequest",
        `the name of the object (${metadata.name}) does not match the name on the URL ` +
          `(${request.name})`,
      );
    }
    throw new ApiError(
      "BadRequest",
      `the name of the object (${request.name} based on URL) was undeterminable: ` +
        "name must be provided",
    );
  }
  if (!definition.namespaced) {
    // Charts give a namespace to everything; where there are none it means nothing.
    delete metadata.namespace;
    return;
  }
  if (metadata.namespace && metadata.namespace !== request.namespace) {
    throw new ApiError(
      "BadRequest",
      "the namespace of the provided object does not match the namespace sent on the request",
    );
  }
  metadata.namespace = request.namespace;
}

/** What the server alone decides about a new object. */
export function fillCreateMetadata(object: KubeObject, runtime: Runtime, now: Date): void {
  const { metadata } = object;
  clearUnserved(object);
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  metadata.uid = runtime.random.uuid();
  metadata.creationTimestamp = timestamp(now);
}

/** What an update cannot change stays as it is stored. */
export function keepSystemMetadata(object: KubeObject, old: DeepReadonly<KubeObject>): void {
  const target = object.metadata as Record<string, unknown>;
  for (const field of ["creationTimestamp", "generation"] as const) {
    const value = old.metadata[field];
    if (value === undefined) delete target[field];
    else target[field] = value;
  }
  if (!target.uid) target.uid = old.metadata.uid;
  if (old.metadata.deletionTimestamp) target.deletionTimestamp = old.metadata.deletionTimestamp;
  target.deletionGracePeriodSeconds ??= old.metadata.deletionGracePeriodSeconds;
  for (const field of immutable) if (target[field] === undefined) delete target[field];
  clearUnserved(object);
}

/** A field that no server writes any more, and empty maps that mean nothing. */
function clearUnserved(object: KubeObject): void {
  const metadata = object.metadata as Record<string, unknown>;
  delete metadata.selfLink;
  for (const field of ["labels", "annotations", "finalizers", "ownerReferences"]) {
    const value = metadata[field];
    if (value === null) delete metadata[field];
    else if (typeof value === "object" && Object.keys(value as object).length === 0) {
      delete metadata[field];
    }
  }
}

/** What only the server writes, and a client may at most repeat. */
const immutable = ["uid", "deletionTimestamp", "deletionGracePeriodSeconds"] as const;

/** What of an object's metadata may not change as it did. */
export function validateMetadataUpdate(
  object: DeepReadonly<KubeObject>,
  old: DeepReadonly<KubeObject>,
): readonly FieldError[] {
  const changed = immutable.filter((field) => object.metadata[field] !== old.metadata[field]);
  return [
    ...newFinalizerErrors(object, old),
    ...changed.map((field) => ({
      type: "FieldValueInvalid" as const,
      field: `metadata.${field}`,
      value: object.metadata[field] ?? null,
      detail: "field is immutable",
    })),
  ];
}

/** A deleted object may lose finalizers but not gain any. */
function newFinalizerErrors(
  object: DeepReadonly<KubeObject>,
  old: DeepReadonly<KubeObject>,
): readonly FieldError[] {
  if (old.metadata.deletionTimestamp === undefined) return [];
  const before = old.metadata.finalizers ?? [];
  const added = (object.metadata.finalizers ?? []).filter((name) => !before.includes(name));
  if (added.length === 0) return [];
  const list = added.map((name) => JSON.stringify(name)).join(", ");
  return [
    {
      type: "FieldValueForbidden",
      field: "metadata.finalizers",
      detail:
        "no new finalizers can be added if the object is being deleted, found new finalizers " +
        `[]string{${list}}`,
    },
  ];
}
