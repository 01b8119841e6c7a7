/** Service account tokens: signed JSON Web Tokens, bound to what Kubernetes binds them to. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { errors, exportJWK, type JWK, jwtVerify, SignJWT } from "jose";
import type { Clock, Random } from "../runtime/runtime.ts";

/** Clocks of machines are apart a little: by so much, tokens may be of times past or to come. */
const leewaySeconds = 60;

export interface ObjectIdentity {
  readonly name: string;
  readonly uid: string;
}

/** What a token says of its bearer. */
export interface ServiceAccountClaims {
  readonly namespace: string;
  readonly serviceAccount: ObjectIdentity;
  readonly pod?: ObjectIdentity;
  readonly node?: ObjectIdentity;
  readonly secret?: ObjectIdentity;
}

export interface VerifiedServiceAccountToken extends ServiceAccountClaims {
  /** `jti`, unique per token; empty for old tokens without one. */
  readonly id: string;
  readonly audiences: readonly string[];
  readonly issuedAt: Date;
  readonly expiresAt: Date | undefined;
  readonly warnAfter?: Date;
  /** The secret that holds the token, for those of the old kind: they have no end of their own. */
  readonly legacySecret?: string;
}

/** What a token kept in a Secret says (type kubernetes.io/service-account-token). */
export interface LegacyClaims {
  readonly namespace: string;
  readonly serviceAccount: ObjectIdentity;
  readonly secretName: string;
}

export interface SignOptions {
  readonly claims: ServiceAccountClaims;
  /** Empty means the API server's own. */
  readonly audiences: readonly string[];
  readonly expirationSeconds: number;
  /** When the holder should have taken a new one, though this one is still good. */
  readonly warnAfterSeconds?: number;
}

export interface SignedToken {
  /** `jti`, by which records name it. */
  readonly id: string;
  readonly token: string;
  readonly expiresAt: Date;
}

export interface ServiceAccountTokens {
  readonly issuer: string;
  readonly defaultAudiences: readonly string[];
  sign(options: SignOptions): Promise<SignedToken>;
  signLegacy(claims: LegacyClaims): Promise<string>;
  /** Undefined when `token` is not one of ours: another authenticator may know it. */
  verify(
    token: string,
    audiences?: readonly string[],
  ): Promise<VerifiedServiceAccountToken | undefined>;
  /** The document at `/openid/v1/jwks`. */
  keySet(): Promise<{ readonly keys: readonly JWK[] }>;
  /** The document at `/.well-known/openid-configuration`. */
  discovery(jwksUri: string): Readonly<Record<string, unknown>>;
}

const legacyIssuer = "kubernetes/serviceaccount";
const legacyClaim = (name: string): string => `kubernetes.io/serviceaccount/${name}`;

interface VerificationKey {
  readonly id: string;
  readonly key: KeyObject;
}

function pemBlocks(text: string): readonly string[] {
  return text.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? [];
}

function isPublic(pem: string): boolean {
  return /^-----BEGIN (CERTIFICATE|.*PUBLIC KEY)-----/.test(pem);
}

function verificationKey(pem: string): VerificationKey {
  const form = { type: "pkcs8", format: "pem" } as const;
  const key = createPublicKey(isPublic(pem) ? pem : createPrivateKey(pem).export(form));
  return { id: keyId(key), key };
}

/** Kubernetes' key id: the SHA-256 of the public key, in URL-safe base64. */
function keyId(key: KeyObject): string {
  const spki = key.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("base64url");
}

export interface TokenOptions {
  /** It may hold several keys after a rotation: the first signs, all verify. */
  readonly keyPem: string;
  /** Keys that verify only: private ones, public ones or certificates. */
  readonly verificationPem?: string;
  readonly issuer: string;
  /** Their tokens are believed too: of those before a change of the issuer. */
  readonly otherIssuers?: readonly string[];
  /** The API server's own. */
  readonly audiences: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
}

/** Throws when a PEM text holds no key, or one that cannot be read. */
export function createServiceAccountTokens(options: TokenOptions): ServiceAccountTokens {
  const { issuer, audiences: defaultAudiences, verificationPem = "" } = options;
  const signers = pemBlocks(options.keyPem).filter((pem) => !isPublic(pem));
  const [signer] = signers.map((pem) => createPrivateKey(pem));
  if (signer === undefined) throw new Error("Cannot find a service account key in the PEM text");
  const all = [...signers, ...pemBlocks(verificationPem)].map(verificationKey);
  const keys = [...new Map(all.map((one) => [one.id, one])).values()];
  const algorithm = algorithmOf(signer);
  const issuers = [issuer, ...(options.otherIssuers ?? [])];
  return {
    issuer,
    defaultAudiences,
    sign: async ({ claims, audiences, expirationSeconds, warnAfterSeconds }) => {
      const id = options.random.uuid();
      const issuedAt = Math.floor(options.clock.now().getTime() / 1000);
      const expiresAt = issuedAt + expirationSeconds;
      const { namespace, serviceAccount, ...bound } = claims;
      const body = {
        namespace,
        ...identities(bound),
        serviceaccount: serviceAccount,
        ...(warnAfterSeconds === undefined ? {} : { warnafter: issuedAt + warnAfterSeconds }),
      };
      const token = await new SignJWT({ "kubernetes.io": body })
        .setProtectedHeader({ alg: algorithm, kid: keys[0]?.id ?? "" })
        .setIssuer(issuer)
        .setSubject(`system:serviceaccount:${namespace}:${serviceAccount.name}`)
        .setAudience([...(audiences.length === 0 ? defaultAudiences : audiences)])
        .setIssuedAt(issuedAt)
        .setNotBefore(issuedAt)
        .setExpirationTime(expiresAt)
        .setJti(id)
        .sign(signer);
      return { id, token, expiresAt: new Date(expiresAt * 1000) };
    },
    signLegacy: ({ namespace, serviceAccount, secretName }) =>
      new SignJWT({
        [legacyClaim("namespace")]: namespace,
        [legacyClaim("secret.name")]: secretName,
        [legacyClaim("service-account.name")]: serviceAccount.name,
        [legacyClaim("service-account.uid")]: serviceAccount.uid,
      })
        .setProtectedHeader({ alg: algorithm, kid: keys[0]?.id ?? "" })
        .setIssuer(legacyIssuer)
        .setSubject(`system:serviceaccount:${namespace}:${serviceAccount.name}`)
        .sign(signer),
    verify: (token, audiences = defaultAudiences) =>
      verify(token, { keys, issuers, audiences, defaultAudiences, now: options.clock.now() }),
    keySet: async () => ({
      keys: await Promise.all(
        keys.map(async ({ id, key }) => ({
          ...(await exportJWK(key)),
          use: "sig",
          kid: id,
          alg: algorithmOf(key),
        })),
      ),
    }),
    discovery: (jwksUri) => ({
      issuer,
      jwks_uri: jwksUri,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: [...new Set(keys.map(({ key }) => algorithmOf(key)))],
    }),
  };
}

