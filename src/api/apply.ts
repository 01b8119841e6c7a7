/** PATCH with an apply configuration: server-side apply. */
import { apiVersionOf } from "../client/request-form.ts";
import { ApiError, isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { parseExact } from "../lib/exact-json.ts";
import { copyJson } from "../schema/copy.ts";
import { difference, hasPath } from "../schema/field-set.ts";
import type { Manager } from "../schema/managers.ts";
import type { KubeObject } from "../schema/object.ts";
import { pathText } from "../schema/path-element.ts";
import {
  type Applied,
  applyConfig,
  type Conflict,
  ConflictError,
  trackUpdate,
  type Write,
} from "../schema/track-fields.ts";
import { compareValues } from "../schema/typed-compare.ts";
import { fieldsOfValue } from "../schema/typed-fields.ts";
import { problemsText, validateValue } from "../schema/typed-validate.ts";
import { attributesOf, authorize } from "./authorize-call.ts";
import { acceptValue } from "./body.ts";
import type { Call } from "./call.ts";
import type { Codec } from "./codec.ts";
import { createObject } from "./create.ts";
import { notFound } from "./errors.ts";
import { setManagers, storedManagers, withoutRecord, writeOf } from "./field-managers.ts";
import { matchUrl } from "./object-meta.ts";
import { isTrue } from "./options.ts";
import type { ApiResponse } from "./request.ts";
import { changeStored } from "./update.ts";

const limits = { annotationBytesMax: 256 * 1024 } as const;

export const applyType = "application/apply-patch+yaml";

const lastAppliedName = "kubectl.kubernetes.io/last-applied-configuration";

/** What an applier sends: only the fields that it wants to decide. */
export interface ApplyConfig extends Readonly<Record<string, unknown>> {
  readonly apiVersion?: unknown;
  readonly kind?: unknown;
  readonly metadata?: unknown;
}

export async function applyPatch(call: Call): Promise<ApiResponse> {
  const { definition, request } = call;
  const config = readConfig(call);
  checkIdentity(config, apiVersionOf(definition), definition.kind);
  const part = definition.subresources[request.subresource];
  return changeStored(
    call,
    async (current) => {
      const { object, managers } = applied(call, config, current.object);
      const next = accepted(call, object);
      const merged = part?.type === "part" ? part.merge(current.object, next) : next;
      setManagers(merged, managers);
      return merged;
    },
    {
      isTracked: true,
      ...(request.subresource === "" ? { ifAbsent: () => createApplied(call, config) } : {}),
    },
  );
}

async function createApplied(call: Call, config: ApplyConfig): Promise<ApiResponse> {
  const { definition, parts, request } = call;
  if (!definition.verbs.includes("create")) throw notFound(definition, request.name);
  await authorize(parts.authorizer, { ...attributesOf(request), verb: "create" });
  const { object, managers } = applied(call, config, undefined);
  const next = accepted(call, object);
  if (next.metadata.resourceVersion) throw notFound(definition, request.name);
  setManagers(next, managers);
  return createObject(call, next, { isTracked: true });
}

/** The merged value as an object of its own, checked and defaulted. */
function accepted(call: Call, merged: object): KubeObject {
  const object = acceptValue(call, copyJson<unknown>(merged));
  matchUrl(object, call.request, call.definition);
  return object;
}

function parseConfig(call: Call, body: Uint8Array): ReturnType<Codec["parse"]> {
  try {
    return call.parts.codec.parse(body, "application/yaml");
  } catch (error) {
    throw isReason(error, "BadRequest") ? badYaml(error.message) : error;
  }
}

/** Reads the configuration, which may be JSON too. */
export function readConfig(call: Call): ApplyConfig {
  const { audit, body } = call.request;
  if (body === undefined) throw badYaml("the body is empty");
  if (!(body instanceof Uint8Array)) {
    audit?.requestPatch(body);
    return body as unknown as ApplyConfig;
  }
  const { value, problems } = parseConfig(call, body);
  audit?.requestPatch(value);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const found = Array.isArray(value) ? "array" : typeof value;
    throw badYaml(
      `error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ${found} into Go ` +
        "value of type map[string]interface {}",
    );
  }
  if (problems.length > 0 && call.fieldValidation !== "Ignore") {
    const text = `error converting YAML to JSON: ${problems.join(", ")}`;
    if (call.fieldValidation === "Strict") {
      throw new ApiError("BadRequest", `error strict decoding YAML: ${text}`);
    }
    call.warnings.push(text);
  }
  return value as ApplyConfig;
}

function badYaml(why: string): ApiError {
  return new ApiError("BadRequest", `error decoding YAML: ${why}`);
}

/** The kind applied must be the kind at the URL, and the record is the server's alone. */
export function checkIdentity(config: ApplyConfig, apiVersion: string, kind: string): void {
  if (config.apiVersion !== apiVersion || config.kind !== kind) {
    throw new ApiError("BadRequest", `invalid object type: ${kindText(config)}`);
  }
  const { metadata } = config;
  const managedFields = (metadata as { managedFields?: unknown } | undefined)?.managedFields;
  if (managedFields !== undefined && managedFields !== null) {
    throw new ApiError("BadRequest", "metadata.managedFields must be nil");
  }
}

/** `apps/v1, Kind=Deployment`, or `/v1, Kind=Pod` of the core group. */
function kindText({ apiVersion, kind }: ApplyConfig): string {
  const version = String(apiVersion ?? "");
  return `${version.includes("/") ? "" : "/"}${version}, Kind=${String(kind ?? "")}`;
}

