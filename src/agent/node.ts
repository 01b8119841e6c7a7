/** What every node runs: containerd, pod network, kubelet, service proxy and DNS. */

import type { Client } from "../client/client.ts";
import { familyOf } from "../lib/ip-range.ts";
import type { ControllerContext } from "../live/controller.ts";
import type { EventRecorder } from "../live/events.ts";
import type { LiveSets } from "../live/live-set.ts";
import { runController } from "../live/run-controller.ts";
import type { Host } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Scope } from "../runtime/scope.ts";
import { type Containerd, startContainerd } from "./containerd.ts";
import { type CredentialProviderFiles, readProviders } from "./credentials/credential-providers.ts";
import { type CriClient, openCri } from "./cri/client.ts";
import { startDns } from "./dns/dns-server.ts";
import { startHealthPort } from "./health-port.ts";
import { ensureArchive, ImageImporter } from "./image-import.ts";
import { type Kubelet, startKubelet } from "./kubelet/kubelet.ts";
import type { KubeletSettings } from "./kubelet/kubelet-settings.ts";
import type { NodeIdentity } from "./kubelet/node-object.ts";
import { parseTaint } from "./kubelet/taint.ts";
import { nodeDirectories } from "./local-path/node-directories.ts";
import { createLocalPathProvisioner } from "./local-path/provisioner.ts";
import { cniFileName, cniNetworkName, writeCniConfig } from "./net/cni.ts";
import { familyNetworks } from "./net/family-network.ts";
import { startOverlay } from "./net/flannel/overlay.ts";
import type { FlannelSettings, OverlayFiles } from "./net/flannel/settings.ts";
import { prepareNodeNetwork } from "./net/node-network.ts";
import { startPolicy } from "./net/policy.ts";
import { startProxy } from "./net/proxy.ts";
import { switchLedger } from "./net/switches.ts";
import { sweepOrphans } from "./orphans.ts";
import { type RegistriesOptions, startRegistries } from "./registries/registries.ts";

export interface AgentNodeOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly scope: Scope;
  readonly client: Client;
  readonly live: LiveSets;
  readonly events: EventRecorder;
  /** Where the bundled programs were unpacked. */
  readonly bundle: { readonly bin: string; readonly cni: string; readonly images: string };
  readonly dataDir: string;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly nodeAddresses: NodeIdentity["addresses"];
  /** Undefined: the host's own. */
  readonly resolvConf: string | undefined;
  readonly flannel: FlannelSettings;
  readonly overlay: OverlayFiles;
  readonly kubelet: KubeletSettings;
  readonly credentialProviders: CredentialProviderFiles;
  readonly nodeLabels: Readonly<Record<string, string>>;
  /** `key=value:Effect` as given on the command line. */
  readonly nodeTaints: readonly string[];
  readonly isServer: boolean;
  readonly version: string;
  readonly pauseImage: string;
  readonly registries: Pick<RegistriesOptions, "file" | "noDefaultEndpoint">;
  readonly clusterCidrs: readonly string[];
  readonly serviceCidrs: readonly string[];
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly runsProxy: boolean;
  readonly enforcesPolicies: boolean;
  readonly runsDns: boolean;
  /** What the provisioner of local volumes acts with; undefined for a cluster without. */
  readonly localPath: ControllerContext | undefined;
}

const dnsMetricsPort = 9153;
const containerdAwayMsMax = 20_000;
const containerdPollMs = 200;
const leaseDir = "/var/lib/cni/networks";

/** Resolves once the node is registered; the scope's end stops all but the pods. */
export async function createAgentNode(options: AgentNodeOptions): Promise<Kubelet> {
  const { runtime, host, scope, bundle, dataDir } = options;
  const containerd = await startGround(options);
  const cri = openCri(containerd.socketPath);
  const images = {
    runtime,
    host,
    socketPath: containerd.socketPath,
    binDir: bundle.bin,
    dataDir,
    cri,
  };
  await ensureSandboxImage(options, images);
  const importer = new ImageImporter(images);
  importer.start(scope);
  await startNodeServices(options);
  followOrphans(options, containerd, cri);
  const { live, nodeName } = options;
  const policy = options.enforcesPolicies
    ? startPolicy({ runtime, live, scope, nodeName, families: options.clusterCidrs.map(familyOf) })
    : undefined;
  const kubelet = await startKubelet({
    policy,
    pauseProfile: containerd.pauseProfile,
    imports: importer,
    credentials: await readProviders(runtime, options.credentialProviders),
    imageDir: `${dataDir}/agent/containerd`,
    staticPodDir: `${dataDir}/agent/pod-manifests`,
    criSocket: `unix://${containerd.socketPath}`,
    runtime,
    host,
    scope,
    client: options.client,
    live: options.live,
    events: options.events,
    cri,
    nodeName: options.nodeName,
    nodeIps: options.nodeIps,
    nodeAddresses: options.nodeAddresses,
    ...(options.resolvConf === undefined ? {} : { resolvConf: options.resolvConf }),
    settings: options.kubelet,
    servesPlugins: true,
    isServer: options.isServer,
    kubeletVersion: options.version,
    clusterDns: options.clusterDns,
    clusterDomain: options.clusterDomain,
    nodeLabels: options.nodeLabels,
    nodeTaints: options.nodeTaints.map(parseTaint),
  });
  if (options.localPath !== undefined) {
    const context = options.localPath;
    const means = nodeDirectories(host, nodeName);
    const provisioner = createLocalPathProvisioner({ context, means });
    scope.task(provisioner.name, (signal) => runController(provisioner, context, signal));
  }
  await startHealthPort({ runtime, scope, port: 10248, problem: () => kubelet.problem() });
  return kubelet;
}

