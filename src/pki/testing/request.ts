/** Makes certificate requests, as a kubelet or openssl would. */
import { createPublicKey, type KeyObject, sign } from "node:crypto";
import {
  bitString,
  type Der,
  integer,
  octetString,
  oid,
  sequence,
  setOf,
  tlv,
  utf8String,
} from "../der.ts";
import type { Subject } from "../x509.ts";

export function pemOf(type: string, der: Der): string {
  return `-----BEGIN ${type}-----\n${Buffer.from(der).toString("base64")}\n-----END ${type}-----\n`;
}

/** A PEM request for `subject`, signed by `key`; `names` are DER GeneralNames. */
export function makeCertificateRequest(
  subject: Subject,
  key: KeyObject,
  names: readonly Der[] = [],
): string {
  const part = (id: string, value: string): Der => setOf(sequence(oid(id), utf8String(value)));
  const sans = sequence(oid("2.5.29.17"), octetString(sequence(...names)));
  const attribute = sequence(oid("1.2.840.113549.1.9.14"), setOf(sequence(sans)));
  const info = sequence(
    integer(Uint8Array.of(0)),
    sequence(
      ...subject.organizations.map((name) => part("2.5.4.10", name)),
      part("2.5.4.3", subject.commonName),
    ),
    createPublicKey(key).export({ type: "spki", format: "der" }),
    tlv(0xa0, ...(names.length === 0 ? [] : [attribute])),
  );
  const algorithm = sequence(oid("1.2.840.10045.4.3.2"));
  const signature = bitString(sign("sha256", info, key));
  return pemOf("CERTIFICATE REQUEST", sequence(info, algorithm, signature));
}
