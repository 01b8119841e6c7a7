/** Brings the certificates on disk to what the table says: makes the missing, renews the old. */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import ipaddr from "ipaddr.js";
import type { Runtime } from "../runtime/runtime.ts";
import {
  type AuthorityName,
  authorityCommonName,
  authorityNames,
  type CertificateContext,
  type Leaf,
  type LeafName,
  leafNames,
  leafOf,
} from "./certificates.ts";
import {
  certificatesOf,
  generateEcKey,
  generateRsaKey,
  type Issuer,
  issueCertificate,
  issuerOf,
  keyToPem,
  type SubjectAltNames,
} from "./x509.ts";

const dayMs = 24 * 60 * 60 * 1000;
/** K3s renews at start what has this or less to live. */
const renewBeforeMs = 120 * dayMs;
export const leafDaysDefault = 365;
const authorityDays = 3650;
/** Clocks of small boards differ: certificates are valid from an hour ago. */
const backdateMs = 60 * 60 * 1000;

export interface KeyPair {
  readonly certFile: string;
  readonly keyFile: string;
  /** The certificate, followed by its authority's. */
  readonly certPem: string;
  readonly keyPem: string;
}

export interface Pki {
  /** `<data-dir>/server/tls`. */
  readonly tlsDir: string;
  /** `<data-dir>/agent`. */
  readonly agentDir: string;
  readonly authorities: Readonly<Record<AuthorityName, KeyPair>>;
  readonly leaves: Readonly<Record<LeafName, KeyPair>>;
  readonly serviceKeyFile: string;
  /** PEM of the key(s) for service account tokens; made in the background at first start. */
  readonly serviceKeyPem: Promise<string>;
  /** Names of what was made or renewed just now. */
  readonly issued: readonly string[];
}

export interface EnsurePkiOptions extends CertificateContext {
  readonly dataDir: string;
  readonly runtime: Runtime;
  /** Lifetime of leaf certificates (K3s: CATTLE_NEW_SIGNED_CERT_EXPIRATION_DAYS). */
  readonly leafDays?: number;
}

export async function ensurePki(options: EnsurePkiOptions): Promise<Pki> {
  const { runtime, dataDir } = options;
  const tlsDir = `${dataDir}/server/tls`;
  const agentDir = `${dataDir}/agent`;
  await Promise.all([
    runtime.files
      .mkdir(tlsDir, 0o700)
      .then(() =>
        Promise.all(
          ["etcd", "kube-scheduler", "kube-controller-manager"].map((name) =>
            runtime.files.mkdir(`${tlsDir}/${name}`, 0o700),
          ),
        ),
      ),
    runtime.files.mkdir(agentDir, 0o755),
  ]);
  const issued: string[] = [];
  const serviceKeyFile = `${tlsDir}/service.key`;
  const serviceKeyPem = ensureServiceKey(runtime, serviceKeyFile);
  // The one who needs it awaits it; until then a failure has no other reader.
  serviceKeyPem.catch(() => {});
  const authorities = new Map(
    await Promise.all(
      authorityNames.map(async (name) => {
        const pair = await ensureAuthority(runtime, tlsDir, name, issued);
        return [name, pair] as const;
      }),
    ),
  );
  const issuers = new Map<AuthorityName, Issuer>();
  const issuerFor = (name: AuthorityName): Issuer => {
    const pair = authorities.get(name);
    const issuer = issuers.get(name) ?? issuerOf(pair?.certPem ?? "", pair?.keyPem ?? "");
    issuers.set(name, issuer);
    return issuer;
  };
  const leaves = await Promise.all(
    leafNames.map(async (name) => {
      const leaf = leafOf(name, options);
      const base = `${leaf.folder === "server" ? tlsDir : agentDir}/${leaf.file}`;
      const authorityPem = authorities.get(leaf.signer)?.certPem ?? "";
      const place = { base, authorityPem, issuer: () => issuerFor(leaf.signer) };
      return [name, await ensureLeaf(options, leaf, place, issued)] as const;
    }),
  );
  await copyAuthorities(runtime, tlsDir, agentDir, authorities);
  return {
    tlsDir,
    agentDir,
    authorities: Object.fromEntries(authorities) as Record<AuthorityName, KeyPair>,
    leaves: Object.fromEntries(leaves) as Record<LeafName, KeyPair>,
    serviceKeyFile,
    serviceKeyPem,
    issued,
  };
}

