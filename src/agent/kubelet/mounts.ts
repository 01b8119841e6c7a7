/** The mounts of a container: its volume mounts, and the files every container gets. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type DeviceSchema, MountPropagation } from "../../gen/cri/api_pb.ts";
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { CriMount } from "./container-config.ts";
import { ConfigError } from "./env.ts";
import { expand } from "./expand.ts";
import { type Container, type Pod, podDir, uidOf, type Volume } from "./types.ts";
import { isWrittenByUs, type Volumes } from "./volumes.ts";

export interface MountOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly volumes: Volumes;
  readonly rootDir: string;
  readonly pod: Pod;
  readonly container: Container;
  readonly env: ReadonlyMap<string, string>;
  /** The image ids of image volumes, by volume name. */
  readonly imageVolumes: ReadonlyMap<string, string>;
}

type VolumeMount = NonNullable<Container["volumeMounts"]>[number];

const propagations: Readonly<Record<string, MountPropagation>> = {
  None: MountPropagation.PROPAGATION_PRIVATE,
  HostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  Bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
};

export async function containerMounts(options: MountOptions): Promise<readonly CriMount[]> {
  const { pod, container, rootDir, host, runtime } = options;
  const own = container.volumeMounts ?? [];
  const mounts = await Promise.all(own.map((mount) => volumeMount(options, mount)));
  const dir = podDir(rootDir, uidOf(pod));
  if (!own.some((mount) => mount.mountPath === "/etc/hosts")) {
    mounts.push({ containerPath: "/etc/hosts", hostPath: `${dir}/etc-hosts` });
  }
  const messagePath = container.terminationMessagePath ?? "/dev/termination-log";
  if (messagePath !== "") {
    const holder = `${dir}/containers/${container.name}`;
    await host.mkdir(holder, 0o750);
    const hostPath = `${holder}/${runtime.random.suffix(8)}`;
    // Any user of the container may leave its last words.
    await host.write(hostPath, "", 0o666);
    mounts.push({ containerPath: messagePath, hostPath });
  }
  return mounts;
}

async function volumeMount(options: MountOptions, mount: VolumeMount): Promise<CriMount> {
  const { pod, volumes, imageVolumes } = options;
  const volume = (pod.spec.volumes ?? []).find((entry) => entry.name === mount.name);
  if (volume === undefined) throw new ConfigError(`volume "${mount.name}" not found`);
  const path = mount.mountPath.startsWith("/") ? mount.mountPath : `/${mount.mountPath}`;
  const recursive = mount.recursiveReadOnly === "Enabled";
  const base = {
    containerPath: path,
    readonly: mount.readOnly === true || isReadOnly(volume),
    recursiveReadOnly: mount.readOnly === true && recursive,
    propagation:
      propagations[mount.mountPropagation ?? "None"] ?? MountPropagation.PROPAGATION_PRIVATE,
  };
  const subPath = subPathOf(options, mount);
  if (volume.image !== undefined) {
    const image = imageVolumes.get(volume.name) ?? "";
    return { ...base, readonly: true, image: { image }, imageSubPath: subPath };
  }
  const root = volumes.pathOf(pod, volume);
  if (root === undefined) throw new ConfigError(`volume "${mount.name}" is not mounted`);
  if (subPath === "") return { ...base, hostPath: root };
  const hostPath = await resolveSubPath(options, root, subPath, mount);
  return { ...base, hostPath };
}

/** Whatever the container asks for, nothing can be written there. */
function isReadOnly(volume: Volume): boolean {
  const { persistentVolumeClaim, csi } = volume;
  if (persistentVolumeClaim?.readOnly === true || csi?.readOnly === true) return true;
  return isWrittenByUs(volume);
}

type CriDevice = MessageInitShape<typeof DeviceSchema>;

/** The devices of the container's raw block volumes. */
export function blockDevices(
  volumes: Volumes,
  pod: Pod,
  { volumeDevices = [] }: Container,
): readonly CriDevice[] {
  return volumeDevices.map(({ name, devicePath }) => {
    const volume = (pod.spec.volumes ?? []).find((entry) => entry.name === name);
    const hostPath = volume && volumes.pathOf(pod, volume);
    if (volume === undefined || hostPath === undefined) {
      throw new ConfigError(`cannot find volume "${name}" to pass into container`);
    }
    return { containerPath: devicePath, hostPath, permissions: isReadOnly(volume) ? "r" : "mrw" };
  });
}

function subPathOf({ env }: MountOptions, mount: VolumeMount): string {
  const { subPath = "", subPathExpr = "" } = mount;
  if (subPathExpr === "") return checked(subPath);
  const missing: string[] = [];
  const value = expand(subPathExpr, env, (name) => missing.push(name));
  if (missing.length > 0) {
    const names = missing.map((name) => `"${name}"`).join(", ");
    throw new ConfigError(`missing value for ${names}`);
  }
  return checked(value);
}

function checked(subPath: string): string {
  if (subPath.startsWith("/")) {
    throw new ConfigError(`error SubPath \`${subPath}\` must not be an absolute path`);
  }
  if (subPath.split("/").includes("..")) {
    throw new ConfigError(`unable to provision SubPath \`${subPath}\`: must not contain ".."`);
  }
  return subPath;
}

/**
 * Follows the sub path inside the volume, making what is missing. A link that leads out of the
 * volume is refused: the container could otherwise name any path of the host.
 */
async function resolveSubPath(
  options: MountOptions,
  root: string,
  subPath: string,
  mount: VolumeMount,
): Promise<string> {
  const { host, pod, container } = options;
  const rootInfo = await host.stat(root, true);
  const base = (await host.realPath(root)) ?? root;
  const full = `${root}/${subPath}`;
  const real = await host.realPath(full);
  const refuse = (): never => {
    const which = `subPath "${subPath}" of volume "${mount.name}"`;
    throw new ConfigError(`failed to prepare ${which} for container "${container.name}"`);
  };
  if (real !== undefined) return real === base || real.startsWith(`${base}/`) ? real : refuse();
  let at = base;
  for (const part of subPath.split("/").filter((piece) => piece !== "" && piece !== ".")) {
    const next = (await host.realPath(`${at}/${part}`)) ?? `${at}/${part}`;
    if (!next.startsWith(`${base}/`)) refuse();
    if ((await host.stat(next, false)) === undefined) {
      await host.mkdir(next, rootInfo?.mode ?? 0o750);
      const group = pod.spec.securityContext?.fsGroup;
      if (group !== undefined) await host.chown(next, -1, group);
    }
    at = next;
  }
  return at;
}
