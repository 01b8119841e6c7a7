/** The kubelet: node, pods, probes, volumes and runtime events wired together. */
import type { Client } from "../../client/client.ts";
import { pods, services } from "../../client/resources.ts";
import type { EventRecorder } from "../../live/events.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import { DeviceHealth } from "../claims/device-health.ts";
import { DraDrivers } from "../claims/dra-drivers.ts";
import { PodClaims } from "../claims/pod-claims.ts";
import type { CriClient } from "../cri/client.ts";
import { createCsi } from "../csi/csi.ts";
import type { DeviceManager } from "../devices/device-manager.ts";
import { ImageManager, type ImageSources } from "../images.ts";
import type { PodAdmission } from "../net/policy.ts";
import { type CgroupOptions, prepareCgroups } from "./cgroups.ts";
import { CriCache } from "./cri-cache.ts";
import { parseResolvConf } from "./dns-config.ts";
import { EvictionManager } from "./eviction-manager.ts";
import { ImageGc } from "./image-gc.ts";
import { kubeletConfig } from "./kubelet-config.ts";
import type { KubeletContext } from "./kubelet-context.ts";
import { identityOf, makeReporter, shutdownOf } from "./kubelet-node.ts";
import { defaultSettings, type KubeletSettings } from "./kubelet-settings.ts";
import { rotateLogs } from "./log-rotation.ts";
import { type Machine, readMachine } from "./machine.ts";
import { type NodeIdentity, nodeAllocatable, reservedOf } from "./node-object.ts";
import { followDrivers, servePlugins } from "./node-plugins.ts";
import { ObjectSource } from "./object-source.ts";
import type { PodRecord } from "./pod-record.ts";
import { PodWorkers } from "./pod-workers.ts";
import { Prober } from "./prober.ts";
import { ResourceState } from "./resource-state.ts";
import { followEvents, relistLoop, Watchdog } from "./runtime-watch.ts";
import { ServiceAccountTokens, sleepUntilRenewal } from "./service-account-tokens.ts";
import { followStaticPods } from "./static-pod-files.ts";
import { StatsReader } from "./stats.ts";
import { criNames, type Pod } from "./types.ts";
import { UserNamespaces } from "./user-namespaces.ts";
import { Volumes } from "./volumes.ts";

export interface KubeletOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly scope: Scope;
  readonly client: Client;
  readonly live: LiveSets;
  readonly events: EventRecorder;
  readonly cri: CriClient;
  readonly policy?: PodAdmission | undefined;
  readonly nodeName: string;
  /** The node's addresses, the first is the main one. */
  readonly nodeIps: readonly string[];
  readonly isServer: boolean;
  readonly kubeletVersion: string;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly nodeLabels?: Readonly<Record<string, string>>;
  readonly nodeTaints?: NodeIdentity["taints"];
  readonly nodeAddresses?: NodeIdentity["addresses"];
  readonly nodeAnnotations?: Readonly<Record<string, string>>;
  readonly kubeletPort?: number;
  /** Default: K3s'. */
  readonly settings?: KubeletSettings;
  /** Default /var/log/pods. */
  readonly logRoot?: string;
  /** The file with the seccomp profile of pause processes; default: the runtime's own. */
  readonly pauseProfile?: string;
  readonly resolvConf?: string;
  /** Where the runtime keeps images, for the figures of their file system. */
  readonly imageDir?: string;
  /** Imports of image archives that may be under way. */
  readonly imports?: { idle(): Promise<void> };
  readonly credentials?: ImageSources["credentials"];
  readonly staticPodDir?: string;
  /** Opens the sockets of device plugins and of the pod resources API. */
  readonly servesPlugins?: boolean;
  readonly criSocket?: string;
}

export interface Kubelet {
  readonly context: KubeletContext;
  readonly machine: Machine;
  readonly stats: StatsReader;
  /** What `/configz` shows. */
  readonly config: Readonly<Record<string, unknown>>;
  isNodeReady(): boolean;
  /** Why this kubelet does not do its work; undefined when it does. */
  problem(): string | undefined;
  pods(): readonly Pod[];
  findPod(namespace: string, name: string): PodRecord | undefined;
}

