/** The CRI configuration of a container. Pure. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ContainerConfigSchema,
  MountSchema,
  type UserNamespace,
} from "../../gen/cri/api_pb.ts";
import type { DeviceGrant } from "../devices/device-store.ts";
import { expand } from "./expand.ts";
import { containerResources, oomScore, quotaPeriodUs } from "./resources.ts";
import { podLabels } from "./sandbox-config.ts";
import { containerSecurity, type ImageUser } from "./security.ts";
import { type Container, criNames, type NamedContainer, type Pod } from "./types.ts";

const encoder = new TextEncoder();

export type ContainerConfig = MessageInitShape<typeof ContainerConfigSchema>;
export type CriMount = MessageInitShape<typeof MountSchema>;

export interface ContainerOptions {
  readonly pod: Pod;
  readonly named: NamedContainer;
  readonly restartCount: number;
  readonly imageId: string;
  readonly imageUser: ImageUser;
  readonly env: ReadonlyMap<string, string>;
  readonly mounts: readonly CriMount[];
  readonly blockDevices: NonNullable<ContainerConfig["devices"]>;
  /** What comes with the devices that the container holds. */
  readonly grants: readonly DeviceGrant[];
  /** Names of the devices of its claims. */
  readonly cdiDevices: readonly string[];
  readonly memoryCapacityBytes: number;
  readonly seccompRoot: string;
  readonly seccompDefault: boolean;
  readonly users: UserNamespace;
  readonly hash: string;
  readonly targetId: string | undefined;
  readonly cgroupV2: boolean;
}

export function containerConfig(options: ContainerOptions): ContainerConfig {
  const { pod, env, restartCount, imageId } = options;
  const { container } = options.named;
  const expandAll = (parts: readonly string[] | undefined): string[] =>
    (parts ?? []).map((part) => expand(part, env));
  return {
    metadata: { name: container.name, attempt: restartCount },
    image: { image: imageId, userSpecifiedImage: container.image ?? "" },
    command: expandAll(container.command),
    args: expandAll(container.args),
    workingDir: container.workingDir ?? "",
    envs: [...env].map(([key, value]) => ({ key, value: encoder.encode(value) })),
    mounts: [...options.mounts, ...grantedMounts(options.grants)].map((mount) =>
      withIds(mount, options.users),
    ),
    devices: [
      ...options.blockDevices,
      ...options.grants
        .flatMap(({ devices }) => devices)
        .map(({ containerPath, hostPath, permissions }) => ({
          containerPath,
          hostPath,
          permissions,
        })),
    ],
    CDIDevices: [
      ...options.cdiDevices.map((name) => ({ name })),
      ...options.grants.flatMap(({ cdiDevices }) => cdiDevices).map(({ name }) => ({ name })),
    ],
    labels: { ...podLabels(pod), [criNames.containerName]: container.name },
    annotations: {
      ...Object.fromEntries(options.grants.flatMap((one) => Object.entries(one.annotations))),
      ...annotationsOf(options),
    },
    logPath: `${container.name}/${restartCount}.log`,
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    linux: {
      resources: linuxResources({ ...options, container }),
      securityContext: containerSecurity({
        pod,
        container,
        image: options.imageUser,
        seccompRoot: options.seccompRoot,
        seccompDefault: options.seccompDefault,
        users: options.users,
        targetId: options.targetId,
      }),
    },
  };
}

/** Files look in the container as if its users were the machine's. */
function withIds(mount: CriMount, { uids, gids }: UserNamespace): CriMount {
  if (uids.length === 0) return mount;
  return Object.assign(create(MountSchema, mount), { uidMappings: uids, gidMappings: gids });
}

function grantedMounts(grants: readonly DeviceGrant[]): readonly CriMount[] {
  return grants
    .flatMap(({ mounts }) => mounts)
    .map(({ containerPath, hostPath, readOnly }) => ({
      containerPath,
      hostPath,
      readonly: readOnly,
    }));
}

function annotationsOf({
  pod,
  named,
  restartCount,
  hash,
}: ContainerOptions): Record<string, string> {
  const { container } = named;
  const grace = pod.spec.terminationGracePeriodSeconds;
  return {
    [criNames.hash]: hash,
    [criNames.restartCount]: `${restartCount}`,
    [criNames.messagePath]: container.terminationMessagePath ?? "/dev/termination-log",
    [criNames.messagePolicy]: container.terminationMessagePolicy ?? "File",
    ...(grace === undefined ? {} : { [criNames.grace]: `${grace}` }),
  };
}

type Linux = NonNullable<ContainerConfig["linux"]>;

export interface LimitOptions {
  readonly pod: Pod;
  readonly container: Container;
  readonly memoryCapacityBytes: number;
  readonly cgroupV2: boolean;
}

/** What the runtime holds the container to. */
export function linuxResources(options: LimitOptions): NonNullable<Linux["resources"]> {
  const { pod, container, memoryCapacityBytes } = options;
  const resources = containerResources(pod, container);
  return {
    cpuPeriod: BigInt(quotaPeriodUs),
    cpuQuota: BigInt(resources.cpuQuotaUs),
    cpuShares: BigInt(resources.cpuShares),
    memoryLimitInBytes: BigInt(resources.memoryLimitBytes),
    oomScoreAdj: BigInt(oomScore(pod, container, memoryCapacityBytes)),
    hugepageLimits: resources.hugepageLimits.map(({ pageSize, limitBytes }) => ({
      pageSize,
      limit: BigInt(limitBytes),
    })),
    // One process over the limit takes the whole container with it, not a random child.
    ...(options.cgroupV2 ? { unified: { "memory.oom.group": "1" } } : {}),
  };
}

/**
 * Changes when the container must be made anew: with its image, the only part of it that may
 * change besides its resources. Other parts may come in another order or form from each writer.
 */
export function containerHash({ name, image }: Container): string {
  return Bun.hash.xxHash32(JSON.stringify([name, image])).toString(16);
}
