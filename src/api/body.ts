/** From the body of a request to an object of its kind. */

import { apiVersionOf } from "../client/request-form.ts";
import { ApiError } from "../lib/api-error.ts";
import { copyJson, replaceMembers } from "../schema/copy.ts";
import type { KubeObject } from "../schema/object.ts";
import type { Call } from "./call.ts";
import type { Codec } from "./codec.ts";

import type { ApiRequest } from "./request.ts";

/** The object in the body, decoded, checked and defaulted; the caller's to change. */
export function readObject(call: Call): KubeObject {
  const { parts, request, definition } = call;
  const body = request.body;
  if (body === undefined) throw emptyBody();
  if (!(body instanceof Uint8Array)) {
    const { object } = parts.codec.decode(definition, copyJson<KubeObject>(body));
    object.metadata ??= {};
    parts.codec.fillDefaults(definition, object);
    request.audit?.requestObject(object);
    return object;
  }
  const parsed = parts.codec.parse(body, request.contentType || "application/json");
  const object = acceptValue(call, parsed.value, { parseProblems: parsed.problems });
  request.audit?.requestObject(object);
  return object;
}

/** Makes the error of a value that cannot be an object of the resource. */
export type Refuse = (message: string) => ApiError;

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
  checkKind(value, apiVersionOf(definition), definition.kind);
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
    call.warnings.push(...problems);
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

function checkKind(value: unknown, apiVersion: string, kind: string): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw emptyBody();
  const sent = value as { apiVersion?: unknown; kind?: unknown };
  const sentVersion = sent.apiVersion ?? "";
  const sentKind = sent.kind ?? "";
  if (sentVersion === "" && sentKind === "") return;
  if (
    (sentKind === "" || sentKind === kind) &&
    (sentVersion === "" || sentVersion === apiVersion)
  ) {
    return;
  }
  if (sentKind === kind) {
    throw new ApiError(
      "BadRequest",
      `the API version in the data (${String(sentVersion)}) does not match the expected API ` +
        `version (${apiVersion})`,
    );
  }
  throw new ApiError(
    "BadRequest",
    `${String(sentKind)} in version "${versionPart(String(sentVersion))}" cannot be handled as a ` +
      `${kind}: no kind "${String(sentKind)}" is registered for version "${String(sentVersion)}" ` +
      `in scheme "pkg/api/legacyscheme/scheme.go:30"`,
  );
}

function versionPart(apiVersion: string): string {
  return apiVersion.slice(apiVersion.indexOf("/") + 1);
}

function emptyBody(): ApiError {
  return new ApiError("BadRequest", "the request body is empty or holds no object");
}
