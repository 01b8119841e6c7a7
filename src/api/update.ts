/** PUT, and what every other change of a stored object goes through. */
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { copyJson } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import { sameJson } from "../schema/same-json.ts";
import { admitMutating, admitValidating } from "./admit.ts";
import { attributesOf, authorize } from "./authorize-call.ts";
import { readObject } from "./body.ts";
import { type Call, permissionErrors, writeContext } from "./call.ts";
import { createObject, withUndo } from "./create.ts";
import { conflict, invalid, modified, notFound } from "./errors.ts";
import { trackWrite } from "./field-managers.ts";
import { keepSystemMetadata, matchUrl, validateMetadataUpdate } from "./object-meta.ts";
import { storageKey } from "./registry.ts";
import type { ApiResponse } from "./request.ts";
import {
  answerObject,
  answerStored,
  readFromStore,
  readStored,
  type Stored,
  writeStored,
} from "./stored.ts";

const limits = { raceTriesMax: 5 } as const;

export async function update(call: Call): Promise<ApiResponse> {
  const { definition, request } = call;
  const sent = readObject(call);
  matchUrl(sent, request, definition);
  const part = definition.subresources[request.subresource];
  const merged = (old: DeepReadonly<KubeObject>) =>
    part?.type === "part" ? part.merge(old, copyJson(sent)) : copyJson<KubeObject>(sent);
  const mayCreate = request.subresource === "" && definition.strategy.createOnUpdate === true;
  return changeStored(call, async (current) => merged(current.object), {
    ...(mayCreate ? { ifAbsent: () => createFromUpdate(call, sent) } : {}),
    requiresVersion: definition.strategy.unconditionalUpdate === false,
  });
}

async function createFromUpdate(call: Call, sent: KubeObject): Promise<ApiResponse> {
  const object = copyJson<KubeObject>(sent);
  if (object.metadata.resourceVersion && object.metadata.resourceVersion !== "0") {
    throw notFound(call.definition, call.request.name);
  }
  delete object.metadata.resourceVersion;
  await authorize(call.parts.authorizer, { ...attributesOf(call.request), verb: "create" });
  return createObject(call, object);
}

export interface ChangeOptions {
  readonly ifAbsent?: () => Promise<ApiResponse>;
  readonly requiresVersion?: boolean;
  /** The next state comes with its record of managers. */
  readonly isTracked?: boolean;
  /**
   * What admission sees in place of the object: the Scale of a workload. Its mutating half is then
   * run where the next state is made.
   */
  readonly shownAs?: (object: DeepReadonly<KubeObject>) => KubeObject;
}

/**
 * Reads, lets `change` make the next state, checks and writes it; again when another writer was
 * faster, unless the next state itself names the version it was made from.
 */
export async function changeStored(
  call: Call,
  change: (current: Stored) => Promise<KubeObject>,
  options: ChangeOptions = {},
): Promise<ApiResponse> {
  const { definition, parts, request } = call;
  const { name } = request;
  const namespace = definition.namespaced ? request.namespace : "";
  for (let tries = 1; ; tries += 1) {
    const read = tries === 1 ? readStored : readFromStore;
    const current = await read(parts, definition, namespace, name);
    if (current === undefined) {
      if (options.ifAbsent !== undefined) return options.ifAbsent();
      throw notFound(definition, name);
    }
    const object = await change(current);
    checkPreconditions(call, object, current, options.requiresVersion ?? false);
    const answer = await writeChange(call, object, current, options);
    if (answer !== undefined) return answer;
    if (tries === limits.raceTriesMax) throw modified(definition, name);
  }
}

