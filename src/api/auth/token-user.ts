/** Bearer tokens become users: those of service accounts, and bootstrap tokens. */
import type { Resource } from "../../client/client.ts";
import { nodes, pods, secrets, serviceAccounts } from "../../client/resources.ts";
import { sameSecret } from "../../lib/same-secret.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { KubeObject } from "../../schema/object.ts";
import type { User } from "../request.ts";
import { bootstrapUser } from "./bootstrap-token.ts";

export interface Identity {
  readonly name: string;
  readonly uid: string;
}

/** What a verified service account token says; the signer and verifier live in `pki`. */
export interface TokenClaims {
  readonly id: string;
  readonly namespace: string;
  readonly serviceAccount: Identity;
  readonly audiences: readonly string[];
  readonly pod?: Identity;
  readonly node?: Identity;
  readonly secret?: Identity;
  /** The secret that must hold the very token, for tokens of the old kind. */
  readonly legacySecret?: string;
}

/** Checks signature, time and audiences; without audiences, those of the API server. */
export type VerifyToken = (
  token: string,
  audiences?: readonly string[],
) => Promise<TokenClaims | undefined>;

/**
 * Tokens that are not the server's own: of issuers, of a webhook. Throws Error for one that is
 * known and wrong; without `audiences` those of the API server are wanted.
 */
export type OtherTokens = (
  token: string,
  audiences?: readonly string[],
) => Promise<TokenUser | undefined>;

export interface TokenContext {
  readonly verifyToken: VerifyToken;
  readonly otherTokens?: OtherTokens | undefined;
  readonly live: LiveSets;
  readonly now: Date;
}

export interface TokenUser {
  readonly user: User;
  readonly audiences: readonly string[];
}

const never = new AbortController().signal;
/** What is being deleted is believed for a minute more, as clocks differ. */
const deletedLeewayMs = 60_000;

/** Undefined when the token is nobody's, or what it is bound to is gone. */
export async function userOfToken(
  token: string,
  context: TokenContext,
  audiences?: readonly string[],
): Promise<TokenUser | undefined> {
  const bootstrap = await bootstrapUser(token, context);
  if (bootstrap !== undefined) return { user: bootstrap, audiences: [] };
  const claims = await context.verifyToken(token, audiences);
  if (claims === undefined) return context.otherTokens?.(token, audiences);
  if (!(await isBoundToLiving(claims, token, context))) return undefined;
  return { user: serviceAccountUser(claims), audiences: claims.audiences };
}

/** The user that a service account token stands for (KEP-1205 names the extra keys). */
export function serviceAccountUser(claims: TokenClaims): User {
  const { namespace, serviceAccount, pod, node } = claims;
  const prefix = "authentication.kubernetes.io/";
  return {
    name: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
    uid: serviceAccount.uid,
    groups: [
      "system:serviceaccounts",
      `system:serviceaccounts:${namespace}`,
      "system:authenticated",
    ],
    extra: {
      ...(claims.id === "" ? {} : { [`${prefix}credential-id`]: [`JTI=${claims.id}`] }),
      ...(pod && { [`${prefix}pod-name`]: [pod.name], [`${prefix}pod-uid`]: [pod.uid] }),
      ...(node && { [`${prefix}node-name`]: [node.name], [`${prefix}node-uid`]: [node.uid] }),
    },
  };
}

/** A token dies with the account, pod, node or secret it is bound to. */
async function isBoundToLiving(
  claims: TokenClaims,
  token: string,
  context: TokenContext,
): Promise<boolean> {
  const { namespace, serviceAccount, pod, secret, legacySecret } = claims;
  // The node beside a pod says where that runs; it may go before the pod does.
  const node = pod === undefined ? claims.node : undefined;
  return (
    (await lives(serviceAccounts, namespace, serviceAccount, context)) &&
    (await lives(pods, namespace, pod, context)) &&
    (await lives(nodes, "", node, context)) &&
    (await lives(secrets, namespace, secret, context)) &&
    (legacySecret === undefined || (await isHeld(token, namespace, legacySecret, context)))
  );
}

async function lives<T extends KubeObject>(
  resource: Resource<T>,
  namespace: string,
  identity: Identity | undefined,
  { live, now }: TokenContext,
): Promise<boolean> {
  if (identity === undefined) return true;
  const set = live.of(resource);
  await set.ready(never);
  const key = namespace === "" ? identity.name : `${namespace}/${identity.name}`;
  const metadata = set.get(key)?.object.metadata;
  if (metadata === undefined || metadata.uid !== identity.uid) return false;
  if (metadata.deletionTimestamp === undefined) return true;
  return Date.parse(metadata.deletionTimestamp) + deletedLeewayMs > now.getTime();
}

async function isHeld(
  token: string,
  namespace: string,
  name: string,
  { live }: TokenContext,
): Promise<boolean> {
  const set = live.of(secrets);
  await set.ready(never);
  const secret = set.get(`${namespace}/${name}`)?.object;
  if (secret === undefined || secret.metadata.deletionTimestamp !== undefined) return false;
  const held = Buffer.from(secret.data?.token ?? "", "base64").toString();
  return sameSecret(held, token);
}