/** The pods of this node, once they are known. */
interface LivePods {
  ready(signal: AbortSignal): Promise<void>;
}

const limits = { volumesRefreshMs: 60_000, storageEveryMs: 10_000 } as const;

/** Resolves once the node is registered; pods are run until the scope ends. */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const { runtime, host, scope } = options;
  const settings = options.settings ?? defaultSettings;
  const { rootDir } = settings;
  await host.mkdir(`${rootDir}/pods`, 0o750);
  await host.mkdir(options.logRoot ?? "/var/log/pods", 0o755);
  const machine = await readMachine(runtime, host);
  const identity = identityOf(options);
  let pressures = (): readonly string[] => [];
  let isShuttingDown = (): boolean => false;
  let volumesInUse = (): readonly string[] => [];
  const facts = {
    identity,
    machine,
    pressures: () => pressures(),
    isShuttingDown: () => isShuttingDown(),
    volumesInUse: () => volumesInUse(),
  };
  const { reporter, devices } = makeReporter(options, facts, rootDir);
  const allocatable = nodeAllocatable(identity, machine, await host.fileSystem(rootDir));
  let wake = (_uid: string): void => {};
  let objectsChanged = (_uids: Iterable<string>): void => {};
  const context = await contextOf(options, {
    rootDir,
    allocatable,
    memoryCapacityBytes: machine.memoryBytes,
    devices,
    conditions: () => pressures(),
    isShuttingDown: () => isShuttingDown(),
    onProbe: (uid) => wake(uid),
    onObjects: (uids) => objectsChanged(uids),
    onVolumesInUse: () => reporter.update(false),
  });
  await context.csi.volumes.load();
  volumesInUse = () => context.csi.volumes.attachments.inUse();
  await prepareNodeCgroups(context, settings, machine);
  const workers = new PodWorkers(context, scope.signal);
  wake = (uid) => workers.wake(uid);
  objectsChanged = (uids) => workers.objectsChanged(uids);
  const live = options.live.of(pods, { fieldSelector: `spec.nodeName=${options.nodeName}` });
  if (options.servesPlugins === true) await servePlugins(context, workers, options);
  await reporter.register(scope.signal);
  scope.task("node-status", (signal) => reporter.run(signal));
  scope.task("node-lease", (signal) => reporter.renewLease(signal));
  if (options.servesPlugins === true) followDrivers(context, workers, scope);
  scope.task("pods", async (signal) => {
    // Containers are told of services as they start.
    await options.live.of(services).ready(signal);
    await workers.follow(live, signal);
  });
  const watchdog = startWatch(options, context, workers, live);
  startLoops(scope, context, workers);
  const onLook = (): Promise<void> => reporter.update(false);
  const { stats, eviction } = watchPressure(options, context, workers, { live, onLook });
  pressures = () => eviction.conditions();
  const shutdown = shutdownOf(options, settings, reporter, workers);
  isShuttingDown = () => shutdown.isBegun();
  scope.task("node-shutdown", (signal) => shutdown.run(signal));
  scope.defer(() => closeAll(context));
  return {
    context,
    machine,
    stats,
    config: configOf(options, identity, context),
    problem: () => watchdog.problem(),
    isNodeReady: () => reporter.isReady(),
    pods: () => [...workers.list()].filter((record) => !record.removed).map(({ pod }) => pod),
    findPod: (namespace, name) => workers.find(namespace, name),
  };
}

/** Makes room on a node that runs short of something. */
function watchPressure(
  options: KubeletOptions,
  context: KubeletContext,
  workers: PodWorkers,
  { live, onLook }: { readonly live: LivePods; readonly onLook: () => Promise<void> },
): { readonly stats: StatsReader; readonly eviction: EvictionManager } {
  const { scope } = options;
  const { settings, rootDir } = context;
  const imageDir = options.imageDir ?? rootDir;
  const stats = new StatsReader({ ...context, imageDir });
  const images = new ImageGc({ ...options, imageDir, settings });
  scope.task("image-gc", (signal) => images.run(signal));
  const held = { pods: workers.evictions, stats, images, imageDir };
  const eviction = new EvictionManager({ context, settings, onLook, ...held });
  scope.task("evictions", async (signal) => {
    await live.ready(signal);
    await eviction.run(signal);
  });
  return { stats, eviction };
}

