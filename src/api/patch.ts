/** PATCH: JSON patch, merge patch and strategic merge patch. */
import type { Operation } from "rfc6902";
import { ApiError, isReason } from "../lib/api-error.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import { jsonParseError } from "../schema/parse.ts";
import { BadValue } from "../schema/scalars.ts";
import { goText } from "../schema/typed-validate.ts";
import { isGoStruct } from "../schema/types.ts";
import { applyPatch as applyConfig, applyType, sortedMembers } from "./apply.ts";
import { acceptValue, type Refuse, readParsed } from "./body.ts";
import type { Call } from "./call.ts";
import { invalid, unsupportedPatchType } from "./errors.ts";
import { applyJsonPatch } from "./json-patch.ts";
import { matchUrl } from "./object-meta.ts";
import type { ApiRequest, ApiResponse } from "./request.ts";
import { changeStored } from "./update.ts";

const limits = { jsonPatchOperationsMax: 10_000 } as const;

type PatchKind = "json" | "merge" | "strategic";

const kinds: Readonly<Record<string, PatchKind>> = {
  "application/json-patch+json": "json",
  "application/merge-patch+json": "merge",
  "application/strategic-merge-patch+json": "strategic",
};

export async function patch(call: Call): Promise<ApiResponse> {
  const { definition, request } = call;
  if (patchTypeOf(request) === applyType) return applyConfig(call);
  const read = readPatch(call);
  const part = definition.subresources[request.subresource];
  return changeStored(call, async (current) => {
    const next = patchedObject(call, read(), current.object as KubeObject);
    return part?.type === "part" ? part.merge(current.object, next) : next;
  });
}

export interface PatchBody {
  readonly kind: PatchKind;
  readonly body: unknown;
  /** What strict decoding objects to in the patch itself. */
  readonly problems: readonly string[];
}

/** The media type of the patch, without parameters. */
export function patchTypeOf(request: ApiRequest): string {
  return (request.contentType.split(";")[0] ?? "").trim().toLowerCase();
}

/**
 * Reads the patch; UnsupportedMediaType for forms that are not served. Where there is no object,
 * nobody looks at the patch: what else is wrong with it is told to who asks for it.
 */
export function readPatch(call: Call): () => PatchBody {
  try {
    const patch = parsePatch(call);
    return () => patch;
  } catch (error) {
    if (isReason(error, "UnsupportedMediaType")) throw error;
    return () => {
      throw error;
    };
  }
}

function parsePatch(call: Call): PatchBody {
  const { request } = call;
  const kind = kinds[patchTypeOf(request)];
  const isCustom = call.definition.custom !== undefined;
  if (kind === undefined || (isCustom && kind === "strategic")) {
    const served = Object.keys(kinds).filter((type) => kinds[type] !== "strategic");
    throw unsupportedPatchType(isCustom ? [...served, applyType] : undefined);
  }
  const { value: body, problems } = readPatchBody(call, kind);
  request.audit?.requestPatch(body);
  if (kind === "json") {
    const operations = operationsOf(body);
    const all = [...problems, ...unknownMembers(operations)];
    return { kind, body: operations, problems: all.map((problem) => `json patch ${problem}`) };
  }
  if (body === null && kind === "merge") throw new ApiError("BadRequest", "Invalid JSON Patch");
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw notDecoded(kind, wrongType(body, "map[string]interface {}"));
  return { kind, body, problems };
}

function readPatchBody(call: Call, kind: PatchKind): ReturnType<typeof readParsed> {
  try {
    return readParsed(call.parts.codec, call.request, "application/json");
  } catch (error) {
    if (!isReason(error, "BadRequest")) throw error;
    throw notDecoded(kind, error.message.replace(jsonParseError, ""));
  }
}

function notDecoded(kind: PatchKind, why: string): ApiError {
  return new ApiError(
    "BadRequest",
    `${kind === "strategic" ? "" : "error decoding patch: "}${why}`,
  );
}

function wrongType(value: unknown, type: string): string {
  const what = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
  return `json: cannot unmarshal ${what} into Go value of type ${type}`;
}

function patchedObject(call: Call, patch: PatchBody, current: KubeObject): KubeObject {
  const { kind, body, problems } = patch;
  const apply = () => applyTo(call, kind, body, copyJson<KubeObject>(current));
  const refuse = (message: string, cause?: unknown) =>
    kind === "strategic"
      ? badPatch(body, kind, inConverterWords(message, cause))
      : badPatch(apply(), kind, message);
  const how = { patchProblems: problems, refuse };
  const whole = apply();
  if (typeof whole !== "object" || whole === null) throw cannotApply();
  const object = refusing(refuse, () => acceptValue(call, whole, how));
  matchUrl(object, call.request, call.definition);
  return object;
}

