/** From the body of a request to an object of its kind. */

import { apiVersionOf } from "../client/request-form.ts";
import { ApiError, isReason } from "../lib/api-error.ts";
import { copyJson, replaceMembers } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import { jsonParseError } from "../schema/parse.ts";
import type { Call } from "./call.ts";
import type { Codec } from "./codec.ts";
import { goPackage, invalid } from "./errors.ts";

import type { ApiRequest } from "./request.ts";
import type { ResourceDefinition } from "./resource-definition.ts";

/** The object in the body, decoded, checked and defaulted; the caller's to change. */
export function readObject(call: Call): KubeObject {
  const { parts, request, definition } = call;
  const body = request.body;
  if (body === undefined) return acceptValue(call, parseAs(call, new Uint8Array(), "").value);
  if (!(body instanceof Uint8Array)) {
    const { object } = parts.codec.decode(definition, copyJson<KubeObject>(body));
    object.metadata ??= {};
    parts.codec.fillDefaults(definition, object);
    request.audit?.requestObject(object);
    return object;
  }
  const parsed = parseAs(call, body, request.contentType || "application/json");
  const object = acceptValue(call, parsed.value, { parseProblems: parsed.problems });
  request.audit?.requestObject(object);
  return object;
}

/** A body that cannot be read at all is shown in the answer. */
function parseAs(call: Call, body: Uint8Array, contentType: string): ReturnType<Codec["parse"]> {
  try {
    const parsed = call.parts.codec.parse(body, contentType);
    if (parsed.value === null) return { ...parsed, value: {} };
    if (typeof parsed.value === "object" && !Array.isArray(parsed.value)) return parsed;
    const type = Array.isArray(parsed.value) ? "array" : jsonTypeOf(parsed.value);
    throw new ApiError(
      "BadRequest",
      `${jsonParseError}json: cannot unmarshal ${type} into Go value of type ${headStruct}`,
    );
  } catch (error) {
    if (!isReason(error, "BadRequest")) throw error;
    const { kind } = call.definition;
    throw new ApiError(
      "BadRequest",
      `the object provided is unrecognized (must be of type ${kind}): ${error.message} ` +
        `(${summaryOf(body)})`,
    );
  }
}

function jsonTypeOf(value: unknown): string {
  return typeof value === "boolean" ? "bool" : typeof value;
}

/** What upstream reads kind and version with. */
const headStruct =
  'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; ' +
  'Kind string "json:\\"kind,omitempty\\"" }';

const summaryBytesMax = 30;

function summaryOf(body: Uint8Array): string {
  if (body.length === 0) return "<empty>";
  const head = Buffer.from(body.subarray(0, summaryBytesMax));
  const rest = body.length > summaryBytesMax ? " ..." : "";
  return `${head.toString(head[0] === "{".charCodeAt(0) ? "utf8" : "hex")}${rest}`;
}

/** Makes the error of a value that cannot be an object of the resource. */
export type Refuse = (message: string, cause?: unknown) => ApiError;

export interface Accepting {
  /** What strict decoding objects to in the text of the value. */
  readonly parseProblems?: readonly string[];
  /** And in the patch that made the value: told first. */
  readonly patchProblems?: readonly string[];
  readonly refuse?: Refuse;
}

/** Makes an object of the resource from a JSON value, reporting as `fieldValidation` asks. */
export function acceptValue(call: Call, value: unknown, how: Accepting = {}): KubeObject {
  const { parseProblems = [], patchProblems = [] } = how;
  const { definition, parts } = call;
  checkKind(call, value);
  const forgets = isEmptyRecord(value);
  const { object, problems } = parts.codec.decode(definition, value, parseProblems);
  report(call, [...patchProblems, ...problems], how.refuse);
  object.metadata ??= {};
  if (forgets) object.metadata.managedFields = [{}];
  parts.codec.fillDefaults(definition, object);
  return object;
}

/** Prunes and defaults an object of the resource that was changed from outside. */
export function normalizeObject(call: Call, object: KubeObject): void {
  const { definition, parts } = call;
  if (object.kind !== definition.kind) return;
  const decoded = parts.codec.decode(definition, object).object;
  if (decoded !== object) replaceMembers(object, decoded);
  parts.codec.fillDefaults(definition, object);
}