function closeAll({ prober, objects, cri }: KubeletContext): void {
  prober.stopAll();
  objects.stopAll();
  cri.close();
}

/** What pods may use together. */
async function prepareNodeCgroups(
  { cgroups }: KubeletContext,
  settings: KubeletSettings,
  { cpus, memoryBytes }: Machine,
): Promise<void> {
  const reserved = reservedOf(settings);
  await prepareCgroups(cgroups, {
    milliCpu: cpus * 1000 - reserved.milliCpu,
    memoryBytes: memoryBytes - reserved.memoryBytes,
  });
}

function configOf(
  options: KubeletOptions,
  identity: NodeIdentity,
  { cgroups }: KubeletContext,
): Readonly<Record<string, unknown>> {
  return kubeletConfig({
    port: identity.kubeletPort,
    settings: identity.settings,
    clusterDns: options.clusterDns,
    clusterDomain: options.clusterDomain,
    staticPodPath: options.staticPodDir ?? "",
    systemdCgroup: cgroups.systemd,
    criSocket: options.criSocket ?? "",
  });
}

/** Follows what the runtime does; the watchdog tells when that no longer works. */
function startWatch(
  options: KubeletOptions,
  context: KubeletContext,
  workers: PodWorkers,
  live: LivePods,
): Watchdog {
  const { scope, runtime } = options;
  const watch = { context, workers, watchdog: new Watchdog(runtime.clock) };
  scope.task("runtime-events", (signal) => followEvents(watch, signal));
  const filesRead = startStaticPods(options, workers);
  scope.task("runtime-relist", async (signal) => {
    await live.ready(signal);
    // What is of a static pod must not be taken for nobody's.
    await filesRead;
    await relistLoop(watch, signal);
  });
  return watch.watchdog;
}

function startLoops(scope: Scope, context: KubeletContext, workers: PodWorkers): void {
  const { clock } = context.runtime;
  scope.task("logs", (signal) => rotationLoop(context, workers, signal));
  scope.task("resizes", (signal) => workers.retryResizes(signal));
  scope.task("storage-limits", (signal) => storageLoop(context, workers, signal));
  scope.task("volumes", async (signal) => {
    while (!signal.aborted) {
      await sleepUntilRenewal(clock, limits.volumesRefreshMs, signal);
      await workers.refreshVolumes();
    }
  });
}

async function storageLoop(
  { runtime }: KubeletContext,
  workers: PodWorkers,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await runtime.clock.sleep(limits.storageEveryMs, signal);
    await workers.evictions.enforceStorageLimits().catch((error: unknown) => {
      runtime.log.debug("Cannot look at what pods hold", { error: `${error}` });
    });
  }
}

/** Resolves when the files were read for the first time. */
function startStaticPods(options: KubeletOptions, workers: PodWorkers): Promise<void> {
  const { runtime, host, scope, nodeName, staticPodDir } = options;
  if (staticPodDir === undefined) return Promise.resolve();
  const read = Promise.withResolvers<void>();
  const onPods = (found: readonly Pod[]): void => {
    workers.staticPods.sync(found);
    read.resolve();
  };
  const files = { runtime, host, dir: staticPodDir, nodeName };
  scope.task("static-pods", async (signal) => {
    await followStaticPods(files, onPods, signal);
    // A stop may come before the first look: nobody must wait for it.
    read.resolve();
  });
  return read.promise;
}

async function rotationLoop(
  { runtime, host, cri, settings }: KubeletContext,
  workers: PodWorkers,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = runtime;
  const limits = settings.containerLog;
  const reopen = async (containerId: string): Promise<void> => {
    await cri.runtime.reopenContainerLog({ containerId });
  };
  while (!signal.aborted) {
    await clock.sleep(limits.everyMs, signal);
    await rotateLogs({ host, clock, log, limits, reopen }, workers.logs());
  }
}

