/** Upstream's names of CSI volumes that are attached to nodes. Pure. */

/** The VolumeAttachment of a volume on a node. */
export function attachmentName(handle: string, driver: string, nodeName: string): string {
  const hash = new Bun.CryptoHasher("sha256").update(`${handle}${driver}${nodeName}`);
  return `csi-${hash.digest("hex")}`;
}

/** Whether a VolumeAttachment bears a name of that form: others are not the controller's. */
export function isAttachmentName(name: string): boolean {
  return /^csi-[0-9a-f]{64}$/.test(name);
}

/** A volume in `volumesInUse` and `volumesAttached` of a node. */
export function uniqueName(driver: string, handle: string): string {
  return `kubernetes.io/csi/${driver}^${handle}`;
}
