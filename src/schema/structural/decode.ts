/** From a JSON value to a custom resource: metadata checked, unknown fields pruned and told. */
import { ApiError } from "../../lib/api-error.ts";
import { decodeMember } from "../decode.ts";
import type { KubeObject } from "../object.ts";
import { prune, pruneNulls } from "./prune.ts";
import { isJson, type Json, memberSchema, type Structural } from "./schema.ts";

const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

export interface CustomKind {
  readonly version: string;
  readonly kind: string;
}

/**
 * Makes `value` a custom resource, in place. Problems are what strict decoding objects to. Throws
 * ApiError BadRequest where metadata is malformed.
 */
export function decodeCustom(
  of: CustomKind,
  schema: Structural,
  value: unknown,
): { readonly object: KubeObject; readonly problems: readonly string[] } {
  if (!isJson(value)) throw malformed(of, "the body is not an object");
  const problems = [...decodeMetadata(of, value, "")];
  const unknown = prune(value, schema);
  pruneNulls(value, schema);
  problems.push(...unknown.map((path) => `unknown field "${path}"`));
  for (const [name, member] of Object.entries(value)) {
    if (["apiVersion", "kind", "metadata"].includes(name)) continue;
    problems.push(...decodeEmbedded(of, member, memberSchema(schema, name), name));
  }
  return { object: value as unknown as KubeObject, problems };
}

/** Objects inside of the object have metadata of their own. */
function decodeEmbedded(
  of: CustomKind,
  value: unknown,
  schema: Structural | undefined,
  path: string,
): string[] {
  if (schema === undefined) return [];
  if (Array.isArray(value)) {
    return value.flatMap((item, i) => decodeEmbedded(of, item, schema.items, `${path}[${i}]`));
  }
  if (!isJson(value)) return [];
  const problems: string[] = [];
  if (schema["x-kubernetes-embedded-resource"] === true) {
    for (const name of ["apiVersion", "kind"]) {
      if (value[name] !== undefined && typeof value[name] !== "string") {
        throw malformed(of, `${path}.${name}: Invalid value: must be a string`);
      }
    }
    problems.push(...decodeMetadata(of, value, path));
  }
  for (const [name, member] of Object.entries(value)) {
    const inner = memberSchema(schema, name);
    problems.push(...decodeEmbedded(of, member, inner, `${path}.${name}`));
  }
  return problems;
}

function decodeMetadata(of: CustomKind, object: Json, path: string): readonly string[] {
  const { metadata } = object;
  if (metadata === undefined) return [];
  if (metadata === null) {
    delete object.metadata;
    return [];
  }
  const at = path === "" ? "metadata" : `${path}.metadata`;
  return decodeMember(objectMeta, metadata, at, (message) => malformed(of, message));
}

function malformed({ version, kind }: CustomKind, message: string): ApiError {
  return new ApiError(
    "BadRequest",
    `${kind} in version "${version}" cannot be handled as a ${kind}: ${message}`,
  );
}