/** An empty record of managers asks to forget them; decoding would leave it out. */
function isEmptyRecord(value: unknown): boolean {
  const { metadata } = value as { metadata?: { managedFields?: unknown } | null };
  const entries = metadata?.managedFields;
  return Array.isArray(entries) && entries.length === 0;
}

/** The plain value of a body that is no object of the resource: options, evictions. */
export function readValue(codec: Codec, request: ApiRequest, contentType: string): unknown {
  return readParsed(codec, request, contentType).value;
}

/** As `readValue`, with what strict decoding objects to. */
export function readParsed(
  codec: Codec,
  request: ApiRequest,
  contentType: string,
): ReturnType<Codec["parse"]> {
  const { body } = request;
  if (body instanceof Uint8Array && body.length > 0) return codec.parse(body, contentType);
  const value = body instanceof Uint8Array ? undefined : body;
  return { value: value === undefined ? undefined : copyJson<unknown>(value), problems: [] };
}

function report(call: Call, problems: readonly string[], refuse?: Refuse): void {
  if (problems.length === 0 || call.fieldValidation === "Ignore") return;
  if (call.fieldValidation === "Warn") {
    // Only the error of strict decoding names the reader of YAML.
    call.warnings.push(...problems.map((one) => one.replace(/^yaml: unmarshal errors:\n {2}/, "")));
    return;
  }
  const message = `strict decoding error: ${problems.join(", ")}`;
  throw refuse === undefined ? badBody(call, message) : refuse(message);
}

function badBody({ definition }: Call, message: string): ApiError {
  const { kind, version } = definition;
  const text = `${kind} in version "${version}" cannot be handled as a ${kind}: ${message}`;
  return new ApiError("BadRequest", text);
}

function checkKind(call: Call, value: unknown): void {
  const { definition, parts } = call;
  const { kind } = definition;
  const apiVersion = apiVersionOf(definition);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw emptyBody();
  const sent = value as { apiVersion?: unknown; kind?: unknown };
  const sentVersion = String(sent.apiVersion || apiVersion);
  const sentKind = String(sent.kind || kind);
  if (sentKind === kind && sentVersion === apiVersion) return;
  if (definition.custom !== undefined) {
    if (sentVersion !== apiVersion) throw otherVersion(sentVersion, apiVersion);
    throw otherKind(definition, value, sentKind);
  }
  const version = versionPart(sentVersion);
  const group = sentVersion.includes("/") ? (sentVersion.split("/")[0] ?? "") : "";
  const known = parts.registry.findKind(group, version, sentKind);
  if (known !== undefined && sentKind === kind && group === definition.group)
    throw otherVersion(sentVersion, apiVersion);
  const why =
    known === undefined
      ? `no kind "${sentKind}" is registered for version "${sentVersion}" ` +
        `in scheme "pkg/runtime/scheme.go:111"`
      : `converting (${version}.${sentKind}) to (${goPackage(definition)}.${kind}): ` +
        "unknown conversion";
  throw new ApiError(
    "BadRequest",
    `${sentKind} in version "${version}" cannot be handled as a ${kind}: ${why}`,
  );
}

function otherVersion(sent: string, expected: string): ApiError {
  return new ApiError(
    "BadRequest",
    `the API version in the data (${sent}) does not match the expected API version (${expected})`,
  );
}

/** Any kind can be read as a custom resource; that it is another one is an error of a member. */
function otherKind(definition: ResourceDefinition, value: object, sentKind: string): ApiError {
  const { name } = (value as Partial<KubeObject>).metadata ?? {};
  const detail = `must be ${definition.kind}`;
  return invalid({ ...definition, kind: sentKind }, String(name ?? ""), [
    { type: "FieldValueInvalid", field: "kind", value: sentKind, detail },
  ]);
}

function versionPart(apiVersion: string): string {
  return apiVersion.slice(apiVersion.indexOf("/") + 1);
}

function emptyBody(): ApiError {
  return new ApiError("BadRequest", "the request body is empty or holds no object");
}
