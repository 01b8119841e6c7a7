/** Security contexts of pods and containers as the CRI wants them. Pure. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type LinuxContainerSecurityContextSchema,
  type LinuxSandboxSecurityContextSchema,
  NamespaceMode,
  type NamespaceOptionSchema,
  SecurityProfile_ProfileType,
  type SecurityProfileSchema,
  SupplementalGroupsPolicy,
  type UserNamespace,
} from "../../gen/cri/api_pb.ts";
import { ConfigError } from "./env.ts";
import type { Container, Pod } from "./types.ts";

type SandboxSecurity = MessageInitShape<typeof LinuxSandboxSecurityContextSchema>;
type ContainerSecurity = MessageInitShape<typeof LinuxContainerSecurityContextSchema>;
type Namespaces = MessageInitShape<typeof NamespaceOptionSchema>;
type Profile = MessageInitShape<typeof SecurityProfileSchema>;

const maskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

function namespacesOf(pod: Pod, pid: NamespaceMode, users: UserNamespace): Namespaces {
  const { hostNetwork, hostIPC } = pod.spec;
  return {
    network: hostNetwork === true ? NamespaceMode.NODE : NamespaceMode.POD,
    ipc: hostIPC === true ? NamespaceMode.NODE : NamespaceMode.POD,
    pid,
    usernsOptions: users,
  };
}

function pidMode(pod: Pod): NamespaceMode {
  if (pod.spec.hostPID === true) return NamespaceMode.NODE;
  return pod.spec.shareProcessNamespace === true ? NamespaceMode.POD : NamespaceMode.CONTAINER;
}

type SeccompProfile = { readonly type: string; readonly localhostProfile?: string };

function seccomp(profile: SeccompProfile | undefined, seccompRoot: string): Profile {
  switch (profile?.type) {
    case "RuntimeDefault":
      return { profileType: SecurityProfile_ProfileType.RuntimeDefault };
    case "Localhost":
      return {
        profileType: SecurityProfile_ProfileType.Localhost,
        localhostRef: `${seccompRoot}/${profile.localhostProfile ?? ""}`,
      };
    default:
      return { profileType: SecurityProfile_ProfileType.Unconfined };
  }
}

function supplementalGroups(pod: Pod): bigint[] {
  const { supplementalGroups: groups = [], fsGroup } = pod.spec.securityContext ?? {};
  const all = fsGroup === undefined ? groups : [...groups, fsGroup];
  return all.map((group) => BigInt(group));
}

function groupsPolicy(pod: Pod): SupplementalGroupsPolicy {
  return pod.spec.securityContext?.supplementalGroupsPolicy === "Strict"
    ? SupplementalGroupsPolicy.Strict
    : SupplementalGroupsPolicy.Merge;
}

/** Other runtimes than ours may do more under the profile than ours does. */
function pauseSeccomp({ spec }: Pod, localhostRef: string | undefined): Profile {
  const isOurs = (spec.runtimeClassName ?? "") === "";
  return isOurs && localhostRef !== undefined
    ? { profileType: SecurityProfile_ProfileType.Localhost, localhostRef }
    : { profileType: SecurityProfile_ProfileType.RuntimeDefault };
}

export function sandboxSecurity(
  pod: Pod,
  pauseProfile: string | undefined,
  users: UserNamespace,
): SandboxSecurity {
  const context = pod.spec.securityContext ?? {};
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  return {
    privileged: containers.some((container) => container.securityContext?.privileged === true),
    namespaceOptions: namespacesOf(pod, pidMode(pod), users),
    // The pod's own profile is for its containers: what they need may not let a process wait.
    seccomp: pauseSeccomp(pod, pauseProfile),
    supplementalGroups: supplementalGroups(pod),
    supplementalGroupsPolicy: groupsPolicy(pod),
    ...(context.runAsUser === undefined ? {} : { runAsUser: { value: BigInt(context.runAsUser) } }),
    ...(context.runAsGroup === undefined || context.runAsUser === undefined
      ? {}
      : { runAsGroup: { value: BigInt(context.runAsGroup) } }),
  };
}

