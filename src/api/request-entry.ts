/** How a request comes in: authentication, its record, then impersonation, in upstream's order. */
import { ApiError } from "../lib/api-error.ts";
import type { Runtime } from "../runtime/runtime.ts";
import {
  attemptText,
  auditedRequest,
  auditIdHeader,
  httpAttributes,
} from "./audit/audited-request.ts";
import type { Auditor } from "./audit/auditor.ts";
import type { AuditTrail } from "./audit/trail.ts";
import type { Authenticate, Impersonate, Peer } from "./authorizer.ts";
import type { HttpRequest } from "./http-exchange.ts";
import type { Registry } from "./registry.ts";
import type { User } from "./request.ts";

export interface EntryOptions {
  readonly authenticate: Authenticate;
  readonly impersonate?: Impersonate | undefined;
  readonly auditor: Auditor | undefined;
  readonly registry: Registry;
  readonly runtime: Runtime;
}

/** One request on its way in; what it learns, whoever ends the request needs. */
export class RequestEntry {
  readonly auditId: string;
  readonly peer: Peer;
  #trail: AuditTrail | undefined;
  /** What there is to tell before the record begins. */
  readonly #notes: (readonly [key: string, value: string])[] = [];
  readonly #note = (key: string, value: string): void => void this.#notes.push([key, value]);

  constructor(
    private readonly options: EntryOptions,
    private readonly request: Pick<HttpRequest, "method" | "url" | "headers">,
    peer: Peer,
  ) {
    this.peer = peer;
    this.auditId = request.headers.get(auditIdHeader) || options.runtime.random.uuid();
  }

  /** The record of the request, when one is made. */
  get trail(): AuditTrail | undefined {
    return this.#trail;
  }

  /** Who asks in the end; throws Unauthorized, or Forbidden for an impersonation. */
  async enter(): Promise<User> {
    const { authenticate, auditor, impersonate, registry, runtime } = this.options;
    const { headers, url } = this.request;
    const receivedAt = auditor === undefined ? undefined : runtime.clock.now();
    const note = auditor === undefined ? undefined : this.#note;
    const user = await authenticate(headers, this.peer, url, note).catch((error: unknown) => {
      if (receivedAt !== undefined && error instanceof ApiError) {
        this.#begin(undefined, receivedAt)?.unauthenticated(attemptText(this.request, this.peer));
      }
      throw error;
    });
    if (receivedAt !== undefined) await this.#received(user, receivedAt);
    const attributes = () => httpAttributes(registry, this.request, user);
    const other = await impersonate?.(user, headers, attributes);
    if (other === undefined) return user;
    this.#trail?.impersonating(other.user, other.constraint);
    return other.user;
  }

  #begin(user: User | undefined, receivedAt: Date): AuditTrail | undefined {
    const { auditor, registry } = this.options;
    const { request, peer, auditId } = this;
    const parts = { request, peer, auditId, user, receivedAt };
    this.#trail = auditor?.begin(auditedRequest(registry, parts));
    for (const [key, value] of this.#notes) this.#trail?.annotate(key, value);
    return this.#trail;
  }

  async #received(user: User, receivedAt: Date): Promise<void> {
    if ((await this.#begin(user, receivedAt)?.received()) !== false) return;
    // What cannot be recorded is not done, and there is no second try at recording it.
    this.#trail = undefined;
    this.options.auditor?.reject();
    throw new ApiError("InternalError", "Internal error occurred: failed to store audit event");
  }
}
