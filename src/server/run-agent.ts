/** `k3 agent` from decoded options to a node of another machine's cluster; ends with its signal. */

import { type ClusterConfig, clusterConfigOf } from "../agent/join/cluster-config.ts";
import { type LoadBalancer, startLoadBalancer } from "../agent/join/load-balancer.ts";
import { type NodeCredentials, requestCredentials } from "../agent/join/node-credentials.ts";
import { ensureNodePassword } from "../agent/join/node-password.ts";
import { SupervisorClient } from "../agent/join/supervisor-client.ts";
import { TunnelClient } from "../agent/join/tunnel-client.ts";
import { createKubeletApp } from "../agent/kubelet-api.ts";
import { createAgentNode } from "../agent/node.ts";
import type { Client } from "../client/client.ts";
import { createHttpClient } from "../client/http-client.ts";
import {
  configMaps,
  endpointSlices,
  namespaces,
  networkPolicies,
  nodes,
  pods,
  services,
} from "../client/resources.ts";
import { familyOf } from "../lib/ip-range.ts";
import { createEventRecorder } from "../live/event-recorder.ts";
import { createClientLiveSets } from "../live/http-feed.ts";
import type { LiveSets } from "../live/live-set.ts";
import { parseToken } from "../pki/tokens.ts";
import { type Bundle, payloadFile, unpackBundle } from "../runtime/bundle.ts";
import { createExecutor } from "../runtime/executor.ts";
import { realHost } from "../runtime/host.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Component, Scope } from "../runtime/scope.ts";
import { componentKubeconfigText } from "./kubeconfig.ts";
import { startKubeletDoor } from "./kubelet-door.ts";
import type { AgentOptions } from "./options.ts";
import { nodeIpsOf } from "./own-address.ts";
import { ServiceManager } from "./service-manager.ts";
import { refuseSecondNode } from "./single.ts";
import { k3Version } from "./version.ts";

const limits = { retryMs: 5000, eventLagMs: 20, kubeletPort: 10250 } as const;

/** A kubelet may see what is its own; services, DNS and policies need more, as somebody else. */
const ofEverybody: ReadonlySet<string> = new Set(
  [configMaps, services, endpointSlices, namespaces, networkPolicies, nodes, pods].map(
    ({ plural }) => plural,
  ),
);

/** Resolves once `signal` aborts and all has stopped; pods stay. */
export async function runAgent(
  options: AgentOptions,
  runtime: Runtime,
  signal: AbortSignal,
): Promise<void> {
  refuseSecondNode("k3 agent");
  runtime.log.info(`Starting k3 agent ${k3Version}`, { server: options.server });
  const executor = createExecutor(runtime);
  const manager = new ServiceManager(runtime, process.env);
  const alive = new AbortController();
  const agent = new Agent(options, runtime, signal);
  try {
    await executor.start(agent.components());
    if (!signal.aborted) {
      runtime.log.info("k3 agent is up and running");
      manager.ready(alive.signal);
    }
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    manager.stopping();
  } finally {
    await executor[Symbol.asyncDispose]();
    alive.abort();
    runtime.log.info("k3 agent has stopped");
  }
}

/** What joining has brought. */
interface Joined {
  readonly config: ClusterConfig;
  readonly nodeIps: readonly string[];
  readonly credentials: NodeCredentials;
}

class Agent {
  #bundle: Bundle | undefined;
  #balancer: LoadBalancer | undefined;
  #joined: Joined | undefined;

  constructor(
    private readonly options: AgentOptions,
    private readonly runtime: Runtime,
    private readonly stop: AbortSignal,
  ) {}