/** What pods stand on: containerd, told of networks and registries, and the node's own network. */
async function startGround(options: AgentNodeOptions): Promise<Containerd> {
  const { runtime, host, scope, bundle, dataDir } = options;
  const [containerd] = await Promise.all([
    startContainerd({
      runtime,
      host,
      scope,
      dataDir,
      binDir: bundle.bin,
      cniBinDir: bundle.cni,
      pauseImage: options.pauseImage,
    }),
    startPodNetwork(options),
    startRegistries({
      ...options.registries,
      runtime,
      scope,
      hostsDir: `${dataDir}/agent/etc/containerd/certs.d`,
    }),
    prepareNodeNetwork(
      runtime,
      {
        networks: familyNetworks(options),
        switchLedger,
      },
      scope.signal,
    ),
  ]);
  return containerd;
}

/** containerd may end between its start and its first use; its supervisor starts it again. */
async function ensureSandboxImage(
  { runtime, scope, bundle, pauseImage }: AgentNodeOptions,
  images: Parameters<typeof ensureArchive>[0],
): Promise<void> {
  const { clock, log } = runtime;
  const deadline = clock.monotonicMs() + containerdAwayMsMax;
  for (;;) {
    try {
      return await ensureArchive(images, pauseImage, `${bundle.images}/pause.tar`, scope.signal);
    } catch (error) {
      if (scope.signal.aborted || clock.monotonicMs() > deadline) throw error;
      log.warn("containerd does not take the sandbox image yet", { error });
      await clock.sleep(containerdPollMs, scope.signal);
    }
  }
}

/**
 * The overlay tells which addresses pods get; until then there is no CNI configuration, unless one
 * is there from an earlier start. With no backend another network puts its own in the folder.
 */
async function startPodNetwork(options: AgentNodeOptions): Promise<void> {
  const { runtime, scope, live, client, nodeName, dataDir, flannel, overlay } = options;
  const dir = `${dataDir}/agent/etc/cni/net.d`;
  if (flannel.backend === "none") return await runtime.files.remove(`${dir}/${cniFileName}`);
  startOverlay({
    runtime,
    scope,
    live,
    client,
    nodeName,
    nodeIps: options.nodeIps,
    externalIps: options.nodeAddresses.externalIps,
    clusterCidrs: options.clusterCidrs,
    confFile: `${dataDir}/agent/etc/flannel/net-conf.json`,
    settings: flannel,
    files: overlay,
    onRange: ({ podCidrs, mtu }) =>
      writeCniConfig(runtime, { dir, podCidrs, leaseDir, mtu, given: overlay.cniConfFile }),
  });
}

/** Removes what a killed containerd has left without knowing of it. */
function followOrphans(options: AgentNodeOptions, containerd: Containerd, cri: CriClient): void {
  const { runtime, host, scope, bundle, dataDir } = options;
  const places = {
    binDir: bundle.bin,
    cniBinDir: bundle.cni,
    cniConfigPath: `${dataDir}/agent/etc/cni/net.d/${cniFileName}`,
    leaseDir: `${leaseDir}/${cniNetworkName}`,
    stateDir: containerd.stateDir,
  };
  const all = { ...places, runtime, host, cri, runtimePid: containerd.pid };
  scope.task("orphans", (signal) => sweepOrphans(all, signal));
}

/** DNS and the service proxy: what pods of this node reach services by. */
async function startNodeServices(options: AgentNodeOptions): Promise<void> {
  const { runtime, live, scope } = options;
  if (options.runsDns) {
    await startDns({
      runtime,
      live,
      events: options.events,
      scope,
      addresses: options.clusterDns,
      metricsPort: dnsMetricsPort,
      domain: options.clusterDomain,
      ...(options.resolvConf === undefined ? {} : { resolvConfs: [options.resolvConf] }),
    });
  }
  if (options.runsProxy) {
    startProxy({
      runtime,
      live,
      scope,
      nodeName: options.nodeName,
      networks: familyNetworks(options),
      servesDns: options.runsDns,
      masqueradesIpv6: options.flannel.masqueradesIpv6,
    });
  }
}
