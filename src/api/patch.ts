/** PATCH: JSON patch, merge patch and strategic merge patch. */
import { applyPatch, type Operation, Pointer } from "rfc6902";
import { ApiError } from "../lib/api-error.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import { acceptValue, readValue } from "./body.ts";
import type { Call } from "./call.ts";
import { unsupportedMediaType } from "./errors.ts";
import { matchUrl } from "./object-meta.ts";
import type { ApiResponse } from "./request.ts";
import { changeStored } from "./update.ts";

const limits = {
  jsonPatchOperationsMax: 10_000,
  /** As much as a body may hold: copies of copies would double without end. */
  jsonPatchCopyBytesMax: 3 * 1024 * 1024,
} as const;

type PatchKind = "json" | "merge" | "strategic";

const kinds: Readonly<Record<string, PatchKind>> = {
  "application/json-patch+json": "json",
  "application/merge-patch+json": "merge",
  "application/strategic-merge-patch+json": "strategic",
};

export async function patch(call: Call): Promise<ApiResponse> {
  const { definition, request } = call;
  const { kind, body } = readPatch(call);
  const part = definition.subresources[request.subresource];
  return changeStored(call, async (current) => {
    const next = patchedObject(call, kind, body, current.object as KubeObject);
    return part?.type === "part" ? part.merge(current.object, next) : next;
  });
}

export interface PatchBody {
  readonly kind: PatchKind;
  readonly body: unknown;
}

/** Reads the patch; UnsupportedMediaType for forms that are not served. */
export function readPatch(call: Call): PatchBody {
  const { parts, request } = call;
  const type = (request.contentType.split(";")[0] ?? "").trim().toLowerCase();
  const kind = kinds[type];
  if (kind === undefined) throw unsupportedMediaType(Object.keys(kinds));
  const body = readValue(parts.codec, request, "application/json");
  if (kind === "json") return { kind, body: operationsOf(body) };
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ApiError("BadRequest", "the patch is not a JSON object");
  }
  return { kind, body };
}

function patchedObject(
  call: Call,
  kind: PatchKind,
  body: unknown,
  current: KubeObject,
): KubeObject {
  const value = applyTo(call, kind, body, copyJson<KubeObject>(current));
  const object = acceptValue(call, value);
  matchUrl(object, call.request, call.definition);
  return object;
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
    throw new ApiError(
      "BadRequest",
      "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch",
    );
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

function applyOperations(body: readonly Operation[], original: unknown): unknown {
  const holder = { root: original };
  const operations = copyJson<Operation[]>(body as Operation[]).map(underRoot);
  let failure: { readonly message: string } | undefined;
  try {
    failure = firstFailure(holder, operations);
  } catch (error) {
    failure = { message: error instanceof Error ? error.message : String(error) };
  }
  if (failure === undefined) return holder.root;
  throw new ApiError(
    "Invalid",
    "the server rejected our request due to an error in our request",
    // Upstream names neither the object nor the operation here.
    { details: {}, cause: failure },
  );
}

/** Applies the operations in order, up to the first that fails. */
function firstFailure(
  holder: object,
  operations: readonly Operation[],
): { readonly message: string } | undefined {
  let copied = 0;
  for (const operation of operations) {
    if (operation.op === "copy") {
      const value: unknown = Pointer.fromJSON(operation.from).get(holder);
      copied += value === undefined ? 0 : JSON.stringify(value).length;
      const copiedMax = limits.jsonPatchCopyBytesMax;
      if (copied > copiedMax) {
        const size = `the accumulated size increase of copy is ${copied}`;
        const message = `Unable to complete the copy, ${size}, exceeding the limit ${copiedMax}`;
        return { message };
      }
    }
    const [failure] = applyPatch(holder, [operation]);
    if (failure) return failure;
  }
  return undefined;
}

/** Paths are put under a holder so that the whole document can be replaced. */
function underRoot(operation: Operation): Operation {
  const moved = { ...operation, path: `/root${operation.path}` } as Operation;
  if ("from" in moved) moved.from = `/root${moved.from}`;
  return moved;
}
