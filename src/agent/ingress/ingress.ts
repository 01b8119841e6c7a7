/**
 * Ingress of this node: follows the cluster, tells the process that serves it what to do, and
 * tells the cluster where it listens. There is no process as long as there is no Ingress.
 */
import {
  endpointSlices,
  ingressClasses,
  ingresses,
  namespaces,
  secrets,
  services,
} from "../../client/resources.ts";
import { isReason } from "../../lib/api-error.ts";
import type { ControllerContext } from "../../live/controller.ts";
import type { LiveObject, LiveSet } from "../../live/live-set.ts";
import type { Host } from "../../runtime/host.ts";
import type { Scope } from "../../runtime/scope.ts";
import type { KubeObject } from "../../schema/object.ts";
import { ingressName, ingressNamespace } from "../../schema/served-ingress.ts";
import { portOwner } from "../port-owner.ts";
import { GatewaySets } from "./gateway-api/gateway-sets.ts";
import { type GatewayPlan, planGateways } from "./gateway-api/plan-gateways.ts";
import type { GatewayView } from "./gateway-api/view.ts";
import { statusWrites, writeStatus } from "./gateway-api/write-status.ts";
import { followHostPorts } from "./host-ports.ts";
import { IngressLink } from "./ingress-link.ts";
import { keepSlices } from "./ingress-slice.ts";
import { type IngressPlan, planIngress } from "./plan-ingress.ts";
import type { EntryPoint, IngressOrder, IngressReport } from "./route-table.ts";

export interface IngressOptions {
  /** What it acts with: the account `traefik`. */
  readonly context: ControllerContext;
  readonly scope: Scope;
  readonly host: Pick<Host, "list" | "readLink">;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly dataDir: string;
  readonly version: string;
  /** How k3 starts itself. */
  readonly command: readonly [string, ...string[]];
  /** False: others lead packets here, to ports that the kernel chooses. */
  readonly takesNodePorts: boolean;
}

type Ports = Readonly<Record<EntryPoint, number>>;

/** Changes come in bursts: an order waits this long for its companions. */
const gatherMs = 20;
const metricsMsMax = 2000;
const runDir = "/run/k3s/ingress";
const serviceLabel = "kubernetes.io/service-name";
const byService = "ingress-backends";
const fixedPorts: Ports = { web: 80, websecure: 443 };
const anyPorts: Ports = { web: 0, websecure: 0 };

const noGateways: GatewayView = {
  classes: [],
  gateways: [],
  httpRoutes: [],
  grpcRoutes: [],
  grants: [],
  addresses: [],
  namespaceLabels: () => undefined,
  service: () => undefined,
  slices: () => [],
  secret: () => undefined,
};

export interface Ingress {
  /** What the process counts, in Prometheus' text format; "" where none runs. */
  metrics(): Promise<string>;
}

export function startIngress(options: IngressOptions): Ingress {
  const keeper = new IngressKeeper(options);
  options.scope.task("ingress", (signal) => keeper.run(signal));
  return keeper;
}

class IngressKeeper implements Ingress {
  readonly #options: IngressOptions;
  readonly #link: IngressLink;
  readonly #ingresses;
  readonly #classes;
  readonly #services;
  readonly #slices;
  readonly #secrets;
  readonly #namespaces;
  readonly #gatewaySets: GatewaySets;
  #plan: IngressPlan = { routes: [], backends: [], certificates: [], problems: [] };
  #gateways: GatewayPlan = planGateways(noGateways);
  /** The Services and Secrets that the plan looked for, as `kind namespace/name`. */
  #used: ReadonlySet<string> = new Set();
  /** What was sent last, by the type of order. */
  readonly #sent = new Map<string, string>();
  #told: ReadonlySet<string> = new Set();
  #ports: Ports | undefined;
  /** Who waits for the process to tell its counts. */
  readonly #metrics = new Map<number, (text: string) => void>();
  #metricsId = 0;
  #isRung = true;
  #wake: (() => void) | undefined;
  #linked: { readonly end: AbortController; readonly done: Promise<void> } | undefined;

