import { expect, test } from "bun:test";
import { createPublicKey, sign, X509Certificate } from "node:crypto";
import { readCertificateRequest } from "./certificate-request.ts";
import { createRequestSigner } from "./certificate-signers.ts";
import {
  bitString,
  type Der,
  implicit,
  integer,
  octetString,
  oid,
  sequence,
  setOf,
  utf8String,
} from "./der.ts";
import { generateEcKey, issueCertificate, keyToPem } from "./x509.ts";

const text = new TextEncoder();

function pem(type: string, der: Der): string {
  return `-----BEGIN ${type}-----\n${Buffer.from(der).toString("base64")}\n-----END ${type}-----\n`;
}

async function makeRequest(names: readonly Der[]): Promise<string> {
  const key = await generateEcKey();
  const part = (id: string, value: string): Der => setOf(sequence(oid(id), utf8String(value)));
  const sans = sequence(oid("2.5.29.17"), octetString(sequence(...names)));
  const attribute = sequence(oid("1.2.840.113549.1.9.14"), setOf(sequence(sans)));
  const info = sequence(
    integer(Uint8Array.of(0)),
    sequence(part("2.5.4.10", "system:nodes"), part("2.5.4.3", "system:node:n1")),
    createPublicKey(key).export({ type: "spki", format: "der" }),
    // [0] of constructed values
    Uint8Array.of(0xa0, attribute.length, ...attribute),
  );
  const algorithm = sequence(oid("1.2.840.10045.4.3.2"));
  const signature = bitString(sign("sha256", info, key));
  return pem("CERTIFICATE REQUEST", sequence(info, algorithm, signature));
}

test("readCertificateRequest() reads subject, names and signature", async () => {
  const request = readCertificateRequest(
    await makeRequest([
      implicit(2, text.encode("n1.example")),
      implicit(7, Uint8Array.of(10, 0, 0, 7)),
      implicit(1, text.encode("a@b.example")),
      implicit(6, text.encode("spiffe://x/y")),
    ]),
  );
  expect(request).toMatchObject({
    subject: { commonName: "system:node:n1", organizations: ["system:nodes"] },
    dnsNames: ["n1.example"],
    ips: ["10.0.0.7"],
    emails: ["a@b.example"],
    uris: ["spiffe://x/y"],
    isSigned: true,
  });
});

test("readCertificateRequest() says what is wrong", () => {
  const wrong = "PEM block type must be CERTIFICATE REQUEST";
  expect(() => readCertificateRequest("nonsense")).toThrow(wrong);
  expect(() => readCertificateRequest(pem("CERTIFICATE", text.encode("x")))).toThrow(wrong);
  expect(() => readCertificateRequest(pem("CERTIFICATE REQUEST", text.encode("x")))).toThrow(
    "cannot read the certificate request",
  );
});

test("createRequestSigner() signs with the usages, names and lifetime of the request", async () => {
  const now = new Date("2026-01-01T00:00:00Z");
  const key = await generateEcKey();
  const certPem = issueCertificate(
    {
      subject: { commonName: "ca", organizations: [] },
      usage: "authority",
      sans: { dnsNames: [], ips: [] },
      publicKey: createPublicKey(key),
      notBefore: new Date("2025-01-01T00:00:00Z"),
      notAfter: new Date("2035-01-01T00:00:00Z"),
    },
    key,
  );
  const clock = { now: () => now } as Parameters<typeof createRequestSigner>[1];
  const signRequest = createRequestSigner({ certPem, keyPem: keyToPem(key) }, clock);
  const request = readCertificateRequest(
    await makeRequest([implicit(2, text.encode("n1")), implicit(7, Uint8Array.of(10, 0, 0, 7))]),
  );
  const usages = ["digital signature", "server auth"];
  const made = new X509Certificate(signRequest({ request, usages, expirationSeconds: 3600 }));
  expect(made.verify(createPublicKey(key))).toBe(true);
  expect(made.subject).toBe("O=system:nodes\nCN=system:node:n1");
  expect(made.subjectAltName).toBe("DNS:n1, IP Address:10.0.0.7");
  expect(made.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
  expect(new Date(made.validTo).toISOString()).toBe("2026-01-01T01:00:00.000Z");
});
