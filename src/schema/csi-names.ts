/** Upstream's names of CSI volumes that are attached to nodes. Pure. */

/** The VolumeAttachment of a volume on a node. */
export function attachmentName(handle: string, driver: string, nodeName: string): string {
  const hash = new Bun.CryptoHasher("sha256").update(`${handle}${driver}${nodeName}`);
  return `csi-${hash.digest("hex")}`;
}

/** A volume in `volumesInUse` and `volumesAttached` of a node. */
export function uniqueName(driver: string, handle: string): string {
  return `kubernetes.io/csi/${driver}^${handle}`;
}
