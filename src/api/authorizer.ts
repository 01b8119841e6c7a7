/** The question every request is asked, and who answers it (RBAC and friends in `api/auth`). */
import type { User } from "./request.ts";

export interface Attributes {
  readonly user: User;
  /** The API verb of a resource request, else the lower-case HTTP method. */
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly path: string;
  readonly isResourceRequest: boolean;
}

export interface Decision {
  readonly allowed: boolean;
  /** Why, as shown at the end of a Forbidden message; "" when there is nothing to say. */
  readonly reason: string;
}

export interface Authorizer {
  authorize(attributes: Attributes): Promise<Decision>;
}

/** Turns the credentials of a request into a user; throws ApiError Unauthorized for bad ones. */
export type Authenticate = (headers: Headers, peer: Peer) => Promise<User>;

/** Who a user wants to be, once that is allowed; undefined when it is nobody else. */
export type Impersonate = (user: User, headers: Headers) => Promise<Impersonation | undefined>;

export interface Impersonation {
  readonly user: User;
  /** The verb by which a constrained impersonation was allowed; "" otherwise. */
  readonly constraint: string;
}

/** Who is at the other end of the connection, as the front door knows it. */
export interface Peer {
  readonly address: string;
  /** Set when the client sent a certificate that the client CA signed. */
  readonly certificate: PeerCertificate | undefined;
  /** Common name of a certificate by the request-header authority: an aggregating proxy. */
  readonly frontProxy?: string | undefined;
  /** Why the certificate that was shown is not believed. */
  readonly certificateError?: string | undefined;
}

export interface PeerCertificate {
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** SHA-256 of its DER form, in lower-case hex. */
  readonly fingerprint: string;
}
