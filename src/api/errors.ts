/** Kubernetes' own wordings of what goes wrong with a request. */
import { ApiError, type Cause } from "../lib/api-error.ts";
import type { Attributes } from "./authorizer.ts";
import type { FieldError } from "./resource-definition.ts";

/** Only what naming a resource in a message needs. */
export interface ResourceNames {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

/** `deployments.apps`, or `pods` of the core group. */
export function groupResource(resource: { readonly group: string; readonly plural: string }) {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

function detailsOf(resource: ResourceNames, name: string) {
  return {
    ...(name === "" ? {} : { name }),
    ...(resource.group === "" ? {} : { group: resource.group }),
    kind: resource.plural,
  };
}

export function notFound(resource: ResourceNames, name: string): ApiError {
  return new ApiError("NotFound", `${groupResource(resource)} "${name}" not found`, {
    details: detailsOf(resource, name),
  });
}

/** The answer for paths and kinds that the server does not know. */
export function unknownResource(): ApiError {
  return new ApiError("NotFound", "the server could not find the requested resource", {
    details: {},
  });
}

export function alreadyExists(resource: ResourceNames, name: string): ApiError {
  return new ApiError("AlreadyExists", `${groupResource(resource)} "${name}" already exists`, {
    details: detailsOf(resource, name),
  });
}

/** After eight collisions of generated names. */
export function generatedNameExists(resource: ResourceNames, name: string): ApiError {
  return new ApiError(
    "AlreadyExists",
    `${groupResource(resource)} "${name}" already exists, the server was not able to generate a ` +
      "unique name for the object",
    { details: { ...detailsOf(resource, name), retryAfterSeconds: 1 } },
  );
}

export function conflict(resource: ResourceNames, name: string, why: string): ApiError {
  return new ApiError(
    "Conflict",
    `Operation cannot be fulfilled on ${groupResource(resource)} "${name}": ${why}`,
    { details: detailsOf(resource, name) },
  );
}

export function modified(resource: ResourceNames, name: string): ApiError {
  return conflict(
    resource,
    name,
    "the object has been modified; please apply your changes to the latest version and try again",
  );
}

/** The answer where a path has no such method. */
export function methodNotServed(): ApiError {
  return new ApiError(
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
    { details: {} },
  );
}

export function methodNotAllowed(resource: ResourceNames, verb: string): ApiError {
  return new ApiError(
    "MethodNotAllowed",
    `${verb} is not supported on resources of kind "${groupResource(resource)}"`,
    { details: detailsOf(resource, "") },
  );
}

/** What a patch cannot be. Of built-in kinds its types are routes, and no route fits. */
export function unsupportedPatchType(accepted: readonly string[] | undefined): ApiError {
  const message =
    accepted === undefined
      ? "415: Unsupported Media Type"
      : "the body of the request was in an unknown format - accepted media types include: " +
        accepted.join(", ");
  const details = accepted === undefined ? { details: {} } : {};
  return new ApiError("UnsupportedMediaType", message, details);
}

/** No form that is served at the path, which is found out before anything is asked for. */
export function noRepresentation(served: readonly string[]): ApiError {
  const message = `406: Not Acceptable\n\nAvailable representations: ${served.join(", ")}`;
  return new ApiError("NotAcceptable", message, { details: {} });
}

export function notAcceptable(accepted: readonly string[]): ApiError {
  return new ApiError(
    "NotAcceptable",
    `only the following media types are accepted: ${accepted.join(", ")}`,
  );
}

/** The metadata of one object was asked of a list, or that of a list of an object. */
export function wrongMetadataForm(resource: ResourceNames, as: string): ApiError {
  const isList = as === "PartialObjectMetadata";
  const isCustom = "custom" in resource && resource.custom !== undefined;
  const [packaged, single] = isCustom
    ? ["unstructured", "Unstructured"]
    : [goPackage(resource), resource.kind];
  const is = isList ? "is a list" : "is not a list";
  const type = `*${packaged}.${single}${isList ? "List" : ""}`;
  const message = `you requested ${as}, but the requested object ${is} (${type})`;
  return new ApiError("NotAcceptable", message);
}

/** Where upstream's internal form of a built-in kind lives. */
export function goPackage({ group }: ResourceNames): string {
  return group === "" || group === "events.k8s.io" ? "core" : (group.split(".")[0] ?? "");
}

export function forbidden(attributes: Attributes, reason: string): ApiError {
  const why = reason === "" ? "" : `: ${reason}`;
  const { user, verb } = attributes;
  const quotedUser = JSON.stringify(user.name);
  if (!attributes.isResourceRequest) {
    const message = `forbidden: User ${quotedUser} cannot ${verb} path "${attributes.path}"${why}`;
    return new ApiError("Forbidden", message, { details: {} });
  }
  const { group, namespace, name } = attributes;
  const resource =
    attributes.subresource === ""
      ? attributes.resource
      : `${attributes.resource}/${attributes.subresource}`;
  const scope = namespace === "" ? "at the cluster scope" : `in the namespace "${namespace}"`;
  const about = groupResource({ group, plural: attributes.resource });
  const named = name === "" ? about : `${about} "${name}"`;
  return new ApiError(
    "Forbidden",
    `${named} is forbidden: User ${quotedUser} cannot ${verb} resource "${resource}" in API ` +
      `group "${group}" ${scope}${why}`,
    {
      details: detailsOf({ group, plural: attributes.resource, kind: "" }, name),
    },
  );
}

/** What an admission plugin says no to. */
export function refused(resource: ResourceNames, name: string, why: string): ApiError {
  const named = name === "" ? groupResource(resource) : `${groupResource(resource)} "${name}"`;
  return new ApiError("Forbidden", `${named} is forbidden: ${why}`, {
    details: detailsOf(resource, name),
  });
}

/** Upstream validates events of every group in the core group. */
export function kindGroup({ group }: ResourceNames): string {
  return group === "events.k8s.io" ? "" : group;
}

export function invalid(
  resource: ResourceNames,
  name: string,
  errors: readonly FieldError[],
): ApiError {
  const group = kindGroup(resource);
  const kind = group === "" ? resource.kind : `${resource.kind}.${group}`;
  const texts = [...new Set(errors.map((error) => `${error.field}: ${fieldErrorText(error)}`))];
  const list = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  const causes: Cause[] = errors.map((error) => ({
    reason: error.type,
    message: fieldErrorText(error),
    field: error.field,
  }));
  return new ApiError("Invalid", `${kind} ${JSON.stringify(name)} is invalid: ${list}`, {
    details: {
      ...(name === "" ? {} : { name }),
      ...(group === "" ? {} : { group }),
      ...(resource.kind === "" ? {} : { kind: resource.kind }),
      causes,
    },
  });
}

const fieldErrorHeads: Readonly<Record<FieldError["type"], string>> = {
  FieldValueRequired: "Required value",
  FieldValueInvalid: "Invalid value",
  FieldValueDuplicate: "Duplicate value",
  FieldValueNotSupported: "Unsupported value",
  FieldValueNotFound: "Not found",
  FieldValueForbidden: "Forbidden",
  FieldValueTooLong: "Too long",
  FieldValueTooMany: "Too many",
  FieldValueTypeInvalid: "Invalid value",
};
const withoutValue: ReadonlySet<FieldError["type"]> = new Set([
  "FieldValueRequired",
  "FieldValueForbidden",
  "FieldValueTooLong",
]);

/** Go writes maps, of which labels are the usual ones, with their keys in order. */
function sortedMaps(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value);
  if (!entries.every(([, item]) => typeof item === "string")) return value;
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

export function fieldErrorText(error: FieldError): string {
  const head = fieldErrorHeads[error.type];
  const hasValue = !withoutValue.has(error.type) && error.value !== undefined;
  const text = hasValue ? `${head}: ${JSON.stringify(error.value, sortedMaps)}` : head;
  return error.detail === "" ? text : `${text}: ${error.detail}`;
}
