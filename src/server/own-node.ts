/** The node that a server is itself, unless it was told not to be one. */

import { type Ingress, startIngress } from "../agent/ingress/ingress.ts";
import { ensureNodePassword } from "../agent/join/node-password.ts";
import { createKubeletApp, type KubeletApp } from "../agent/kubelet-api.ts";
import { createAgentNode } from "../agent/node.ts";
import { contextAs } from "../controllers/acting-as.ts";
import type { ControllerContext } from "../live/controller.ts";
import type { Bundle } from "../runtime/bundle.ts";
import { realHost } from "../runtime/host.ts";
import { ownCommand } from "../runtime/machine.ts";
import type { Scope } from "../runtime/scope.ts";
import { ingressControllerName } from "../schema/served-ingress.ts";
import type { DoorCertificates, FrontDoor } from "./front-door.ts";
import { ensureGatewayApi } from "./gateway-api/ensure.ts";
import { ingressAccount } from "./ingress-objects.ts";
import { startKubeletDoor } from "./kubelet-door.ts";
import { localPathAccount } from "./local-storage.ts";
import { NodePasswords } from "./node-passwords.ts";
import type { ServerOptions } from "./options.ts";
import { k3Version } from "./version.ts";

const kubeletPort = 10250;

export interface OwnNodeOptions {
  readonly options: ServerOptions;
  readonly nodeIps: readonly string[];
  /** Acts as the kubelet. */
  readonly context: ControllerContext;
  readonly scope: Scope;
  readonly bundle: Bundle;
  /** Of the kubelet's port. */
  readonly certificates: DoorCertificates;
}

/** Starts the kubelet and what serves its pods, then the kubelet's own port. */
export async function startOwnNode(
  of: OwnNodeOptions,
): Promise<{ app: KubeletApp; door: FrontDoor }> {
  const { options, context, scope } = of;
  const kubelet = await createAgentNode({
    ...context,
    scope,
    host: realHost,
    bundle: of.bundle,
    dataDir: options.dataDir,
    nodeName: options.nodeName,
    nodeIps: of.nodeIps,
    nodeAddresses: options.nodeAddresses,
    resolvConf: options.resolvConf,
    flannel: options.flannel,
    overlay: options.overlay,
    kubelet: options.kubelet,
    credentialProviders: options.credentialProviders,
    nodeLabels: options.nodeLabels,
    nodeTaints: options.nodeTaints,
    isServer: true,
    version: k3Version,
    pauseImage: options.pauseImage,
    registries: options.registries,
    clusterCidrs: options.clusterCidrs,
    serviceCidrs: options.serviceCidrs,
    clusterDns: options.clusterDns,
    clusterDomain: options.clusterDomain,
    runsProxy: !options.disableKubeProxy,
    enforcesPolicies: !options.disableNetworkPolicy,
    runsDns: !options.disable.has("coredns"),
    localPath: options.disable.has("local-storage") ? undefined : localPathContext(context),
  });
  // Whoever serves Ingresses reads Secrets of everybody: servers only.
  const ingress = options.disable.has("traefik") ? undefined : startOwnIngress(of);
  const app = createKubeletApp({ kubelet, ...(ingress === undefined ? {} : { ingress }) });
  const door = await startKubeletDoor({
    runtime: context.runtime,
    scope,
    client: context.client,
    app,
    nodeName: options.nodeName,
    port: kubeletPort,
    host: options.bindAddress === "" ? undefined : options.bindAddress,
    certificates: of.certificates,
  });
  scope.task("node-password", () => claimName(context, options.nodeName));
  return { app, door };
}

/** No other machine may call itself as this one does. */
async function claimName({ client, runtime }: ControllerContext, nodeName: string): Promise<void> {
  const password = await ensureNodePassword(runtime);
  await new NodePasswords(client, runtime.random).claim(nodeName, password);
}

function startOwnIngress({ options, context, scope, nodeIps }: OwnNodeOptions): Ingress {
  const { client, live, runtime } = context;
  const { nodeName } = options;
  const of = { client, live, clock: runtime.clock, nodeName };
  scope.task("gateway-api", (signal) => ensureGatewayApi(of, signal));
  return startIngress({
    context: contextAs({ client, live, runtime }, ingressAccount, ingressControllerName),
    scope,
    host: realHost,
    nodeName,
    nodeIps,
    dataDir: options.dataDir,
    version: k3Version,
    command: ownCommand(),
    takesNodePorts: !options.disable.has("servicelb"),
  });
}

function localPathContext({ client, live, runtime }: ControllerContext): ControllerContext {
  return contextAs({ client, live, runtime }, localPathAccount, "rancher.io/local-path");
}