interface Found {
  readonly devices: DeviceManager;
  readonly rootDir: string;
  readonly allocatable: Readonly<Record<string, string>>;
  readonly memoryCapacityBytes: number;
  readonly conditions: () => readonly string[];
  readonly isShuttingDown: () => boolean;
  readonly onProbe: (uid: string) => void;
  readonly onObjects: (uids: Iterable<string>) => void;
  readonly onVolumesInUse: () => Promise<void>;
}

async function cgroupsOf({ runtime, host }: KubeletOptions): Promise<CgroupOptions> {
  const mountPoint = "/sys/fs/cgroup";
  const v2 = (await host.stat(`${mountPoint}/cgroup.controllers`, true)) !== undefined;
  const systemd = (await host.stat("/run/systemd/system", true))?.kind === "directory";
  return { host, log: runtime.log, clock: runtime.clock, mountPoint, v2, systemd: v2 && systemd };
}

async function usersOf(
  options: KubeletOptions,
  { rootDir, maxPods }: KubeletSettings,
): Promise<UserNamespaces> {
  const { signal } = options.scope;
  const users = new UserNamespaces({ ...options, rootDir, maxPods, signal });
  await users.load();
  return users;
}

async function contextOf(options: KubeletOptions, found: Found): Promise<KubeletContext> {
  const { runtime, host, client, cri, events } = options;
  const { rootDir, onProbe, onObjects } = found;
  const objects = new ObjectSource({ runtime, client, onChange: onObjects });
  const tokens = new ServiceAccountTokens(client, runtime);
  const resolvConf = await runtime.files.readText(options.resolvConf ?? "/etc/resolv.conf");
  const liveServices = options.live.of(services);
  const resources = new ResourceState(runtime, rootDir, options.scope.signal);
  await resources.load();
  const deviceHealth = new DeviceHealth(runtime.clock);
  const draDrivers = new DraDrivers({
    ...options,
    onHealth: (driver, told) => {
      if (deviceHealth.update(driver, told)) for (const uid of claims.usersOf(driver)) onProbe(uid);
    },
  });
  const claims = new PodClaims({ runtime, client, rootDir, drivers: draDrivers });
  await claims.store.load();
  const { settings = defaultSettings } = options;
  const users = await usersOf(options, settings);
  const onInUse = found.onVolumesInUse;
  const csi = createCsi({ ...options, objects, tokens, rootDir, onInUse });
  return {
    runtime,
    host,
    client,
    events,
    cri,
    policy: options.policy,
    cache: new CriCache(cri, host, runtime.log),
    images: new ImageManager(runtime, cri, options),
    objects,
    tokens,
    csi,
    volumes: new Volumes({ runtime, host, client, objects, tokens, rootDir, csi: csi.volumes }),
    prober: new Prober({ runtime, cri, events, onChange: onProbe }),
    resources,
    devices: found.devices,
    claims,
    draDrivers,
    deviceHealth,
    cgroups: await cgroupsOf(options),
    dns: {
      servers: options.clusterDns,
      domain: options.clusterDomain,
      host: parseResolvConf(resolvConf ?? ""),
    },
    nodeName: options.nodeName,
    nodeIps: options.nodeIps,
    rootDir,
    settings,
    users,
    logRoot: options.logRoot ?? "/var/log/pods",
    seccompRoot: `${rootDir}/seccomp`,
    pauseProfile: options.pauseProfile,
    memoryCapacityBytes: found.memoryCapacityBytes,
    allocatable: found.allocatable,
    conditions: found.conditions,
    isShuttingDown: found.isShuttingDown,
    signal: options.scope.signal,
    *services() {
      for (const entry of liveServices.list()) yield entry.object;
    },
  };
}

/** The label that names a sandbox's pod, for those who look into the runtime themselves. */
export const podUidLabel = criNames.podUid;
