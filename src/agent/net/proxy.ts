/** Keeps the kernel's service table equal to the cluster's services and endpoint slices. */
import type { LiveSets } from "../../live/live-set.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import { HealthCheckPorts, healthChecked } from "./health-check-ports.ts";
import { ProxyPlanner, proxyTable } from "./proxy-plan.ts";
import type { ServicePortRow } from "./service-ports.ts";
import { ServiceRows } from "./service-rows.ts";
import { staleFlows } from "./stale-flows.ts";
import { TableKeeper } from "./table-keeper.ts";

export interface ProxyContext {
  readonly runtime: Runtime;
  readonly live: LiveSets;
  readonly scope: Scope;
  readonly nodeName: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  /** Service addresses that this node answers itself, for example the DNS. */
  readonly ownServiceIps: readonly string[];
}

/** Begins to follow services; the first table stands once all lists are in. */
export function startProxy(context: ProxyContext): void {
  const { live, runtime, scope } = context;
  const services = new ServiceRows(live, context.nodeName);
  let planner = new ProxyPlanner({ ...context, bridgeNetfilter: true });
  let planned: readonly ServicePortRow[] = [];
  const healthPorts = new HealthCheckPorts(runtime);
  scope.defer(() => healthPorts.update([]));
  let applied: readonly ServicePortRow[] = [];
  const keeper = new TableKeeper({
    runtime,
    name: proxyTable,
    plan: () => {
      planned = services.all();
      return planner.plan(planned);
    },
    onApplied: async (signal) => {
      await cutStaleFlows(runtime, applied, planned, signal);
      applied = planned;
      await healthPorts.update(healthChecked(planned));
    },
  });
  const following = services.follow(() => keeper.ring());
  scope.defer(() => following[Symbol.dispose]());
  scope.task("proxy", async (signal) => {
    await services.ready(signal);
    const bridgeNetfilter = await hasBridgeNetfilter(runtime);
    planner = new ProxyPlanner({ ...context, bridgeNetfilter });
    await keeper.run(signal);
  });
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

async function hasBridgeNetfilter(runtime: Runtime): Promise<boolean> {
  const path = "/proc/sys/net/bridge/bridge-nf-call-iptables";
  return (await runtime.files.readText(path))?.trim() === "1";
}