async function readPair(
  runtime: Runtime,
  base: string,
): Promise<{ readonly cert: string | undefined; readonly key: string | undefined }> {
  const [cert, key] = await Promise.all([
    runtime.files.readText(`${base}.crt`),
    runtime.files.readText(`${base}.key`),
  ]);
  return { cert, key };
}

async function writePair(
  runtime: Runtime,
  base: string,
  pair: { readonly certPem: string; readonly keyPem: string; readonly keyIsNew: boolean },
): Promise<KeyPair> {
  const { certPem, keyPem } = pair;
  await Promise.all([
    pair.keyIsNew ? runtime.files.writeAtomic(`${base}.key`, keyPem, 0o600) : undefined,
    runtime.files.writeAtomic(`${base}.crt`, certPem, 0o644),
  ]);
  return { certFile: `${base}.crt`, keyFile: `${base}.key`, certPem, keyPem };
}

/** An authority on disk is the administrator's: it is never replaced, only made when missing. */
async function ensureAuthority(
  runtime: Runtime,
  tlsDir: string,
  name: AuthorityName,
  issued: string[],
): Promise<KeyPair> {
  const base = `${tlsDir}/${name}`;
  const { cert, key } = await readPair(runtime, base);
  if (cert !== undefined && key !== undefined) {
    return { certFile: `${base}.crt`, keyFile: `${base}.key`, certPem: cert, keyPem: key };
  }
  if (cert !== undefined)
    throw new Error(`Cannot use ${base}.crt as a certificate authority: ${base}.key is missing`);
  const privateKey = key === undefined ? await generateEcKey() : createPrivateKey(key);
  const now = runtime.clock.now();
  const certPem = issueCertificate(
    {
      subject: { commonName: authorityCommonName(name, now), organizations: [] },
      usage: "authority",
      sans: { dnsNames: [], ips: [] },
      publicKey: createPublicKey(privateKey),
      notBefore: new Date(now.getTime() - backdateMs),
      notAfter: new Date(now.getTime() + authorityDays * dayMs),
    },
    privateKey,
  );
  issued.push(name);
  const keyPem = key ?? keyToPem(privateKey);
  return writePair(runtime, base, { certPem, keyPem, keyIsNew: key === undefined });
}

interface LeafPlace {
  readonly base: string;
  readonly authorityPem: string;
  readonly issuer: () => Issuer;
}

async function ensureLeaf(
  options: EnsurePkiOptions,
  leaf: Leaf,
  place: LeafPlace,
  issued: string[],
): Promise<KeyPair> {
  const { runtime } = options;
  const { base, authorityPem, issuer } = place;
  const { cert, key } = await readPair(runtime, base);
  const now = runtime.clock.now();
  if (cert !== undefined && key !== undefined) {
    const reason = renewalReason(cert, leaf, { authorityPem, now });
    if (reason === undefined)
      return { certFile: `${base}.crt`, keyFile: `${base}.key`, certPem: cert, keyPem: key };
    runtime.log.info("renewing certificate", { certificate: leaf.name, reason });
  }
  const privateKey = key === undefined ? await generateEcKey() : createPrivateKey(key);
  const days = options.leafDays ?? leafDaysDefault;
  const publicKey = createPublicKey(privateKey);
  const certPem = issueLeaf(leaf, { issuer: issuer(), publicKey, now, days }) + authorityPem;
  issued.push(leaf.name);
  const keyPem = key ?? keyToPem(privateKey);
  return writePair(runtime, base, { certPem, keyPem, keyIsNew: key === undefined });
}

