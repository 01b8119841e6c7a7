/** By which Secret of kube-system a cluster knows the password of a node, as K3s has it. */

export const nodePasswordType = "k3s.cattle.io/node-password";
const ending = ".node-password.k3s";

export function nodePasswordSecret(nodeName: string): string {
  return `${nodeName}${ending}`;
}

/** The node that a Secret is about; undefined for any other Secret. */
export function nodeOfPasswordSecret(secretName: string): string | undefined {
  return secretName.endsWith(ending) ? secretName.slice(0, -ending.length) : undefined;
}
