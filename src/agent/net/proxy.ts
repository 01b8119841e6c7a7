/** Keeps the kernel's service table equal to the cluster's services and endpoint slices. */
import { endpointSlices, services } from "../../client/resources.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Scope } from "../../runtime/scope.ts";
import { type NftTable, replaceScript, updateScript } from "./nft.ts";
import { type ProxyNode, planProxy, proxyTable } from "./proxy-plan.ts";
import { type ServicePortRow, servicePortRows } from "./service-ports.ts";
import { staleFlows } from "./stale-flows.ts";

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

/** Changes come in bursts: an update waits this long for its companions. */
const gatherMs = 20;
const retryMs = 1000;
/** Other programs flush the ruleset; the table is looked for this often. */
const checkEveryMs = 30_000;

interface Applied {
  readonly table: NftTable;
  readonly rows: readonly ServicePortRow[];
}

/** Begins to follow services; the first table stands once both lists are in. */
export function startProxy(context: ProxyContext): void {
  const { live, runtime, scope } = context;
  const serviceSet = live.of(services);
  const sliceSet = live.of(endpointSlices);
  const dirty = new Bell();
  const subscriptions = [
    serviceSet.subscribe(() => dirty.ring()),
    sliceSet.subscribe(() => dirty.ring()),
  ];
  scope.defer(() => {
    for (const subscription of subscriptions) subscription[Symbol.dispose]();
  });
  const onAbort = (): void => dirty.ring();
  scope.signal.addEventListener("abort", onAbort);
  scope.task("proxy", async (signal) => {
    await Promise.all([serviceSet.ready(signal), sliceSet.ready(signal)]);
    const node = { ...context, bridgeNetfilter: await hasBridgeNetfilter(runtime) };
    let applied: Applied | undefined;
    let lost = false;
    runtime.clock.every(checkEveryMs, signal, () => {
      void tableExists(runtime, signal).then((exists) => {
        lost ||= !exists;
        if (lost) dirty.ring();
      });
    });
    while (!signal.aborted) {
      const rows = servicePortRows(
        objectsOf(serviceSet.list()),
        objectsOf(sliceSet.list()),
        context.nodeName,
      );
      const before: Applied | undefined = lost ? undefined : applied;
      try {
        applied = await apply(runtime, before, rows, node, signal);
        lost = false;
        await dirty.rung();
        await runtime.clock.sleep(gatherMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        runtime.log.warn("The service table cannot be written, trying again", { error });
        applied = undefined;
        await runtime.clock.sleep(retryMs, signal);
      }
    }
  });
}

/** Removes all service rules; absent is fine. */
export async function removeProxyTable(runtime: Runtime): Promise<void> {
  const script = `add table ${proxyTable}\ndelete table ${proxyTable}\n`;
  await nft(runtime, script, new AbortController().signal);
}

async function apply(
  runtime: Runtime,
  before: Applied | undefined,
  rows: readonly ServicePortRow[],
  node: ProxyNode,
  signal: AbortSignal,
): Promise<Applied> {
  const table = planProxy(rows, node);
  const script =
    before === undefined
      ? replaceScript(proxyTable, table)
      : updateScript(proxyTable, before.table, table);
  if (script !== "") await nft(runtime, script, signal);
  await cutStaleFlows(runtime, before?.rows ?? [], rows, signal);
  return { table, rows };
}

async function nft(runtime: Runtime, script: string, signal: AbortSignal): Promise<void> {
  const result = await runtime.exec.run({ argv: ["nft", "-f", "-"], stdin: script }, signal);
  if (result.exitCode === 0) return;
  throw new Error(`nft refused the service table: ${result.stderr.trim().slice(0, 500)}`);
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

async function tableExists(runtime: Runtime, signal: AbortSignal): Promise<boolean> {
  try {
    const [family = "", name = ""] = proxyTable.split(" ");
    const command = { argv: ["nft", "list", "map", family, name, "service-ips"] } as const;
    return (await runtime.exec.run(command, signal)).exitCode === 0;
  } catch {
    return true; // aborted, or nft is missing: nothing that writing again would mend
  }
}

async function hasBridgeNetfilter(runtime: Runtime): Promise<boolean> {
  const path = "/proc/sys/net/bridge/bridge-nf-call-iptables";
  return (await runtime.files.readText(path))?.trim() === "1";
}

function* objectsOf<T>(items: Iterable<{ readonly object: T }>): Iterable<T> {
  for (const { object } of items) yield object;
}

/** Remembers that it was rung until somebody has waited for it. */
class Bell {
  #rings = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rings = true;
    this.#wake?.();
  }

  async rung(): Promise<void> {
    if (!this.#rings) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#rings = false;
    this.#wake = undefined;
  }
}