/** A patched object that cannot be read is told as an invalid patch. */
function refusing(refuse: Refuse, accept: () => KubeObject): KubeObject {
  try {
    return accept();
  } catch (error) {
    if (!isReason(error, "BadRequest")) throw error;
    const [, why] = /cannot be handled as a \w+: ([\s\S]*)$/.exec(error.message) ?? ["", undefined];
    throw why === undefined ? error : refuse(why, error.cause);
  }
}

/**
 * Upstream reads what a strategic patch makes without going through JSON, and so says otherwise
 * what does not fit (apimachinery's converter for unstructured objects).
 */
function inConverterWords(why: string, cause?: unknown): string {
  // A type's own reader is asked without JSON around it.
  if (cause instanceof BadValue)
    return `${/base64/.test(why) ? "error decoding from json: " : ""}${cause.message}`;
  const [, found = "", wanted = ""] =
    /^json: cannot unmarshal (\w+(?: -?\d+\.\d+)?)\b.* of type (\S+)$/.exec(why) ?? [];
  if (wanted === "") return why;
  const form = goForms[found.replace(/ .*/, " with a fraction")] ?? found;
  if (wanted.startsWith("map[") || wanted === "v1.ResourceList")
    return `cannot restore map from ${form}`;
  if (wanted.startsWith("[]")) return `cannot restore slice from ${form}`;
  if (isGoStruct(wanted)) return `cannot restore struct from: ${form}`;
  const isNumber = form === "int64" || (form === "float64" && wanted !== "string");
  if (isNumber && wanted !== "bool") return `cannot convert ${form} to ${wanted}`;
  return `unrecognized type: ${wanted.includes(".") ? "string" : wanted}`;
}

const goForms: Readonly<Record<string, string>> = {
  array: "slice",
  object: "map",
  number: "int64",
  "number with a fraction": "float64",
};

function badPatch(shown: unknown, kind: PatchKind, detail: string): ApiError {
  const value = kind === "strategic" ? goText(shown) : JSON.stringify(sortedMembers(shown));
  return invalid({ group: "", plural: "", kind: "" }, "", [
    { type: "FieldValueInvalid", field: "patch", value, detail },
  ]);
}

const operationMembers = new Set(["op", "path", "from", "value"]);

function unknownMembers(operations: readonly Operation[]): readonly string[] {
  return operations.flatMap((operation, index) =>
    Object.keys(operation)
      .filter((name) => !operationMembers.has(name))
      .map((name) => `unknown field "[${index}].${name}"`),
  );
}

/** The patched copy of `original`, which may be changed in place. */
export function applyTo(call: Call, kind: PatchKind, body: unknown, original: unknown): unknown {
  const { definition, parts } = call;
  switch (kind) {
    case "json":
      return applyOperations(body as readonly Operation[], original);
    case "merge":
      return mergePatch(original, copyJson<unknown>(body));
    case "strategic":
      return parts.codec.strategicMerge(definition, original, copyJson<unknown>(body));
  }
}

/** RFC 7396: null deletes, objects merge, everything else replaces. */
export function mergePatch(target: unknown, change: unknown): unknown {
  if (typeof change !== "object" || change === null || Array.isArray(change)) return change;
  const isObject = typeof target === "object" && target !== null && !Array.isArray(target);
  const result = (isObject ? target : {}) as Record<string, unknown>;
  for (const [key, value] of Object.entries(change)) {
    if (value === null) delete result[key];
    else
      setOwn(result, key, mergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  return result;
}

/** `__proto__` is a member like any other. */
function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}

function operationsOf(body: unknown): readonly Operation[] {
  if (!Array.isArray(body)) {
    throw notDecoded("json", wrongType(body, "[]handlers.jsonPatchOp"));
  }
  if (body.length > limits.jsonPatchOperationsMax) {
    throw new ApiError(
      "RequestEntityTooLarge",
      `The allowed maximum operations in a JSON patch is ${limits.jsonPatchOperationsMax}, ` +
        `got ${body.length}`,
    );
  }
  return body as readonly Operation[];
}

/** As `applyJsonPatch`; upstream names neither the object nor the operation that failed. */
function applyOperations(body: readonly Operation[], original: unknown): unknown {
  try {
    return applyJsonPatch(body, original);
  } catch (cause) {
    throw cannotApply(cause);
  }
}

function cannotApply(cause?: unknown): ApiError {
  const message = "the server rejected our request due to an error in our request";
  return new ApiError("Invalid", message, { details: {}, cause });
}
