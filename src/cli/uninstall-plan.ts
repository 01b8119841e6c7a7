/** What of an installation goes and what stays: decided from what was found. */
import type { Service } from "./services.ts";

/** Folders of a data directory that k3 makes; what else lies there is not its own. */
export const partsOfDataDir = ["agent", "data", "server", "storage", "places.json"] as const;

/** As `partsOfDataDir`, of the kubelet's folder. */
export const partsOfKubelet = [
  "actuated_pods_state",
  "allocated_pods_state",
  "checkpoints",
  "cpu_manager_state",
  "device-plugins",
  "dra_manager_state",
  "memory_manager_state",
  "plugins",
  "plugins_registry",
  "pod-resources",
  "pods",
] as const;

/** Names that installers link to k3. */
export const linkNames = ["kubectl", "crictl", "ctr"] as const;
const usualBins = ["/usr/local/bin", "/opt/bin"] as const;

/** Folders of programs: those of the services, and where installers put them. */
export function binFolders(services: readonly Service[]): readonly string[] {
  const ofServices = services.map(({ program }) => program.slice(0, program.lastIndexOf("/")));
  return [...new Set([...ofServices, ...usualBins])];
}

/** Whether a link among the programs leads to k3. */
export function leadsToK3(target: string | undefined): boolean {
  return /^(.*\/)?k3s?$/.test(target ?? "");
}

/**
 * Programs and scripts that an installer placed for `services`. A k3 that no service starts was
 * placed by hand: it stays.
 */
export function programsOf(services: readonly Service[]): readonly string[] {
  const programs = services.map(({ program }) => program).filter((path) => leadsToK3(path));
  const scripts = binFolders(services).flatMap((folder) => [
    `${folder}/k3s-killall.sh`,
    ...services.map(({ name }) => `${folder}/${name}-uninstall.sh`),
  ]);
  return [...new Set([...programs, ...scripts])];
}