function algorithmOf(key: KeyObject): string {
  return key.asymmetricKeyType === "rsa" ? "RS256" : "ES256";
}

function identities(bound: Omit<ServiceAccountClaims, "namespace" | "serviceAccount">): object {
  return Object.fromEntries(Object.entries(bound).filter(([, identity]) => identity !== undefined));
}

async function verify(
  token: string,
  by: {
    readonly keys: readonly VerificationKey[];
    readonly issuers: readonly string[];
    readonly audiences: readonly string[];
    readonly defaultAudiences: readonly string[];
    readonly now: Date;
  },
): Promise<VerifiedServiceAccountToken | undefined> {
  const header = headerOf(token);
  const candidates = by.keys.filter(({ id }) => header?.kid === undefined || header.kid === id);
  for (const { key } of candidates) {
    try {
      const { payload } = await jwtVerify(token, key, {
        issuer: [...by.issuers, legacyIssuer],
        currentDate: by.now,
        clockTolerance: leewaySeconds,
        algorithms: [algorithmOf(key)],
      });
      const claims =
        payload.iss === legacyIssuer
          ? decodeLegacy(payload, by.defaultAudiences)
          : decodeClaims(payload);
      return claims?.audiences.some((one) => by.audiences.includes(one)) ? claims : undefined;
    } catch (error) {
      // Not ours, not any more, or not for us: all the same to the caller.
      if (!(error instanceof errors.JOSEError)) throw error;
    }
  }
  return undefined;
}

function headerOf(token: string): { readonly kid?: unknown } | undefined {
  try {
    const text = Buffer.from(token.slice(0, token.indexOf(".")), "base64url").toString();
    const header: unknown = JSON.parse(text);
    return typeof header === "object" && header !== null ? header : undefined;
  } catch {
    return undefined; // not a JSON Web Token at all
  }
}

function decodeClaims(
  payload: Readonly<Record<string, unknown>>,
): VerifiedServiceAccountToken | undefined {
  const body = recordOf(payload["kubernetes.io"]);
  const namespace = body?.namespace;
  const serviceAccount = identityOf(body?.serviceaccount);
  const { aud, iat, exp, jti, sub } = payload;
  if (typeof namespace !== "string" || serviceAccount === undefined) return undefined;
  if (sub !== `system:serviceaccount:${namespace}:${serviceAccount.name}`) return undefined;
  const pod = identityOf(body?.pod);
  const node = identityOf(body?.node);
  const secret = identityOf(body?.secret);
  return {
    namespace,
    serviceAccount,
    ...(pod === undefined ? {} : { pod }),
    ...(node === undefined ? {} : { node }),
    ...(secret === undefined ? {} : { secret }),
    id: typeof jti === "string" ? jti : "",
    audiences: (Array.isArray(aud) ? aud : [aud]).filter((name) => typeof name === "string"),
    issuedAt: new Date((typeof iat === "number" ? iat : 0) * 1000),
    expiresAt: typeof exp === "number" ? new Date(exp * 1000) : undefined,
    ...(typeof body?.warnafter === "number" && { warnAfter: new Date(body.warnafter * 1000) }),
  };
}

/** Tokens of the old kind are for the API server, whatever they say. */
function decodeLegacy(
  payload: Readonly<Record<string, unknown>>,
  audiences: readonly string[],
): VerifiedServiceAccountToken | undefined {
  const [namespace, name, uid, legacySecret] = [
    "namespace",
    "service-account.name",
    "service-account.uid",
    "secret.name",
  ].map((claim) => payload[legacyClaim(claim)]);
  if (typeof namespace !== "string" || typeof legacySecret !== "string") return undefined;
  const serviceAccount = identityOf({ name, uid });
  if (serviceAccount === undefined) return undefined;
  if (payload.sub !== `system:serviceaccount:${namespace}:${serviceAccount.name}`) return undefined;
  const issuedAt = new Date(0);
  return {
    namespace,
    serviceAccount,
    legacySecret,
    id: "",
    audiences,
    issuedAt,
    expiresAt: undefined,
  };
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

function identityOf(value: unknown): ObjectIdentity | undefined {
  const { name, uid } = recordOf(value) ?? {};
  return typeof name === "string" && typeof uid === "string" ? { name, uid } : undefined;
}
