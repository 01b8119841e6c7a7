/** The record of one request while it is served: an event is made of it at each stage. */
import type { ApiError } from "../../lib/api-error.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { copyJson } from "../../schema/copy.ts";
import type { User } from "../request.ts";
import {
  type AuditEvent,
  type AuditLevel,
  type AuditObjectReference,
  type AuditSink,
  type AuditStage,
  type AuditStatus,
  type AuditUser,
  auditLevels,
  userOf,
} from "./event.ts";
import type { AuditedAttributes, RequestAudit } from "./policy.ts";

const limits = { userAgentBytesMax: 1024 } as const;

/** What is known of a request before anything is done about it. */
export interface AuditedRequest {
  readonly auditId: string;
  readonly uri: string;
  readonly attributes: AuditedAttributes;
  readonly sourceIps: readonly string[];
  readonly userAgent: string;
  readonly receivedAt: Date;
}

interface TrailParts {
  readonly request: AuditedRequest;
  readonly audit: RequestAudit;
  readonly sink: AuditSink;
  readonly runtime: Runtime;
  /** Called for each event that is made. */
  readonly count: () => void;
}

export class AuditTrail {
  readonly #parts: TrailParts;
  readonly #annotations = new Map<string, string>();
  readonly #objectRef: AuditObjectReference | undefined;
  #impersonated: AuditUser | undefined;
  #constraint = "";
  #status: AuditStatus | undefined;
  #requestObject: unknown;
  #responseObject: unknown;
  #isOver = false;
  #isUnauthenticated = false;

  constructor(parts: TrailParts) {
    this.#parts = parts;
    this.#objectRef = referenceOf(parts.request.attributes);
  }

  get attributes(): AuditedAttributes {
    return this.#parts.request.attributes;
  }

  /** No further event will be made. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Of a request without a user only one event is made. */
  get isUnauthenticated(): boolean {
    return this.#isUnauthenticated;
  }

