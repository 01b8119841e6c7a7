/** Certificates for tests, signed by themselves. */
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { issueCertificate, keyToPem } from "../../../pki/x509.ts";
import type { TlsPair } from "../../../runtime/stream-sockets.ts";

export function pairFor(...dnsNames: readonly string[]): TlsPair {
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const cert = issueCertificate(
    {
      subject: { commonName: dnsNames[0] ?? "nobody", organizations: [] },
      usage: "server",
      sans: { dnsNames, ips: [] },
      publicKey: createPublicKey(key),
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
    },
    key,
  );
  return { cert, key: keyToPem(key) };
}

let made: { readonly fallback: TlsPair } | undefined;

export function testPairs(): { readonly fallback: TlsPair } {
  made ??= { fallback: pairFor("fallback.test") };
  return made;
}