  components(): readonly Component[] {
    const rows = [
      ["bundle", [], () => this.#unpack()],
      ["balancer", [], (scope) => this.#balance(scope)],
      ["join", ["balancer"], () => this.#join()],
      ["node", ["bundle", "join"], (scope) => this.#node(scope)],
    ] as const satisfies readonly (readonly [
      name: string,
      needs: readonly string[],
      start: (scope: Scope) => Promise<void>,
    ])[];
    const health = () => ({ ok: true }) as const;
    return rows.map(([name, needs, start]) => ({ name, needs, start, health }));
  }

  async #unpack(): Promise<void> {
    const payload = payloadFile();
    if (payload === undefined)
      throw new Error("Cannot find the bundled programs: build them with scripts/build");
    this.#bundle = await unpackBundle({ dataDir: this.options.dataDir, payload });
    process.env.PATH = `${this.#bundle.bin}:${process.env.PATH ?? ""}`;
  }

  async #balance(scope: Scope): Promise<void> {
    const { options, runtime } = this;
    this.#balancer = await startLoadBalancer({
      runtime,
      scope,
      port: options.balancerPort,
      serverUrl: options.server,
      stateFile: `${options.dataDir}/agent/etc/k3s-agent-load-balancer.json`,
    });
  }

  /** Asks until a server lets the node in: it may be starting, or its token be made right. */
  async #join(): Promise<void> {
    const { clock, log } = this.runtime;
    while (!this.stop.aborted) {
      try {
        this.#joined = await this.#joinOnce(need(this.#balancer));
        return;
      } catch (error) {
        const { server } = this.options;
        log.error("Cannot join the cluster, trying again", { server, error: messageOf(error) });
        await clock.sleep(limits.retryMs, this.stop);
      }
    }
  }

  async #joinOnce(balancer: LoadBalancer): Promise<Joined> {
    const { options, runtime } = this;
    const dir = `${options.dataDir}/agent`;
    const token = options.token === undefined ? undefined : parseToken(options.token);
    const client = token === undefined ? await this.#earlierIdentity(dir) : undefined;
    const supervisor = await SupervisorClient.open({ url: balancer.url, token, client }, runtime);
    const config = clusterConfigOf(await supervisor.get("/v1-k3s/config"));
    await balancer.update(JSON.parse(await supervisor.get("/v1-k3s/apiservers")) as string[]);
    const nodeIps = nodeIpsOf(options.nodeIps, config.clusterCidrs.map(familyOf));
    const credentials = await requestCredentials({
      runtime,
      supervisor,
      dir,
      nodeName: options.nodeName,
      nodeIps: [...nodeIps, ...options.nodeAddresses.externalIps],
      nodePassword: await ensureNodePassword(runtime),
    });
    await this.#writeKubeconfigs(dir, credentials, balancer.url);
    return { config, nodeIps, credentials };
  }

  async #earlierIdentity(dir: string) {
    const { files } = this.runtime;
    const cert = await files.readText(`${dir}/client-kubelet.crt`);
    const key = await files.readText(`${dir}/client-kubelet.key`);
    if (cert === undefined || key === undefined)
      throw new Error(`${dir} holds no certificate of an earlier time: a token is needed`);
    return { cert, key };
  }

  /** For K3s' tools: nothing in this process reads them. */
  async #writeKubeconfigs(dir: string, { pairs }: NodeCredentials, server: string): Promise<void> {
    const rows = [
      ["kubelet", "client-kubelet"],
      ["kubeproxy", "client-kube-proxy"],
      ["k3scontroller", "client-k3s-controller"],
    ] as const;
    for (const [file, name] of rows) {
      const authorityFile = `${dir}/server-ca.crt`;
      const text = componentKubeconfigText({ server, authorityFile, client: pairs[name] });
      await this.runtime.files.writeAtomic(`${dir}/${file}.kubeconfig`, text, 0o600);
    }
  }

  #clientOf(name: "client-kubelet" | "client-k3s-controller"): Client {
    const { serverCaPem: ca, pairs } = need(this.#joined).credentials;
    const { certPem: cert, keyPem: key } = pairs[name];
    const { runtime } = this;
    const userAgent = `k3-agent/${k3Version}`;
    return createHttpClient({
      server: need(this.#balancer).url,
      ca,
      cert,
      key,
      runtime,
      userAgent,
    });
  }

  async #node(scope: Scope): Promise<void> {
    // Joining ends without a result only when the agent is to stop.
    if (this.#joined === undefined) return;
    const { options, runtime } = this;
    const { config, nodeIps, credentials } = this.#joined;
    const client = this.#clientOf("client-kubelet");
    const controller = this.#clientOf("client-k3s-controller");
    const { signal } = scope;
    const ofNode = createClientLiveSets({ client, runtime, signal });
    const ofCluster = createClientLiveSets({ client: controller, runtime, signal });
    const tunnels = this.#tunnels(scope);
    this.#followServers(scope, ofCluster, (places) => tunnels?.follow(places));
    const events = createEventRecorder(
      client,
      runtime,
      "kubelet",
      options.nodeName,
      limits.eventLagMs,
    );
    const kubelet = await createAgentNode({
      ...options,
      runtime,
      host: realHost,
      scope,
      client,
      events,
      live: {
        of: (resource, more) => {
          const isOwn = more?.fieldSelector?.startsWith("spec.nodeName=") ?? false;
          const isShared = ofEverybody.has(resource.plural) && !isOwn;
          return (isShared ? ofCluster : ofNode).of(resource, more);
        },
      },
      bundle: need(this.#bundle),
      nodeIps,
      isServer: false,
      version: k3Version,
      flannel: config.flannel,
      clusterCidrs: config.clusterCidrs,
      serviceCidrs: config.serviceCidrs,
      clusterDns: config.clusterDns,
      clusterDomain: config.clusterDomain,
      runsProxy: !config.disableKubeProxy,
      enforcesPolicies: !config.disableNetworkPolicy,
      runsDns: !config.disable.has("coredns"),
      localPath: config.disable.has("local-storage")
        ? undefined
        : {
            client: controller,
            live: ofCluster,
            runtime,
            events: createEventRecorder(controller, runtime, "rancher.io/local-path", ""),
          },
    });
    const { certPem, keyPem } = credentials.pairs["serving-kubelet"];
    await startKubeletDoor({
      runtime,
      scope,
      client,
      app: createKubeletApp({ kubelet }),
      nodeName: options.nodeName,
      port: limits.kubeletPort,
      host: options.bindAddress === "" ? undefined : options.bindAddress,
      certificates: { certPem, keyPem, clientCaPem: credentials.clientCaPem },
    });
  }

  /** Undefined where the servers want none. */
  #tunnels(scope: Scope): TunnelClient | undefined {
    const { config, credentials } = need(this.#joined);
    if (config.egressSelectorMode === "disabled") return undefined;
    const { serverCaPem: ca, pairs } = credentials;
    const { certPem: cert, keyPem: key } = pairs["client-kubelet"];
    const { bindAddress } = this.options;
    const tunnels = new TunnelClient(
      {
        runtime: this.runtime,
        nearest: new URL(need(this.#balancer).url).host,
        tls: { ca, cert, key },
        kubelet: { host: bindAddress || "127.0.0.1", port: limits.kubeletPort },
      },
      scope.signal,
    );
    tunnels.follow([]);
    return tunnels;
  }

  /** Servers come and go: those that stand behind the kubernetes Service are ours. */
  #followServers(
    scope: Scope,
    live: LiveSets,
    onServers: (places: readonly string[]) => void,
  ): void {
    const { log } = this.runtime;
    const subscription = live.of(endpointSlices).subscribe(({ now }) => {
      const { metadata, endpoints = [], ports = [] } = now.object;
      const isOurs = metadata.namespace === "default" && metadata.name === "kubernetes";
      const addresses = endpoints.flatMap(({ addresses: ips }) => ips);
      const port = ports[0]?.port ?? 0;
      if (!isOurs || addresses.length === 0 || port === 0) return;
      const places = addresses.map((ip) => `${ip.includes(":") ? `[${ip}]` : ip}:${port}`);
      onServers(places);
      need(this.#balancer)
        .update(places)
        .catch((error: unknown) => log.warn("Cannot note the servers", { error: `${error}` }));
    });
    scope.defer(() => subscription[Symbol.dispose]());
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function need<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("A component was started before what it needs");
  return value;
}