function checkPreconditions(
  call: Call,
  object: KubeObject,
  current: Stored,
  requiresVersion: boolean,
): void {
  const { definition, request } = call;
  const uid = object.metadata.uid ?? "";
  const stored = current.object.metadata.uid ?? "";
  // A patch of it is refused as invalid later.
  if (uid !== "" && uid !== stored && request.verb === "update") {
    const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${stored}`;
    const key = storageKey(definition, current.object.metadata.namespace ?? "", request.name);
    const error = `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0`;
    throw conflict(definition, request.name, `${error}, AdditionalErrorMsg: ${why}`);
  }
  const version = object.metadata.resourceVersion ?? "";
  if (version === "" || version === "0") {
    if (requiresVersion && request.verb === "update") {
      const detail = "must be specified for an update";
      const field = "metadata.resourceVersion";
      throw invalid(definition, request.name, [
        { type: "FieldValueInvalid", field, value: 0, detail },
      ]);
    }
  } else if (version !== String(current.revision)) {
    if (!/^\d+$/.test(version)) {
      const detail = `strconv.ParseUint: parsing ${JSON.stringify(version)}: invalid syntax`;
      const field = "metadata.resourceVersion";
      throw invalid(definition, request.name, [
        { type: "FieldValueInvalid", field, value: version, detail },
      ]);
    }
    throw modified(definition, request.name);
  }
}

/** Undefined when someone else changed the object in between. */
async function writeChange(
  call: Call,
  object: KubeObject,
  current: Stored,
  { isTracked = false, shownAs }: ChangeOptions,
): Promise<ApiResponse | undefined> {
  const { definition } = call;
  const { strategy } = definition;
  const old = current.object;
  object.metadata.name ??= old.metadata.name ?? "";
  keepSystemMetadata(object, old);
  if (!isTracked) trackWrite(call, object, old);
  const { managedFields } = object.metadata;
  if (shownAs === undefined) await admitMutating(call, "UPDATE", object, old);
  const context = writeContext(call, "update", old);
  strategy.prepare?.(object, context);
  if (managedFields === undefined) delete object.metadata.managedFields;
  else object.metadata.managedFields = managedFields;
  const errors = [
    ...validateMetadataUpdate(object, old),
    ...(await permissionErrors(call, object, context)),
    ...((await strategy.validate?.(object, context)) ?? []),
  ];
  if (errors.length > 0) throw invalid(definition, object.metadata.name, errors);
  call.warnings.push(...(strategy.warn?.(object, context) ?? []));
  if (shownAs === undefined) await admitValidating(call, "UPDATE", object, old);
  else await admitValidating(call, "UPDATE", shownAs(object), shownAs(old));
  object.metadata.resourceVersion = String(current.revision);
  if (sameJson(object, old)) return answerStored(call, current);
  const undo = await strategy.allocate?.(object, context);
  return withUndo(undo, call.dryRun, () => store(call, object, current));
}

async function store(
  call: Call,
  object: KubeObject,
  current: Stored,
): Promise<ApiResponse | undefined> {
  if (call.dryRun) return answerObject(call, object);
  if (isFinished(call, object)) return removeStored(call, object, current);
  const isSignOfLife = call.definition.strategy.isSignOfLife?.(object, current.object) === true;
  const durability = isSignOfLife ? "soon" : "now";
  const written = await writeStored(call, object, current.revision, 200, durability);
  return written.ok ? written.answer : undefined;
}

/** True when a deleted object has nothing left that holds it. */
function isFinished(call: Call, object: KubeObject): boolean {
  const { metadata } = object;
  if (metadata.deletionTimestamp === undefined) return false;
  if ((metadata.finalizers ?? []).length > 0) return false;
  if ((metadata.deletionGracePeriodSeconds ?? 0) !== 0) return false;
  return call.definition.strategy.holdsDeletion?.(object) !== true;
}

/** Takes the object away for good; undefined when it changed in between. */
export async function removeStored(
  call: Call,
  last: DeepReadonly<KubeObject>,
  current: Stored,
): Promise<ApiResponse | undefined> {
  const { definition, parts } = call;
  const { namespace = "", name = "" } = last.metadata;
  const key = storageKey(definition, namespace, name);
  const result = await parts.store.delete(key, current.revision);
  if (!result.ok) {
    if (result.current === undefined) throw notFound(definition, name);
    return undefined;
  }
  await definition.strategy.release?.(last);
  const object = copyJson<KubeObject>(last as KubeObject);
  object.metadata.resourceVersion = String(result.revision);
  return answerObject(call, object);
}
