/** The question every request is asked, and who answers it (RBAC and friends in `api/auth`). */
import type { NonResourceRule, ResourceRule } from "../gen/authorization-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
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
  /** As sent: what a list, a watch or the deletion of a collection is narrowed to. */
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
}

export interface Decision {
  readonly allowed: boolean;
  /** Why, as shown at the end of a Forbidden message; "" when there is nothing to say. */
  readonly reason: string;
  /** The answer is no, whatever the authorizers after this one would say. */
  readonly isFinal?: boolean;
  /** Why somebody who might have allowed it could not be asked. */
  readonly error?: string;
}

export interface Authorizer {
  authorize(attributes: Attributes): Promise<Decision>;
  /** What is known beforehand of what the user may do; undefined or absent: nothing. */
  rulesFor?(user: User, namespace: string): UserRules | undefined;
}

/** The answer of a SelfSubjectRulesReview. */
export interface UserRules {
  readonly resourceRules: readonly DeepReadonly<ResourceRule>[];
  readonly nonResourceRules: readonly DeepReadonly<NonResourceRule>[];
  /** There may be more than is told. */
  readonly isIncomplete: boolean;
  readonly errors: readonly string[];
}

/** Turns the credentials of a request into a user; throws ApiError Unauthorized for bad ones. */
export type Authenticate = (
  headers: Headers,
  peer: Peer,
  url: string,
  /** Notes something of the credential in the record of the request. */
  note?: (key: string, value: string) => void,
) => Promise<User>;

/** Who a user wants to be, once that is allowed; undefined when it is nobody else. */
export type Impersonate = (
  user: User,
  headers: Headers,
  /** What is asked, as who authenticated. */
  attributes: () => Attributes,
) => Promise<Impersonation | undefined>;

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
  /** At most one may be there. */
  readonly uids?: readonly string[];
  /** SHA-256 of its DER form, in lower-case hex. */
  readonly fingerprint: string;
}
