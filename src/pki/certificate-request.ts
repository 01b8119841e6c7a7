/** PKCS #10 certificate requests: reads what clients send, writes what a joining node asks with. */
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import {
  bitString,
  type Der,
  type DerNode,
  explicit,
  integer,
  oid,
  readDer,
  sequence,
} from "./der.ts";
import { type Subject, subjectOfName } from "./x509.ts";

export interface CertificateRequest {
  readonly subject: Subject;
  readonly publicKey: KeyObject;
  readonly dnsNames: readonly string[];
  readonly ips: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
  /** Whether the request is signed by the key it is for. */
  readonly isSigned: boolean;
}

const ecdsaWithSha256 = oid("1.2.840.10045.4.3.2");
const hashes: readonly (readonly [algorithm: Der, hash: string | null])[] = [
  [ecdsaWithSha256, "sha256"],
  [oid("1.2.840.10045.4.3.3"), "sha384"],
  [oid("1.2.840.10045.4.3.4"), "sha512"],
  [oid("1.2.840.113549.1.1.11"), "sha256"],
  [oid("1.2.840.113549.1.1.12"), "sha384"],
  [oid("1.2.840.113549.1.1.13"), "sha512"],
  [oid("1.3.101.112"), null],
];
const extensionRequest = oid("1.2.840.113549.1.9.14");
const subjectAltName = oid("2.5.29.17");

/** Throws RangeError that says what is wrong with the text. */
export function readCertificateRequest(pem: string): CertificateRequest {
  const type = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(pem)?.[1];
  if (type !== "CERTIFICATE REQUEST")
    throw new RangeError("PEM block type must be CERTIFICATE REQUEST");
  const [, body = ""] = /-----BEGIN CERTIFICATE REQUEST-----([^-]*)-----END/.exec(pem) ?? [];
  return decodeCertificateRequest(Buffer.from(body.replace(/\s/g, ""), "base64"));
}

/** The same from the bare bytes, as agents send them. */
export function decodeCertificateRequest(bytes: Der): CertificateRequest {
  try {
    return decode(bytes);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new RangeError(`cannot read the certificate request: ${error.message}`);
  }
}

/** Asks for a certificate of this key; who it is for is the signer's to say. */
export function writeCertificateRequest(key: KeyObject): Der {
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  const info = sequence(integer(Uint8Array.of(0)), sequence(), publicKey, explicit(0));
  const signature = sign("sha256", info, key);
  return sequence(info, sequence(ecdsaWithSha256), bitString(signature));
}

function part(nodes: readonly DerNode[], index: number): DerNode {
  const found = nodes[index];
  if (found === undefined) throw new RangeError("a part is missing");
  return found;
}

function decode(bytes: Der): CertificateRequest {
  const outer = readDer(part(readDer(bytes), 0).content);
  const info = part(outer, 0);
  // version, subject, subjectPKInfo, attributes [0]
  const fields = readDer(info.content);
  const publicKey = createPublicKey({
    key: Buffer.from(part(fields, 2).whole),
    format: "der",
    type: "spki",
  });
  return {
    subject: subjectOfName(part(fields, 1).whole),
    publicKey,
    ...altNames(fields[3]),
    isSigned: isSigned(info, outer, publicKey),
  };
}

function isSigned(info: DerNode, outer: readonly DerNode[], publicKey: KeyObject): boolean {
  const algorithm = part(readDer(part(outer, 1).content), 0).whole;
  const row = hashes.find(([known]) => Buffer.compare(known, algorithm) === 0);
  if (row === undefined) throw new RangeError("the signature's algorithm is not supported");
  // The first byte of a bit string counts its unused bits.
  return verify(row[1], info.whole, publicKey, part(outer, 2).content.subarray(1));
}

type AltNames = Pick<CertificateRequest, "dnsNames" | "ips" | "emails" | "uris">;

function altNames(attributes: DerNode | undefined): AltNames {
  const names = attributes === undefined ? [] : generalNames(attributes);
  const texts = (tag: number): string[] =>
    names.filter((name) => name.tag === tag).map((name) => new TextDecoder().decode(name.content));
  return {
    emails: texts(0x81),
    dnsNames: texts(0x82),
    uris: texts(0x86),
    ips: names.filter((name) => name.tag === 0x87).map((name) => addressText(name.content)),
  };
}

function generalNames(attributes: DerNode): readonly DerNode[] {
  for (const attribute of readDer(attributes.content)) {
    const [id, values] = readDer(attribute.content);
    if (id === undefined || Buffer.compare(id.whole, extensionRequest) !== 0) continue;
    for (const extension of readDer(
      part(readDer(values?.content ?? new Uint8Array()), 0).content,
    )) {
      const parts = readDer(extension.content);
      if (Buffer.compare(part(parts, 0).whole, subjectAltName) !== 0) continue;
      const value = parts.at(-1)?.content ?? new Uint8Array();
      return readDer(part(readDer(value), 0).content);
    }
  }
  return [];
}

function addressText(bytes: Der): string {
  if (bytes.length === 4) return [...bytes].join(".");
  const groups: string[] = [];
  for (let at = 0; at + 1 < bytes.length; at += 2) {
    groups.push((((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16));
  }
  return groups.join(":");
}