  /** A value that was set first stays. */
  annotate(key: string, value: string, level: AuditLevel = "Metadata"): void {
    if (!this.#reaches(level)) return;
    const before = this.#annotations.get(key);
    if (before === undefined) this.#annotations.set(key, value);
    else if (before !== value) {
      const { request, runtime } = this.#parts;
      // The value may be secret: it is for the audit log only.
      runtime.log.warn("Cannot set an audit annotation: it has another value", {
        annotation: key,
        auditId: request.auditId,
      });
    }
  }

  impersonating(user: User, constraint: string): void {
    this.#impersonated = userOf(user);
    this.#constraint = constraint;
  }

  /** The object that was sent: it also tells what the URL does not. */
  requestObject(object: unknown): void {
    const metadata = (object as { readonly metadata?: Readonly<Record<string, unknown>> }).metadata;
    const ref = this.#objectRef;
    if (metadata !== undefined && ref !== undefined) {
      for (const key of ["namespace", "name", "uid", "resourceVersion"] as const) {
        const value = metadata[key];
        if (ref[key] === undefined && typeof value === "string" && value !== "") ref[key] = value;
      }
    }
    if (this.#reaches("Request")) this.#requestObject = this.#recorded(object);
  }

  /** A patch is recorded as it was sent. */
  requestPatch(patch: unknown): void {
    if (this.#reaches("Request")) this.#requestObject = patch;
  }

  get wantsResponse(): boolean {
    return this.#reaches("RequestResponse");
  }

  /** What is answered; of a Status, its members are told at every level. */
  responseObject(object: unknown): void {
    if (isStatus(object)) this.#status = statusOf(object);
    if (this.wantsResponse) this.#responseObject = this.#recorded(object);
  }

  /** The answer to a request without a user says less than its record. */
  failed(error: ApiError): void {
    if (!this.#isUnauthenticated) this.responseObject(error.toStatus());
  }

  /** What a client without credentials, or with wrong ones, has tried. */
  unauthenticated(message: string): void {
    this.#isUnauthenticated = true;
    this.#status = { metadata: {}, message };
  }

  responseCode(code: number): void {
    this.#status = { ...(this.#status ?? { metadata: {} }), code };
  }

  received(): boolean | Promise<boolean> {
    return this.#emit("RequestReceived", this.#parts.request.receivedAt);
  }

  /** The connection changes its protocol: from here on the request streams. */
  switching(): boolean | Promise<boolean> {
    this.responseCode(101);
    return this.started();
  }

  started(): boolean | Promise<boolean> {
    return this.#emit("ResponseStarted", this.#now());
  }

  /** The last event of a request; later calls do nothing. */
  complete(): boolean | Promise<boolean> {
    if (this.#isOver) return true;
    this.#isOver = true;
    return this.#emit("ResponseComplete", this.#now());
  }

  /** As `complete`, for a request that ended by a mistake of the server itself. */
  panicked(error: unknown): boolean | Promise<boolean> {
    this.#isOver = true;
    this.#status = {
      metadata: {},
      status: "Failure",
      message: `APIServer panic'd: ${String(error)}`,
      reason: "InternalError",
      code: 500,
    };
    return this.#emit("Panic", this.#now());
  }

  #now(): Date {
    return this.#parts.runtime.clock.now();
  }

  #reaches(level: AuditLevel): boolean {
    return auditLevels.indexOf(this.#parts.audit.level) >= auditLevels.indexOf(level);
  }

  #recorded(object: unknown): unknown {
    const copy = copyJson<unknown>(object);
    if (this.#parts.audit.omitManagedFields) dropManagedFields(copy);
    return copy;
  }

  #emit(stage: AuditStage, at: Date): boolean | Promise<boolean> {
    const { audit, sink, count } = this.#parts;
    if (audit.omitStages.has(stage)) return true;
    count();
    return sink.process([this.#event(stage, at)]);
  }

  #event(stage: AuditStage, at: Date): AuditEvent {
    const { request, audit } = this.#parts;
    const { attributes, sourceIps, userAgent } = request;
    const [status, ref] = [this.#status, this.#objectRef];
    return {
      kind: "Event",
      apiVersion: "audit.k8s.io/v1",
      level: audit.level,
      auditID: request.auditId,
      stage,
      requestURI: request.uri,
      verb: attributes.verb,
      user: attributes.user === undefined ? {} : userOf(attributes.user),
      ...(this.#impersonated && { impersonatedUser: this.#impersonated }),
      ...(this.#constraint !== "" && {
        authenticationMetadata: { impersonationConstraint: this.#constraint },
      }),
      ...(sourceIps.length > 0 && { sourceIPs: sourceIps }),
      ...(userAgent !== "" && { userAgent: shortened(userAgent) }),
      ...(ref && { objectRef: { ...ref } }),
      ...(status && { responseStatus: status }),
      ...(this.#requestObject !== undefined && { requestObject: this.#requestObject }),
      ...(this.#responseObject !== undefined && { responseObject: this.#responseObject }),
      requestReceivedTimestamp: microTime(request.receivedAt),
      stageTimestamp: microTime(at),
      ...(this.#annotations.size > 0 && { annotations: Object.fromEntries(this.#annotations) }),
    };
  }
}

/** Six digits after the point; the clock gives three. */
function microTime(time: Date): string {
  return time.toISOString().replace("Z", "000Z");
}

function shortened(userAgent: string): string {
  const { userAgentBytesMax } = limits;
  if (userAgent.length <= userAgentBytesMax) return userAgent;
  return `${userAgent.slice(0, userAgentBytesMax)}...TRUNCATED`;
}

function referenceOf(attributes: AuditedAttributes): AuditObjectReference | undefined {
  if (!attributes.isResourceRequest) return undefined;
  const { resource, namespace, name, group, version, subresource } = attributes;
  return {
    ...(resource !== "" && { resource }),
    ...(namespace !== "" && { namespace }),
    ...(name !== "" && { name }),
    ...(group !== "" && { apiGroup: group }),
    ...(version !== "" && { apiVersion: version }),
    ...(subresource !== "" && { subresource }),
  };
}

type StatusLike = Omit<AuditStatus, "metadata"> & { readonly kind: "Status" };

function isStatus(object: unknown): object is StatusLike {
  const { kind, apiVersion } = object as { readonly kind?: unknown; readonly apiVersion?: unknown };
  return kind === "Status" && apiVersion === "v1";
}

function statusOf({ status, message, reason, details, code }: StatusLike): AuditStatus {
  return {
    metadata: {},
    ...(status && { status }),
    ...(message && { message }),
    ...(reason && { reason }),
    ...(details && { details }),
    ...(code !== undefined && { code }),
  };
}

/** Of the object itself, of the items of a list, and of the objects in the rows of a Table. */
function dropManagedFields(value: unknown): void {
  const object = value as {
    metadata?: { managedFields?: unknown };
    items?: unknown;
    rows?: unknown;
  };
  delete object.metadata?.managedFields;
  if (Array.isArray(object.items)) for (const item of object.items) dropManagedFields(item);
  if (Array.isArray(object.rows)) {
    for (const row of object.rows as readonly { readonly object?: unknown }[]) {
      if (row.object) dropManagedFields(row.object);
    }
  }
}
