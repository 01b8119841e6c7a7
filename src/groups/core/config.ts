/** ConfigMap, Secret, ServiceAccount. */

import type { FieldError, ResourceDefinition } from "../../api/resource-definition.ts";
import { configMaps, secrets, serviceAccounts } from "../../client/resources.ts";
import type { ConfigMap, Secret, ServiceAccount } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { configMapKeyErrors } from "../../lib/names.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import { forbidden, invalid, invalids, required, tooLong } from "../field-errors.ts";
import { validateImmutable } from "../pod-template.ts";
import { column, define } from "../row.ts";
import { type SignToken, tokenSubresource } from "./service-account-token.ts";

const dataBytesMax = 1024 * 1024;
const encoder = new TextEncoder();

type Data = Readonly<Record<string, string>>;

/** The bytes that a base64 text stands for. */
export function base64Bytes(text: string): number {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return (text.length / 4) * 3 - padding;
}

function validateImmutability(
  now: { readonly immutable?: boolean; readonly data?: Data },
  old: { readonly immutable?: boolean; readonly data?: Data } | undefined,
  extra: readonly (readonly [string, unknown, unknown])[] = [],
): FieldError[] {
  if (old?.immutable !== true) return [];
  const detail = "field is immutable when `immutable` is set";
  const errors: FieldError[] = [];
  if (now.immutable !== true) errors.push(forbidden("immutable", detail));
  if (!semanticEqual(now.data, old.data)) errors.push(forbidden("data", detail));
  for (const [field, a, b] of extra)
    if (!semanticEqual(a, b)) errors.push(forbidden(field, detail));
  return errors;
}

export const configMap: ResourceDefinition = define<ConfigMap>(configMaps, {
  shortNames: ["cm"],
  columns: [
    column(
      "Data",
      (one) => Object.keys(one.data ?? {}).length + Object.keys(one.binaryData ?? {}).length,
    ),
  ],
  validate(object, { old }) {
    const errors: FieldError[] = [];
    let bytes = 0;
    for (const [key, value] of Object.entries(object.data ?? {})) {
      errors.push(...invalids(`data[${key}]`, key, configMapKeyErrors(key)));
      if (key in (object.binaryData ?? {}))
        errors.push(invalid(`data[${key}]`, key, "duplicate of key present in binaryData"));
      bytes += encoder.encode(value).length;
    }
    for (const [key, value] of Object.entries(object.binaryData ?? {})) {
      errors.push(...invalids(`binaryData[${key}]`, key, configMapKeyErrors(key)));
      bytes += base64Bytes(value);
    }
    if (bytes > dataBytesMax) errors.push(tooLong("", dataBytesMax));
    const binary = ["binaryData", object.binaryData, old?.binaryData] as const;
    return [...errors, ...validateImmutability(object, old, [binary])];
  },
});

/** What each type of secret must carry in `data`. */
const secretKeys: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
};

/** A login for registries must be a JSON object; what is wrong with it is told without it. */
function validateDockerConfig(value: string, field: string): FieldError[] {
  const redacted = "<secret contents redacted>";
  try {
    const config: unknown = JSON.parse(Buffer.from(value, "base64").toString());
    const isObject = typeof config === "object" && !Array.isArray(config);
    return isObject ? [] : [invalid(field, redacted, "json: cannot unmarshal into an object")];
  } catch {
    return [invalid(field, redacted, "invalid character in JSON")];
  }
}

function validateSecretType(secret: DeepReadonly<Secret>): FieldError[] {
  const data = secret.data ?? {};
  const errors: FieldError[] = [];
  for (const key of secretKeys[secret.type ?? ""] ?? []) {
    const value = data[key];
    if (value === undefined) errors.push(required(`data[${key}]`));
    else if (key.startsWith(".dockercfg") || key.startsWith(".dockerconfig"))
      errors.push(...validateDockerConfig(value, `data[${key}]`));
    else if (key === "ssh-privatekey" && value === "") errors.push(required(`data[${key}]`));
  }
  if (secret.type === "kubernetes.io/basic-auth" && !("username" in data) && !("password" in data))
    errors.push(required("data[username]"), required("data[password]"));
  if (secret.type === "kubernetes.io/service-account-token") {
    const field = "metadata.annotations[kubernetes.io/service-account.name]";
    if (!secret.metadata.annotations?.["kubernetes.io/service-account.name"])
      errors.push(required(field));
  }
  return errors;
}

/** stringData is written into data and never kept. */
export function mergeStringData(secret: Secret): void {
  if (secret.stringData === undefined) return;
  const data = { ...secret.data };
  for (const [key, value] of Object.entries(secret.stringData))
    data[key] = encoder.encode(value).toBase64();
  secret.data = data;
  delete secret.stringData;
}

export const secret: ResourceDefinition = define<Secret>(secrets, {
  columns: [
    column("Type", (one) => one.type ?? ""),
    column("Data", (one) => Object.keys(one.data ?? {}).length),
  ],
  fields: { type: (one) => one.type ?? "" },
  defaults(object) {
    object.type ||= "Opaque";
    mergeStringData(object);
  },
  prepare(object, { old }) {
    mergeStringData(object);
    // A PUT without a type keeps the old one.
    if (old?.type && !object.type) object.type = old.type;
  },
  validate(object, { old }) {
    const errors: FieldError[] = [];
    let bytes = 0;
    for (const [key, value] of Object.entries(object.data ?? {})) {
      errors.push(...invalids(`data[${key}]`, key, configMapKeyErrors(key)));
      bytes += base64Bytes(value);
    }
    if (bytes > dataBytesMax) errors.push(tooLong("data", dataBytesMax));
    errors.push(...validateSecretType(object));
    if (old !== undefined) errors.push(...validateImmutable(object.type, old.type, "type"));
    return [...errors, ...validateImmutability(object, old)];
  },
});

/** The row of service accounts; `signToken` issues what serviceaccounts/token answers. */
export function serviceAccountRow(
  signToken: SignToken,
  expirationSecondsMax?: number,
): ResourceDefinition {
  return define<ServiceAccount>(serviceAccounts, {
    shortNames: ["sa"],
    prepare(object) {
      // Of the references only the names count.
      if (object.secrets) object.secrets = object.secrets.map(({ name }) => (name ? { name } : {}));
    },
    subresources: { token: tokenSubresource(signToken, expirationSecondsMax) },
  });
}
