/** Who is at the other end of a TLS connection, by the certificate that was shown. */

import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { Peer } from "../api/authorizer.ts";
import { plainAddress } from "../lib/ip-range.ts";
import { certificatesOf, subjectOf } from "../pki/x509.ts";
import type { DoorCertificates } from "./front-door.ts";

/** What the door knows of the other end beyond what authentication by certificate needs. */
export type DoorPeer = Required<Peer>;

/** The authorities that name users, and those that name aggregating proxies. */
export interface Authorities {
  readonly client: readonly X509Certificate[];
  readonly requestHeader: readonly X509Certificate[];
}

export function authoritiesOf(certificates: DoorCertificates): Authorities {
  return {
    client: certificatesOf(certificates.clientCaPem),
    requestHeader: certificatesOf(certificates.requestHeaderCaPem ?? ""),
  };
}

/**
 * Who showed the certificate. `authorized` says that TLS verified it up to one of our authorities;
 * which of them it was decides whether it names a user or an aggregating proxy.
 */
export function identify(socket: TLSSocket, authorities: Authorities): DoorPeer {
  const stranger = strangerOf(socket);
  const raw = (socket.getPeerCertificate(false) as { readonly raw?: Uint8Array }).raw;
  if (raw === undefined) return stranger;
  if (!socket.authorized)
    return {
      ...stranger,
      certificateError: String(socket.authorizationError ?? "not authorized"),
    };
  const certificate = new X509Certificate(raw);
  const isBy = (authority: X509Certificate): boolean =>
    certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  const subject = subjectOf(raw);
  if (authorities.client.some(isBy)) {
    const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
    return { ...stranger, certificate: { ...subject, fingerprint } };
  }
  if (authorities.requestHeader.some(isBy)) return { ...stranger, frontProxy: subject.commonName };
  return { ...stranger, certificateError: "signed by an unknown authority" };
}

/** Who showed nothing that could be read. */
export function strangerOf(socket: TLSSocket): DoorPeer {
  const address = plainAddress(socket.remoteAddress ?? "");
  return { address, certificate: undefined, frontProxy: undefined, certificateError: undefined };
}
