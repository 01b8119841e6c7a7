/** Keeps the kernel's service tables equal to the cluster's services and endpoint slices. */
import type { LiveSets } from "../../live/live-set.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import type { FamilyNetwork } from "./family-network.ts";
import { HealthCheckPorts, healthChecked } from "./health-check-ports.ts";
import { ProxyPlanner, proxyTable } from "./proxy-plan.ts";
import type { ServicePortRow } from "./service-ports.ts";
import { ServiceRows } from "./service-rows.ts";
import { staleFlows } from "./stale-flows.ts";
import { bridgeFilter } from "./switches.ts";
import { TableKeeper } from "./table-keeper.ts";

export interface ProxyContext {
  readonly runtime: Runtime;
  readonly live: LiveSets;
  readonly scope: Scope;
  readonly nodeName: string;
  /** One for each address family of the cluster. */
  readonly networks: readonly FamilyNetwork[];
  /** Whether this node answers the DNS addresses itself. */
  readonly servesDns: boolean;
  /** Whether pods leave the cluster under the node's IPv6 address; with IPv4 they always do. */
  readonly masqueradesIpv6: boolean;
}

/** Begins to follow services; the first tables stand once all lists are in. */
export function startProxy(context: ProxyContext): void {
  const { runtime, scope, networks } = context;
  const host = networks.some(({ family }) => family === "IPv6") ? "::" : "0.0.0.0";
  const healthPorts = new HealthCheckPorts(runtime, host);
  scope.defer(() => healthPorts.update([]));
  const families = networks.map((network) => new FamilyProxy(context, network));
  const onApplied = (): Promise<void> =>
    healthPorts.update(healthChecked(families.flatMap(({ applied }) => applied)));
  for (const family of families) family.start(onApplied);
}

/** The table of one address family. */
class FamilyProxy {
  /** What the kernel holds. */
  applied: readonly ServicePortRow[] = [];
  readonly #context: ProxyContext;
  readonly #network: FamilyNetwork;
  readonly #services: ServiceRows;

  constructor(context: ProxyContext, network: FamilyNetwork) {
    this.#context = context;
    this.#network = network;
    this.#services = new ServiceRows(context.live, context.nodeName, network.family);
  }

  start(onApplied: () => Promise<void>): void {
    const { runtime, scope } = this.#context;
    const { family } = this.#network;
    const services = this.#services;
    let planner = this.#planner(true);
    let planned: readonly ServicePortRow[] = [];
    const keeper = new TableKeeper({
      runtime,
      name: proxyTable(family),
      plan: () => {
        planned = services.all();
        return planner.plan(planned);
      },
      onApplied: async (signal) => {
        await cutStaleFlows(runtime, this.applied, planned, signal);
        this.applied = planned;
        await onApplied();
      },
    });
    const following = services.follow(() => keeper.ring());
    scope.defer(() => following[Symbol.dispose]());
    scope.task(`proxy-${family}`, async (signal) => {
      await services.ready(signal);
      const state = await runtime.files.readText(bridgeFilter[family]);
      planner = this.#planner(state?.trim() === "1");
      await keeper.run(signal);
    });
  }

  #planner(bridgeNetfilter: boolean): ProxyPlanner {
    const { family, clusterCidr, serviceCidr, dnsIp } = this.#network;
    const { servesDns, masqueradesIpv6 } = this.#context;
    return new ProxyPlanner({
      family,
      clusterCidr,
      serviceCidr,
      ownServiceIps: servesDns && dnsIp !== undefined ? [dnsIp] : [],
      bridgeNetfilter,
      masqueradesPods: family === "IPv4" || masqueradesIpv6,
    });
  }
}

async function cutStaleFlows(
  runtime: Runtime,
  before: readonly ServicePortRow[],
  after: readonly ServicePortRow[],
  signal: AbortSignal,
): Promise<void> {
  for (const flags of staleFlows(before, after)) {
    try {
      // Exit code 1 says that there was no such flow.
      await runtime.exec.run({ argv: ["conntrack", ...flags] }, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      runtime.log.debug("Stale UDP flows stay until they expire", { error });
      return;
    }
  }
}