function applied(
  call: Call,
  config: ApplyConfig,
  stored: DeepReadonly<KubeObject> | undefined,
): Applied {
  const type = call.parts.codec.mergeType(call.definition);
  checkConfig(config, validateValue(type, config));
  const live = stored === undefined ? {} : withoutRecord(stored);
  const record = stored === undefined ? [] : storedManagers(stored);
  const write = { ...writeOf(call, live, record) };
  const managers = record.length > 0 ? record : managersBefore(call, write);
  const result = mergedOrConflict(call, { ...write, managers }, config);
  return write.manager === "kubectl" ? withLastApplied(result, config) : result;
}

/** Throws for a configuration that is not of its type, as upstream does: with no reason. */
export function checkConfig(config: ApplyConfig, problems: readonly string[]): void {
  if (problems.length === 0) return;
  const { name = "", namespace = "" } = (config.metadata ?? {}) as KubeObject["metadata"];
  throw new ApiError(
    "",
    `failed to create typed patch object (${namespace}/${name}; ${kindText(config)}): ` +
      problemsText(problems),
  );
}

/** Objects from before there were records: what is there belongs to someone unnamed. */
function managersBefore(call: Call, write: Write): readonly Manager[] {
  if (Object.keys(write.live).length === 0) return [];
  const empty = call.parts.codec.emptyObject(call.definition);
  return trackUpdate({ ...write, live: empty, manager: "before-first-apply" }, write.live);
}

/** Applies, by force where only the applier's own earlier client stands in the way. */
export function mergedOrConflict(call: Call, write: Write, config: ApplyConfig): Applied {
  const force = isTrue(call.request.query.get("force"));
  try {
    return applyConfig(write, config, force);
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    const left = write.manager === "kubectl" ? disputed(call, write, error) : error.conflicts;
    if (left.length > 0) throw conflictError(left);
    return applyConfig(write, config, true);
  }
}

/** Conflicts but for the fields that `kubectl apply` by the same user's client had set before. */
function disputed(call: Call, write: Write, error: ConflictError): readonly Conflict[] {
  const { metadata } = write.live as KubeObject;
  const text = metadata.annotations?.[lastAppliedName] ?? "";
  const last = parsedOrNothing(text);
  if (last?.apiVersion !== write.apiVersion) return error.conflicts;
  const type = call.parts.codec.mergeType(call.definition);
  if (validateValue(type, last).length > 0) return error.conflicts;
  const { added, modified, removed } = compareValues(type, last, write.live);
  const named = fieldsOfValue(type, last);
  const own = [modified, added, removed].reduce(difference, named);
  return error.conflicts.filter(({ path }) => !hasPath(own, path));
}

function parsedOrNothing(text: string): ApplyConfig | undefined {
  try {
    const value = parseExact(text);
    return typeof value === "object" && value !== null ? (value as ApplyConfig) : undefined;
  } catch {
    // No annotation, or one that a person wrote.
    return undefined;
  }
}

/** Keeps the annotation of `kubectl apply` true, for clients that still merge by themselves. */
function withLastApplied(result: Applied, config: ApplyConfig): Applied {
  const { metadata, ...rest } = result.object as KubeObject;
  const { annotations = {} } = metadata ?? {};
  if (!annotations[lastAppliedName]) return result;
  const { [lastAppliedName]: _, ...others } = annotations;
  const text = `${JSON.stringify(sortedMembers(withoutAnnotation(config)))}\n`;
  const size = Object.entries({ ...others, [lastAppliedName]: text }).reduce(
    (sum, [name, value]) => sum + name.length + Buffer.byteLength(value),
    0,
  );
  const kept = size > limits.annotationBytesMax ? others : { ...others, [lastAppliedName]: text };
  return { ...result, object: { ...rest, metadata: { ...metadata, annotations: kept } } };
}

function withoutAnnotation(config: ApplyConfig): object {
  const copy = copyJson<Partial<KubeObject>>(config as Partial<KubeObject>);
  delete copy.metadata?.annotations?.[lastAppliedName];
  return copy;
}

/** Go writes maps in order. */
export function sortedMembers(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(sortedMembers);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, member]) => [name, sortedMembers(member)]));
}

/** 409 with one cause per field. */
function conflictError(conflicts: readonly Conflict[]): ApiError {
  const causes = conflicts.map(({ manager, path }) => ({
    reason: "FieldManagerConflict",
    message: `conflict with ${managerText(manager)}`,
    field: pathText(path),
  }));
  return new ApiError("Conflict", conflictText(conflicts), { details: { causes } });
}

function conflictText(conflicts: readonly Conflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1 && first !== undefined) {
    const { manager, path } = first;
    return `Apply failed with 1 conflict: conflict with ${managerText(manager)}: ${pathText(path)}`;
  }
  const lines = new Map<string, string[]>();
  for (const { manager, path } of conflicts) {
    const name = managerText(manager);
    lines.set(name, [...(lines.get(name) ?? []), `- ${pathText(path)}`]);
  }
  const parts = [...lines]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, paths]) => [`conflicts with ${name}:`, ...paths]);
  return `Apply failed with ${conflicts.length} conflicts: ${parts.join("\n")}`;
}

function managerText({ name, subresource, operation, apiVersion }: Manager): string {
  const part = subresource === "" ? "" : ` with subresource ${JSON.stringify(subresource)}`;
  const version = operation === "Update" ? ` using ${apiVersion}` : "";
  return `${JSON.stringify(name)}${part}${version}`;
}