  constructor(options: IngressOptions) {
    const { context, scope, dataDir, command, version, takesNodePorts } = options;
    const { live, runtime } = context;
    this.#options = options;
    this.#ingresses = live.of(ingresses);
    this.#classes = live.of(ingressClasses);
    this.#services = live.of(services);
    this.#slices = live.of(endpointSlices);
    this.#secrets = live.of(secrets);
    this.#namespaces = live.of(namespaces);
    this.#gatewaySets = new GatewaySets(live, () => this.#ring());
    scope.defer(() => this.#gatewaySets[Symbol.dispose]());
    this.#slices.addIndex(byService, ({ metadata }) => [serviceOf(metadata)]);
    this.#link = new IngressLink({
      runtime,
      command,
      dataDir,
      runDir,
      settings: {
        version,
        // A wildcard of IPv6 takes both families; not every machine has it.
        host: options.nodeIps.some((ip) => ip.includes(":")) ? "::" : "0.0.0.0",
        ports: takesNodePorts ? fixedPorts : anyPorts,
        accessLog: `${dataDir}/agent/logs/ingress-access.log`,
      },
      orders: () => this.#orders(),
      onReport: (report) => this.#hear(report),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { context, takesNodePorts, scope, nodeName } = this.#options;
    this.#watch(this.#ingresses, () => true);
    this.#watch(this.#classes, () => true);
    this.#watch(this.#services, ({ key }) => this.#used.has(`Service ${key}`));
    this.#watch(this.#secrets, ({ key }) => this.#used.has(`Secret ${key}`));
    this.#watch(this.#slices, ({ object }) =>
      this.#used.has(`Service ${serviceOf(object.metadata)}`),
    );
    this.#watch(this.#namespaces, () => this.#gateways.gateways.length > 0);
    // Packets find the way here from the start where the ports are known.
    if (takesNodePorts) this.#ports = fixedPorts;
    const sets = [this.#ingresses, this.#classes, this.#services, this.#slices, this.#secrets];
    const all = [...sets, this.#namespaces, this.#gatewaySets];
    await Promise.all(all.map((set) => set.ready(signal)));
    if (takesNodePorts) {
      followHostPorts(context.live, nodeName, Object.values(fixedPorts), {
        scope,
        onConflict: (pod, port) => this.#tellConflict(port, `Pod ${pod}`),
      });
    }
    while (!signal.aborted) {
      this.#isRung = false;
      await this.#reconcile(signal);
      await this.#rung(signal);
      await context.runtime.clock.sleep(gatherMs, signal);
    }
    this.#linked?.end.abort();
    await this.#linked?.done;
  }

  #watch<T extends KubeObject>(
    set: LiveSet<T>,
    matters: (changed: LiveObject<T>) => boolean,
  ): void {
    const subscription = set.subscribe(({ now }) => {
      if (matters(now)) this.#ring();
    });
    this.#options.scope.defer(() => subscription[Symbol.dispose]());
  }

  #ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  async #rung(signal: AbortSignal): Promise<void> {
    if (this.#isRung || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#wake = undefined;
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    this.#replan();
    this.#tellProblems();
    await this.#keepSlice();
    await this.#tellGateways();
    const isNeeded = this.#plan.routes.length > 0 || this.#gateways.gateways.length > 0;
    if (!isNeeded) return await this.#unlink(signal);
    if (this.#linked === undefined) {
      this.#sent.clear();
      const end = new AbortController();
      const done = this.#link.run(AbortSignal.any([signal, end.signal]));
      this.#linked = { end, done };
    }
    for (const order of this.#orders()) {
      const text = JSON.stringify(order);
      if (this.#sent.get(order.type) === text) continue;
      this.#sent.set(order.type, text);
      this.#link.send(order);
    }
  }

  /** Nothing to serve: the process takes its leave, also one of a k3 before this. */
  async #unlink(signal: AbortSignal): Promise<void> {
    this.#linked?.end.abort();
    await this.#linked?.done;
    this.#linked = undefined;
    await this.#link.stop(signal);
  }

  /** What the process serves: Ingresses and routes of the Gateway API are one table. */
  #orders(): readonly IngressOrder[] {
    const { routes, backends, certificates } = this.#plan;
    const ofGateways = this.#gateways;
    const byName = new Map([...backends, ...ofGateways.backends].map((one) => [one.name, one]));
    return [
      { type: "certificates", certificates: [...certificates, ...ofGateways.certificates] },
      { type: "backends", backends: [...byName.values()] },
      { type: "routes", routes: [...routes, ...ofGateways.routes] },
    ];
  }

