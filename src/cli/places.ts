/**
 * What flags have k3 make outside of its usual places, noted in the data directory: `k3 killall`
 * and `k3 uninstall` are not told the flags again.
 */
import type { Files } from "../runtime/runtime.ts";
import type { NodeOptions } from "../server/options.ts";

export interface Places {
  /** Files that were not there before k3 wrote them. */
  readonly files: readonly string[];
  /** Folders of the kubelet. */
  readonly kubelets: readonly string[];
}

/** Where the kubelet's folder is unless a flag says otherwise. */
export const usualKubelet = "/var/lib/kubelet";
/** Goes as a whole: what is written in it need not be noted. */
const usualFolder = "/etc/rancher/k3s/";

const ledgerOf = (dataDir: string): string => `${dataDir}/places.json`;

export async function readPlaces(files: Files, dataDir: string): Promise<Places> {
  const text = await files.readText(ledgerOf(dataDir));
  if (text === undefined) return { files: [], kubelets: [usualKubelet] };
  const noted = JSON.parse(text) as Places;
  return { ...noted, kubelets: [...new Set([usualKubelet, ...noted.kubelets])] };
}

/** Adds what a start will make to what earlier ones made; to be called before it is made. */
export async function notePlaces(
  files: Files,
  { dataDir, kubelet }: Pick<NodeOptions, "dataDir" | "kubelet">,
  written: readonly string[],
): Promise<void> {
  const before = await readPlaces(files, dataDir);
  const made: string[] = [];
  for (const file of written.filter((path) => !path.startsWith(usualFolder))) {
    const at = file.lastIndexOf("/");
    if (!(await files.list(file.slice(0, at) || "/")).includes(file.slice(at + 1))) made.push(file);
  }
  const after: Places = {
    files: [...new Set([...before.files, ...made])],
    kubelets: [...new Set([...before.kubelets, kubelet.rootDir])],
  };
  const isKnown = (list: "files" | "kubelets"): boolean =>
    after[list].length === before[list].length;
  if (isKnown("files") && isKnown("kubelets")) return;
  await files.mkdir(dataDir, 0o755);
  await files.writeAtomic(ledgerOf(dataDir), `${JSON.stringify(after, null, 2)}\n`, 0o600);
}