/** One certificate of the table, without its authority's. */
export function issueLeaf(
  leaf: Pick<Leaf, "subject" | "usage" | "sans">,
  by: {
    readonly issuer: Issuer;
    readonly publicKey: KeyObject;
    readonly now: Date;
    readonly days: number;
  },
): string {
  const lasts = new Date(by.issuer.certificate.validTo).getTime();
  return issueCertificate(
    {
      subject: leaf.subject,
      usage: leaf.usage,
      sans: leaf.sans,
      publicKey: by.publicKey,
      notBefore: new Date(by.now.getTime() - backdateMs),
      // Never beyond the authority: verifiers would refuse the tail anyway.
      notAfter: new Date(Math.min(by.now.getTime() + by.days * dayMs, lasts)),
    },
    by.issuer,
  );
}

/** Why the certificate must be issued anew, or undefined when it is as the table says. */
export function renewalReason(
  certPem: string,
  leaf: Pick<Leaf, "subject" | "sans">,
  context: { readonly authorityPem: string; readonly now: Date },
): string | undefined {
  const certificate = certificatesOf(certPem)[0];
  if (certificate === undefined) return "the file holds no certificate";
  const authority = new X509Certificate(context.authorityPem);
  const ends = new Date(certificate.validTo).getTime();
  const authorityEnds = new Date(authority.validTo).getTime();
  // With an authority near its end a renewal would gain nothing, start after start.
  if (ends - context.now.getTime() <= renewBeforeMs && ends < authorityEnds)
    return `it ends ${certificate.validTo}`;
  const { commonName, organizations } = leaf.subject;
  const subject = [...organizations.map((name) => `O=${name}`), `CN=${commonName}`];
  if (certificate.subject !== subject.join("\n")) return "its subject changed";
  if (!sameSans(certificate.subjectAltName ?? "", leaf.sans)) return "its names changed";
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey))
    return "its authority changed";
  return undefined;
}

function sameSans(text: string, wanted: SubjectAltNames): boolean {
  const ip = (address: string): string => ipaddr.parse(address).toNormalizedString();
  const actual =
    text === ""
      ? []
      : text.split(", ").map((entry) => {
          const [kind = "", ...rest] = entry.split(":");
          const value = rest.join(":");
          return kind === "IP Address" ? `ip ${ip(value)}` : `dns ${value}`;
        });
  const names = [
    ...wanted.dnsNames.map((name) => `dns ${name}`),
    ...wanted.ips.map((address) => `ip ${ip(address)}`),
  ];
  return new Set(actual).symmetricDifference(new Set(names)).size === 0;
}

async function ensureServiceKey(runtime: Runtime, file: string): Promise<string> {
  const current = await runtime.files.readText(file);
  if (current !== undefined) return current;
  const pem = keyToPem(await generateRsaKey());
  await runtime.files.writeAtomic(file, pem, 0o600);
  await runtime.files.writeAtomic(file.replace(".key", ".current.key"), pem, 0o600);
  return pem;
}

/** Agents read the authorities beside their own certificates; signers want one without a chain. */
async function copyAuthorities(
  runtime: Runtime,
  tlsDir: string,
  agentDir: string,
  authorities: ReadonlyMap<AuthorityName, KeyPair>,
): Promise<void> {
  await Promise.all(
    (["server-ca", "client-ca"] as const).flatMap((name) => {
      const pem = authorities.get(name)?.certPem ?? "";
      const first = certificatesOf(pem)[0]?.toString() ?? pem;
      const copies: readonly (readonly [string, string])[] = [
        [`${agentDir}/${name}.crt`, pem],
        [`${tlsDir}/${name}.nochain.crt`, first.endsWith("\n") ? first : `${first}\n`],
      ];
      return copies.map(async ([file, text]) => {
        if ((await runtime.files.readText(file)) === text) return;
        await runtime.files.writeAtomic(file, text, 0o644);
      });
    }),
  );
}
