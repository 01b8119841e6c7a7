/** Bearer tokens become users: those of service accounts, and bootstrap tokens. */
import type { Client, Resource } from "../../client/client.ts";
import { nodes, pods, secrets, serviceAccounts } from "../../client/resources.ts";
import type { Secret } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
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
  /** When its holder should have taken a new one. */
  readonly warnAfter?: Date | undefined;
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

/** Notes something of a credential in the record of the request. */
export type NoteCredential = (key: string, value: string) => void;

export interface TokenContext {
  /** By whom the use of a token in a Secret is noted there; absent: nobody. */
  readonly client?: Client | undefined;
  readonly note?: NoteCredential | undefined;
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
  noteStale(claims, context);
  return { user: serviceAccountUser(claims), audiences: claims.audiences };
}

function noteStale(claims: TokenClaims, { note, now }: TokenContext): void {
  const { warnAfter, namespace, serviceAccount } = claims;
  if (warnAfter === undefined || now <= warnAfter) return;
  const seconds = Math.floor((now.getTime() - warnAfter.getTime()) / 1000);
  const subject = `system:serviceaccount:${namespace}:${serviceAccount.name}`;
  const text = `subject: ${subject}, seconds after warning threshold: ${seconds}`;
  note?.("authentication.k8s.io/stale-token", text);
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
    (legacySecret === undefined || (await isHeld(token, claims, context)))
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

/** A token of the old kind is as good as the Secret that holds it, and its use is noted there. */
async function isHeld(
  token: string,
  { namespace, legacySecret = "", serviceAccount }: TokenClaims,
  context: TokenContext,
): Promise<boolean> {
  const { live, note } = context;
  const set = live.of(secrets);
  await set.ready(never);
  const secret = set.get(`${namespace}/${legacySecret}`)?.object;
  if (secret === undefined || secret.metadata.deletionTimestamp !== undefined) return false;
  const held = Buffer.from(secret.data?.token ?? "", "base64").toString();
  if (!sameSecret(held, token)) return false;
  await noteUse(secret, context);
  if (secret.metadata.labels?.[invalidSinceLabel]) {
    note?.("authentication.k8s.io/legacy-token-invalidated", `${legacySecret}/${namespace}`);
    return false;
  }
  const account = live.of(serviceAccounts).get(`${namespace}/${serviceAccount.name}`)?.object;
  const names = (account?.secrets ?? []).map(({ name }) => name);
  const isAuto = names.includes(legacySecret);
  const kind = isAuto ? "autogenerated" : "manual";
  note?.(`authentication.k8s.io/legacy-token-${kind}-secret`, legacySecret);
  return true;
}

const lastUsedLabel = "kubernetes.io/legacy-token-last-used";
/** Set by the controller that cleans up: nobody is let in by such a token. */
const invalidSinceLabel = "kubernetes.io/legacy-token-invalid-since";
const dayMs = 24 * 60 * 60 * 1000;

/** Once a day; clocks of several servers may differ around midnight. */
async function noteUse(secret: DeepReadonly<Secret>, { client, now }: TokenContext): Promise<void> {
  const { namespace = "", name = "", uid, labels } = secret.metadata;
  const dateOf = (time: number): string => new Date(time).toISOString().slice(0, 10);
  const today = dateOf(now.getTime());
  const noted = labels?.[lastUsedLabel];
  if (noted === today || noted === dateOf(now.getTime() + dayMs)) return;
  const body = { metadata: { uid, labels: { [lastUsedLabel]: today } } };
  // The token is as good when its use cannot be noted; the next use tries again.
  await client?.patch(secrets, namespace, name, "merge", body).catch(() => undefined);
}
