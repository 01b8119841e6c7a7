import { expect, test } from "bun:test";
import { createPublicKey, X509Certificate } from "node:crypto";
import {
  decodeCertificateRequest,
  readCertificateRequest,
  writeCertificateRequest,
} from "./certificate-request.ts";
import { createRequestSigner } from "./certificate-signers.ts";
import { type Der, implicit } from "./der.ts";
import { makeCertificateRequest, pemOf } from "./testing/request.ts";
import { generateEcKey, issueCertificate, keyToPem } from "./x509.ts";

const text = new TextEncoder();

async function makeRequest(names: readonly Der[]): Promise<string> {
  const subject = { commonName: "system:node:n1", organizations: ["system:nodes"] };
  return makeCertificateRequest(subject, await generateEcKey(), names);
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

test("writeCertificateRequest() asks for a certificate of the key, and for no name", async () => {
  const key = await generateEcKey();
  const request = decodeCertificateRequest(writeCertificateRequest(key));
  expect(request).toMatchObject({
    subject: { commonName: "", organizations: [] },
    dnsNames: [],
    isSigned: true,
  });
  expect(request.publicKey.equals(createPublicKey(key))).toBe(true);
});

test("readCertificateRequest() says what is wrong", () => {
  const wrong = "PEM block type must be CERTIFICATE REQUEST";
  expect(() => readCertificateRequest("nonsense")).toThrow(wrong);
  expect(() => readCertificateRequest(pemOf("CERTIFICATE", text.encode("x")))).toThrow(wrong);
  expect(() => readCertificateRequest(pemOf("CERTIFICATE REQUEST", text.encode("x")))).toThrow(
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
