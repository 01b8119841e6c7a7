/** What Secrets hold for ingress. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Secret } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { TlsPair } from "../../runtime/stream-sockets.ts";

const pairs = new WeakMap<DeepReadonly<Secret>, TlsPair | string>();

/** What TLS can be served with; a text tells what is wrong. Read once for each Secret. */
export function tlsPairOf(secret: DeepReadonly<Secret>): TlsPair | string {
  const known = pairs.get(secret);
  if (known !== undefined) return known;
  const cert = secretText(secret.data?.["tls.crt"]);
  const key = secretText(secret.data?.["tls.key"]);
  const found = cert === "" || key === "" ? "has no tls.crt and tls.key" : checkedPair(cert, key);
  pairs.set(secret, found);
  return found;
}

function checkedPair(cert: string, key: string): TlsPair | string {
  try {
    const fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
    return fits ? { cert, key } : "has a key of another certificate";
  } catch {
    return "has no certificate and key that can be read";
  }
}

export function secretText(base64: string | undefined): string {
  return base64 === undefined ? "" : Buffer.from(base64, "base64").toString("utf8");
}