  #replan(): void {
    const used = new Set<string>();
    const view: Pick<GatewayView, "service" | "slices" | "secret"> = {
      service: (key) => {
        used.add(`Service ${key}`);
        return this.#services.get(key)?.object;
      },
      slices: (key) => Array.from(this.#slices.by(byService, key), ({ object }) => object),
      secret: (key) => {
        used.add(`Secret ${key}`);
        return this.#secrets.get(key)?.object;
      },
    };
    this.#used = used.add(`Service ${ingressNamespace}/${ingressName}`);
    this.#plan = planIngress({
      ...view,
      ingresses: Array.from(this.#ingresses.list(), ({ object }) => object),
      classes: Array.from(this.#classes.list(), ({ object }) => object),
    });
    const { status } = this.#services.get(`${ingressNamespace}/${ingressName}`)?.object ?? {};
    this.#gateways = planGateways({
      ...view,
      ...this.#gatewaySets.objects(),
      addresses: (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []),
      namespaceLabels: (name) => this.#namespaces.get(name)?.object.metadata.labels,
    });
  }

  /** Each object of the Gateway API learns what became of it; one that changed comes again. */
  async #tellGateways(): Promise<void> {
    const { client, runtime } = this.#options.context;
    const now = `${runtime.clock.now().toISOString().slice(0, 19)}Z`;
    for (const write of statusWrites(this.#gateways, now)) {
      try {
        await writeStatus(client, write);
      } catch (error) {
        if (isReason(error, "Conflict") || isReason(error, "NotFound")) continue;
        runtime.log.warn("The status of a Gateway or route could not be written", { error });
      }
    }
  }

  /** Each once, until it has gone and come again. */
  #tellProblems(): void {
    const { events } = this.#options.context;
    const told = new Set<string>();
    for (const { ingress, reason, message } of this.#plan.problems) {
      const key = `${ingress.metadata.uid} ${reason} ${message}`;
      if (!this.#told.has(key) && !told.has(key)) events.event(ingress, "Warning", reason, message);
      told.add(key);
    }
    this.#told = told;
  }

  #hear(report: IngressReport): void {
    switch (report.type) {
      case "listening":
        this.#ports = report.ports;
        this.#ring();
        break;
      case "refused":
        void this.#tellRefused(report.entryPoint, report.code);
        break;
      case "metrics":
        this.#metrics.get(report.id)?.(report.text);
    }
  }

  async #tellRefused(entryPoint: EntryPoint, code: string): Promise<void> {
    const { context, host } = this.#options;
    const { files, log } = context.runtime;
    const port = fixedPorts[entryPoint];
    log.warn("Ingress cannot listen", { entryPoint, code });
    const owner = code === "EADDRINUSE" ? await portOwner(host, files, port) : undefined;
    this.#tellConflict(port, owner ?? `somebody else (${code})`);
  }

  /** An event of the Service names who has the port that it should have. */
  #tellConflict(port: number, owner: string): void {
    const { context, nodeName } = this.#options;
    const service = this.#services.get(`${ingressNamespace}/${ingressName}`)?.object;
    if (service === undefined) return;
    const message = `port ${port}/TCP on node ${nodeName} is held by ${owner}`;
    context.events.event(service, "Warning", "PortConflict", message);
  }

  async metrics(): Promise<string> {
    const { clock } = this.#options.context.runtime;
    if (this.#linked === undefined) return "";
    const id = ++this.#metricsId;
    const given = new AbortController();
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#metrics.set(id, resolve);
    this.#link.send({ type: "metrics", id });
    const nothing = clock.sleep(metricsMsMax, given.signal).then(() => "");
    const text = await Promise.race([promise, nothing]);
    this.#metrics.delete(id);
    given.abort();
    return text;
  }

  async #keepSlice(): Promise<void> {
    const { context, nodeName, nodeIps } = this.#options;
    const service = this.#services.get(`${ingressNamespace}/${ingressName}`)?.object;
    if (service === undefined || this.#ports === undefined) return;
    try {
      await keepSlices(context.client, this.#slices, {
        service,
        nodeName,
        addresses: nodeIps,
        ports: this.#ports,
      });
    } catch (error) {
      // The next change tries again; what routes there are is more important.
      context.runtime.log.warn("The EndpointSlice of the ingress could not be written", { error });
    }
  }
}

function serviceOf(metadata: { readonly namespace?: string; readonly labels?: object }): string {
  const labels = (metadata.labels ?? {}) as Readonly<Record<string, string>>;
  return `${metadata.namespace}/${labels[serviceLabel] ?? ""}`;
}
