/** Signs certificate requests with the authorities of the cluster. */
import type { Clock } from "../runtime/runtime.ts";
import type { CertificateRequest } from "./certificate-request.ts";
import {
  extendedUsageOids,
  type Issuer,
  issueCertificate,
  issuerOf,
  keyUsageNumbers,
} from "./x509.ts";

const limits = { lifetimeSecondsMax: 365 * 24 * 60 * 60, lifetimeSecondsMin: 600 } as const;
/** Clocks differ: certificates are valid from a little before. */
const backdateMs = 5 * 60 * 1000;

export interface SigningAuthority {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface SignRequestOptions {
  readonly request: CertificateRequest;
  /** Names of certificates.k8s.io KeyUsage. */
  readonly usages: readonly string[];
  readonly expirationSeconds: number | undefined;
}

/** A PEM certificate for a request that was checked. */
export type SignRequest = (options: SignRequestOptions) => string;

/** `authority` is read once it is needed. */
export function createRequestSigner(authority: SigningAuthority, clock: Clock): SignRequest {
  let issuer: Issuer | undefined;
  return ({ request, usages, expirationSeconds }) => {
    issuer ??= issuerOf(authority.certPem, authority.keyPem);
    const nowMs = clock.now().getTime();
    const asked = expirationSeconds ?? limits.lifetimeSecondsMax;
    const seconds = Math.max(Math.min(asked, limits.lifetimeSecondsMax), limits.lifetimeSecondsMin);
    const lasts = new Date(issuer.certificate.validTo).getTime();
    const { subject, publicKey, dnsNames, ips, emails, uris } = request;
    return issueCertificate(
      {
        subject,
        publicKey,
        sans: { dnsNames, ips, emails, uris },
        usage: {
          keyUsages: usages.filter(isKeyUsage),
          extended: usages.filter(isExtendedUsage),
        },
        notBefore: new Date(nowMs - backdateMs),
        notAfter: new Date(Math.min(nowMs + seconds * 1000, lasts)),
      },
      issuer,
    );
  };
}

function isKeyUsage(name: string): name is keyof typeof keyUsageNumbers {
  return Object.hasOwn(keyUsageNumbers, name);
}

function isExtendedUsage(name: string): name is keyof typeof extendedUsageOids {
  return Object.hasOwn(extendedUsageOids, name);
}
