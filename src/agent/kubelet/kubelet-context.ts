/** What the parts of the kubelet share. */
import type { Client } from "../../client/client.ts";
import type { EventRecorder } from "../../live/events.ts";
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { DeviceHealth } from "../claims/device-health.ts";
import type { DraDrivers } from "../claims/dra-drivers.ts";
import type { PodClaims } from "../claims/pod-claims.ts";
import type { CriClient } from "../cri/client.ts";
import type { Csi } from "../csi/csi.ts";
import type { DeviceManager } from "../devices/device-manager.ts";
import type { ImageManager } from "../images.ts";
import type { PodAdmission } from "../net/policy.ts";
import type { CgroupOptions } from "./cgroups.ts";
import type { CriCache } from "./cri-cache.ts";
import type { ClusterDns } from "./dns-config.ts";
import type { KubeletSettings } from "./kubelet-settings.ts";
import type { ObjectSource } from "./object-source.ts";
import type { Prober } from "./prober.ts";
import type { ResourceState } from "./resource-state.ts";
import type { ServiceAccountTokens } from "./service-account-tokens.ts";
import type { Service } from "./types.ts";
import type { UserNamespaces } from "./user-namespaces.ts";
import type { Volumes } from "./volumes.ts";

export interface KubeletContext {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly client: Client;
  readonly events: EventRecorder;
  readonly cri: CriClient;
  readonly cache: CriCache;
  readonly images: ImageManager;
  readonly objects: ObjectSource;
  readonly tokens: ServiceAccountTokens;
  readonly volumes: Volumes;
  readonly csi: Csi;
  readonly prober: Prober;
  readonly devices: DeviceManager;
  readonly claims: PodClaims;
  readonly draDrivers: DraDrivers;
  readonly deviceHealth: DeviceHealth;
  readonly resources: ResourceState;
  /** Absent where network policies are not enforced. */
  readonly policy?: PodAdmission | undefined;
  readonly cgroups: CgroupOptions;
  readonly dns: ClusterDns;
  /** Ends with the kubelet. */
  readonly signal: AbortSignal;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly rootDir: string;
  readonly settings: KubeletSettings;
  readonly users: UserNamespaces;
  readonly logRoot: string;
  readonly seccompRoot: string;
  /** The file with the seccomp profile of pause processes; undefined: the runtime's own. */
  readonly pauseProfile: string | undefined;
  readonly memoryCapacityBytes: number;
  /** The node's allocatable, the limit of containers that have none. */
  readonly allocatable: Readonly<Record<string, string>>;
  /** Pressures that the node is under. */
  conditions(): readonly string[];
  /** The machine goes down: no pod is taken any more. */
  isShuttingDown(): boolean;
  services(): Iterable<Service>;
}