/** Who an image's configuration says it runs as. */
export interface ImageUser {
  readonly uid: number | undefined;
  readonly username: string;
}

export interface ContainerSecurityOptions {
  readonly pod: Pod;
  readonly container: Container;
  readonly image: ImageUser;
  readonly seccompRoot: string;
  /** What names no profile gets the runtime's own. */
  readonly seccompDefault: boolean;
  readonly users: UserNamespace;
  /** The container an ephemeral container shares processes with. */
  readonly targetId: string | undefined;
}

export function containerSecurity(options: ContainerSecurityOptions): ContainerSecurity {
  const { pod, container, seccompRoot, targetId } = options;
  const fallback = options.seccompDefault ? { type: "RuntimeDefault" } : undefined;
  const own = container.securityContext ?? {};
  const shared = pod.spec.securityContext ?? {};
  verifyNonRoot(options);
  const privileged = own.privileged === true;
  const user = own.runAsUser ?? shared.runAsUser ?? options.image.uid;
  const group = own.runAsGroup ?? shared.runAsGroup;
  const unmasked = privileged || own.procMount === "Unmasked";
  const mode = targetId === undefined ? pidMode(pod) : NamespaceMode.TARGET;
  const namespaceOptions = { ...namespacesOf(pod, mode, options.users), targetId: targetId ?? "" };
  const asUser = user === undefined ? undefined : { runAsUser: { value: BigInt(user) } };
  // The CRI refuses a group without a user: without one the container runs as root.
  const asName =
    options.image.username === "" ? undefined : { runAsUsername: options.image.username };
  const asRoot = group === undefined ? undefined : { runAsUser: { value: 0n } };
  return {
    privileged,
    namespaceOptions,
    readonlyRootfs: own.readOnlyRootFilesystem === true,
    noNewPrivs: own.allowPrivilegeEscalation === false,
    supplementalGroups: supplementalGroups(pod),
    supplementalGroupsPolicy: groupsPolicy(pod),
    seccomp: privileged
      ? { profileType: SecurityProfile_ProfileType.Unconfined }
      : seccomp(own.seccompProfile ?? shared.seccompProfile ?? fallback, seccompRoot),
    maskedPaths: unmasked ? [] : maskedPaths,
    readonlyPaths: unmasked ? [] : readonlyPaths,
    ...(own.capabilities === undefined ? {} : { capabilities: capabilitiesOf(own.capabilities) }),
    ...(asUser ?? asName ?? asRoot),
    ...(group === undefined ? {} : { runAsGroup: { value: BigInt(group) } }),
  };
}

function capabilitiesOf(capabilities: {
  readonly add?: readonly string[];
  readonly drop?: readonly string[];
}): { addCapabilities: string[]; dropCapabilities: string[] } {
  return {
    addCapabilities: [...(capabilities.add ?? [])],
    dropCapabilities: [...(capabilities.drop ?? [])],
  };
}

function verifyNonRoot({ pod, container, image }: ContainerSecurityOptions): void {
  const own = container.securityContext ?? {};
  const shared = pod.spec.securityContext ?? {};
  if ((own.runAsNonRoot ?? shared.runAsNonRoot) !== true) return;
  const user = own.runAsUser ?? shared.runAsUser;
  const where = `(pod: "${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})"`;
  const what = `${where}, container: ${container.name})`;
  if (user === 0) {
    throw new ConfigError(`container's runAsUser breaks non-root policy ${what}`);
  }
  if (user !== undefined) return;
  if (image.uid === 0) {
    throw new ConfigError(`container has runAsNonRoot and image will run as root ${what}`);
  }
  if (image.uid === undefined && image.username !== "") {
    const name = `image has non-numeric user (${image.username}), cannot verify user is non-root`;
    throw new ConfigError(`container has runAsNonRoot and ${name} ${what}`);
  }
  if (image.uid === undefined) {
    throw new ConfigError(`container has runAsNonRoot and image will run as root ${what}`);
  }
}
