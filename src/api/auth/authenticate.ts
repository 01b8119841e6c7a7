/** Credentials become a user: client certificate, service account token, password, or nobody. */

import type { Resource } from "../../client/client.ts";
import { pods, secrets, serviceAccounts } from "../../client/resources.ts";
import { ApiError } from "../../lib/api-error.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { Authenticate, Peer } from "../authorizer.ts";
import type { User } from "../request.ts";
import { createAuthorizer } from "./authorizers.ts";
import { withImpersonation } from "./impersonate.ts";

export interface Identity {
  readonly name: string;
  readonly uid: string;
}

/** What a verified service account token says; the signer and verifier live in `pki`. */
export interface TokenClaims {
  readonly id: string;
  readonly namespace: string;
  readonly serviceAccount: Identity;
  readonly pod?: Identity;
  readonly node?: Identity;
  readonly secret?: Identity;
}

export interface StaticUser {
  readonly name: string;
  readonly password: string;
  readonly groups: readonly string[];
}

export interface AuthenticateOptions {
  /** Undefined when the token is not one of ours, or no longer valid. */
  readonly verifyToken: (token: string) => Promise<TokenClaims | undefined>;
  readonly staticUsers: readonly StaticUser[];
  readonly live: LiveSets;
}

const anonymous: User = {
  name: "system:anonymous",
  uid: "",
  groups: ["system:unauthenticated"],
  extra: {},
};

/** Credentials first, then the impersonation headers, asked of the server's own authorizer. */
export function createAuthenticate(options: AuthenticateOptions): Authenticate {
  return withImpersonation(byCredentials(options), createAuthorizer(options.live));
}

/** Tries each kind of credential in turn; a credential that is shown but wrong is an error. */
function byCredentials(options: AuthenticateOptions): Authenticate {
  return async (headers, peer) => {
    const certified = fromCertificate(peer);
    if (certified !== undefined) return certified;
    const [scheme = "", credential = ""] = (headers.get("authorization") ?? "").split(" ", 2);
    switch (scheme.toLowerCase()) {
      case "":
        return anonymous;
      case "bearer":
        return (await fromToken(credential, options)) ?? fail();
      case "basic":
        return fromPassword(credential, options.staticUsers) ?? fail();
      default:
        return fail();
    }
  };
}

/** KEP-1205 and KEP-4412 name the keys. */
const extraPrefix = "authentication.kubernetes.io/";

function fail(): never {
  throw new ApiError("Unauthorized", "Unauthorized");
}

function fromCertificate(peer: Peer): User | undefined {
  const { certificate } = peer;
  if (certificate === undefined) return undefined;
  return {
    name: certificate.commonName,
    uid: "",
    groups: [...certificate.organizations, "system:authenticated"],
    extra: { [`${extraPrefix}credential-id`]: [`X509SHA256=${certificate.fingerprint}`] },
  };
}

async function fromToken(token: string, options: AuthenticateOptions): Promise<User | undefined> {
  return userOfClaims(await options.verifyToken(token), options.live);
}

/** The user of a verified token; undefined when what the token is bound to is gone. */
export function userOfClaims(claims: TokenClaims | undefined, live: LiveSets): User | undefined {
  if (claims === undefined || !isBoundToLiving(claims, live)) return undefined;
  return serviceAccountUser(claims);
}

/** The user that a service account token stands for (KEP-1205 names the extra keys). */
export function serviceAccountUser(claims: TokenClaims): User {
  const { namespace, serviceAccount, pod, node } = claims;
  return {
    name: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
    uid: serviceAccount.uid,
    groups: [
      "system:serviceaccounts",
      `system:serviceaccounts:${namespace}`,
      "system:authenticated",
    ],
    extra: {
      ...(claims.id === "" ? {} : { [`${extraPrefix}credential-id`]: [`JTI=${claims.id}`] }),
      ...(pod && { [`${extraPrefix}pod-name`]: [pod.name], [`${extraPrefix}pod-uid`]: [pod.uid] }),
      ...(node && {
        [`${extraPrefix}node-name`]: [node.name],
        [`${extraPrefix}node-uid`]: [node.uid],
      }),
    },
  };
}

/** A token dies with the account, pod or secret it is bound to. */
function isBoundToLiving(claims: TokenClaims, live: LiveSets): boolean {
  const lives = <T extends KubeObject>(resource: Resource<T>, identity: Identity | undefined) => {
    if (identity === undefined) return true;
    const found = live.of(resource).get(`${claims.namespace}/${identity.name}`);
    return found?.object.metadata.uid === identity.uid;
  };
  return (
    lives(serviceAccounts, claims.serviceAccount) &&
    lives(pods, claims.pod) &&
    lives(secrets, claims.secret)
  );
}

function fromPassword(credential: string, users: readonly StaticUser[]): User | undefined {
  const [name, ...rest] = Buffer.from(credential, "base64").toString().split(":");
  const found = users.find((user) => user.name === name && user.password === rest.join(":"));
  if (found === undefined) return undefined;
  return {
    name: found.name,
    uid: "",
    groups: [...found.groups, "system:authenticated"],
    extra: {},
  };
}
