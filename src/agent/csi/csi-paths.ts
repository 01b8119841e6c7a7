/** Upstream's names and places of what the kubelet keeps of CSI volumes. Pure. */

export const csiPlugin = "kubernetes.io/csi";
export const dataFile = "vol_data.json";

/** A plugin's name as part of a path below a pod's directory. */
export const escaped = (plugin: string): string => plugin.replaceAll("/", "~");

function sha256(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}

/** What an inline volume, which nobody has made before, is called towards its driver. */
export function ephemeralHandle(podUid: string, volumeName: string): string {
  return `csi-${sha256(`${podUid}${volumeName}`)}`;
}

/** The directory of a volume that its driver stages once for all pods of the node. */
export function globalDir(rootDir: string, driver: string, handle: string): string {
  return `${rootDir}/plugins/${csiPlugin}/${driver}/${sha256(handle)}`;
}

export function stagingPath(rootDir: string, driver: string, handle: string): string {
  return `${globalDir(rootDir, driver, handle)}/globalmount`;
}

/** The directory of a pod's volume: its data file, and `mount`. */
export function podVolumeDir(podDir: string, specName: string): string {
  return `${podDir}/volumes/${escaped(csiPlugin)}/${escaped(specName)}`;
}

/** Where raw block volumes of a plugin are, for the whole node. */
export function devicesDir(rootDir: string, plugin: string): string {
  return `${rootDir}/plugins/${plugin}/volumeDevices`;
}

/** The link to a raw block volume of a pod. */
export function podDevicePath(podDir: string, plugin: string, specName: string): string {
  return `${podDir}/volumeDevices/${escaped(plugin)}/${specName}`;
}
