/** POST: a new object, named by the client or by the server. */
import { ApiError } from "../lib/api-error.ts";
import type { KubeObject } from "../schema/object.ts";
import { actionContext } from "./action.ts";
import { admitMutating, admitValidating } from "./admit.ts";
import { readObject } from "./body.ts";
import { type Call, permissionErrors, writeContext } from "./call.ts";
import { alreadyExists, generatedNameExists, invalid } from "./errors.ts";
import { trackWrite } from "./field-managers.ts";
import { fillCreateMetadata, generatedName, matchUrl } from "./object-meta.ts";
import type { ApiResponse } from "./request.ts";
import type { Undo } from "./resource-definition.ts";
import { answerObject, readStored, writeStored } from "./stored.ts";

const limits = { generatedNameTriesMax: 8 } as const;

export async function create(call: Call): Promise<ApiResponse> {
  const object = readObject(call);
  const { definition, request } = call;
  if (definition.virtual !== undefined) {
    matchUrl(object, request, definition);
    trackWrite(call, object, undefined);
    const result = await definition.virtual(object, request, actionContext(call));
    return answerObject(call, result, 201);
  }
  return createObject(call, object);
}

/** The steps of a create after decoding; PUT of an absent object may come here too. */
export async function createObject(
  call: Call,
  object: KubeObject,
  options: { readonly isTracked?: boolean } = {},
): Promise<ApiResponse> {
  const { definition, parts, request } = call;
  matchUrl(object, request, definition);
  fillCreateMetadata(object, parts.runtime, call.now);
  if (options.isTracked !== true) trackWrite(call, object, undefined);
  await admitMutating(call, "CREATE", object, undefined);
  const context = writeContext(call, "create", undefined);
  const { strategy } = definition;
  const prefix = object.metadata.name ? "" : (object.metadata.generateName ?? "");
  if (prefix !== "") object.metadata.name = generatedName(prefix, parts.runtime);
  strategy.prepare?.(object, context);
  const name = object.metadata.name ?? "";
  const errors = [
    ...(await permissionErrors(call, object, context)),
    ...((await strategy.validate?.(object, context)) ?? []),
  ];
  if (errors.length > 0) throw invalid(definition, name, errors);
  call.warnings.push(...(strategy.warn?.(object, context) ?? []));
  await admitValidating(call, "CREATE", object, undefined);
  const undo = await strategy.allocate?.(object, context);
  return withUndo(undo, call.dryRun, () => store(call, object, prefix));
}

/** Gives allocations back when the write fails, or was only tried. */
export async function withUndo<T>(
  undo: Undo | undefined,
  always: boolean,
  write: () => Promise<T>,
): Promise<T> {
  if (undo === undefined) return write();
  let written = false;
  try {
    const result = await write();
    written = true;
    return result;
  } finally {
    if (always || !written) await undo();
  }
}

async function store(call: Call, object: KubeObject, prefix: string): Promise<ApiResponse> {
  const { definition, parts } = call;
  const { namespace = "" } = object.metadata;
  for (let tries = 1; ; tries += 1) {
    const name = object.metadata.name ?? "";
    if (call.dryRun) {
      const taken = await readStored(parts, definition, namespace, name);
      if (taken === undefined) return answerObject(call, object, 201);
    } else {
      refuseVersion(object);
      const written = await writeStored(call, object, 0, 201);
      if (written.ok) return written.answer;
    }
    if (prefix === "") throw alreadyExists(definition, name);
    if (tries === limits.generatedNameTriesMax) throw generatedNameExists(definition, name);
    object.metadata.name = generatedName(prefix, parts.runtime);
  }
}

/** Upstream's storage refuses it, so a dry run does not, and what is invalid is told first. */
function refuseVersion({ metadata }: KubeObject): void {
  const { resourceVersion = "" } = metadata;
  if (resourceVersion === "" || resourceVersion === "0") return;
  const message = "resourceVersion should not be set on objects to be created";
  throw new ApiError("", message, { code: 500 });
}
