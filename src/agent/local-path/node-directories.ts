/** Volumes as directories of this node, made and removed without any pod. */
import { posix } from "node:path";
import type { Host } from "../../runtime/host.ts";
import { type LocalPathConfig, pathsOn } from "./local-path-config.ts";
import type { VolumePlan } from "./plan-volume.ts";
import type { VolumeMeans } from "./provisioner.ts";

/** What a node does for the volumes that are its own. */
export function nodeDirectories(host: Host, nodeName: string): VolumeMeans {
  return {
    nodeName,
    runsScripts: false,
    make: (plan) => makeDirectory(host, plan),
    remove: ({ path }, config) => removeDirectory(host, nodeName, path, config),
  };
}

/** As K3s' setup script: open to all, within a parent that only root enters. */
async function makeDirectory(
  host: Host,
  { path, base, mode, uid, gid }: VolumePlan,
): Promise<void> {
  const parent = posix.dirname(path);
  await host.mkdir(parent, 0o700);
  if (!(await isWithin(host, base, parent))) throw new Error(`${path} leads out of ${base}`);
  await host.mkdir(path, mode);
  if (uid >= 0 || gid >= 0) await host.chown(path, uid, gid);
}

async function isWithin(host: Host, base: string, folder: string): Promise<boolean> {
  const [realBase, real] = await Promise.all([host.realPath(base), host.realPath(folder)]);
  return realBase !== undefined && real === realBase + folder.slice(base.length);
}

/** Nothing outside the configured paths is ever removed, whatever a volume says. */
async function removeDirectory(
  host: Host,
  nodeName: string,
  path: string,
  config: LocalPathConfig,
): Promise<void> {
  const all = [config.base, ...config.classes.values()].filter((one) => one !== undefined);
  const bases = all.flatMap((places) => {
    try {
      return pathsOn(places, nodeName);
    } catch {
      // The node is not listed for this class.
      return [];
    }
  });
  const clean = posix.normalize(path);
  const base = bases.find((one) => clean.startsWith(`${one}/`));
  if (base === undefined || clean !== path.replace(/\/+$/, "")) {
    throw new Error(`${path} is not below a path of local-path-config`);
  }
  const parent = posix.dirname(clean);
  if ((await host.realPath(parent)) === undefined) return;
  if (!(await isWithin(host, base, parent))) throw new Error(`${path} leads out of ${base}`);
  await host.remove(clean);
}
