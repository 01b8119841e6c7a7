/**
 * Issues X.509 certificates. Written on our own DER forms: a library for it costs a third of a
 * second at first start (import and WebCrypto round trips) where this takes ten milliseconds.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from "node:crypto";
import ipaddr from "ipaddr.js";
import { assert } from "../lib/assert.ts";
import {
  bitString,
  type Der,
  type DerNode,
  explicit,
  implicit,
  integer,
  nullValue,
  octetString,
  oid,
  readDer,
  sequence,
  setOf,
  time,
  trueValue,
  utf8String,
} from "./der.ts";

export interface Subject {
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** Kubernetes' own attribute: the uid of a user (KEP-4959). */
  readonly uids?: readonly string[];
}
export interface SubjectAltNames {
  readonly dnsNames: readonly string[];
  readonly ips: readonly string[];
  readonly emails?: readonly string[];
  readonly uris?: readonly string[];
}
/** What a certificate may be used for: one of the usual sets, or usages by their own names. */
export type CertificateUsage =
  | "authority"
  | "client"
  | "server"
  | "server and client"
  | {
      readonly keyUsages: readonly (keyof typeof keyUsageNumbers)[];
      readonly extended: readonly (keyof typeof extendedUsageOids)[];
    };

export interface IssueOptions {
  readonly subject: Subject;
  readonly usage: CertificateUsage;
  readonly sans: SubjectAltNames;
  readonly publicKey: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Who signs: a key, and what its certificate says about it. */
export interface Issuer {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
  /** The subject as it stands in the certificate, byte for byte. */
  readonly name: Der;
  readonly keyId: Der;
}

const oids = {
  commonName: oid("2.5.4.3"),
  organization: oid("2.5.4.10"),
  userId: oid("1.3.6.1.4.1.57683.2"),
  ecdsaWithSha256: oid("1.2.840.10045.4.3.2"),
  rsaWithSha256: oid("1.2.840.113549.1.1.11"),
  subjectKeyId: oid("2.5.29.14"),
  keyUsage: oid("2.5.29.15"),
  subjectAltName: oid("2.5.29.17"),
  basicConstraints: oid("2.5.29.19"),
  authorityKeyId: oid("2.5.29.35"),
  extendedKeyUsage: oid("2.5.29.37"),
  serverAuth: oid("1.3.6.1.5.5.7.3.1"),
  clientAuth: oid("1.3.6.1.5.5.7.3.2"),
} as const;

export function generateEcKey(): Promise<KeyObject> {
  return new Promise((resolve, reject) => {
    generateKeyPair("ec", { namedCurve: "P-256" }, (error, _publicKey, privateKey) =>
      error === null ? resolve(privateKey) : reject(error),
    );
  });
}

/** The key that signs service account tokens; slow, so it runs in the thread pool. */
export function generateRsaKey(): Promise<KeyObject> {
  return new Promise((resolve, reject) => {
    generateKeyPair("rsa", { modulusLength: 2048 }, (error, _publicKey, privateKey) =>
      error === null ? resolve(privateKey) : reject(error),
    );
  });
}

/** The PEM form that Go's tools write: SEC 1 for elliptic curves, PKCS 1 for RSA. */
export function keyToPem(key: KeyObject): string {
  const type = key.asymmetricKeyType === "rsa" ? "pkcs1" : "sec1";
  return key.export({ type, format: "pem" }).toString();
}

export function toPem(certificate: Der): string {
  const lines =
    Buffer.from(certificate)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** The certificates of a PEM file, in order. */
export function certificatesOf(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** Who signs with the first certificate of `certPem`. */
export function issuerOf(certPem: string, keyPem: string): Issuer {
  const certificate = certificatesOf(certPem)[0];
  if (certificate === undefined) throw new RangeError("Cannot find a certificate in the PEM text");
  const key = createPrivateKey(keyPem);
  if (!certificate.checkPrivateKey(key))
    throw new RangeError("Cannot use the private key: it belongs to another certificate");
  const { name, keyId } = partsOf(certificate.raw);
  return {
    certificate,
    key,
    name,
    keyId:
      keyId ??
      keyIdOf(createPublicKey(certificate.publicKey.export({ type: "spki", format: "pem" }))),
  };
}

function child(node: DerNode | undefined, index: number): DerNode {
  const found = node === undefined ? undefined : readDer(node.content)[index];
  if (found === undefined) throw new RangeError("Cannot read the certificate: a part is missing");
  return found;
}

/** Subject and subject key id, as they stand in the certificate. */
function partsOf(raw: Der): { readonly name: Der; readonly keyId: Der | undefined } {
  const body = readDer(child(readDer(raw)[0], 0).content);
  // version [0], serial, algorithm, issuer, validity, subject, key, ..., extensions [3]; version 1
  // is told by its absence.
  const name = body[body[0]?.tag === 0xa0 ? 5 : 4];
  if (name === undefined) throw new RangeError("Cannot read the certificate: it has no subject");
  const extensions = body.find((node) => node.tag === 0xa3);
  const list = extensions === undefined ? [] : readDer(child(extensions, 0).content);
  for (const extension of list) {
    const [id, ...rest] = readDer(extension.content);
    if (id === undefined || Buffer.compare(id.whole, oids.subjectKeyId) !== 0) continue;
    const value = rest.at(-1);
    return { name: name.whole, keyId: child(value, 0).content };
  }
  return { name: name.whole, keyId: undefined };
}

/** RFC 5280's first method: SHA-1 of the key's bits. */
function keyIdOf(publicKey: KeyObject): Der {
  const spki = readDer(publicKey.export({ type: "spki", format: "der" }))[0];
  return createHash("sha1").update(child(spki, 1).content.subarray(1)).digest();
}

/**
 * Common name and organizations of a certificate, from its bytes: the text forms of names leave
 * room for a value that looks like another attribute.
 */
export function subjectOf(raw: Der): Subject {
  return subjectOfName(partsOf(raw).name);
}

/** As `subjectOf`, from the bytes of a distinguished name. */
export function subjectOfName(name: Der): Subject {
  const values = (type: Der): string[] =>
    readDer(readDer(name)[0]?.content ?? new Uint8Array())
      .flatMap((set) => readDer(set.content))
      .filter((attribute) => Buffer.compare(child(attribute, 0).whole, type) === 0)
      .map((attribute) => new TextDecoder().decode(child(attribute, 1).content));
  const uids = values(oids.userId);
  return {
    commonName: values(oids.commonName).at(-1) ?? "",
    organizations: values(oids.organization),
    ...(uids.length > 0 && { uids }),
  };
}

function nameOf({ commonName, organizations, uids = [] }: Subject): Der {
  const attribute = (type: Der, value: string): Der => sequence(type, utf8String(value));
  const sets: Der[] = [];
  if (organizations.length > 0)
    sets.push(setOf(...organizations.map((name) => attribute(oids.organization, name))));
  sets.push(setOf(attribute(oids.commonName, commonName)));
  for (const uid of uids) sets.push(setOf(attribute(oids.userId, uid)));
  return sequence(...sets);
}

function extension(id: Der, value: Der, critical = false): Der {
  return critical ? sequence(id, trueValue, octetString(value)) : sequence(id, octetString(value));
}

/** The usages of CertificateSigningRequests, by the number of their bit from the left. */
export const keyUsageNumbers = {
  "digital signature": 0,
  signing: 0,
  "content commitment": 1,
  "key encipherment": 2,
  "data encipherment": 3,
  "key agreement": 4,
  "cert sign": 5,
  "crl sign": 6,
  "encipher only": 7,
  "decipher only": 8,
} as const;

export const extendedUsageOids = {
  any: oid("2.5.29.37.0"),
  "server auth": oids.serverAuth,
  "client auth": oids.clientAuth,
  "code signing": oid("1.3.6.1.5.5.7.3.3"),
  "email protection": oid("1.3.6.1.5.5.7.3.4"),
  "s/mime": oid("1.3.6.1.5.5.7.3.4"),
  "ipsec end system": oid("1.3.6.1.5.5.7.3.5"),
  "ipsec tunnel": oid("1.3.6.1.5.5.7.3.6"),
  "ipsec user": oid("1.3.6.1.5.5.7.3.7"),
  timestamping: oid("1.3.6.1.5.5.7.3.8"),
  "ocsp signing": oid("1.3.6.1.5.5.7.3.9"),
  "microsoft sgc": oid("1.3.6.1.4.1.311.10.3.3"),
  "netscape sgc": oid("2.16.840.1.113730.4.1"),
} as const;

/** Bits from the left: digitalSignature 0, keyEncipherment 2, keyCertSign 5, cRLSign 6. */
const keyUsageBits = {
  authority: bitString(Uint8Array.of(0b1010_0110), 1),
  leaf: bitString(Uint8Array.of(0b1010_0000), 5),
} as const;

function keyUsageOf(usage: CertificateUsage): Der {
  if (usage === "authority") return keyUsageBits.authority;
  if (typeof usage === "string") return keyUsageBits.leaf;
  const bits = new Uint8Array(2);
  let last = 0;
  for (const name of usage.keyUsages) {
    const number = keyUsageNumbers[name];
    const at = number >> 3;
    bits[at] = (bits[at] ?? 0) | (0x80 >> (number & 7));
    last = Math.max(last, number);
  }
  return bitString(bits.subarray(0, (last >> 3) + 1), 7 - (last & 7));
}

function extendedUsage(usage: CertificateUsage): readonly Der[] {
  if (typeof usage !== "string") return usage.extended.map((name) => extendedUsageOids[name]);
  switch (usage) {
    case "authority":
      return [];
    case "client":
      return [oids.clientAuth];
    case "server":
      return [oids.serverAuth];
    case "server and client":
      return [oids.serverAuth, oids.clientAuth];
  }
}

function altNames({ dnsNames, ips, emails = [], uris = [] }: SubjectAltNames): readonly Der[] {
  const encoder = new TextEncoder();
  return [
    ...emails.map((email) => implicit(1, encoder.encode(email))),
    ...uris.map((uri) => implicit(6, encoder.encode(uri))),
    ...dnsNames.map((name) => implicit(2, encoder.encode(name))),
    ...ips.map((ip) => implicit(7, Uint8Array.from(ipaddr.parse(ip).toByteArray()))),
  ];
}

function extensionsOf(options: IssueOptions, keyId: Der, issuerKeyId: Der): Der {
  const isAuthority = options.usage === "authority";
  const { usage } = options;
  const hasKeyUsage = typeof usage === "string" || usage.keyUsages.length > 0;
  const list = [
    ...(hasKeyUsage ? [extension(oids.keyUsage, keyUsageOf(usage), true)] : []),
    extension(oids.basicConstraints, isAuthority ? sequence(trueValue) : sequence(), true),
    extension(oids.subjectKeyId, octetString(keyId)),
    extension(oids.authorityKeyId, sequence(implicit(0, issuerKeyId))),
  ];
  const usages = extendedUsage(usage);
  if (usages.length > 0) list.push(extension(oids.extendedKeyUsage, sequence(...usages)));
  const names = altNames(options.sans);
  if (names.length > 0) list.push(extension(oids.subjectAltName, sequence(...names)));
  return explicit(3, sequence(...list));
}

/** Signs a certificate; `signer` is an issuer, or the subject's own private key. */
export function issueCertificate(options: IssueOptions, signer: Issuer | KeyObject): string {
  assert(options.notBefore < options.notAfter, "a certificate begins before it ends");
  const subject = nameOf(options.subject);
  const keyId = keyIdOf(options.publicKey);
  const issuer = "certificate" in signer ? signer : { key: signer, name: subject, keyId };
  const isRsa = issuer.key.asymmetricKeyType === "rsa";
  const algorithm = isRsa
    ? sequence(oids.rsaWithSha256, nullValue)
    : sequence(oids.ecdsaWithSha256);
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive and always 16 bytes
  const body = sequence(
    explicit(0, integer(Uint8Array.of(2))),
    integer(serial),
    algorithm,
    issuer.name,
    sequence(time(options.notBefore), time(options.notAfter)),
    subject,
    options.publicKey.export({ type: "spki", format: "der" }),
    extensionsOf(options, keyId, issuer.keyId),
  );
  return toPem(sequence(body, algorithm, bitString(sign("sha256", body, issuer.key))));
}
