/** Which certificates the listeners of a server show, and whose they take. */
import type { Pki } from "../pki/ensure.ts";
import type { DoorCertificates } from "./front-door.ts";

export function kubeletCertificates({ authorities, leaves }: Pki): DoorCertificates {
  const { certPem, keyPem } = leaves["serving-kubelet"];
  return { certPem, keyPem, clientCaPem: authorities["client-ca"].certPem };
}

export function doorCertificates({ authorities, leaves }: Pki): DoorCertificates {
  return {
    certPem: leaves["serving-kube-apiserver"].certPem,
    keyPem: leaves["serving-kube-apiserver"].keyPem,
    clientCaPem: authorities["client-ca"].certPem,
    requestHeaderCaPem: authorities["request-header-ca"].certPem,
  };
}
