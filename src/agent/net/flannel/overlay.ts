/**
 * Lets the pods of all nodes reach each other, as flannel does: what a node tells of itself stands
 * in annotations of its Node, and every node turns those of the others into routes.
 */
import type { Client } from "../../../client/client.ts";
import { nodes } from "../../../client/resources.ts";
import type { Node } from "../../../gen/core-v1.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";
import { addressAt, familyOf, firstOf, type IpFamily } from "../../../lib/ip-range.ts";
import type { LiveSets } from "../../../live/live-set.ts";
import { networkInterfaces } from "../../../runtime/machine.ts";
import type { Runtime } from "../../../runtime/runtime.ts";
import type { Scope } from "../../../runtime/scope.ts";
import { routeProtocol } from "./backends.ts";
import { type NetConf, netConfText, parseNetConf, podMtu } from "./net-conf.ts";
import { type OverlayLink, prepareLink } from "./overlay-link.ts";
import {
  annotations,
  type Entry,
  entriesOf,
  parseForwards,
  parseNeighbours,
  parsePeers,
  parseRoutes,
  peersOf,
  planOverlay,
  podCidrsOf,
} from "./overlay-plan.ts";
import type { FlannelSettings, OverlayFiles } from "./settings.ts";

const limits = {
  retryMs: 2000,
  /** Routes that somebody else took away are put back after this. */
  checkMs: 60_000,
  linkMtuDefault: 1500,
  subnetFile: "/run/flannel/subnet.env",
} as const;

export interface OverlayOptions {
  readonly runtime: Runtime;
  readonly scope: Scope;
  readonly live: LiveSets;
  /** Acts as the node: it changes its own annotations. */
  readonly client: Client;
  readonly nodeName: string;
  readonly nodeIps: readonly string[];
  readonly externalIps: readonly string[];
  readonly clusterCidrs: readonly string[];
  /** `<data-dir>/agent/etc/flannel/net-conf.json`. */
  readonly confFile: string;
  readonly settings: FlannelSettings;
  readonly files: OverlayFiles;
  /** Told once it is known what addresses pods of this node get. */
  readonly onRange: (range: {
    readonly podCidrs: readonly string[];
    readonly mtu: number;
  }) => Promise<void>;
}

/** The overlay of one address family. */
interface Lane {
  readonly family: IpFamily;
  readonly podCidr: string;
  readonly localIp: string;
  readonly link: OverlayLink;
}

/** What the kernel must hold for one family. */
interface LaneEntries {
  readonly family: IpFamily;
  readonly dev: string;
  readonly wanted: readonly Entry[];
}

/** Begins to build the overlay; nothing of a start waits for it. */
export function startOverlay(options: OverlayOptions): void {
  const overlay = new Overlay(options);
  options.scope.task("overlay", (signal) => overlay.run(signal));
}

class Overlay {
  readonly #options: OverlayOptions;
  /** Counts the changes of nodes: one that comes during work is not to be missed. */
  #changes = 0;
  #wake: () => void = () => {};

  constructor(options: OverlayOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { live, runtime, scope } = this.#options;
    const set = live.of(nodes);
    const subscription = set.subscribe(() => {
      this.#changes += 1;
      this.#wake();
    });
    scope.defer(() => subscription[Symbol.dispose]());
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    await set.ready(signal);
    while (!signal.aborted) {
      try {
        await this.#follow(await this.#ownRanges(signal), signal);
      } catch (error) {
        if (signal.aborted) return;
        const { backend } = this.#options.settings;
        runtime.log.warn("Pods of other nodes cannot be reached yet", { backend, error });
        await runtime.clock.sleep(limits.retryMs, signal);
      }
    }
  }

  /** The node's parts of the cluster's addresses, once the control plane has given it some. */
  async #ownRanges(signal: AbortSignal): Promise<readonly string[]> {
    const { live, nodeName } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const seen = this.#changes;
      const ranges = podCidrsOf(live.of(nodes).get(nodeName)?.object);
      if (ranges.length > 0) return ranges;
      await this.#rung(seen, signal);
    }
  }

  /** Resolves once there are more changes than `seen`, or at the end. */
  async #rung(seen: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#changes !== seen) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = () => {};
  }

  /** Ends when the node was made anew and has got other addresses. */
  async #follow(podCidrs: readonly string[], signal: AbortSignal): Promise<void> {
    const conf = await this.#conf();
    const lanes = await this.#lanes(conf, podCidrs, signal);
    const applied = new Map<IpFamily, string>();
    while ((await this.#ownRanges(signal)).join() === podCidrs.join()) {
      const seen = this.#changes;
      await this.#annotate(conf, lanes);
      let hasPeers = false;
      for (const { family, link } of lanes) {
        const { type } = conf;
        const peers = peersOf(this.#nodes(), this.#options.nodeName, { type, family });
        hasPeers ||= peers.length > 0;
        const wanted = entriesOf(conf, peers, link.name);
        if (JSON.stringify(wanted) === applied.get(family)) continue;
        await this.#apply(conf, { family, dev: link.name, wanted }, signal);
        applied.set(family, JSON.stringify(wanted));
      }
      const isLate = await this.#changed(seen, hasPeers, signal);
      if (isLate) applied.clear();
    }
  }

  /** Tells what addresses pods get, and builds the links that lead to other nodes. */
  async #lanes(
    conf: NetConf,
    podCidrs: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly Lane[]> {
    const { runtime, nodeIps, files } = this.#options;
    const carried = podCidrs.filter((cidr) => conf.networks[familyOf(cidr)] !== undefined);
    const places = carried.map((podCidr) => {
      const family = familyOf(podCidr);
      return { podCidr, family, ...placeOf(nodeIps, files.iface, family) };
    });
    const mtus = await Promise.all(
      places.map(async ({ iface, family }) => podMtu(conf, await linkMtu(runtime, iface), family)),
    );
    const mtu = Math.min(...mtus);
    await this.#tellRange(conf, carried, mtu);
    const lanes: Lane[] = [];
    for (const place of places) {
      const link = await prepareLink({ ...place, runtime, conf, mtu }, signal);
      lanes.push({ ...place, link });
    }
    return lanes;
  }

  /** Resolves with true when nothing has changed for so long that the kernel is worth a look. */
  async #changed(seen: number, hasPeers: boolean, signal: AbortSignal): Promise<boolean> {
    const over = new AbortController();
    const { clock } = this.#options.runtime;
    const both = AbortSignal.any([signal, over.signal]);
    const late = hasPeers
      ? clock.sleep(limits.checkMs, both).then(() => !both.aborted)
      : new Promise<boolean>(() => {});
    const isLate = await Promise.race([late, this.#rung(seen, signal).then(() => false)]);
    over.abort();
    return isLate;
  }

  *#nodes(): Iterable<DeepReadonly<Node>> {
    for (const { object } of this.#options.live.of(nodes).list()) yield object;
  }

  async #conf(): Promise<NetConf> {
    const { runtime, settings, files, clusterCidrs, confFile } = this.#options;
    const { backend } = settings;
    if (backend === "none") throw new Error("an overlay of no backend is none");
    const given = files.confFile;
    const text =
      given === undefined
        ? netConfText(backend, clusterCidrs)
        : await runtime.files.readText(given);
    if (text === undefined) throw new Error(`${given} cannot be read`);
    await runtime.files.mkdir(confFile.slice(0, confFile.lastIndexOf("/")), 0o755);
    if ((await runtime.files.readText(confFile)) !== text)
      await runtime.files.writeAtomic(confFile, text, 0o644);
    return parseNetConf(text, clusterCidrs);
  }

  /** For the CNI configuration, and in flannel's file for its CNI plugin. */
  async #tellRange(conf: NetConf, podCidrs: readonly string[], mtu: number): Promise<void> {
    const { runtime, onRange } = this.#options;
    await onRange({ podCidrs, mtu });
    const lines = podCidrs.flatMap((cidr) => {
      const family = familyOf(cidr);
      const prefix = family === "IPv4" ? "FLANNEL" : "FLANNEL_IPV6";
      const subnet = `${addressAt(cidr, 1)}${cidr.slice(cidr.indexOf("/"))}`;
      return [`${prefix}_NETWORK=${conf.networks[family]}`, `${prefix}_SUBNET=${subnet}`];
    });
    const text = [...lines, `FLANNEL_MTU=${mtu}`, "FLANNEL_IPMASQ=true", ""].join("\n");
    await runtime.files.mkdir("/run/flannel", 0o755);
    await runtime.files.writeAtomic(limits.subnetFile, text, 0o644);
  }

  async #annotate(conf: NetConf, lanes: readonly Lane[]): Promise<void> {
    const { client, live, nodeName, settings, externalIps } = this.#options;
    const told = live.of(nodes).get(nodeName)?.object.metadata.annotations ?? {};
    const wanted: Record<string, string> = {
      [annotations.managed]: "true",
      [annotations.type]: conf.type,
    };
    for (const { family, link, localIp } of lanes) {
      const keys = annotations[family];
      const given = settings.usesExternalIp ? firstOf(externalIps, family) : undefined;
      if (given !== undefined) wanted[keys.publicIpGiven] = given;
      wanted[keys.data] = link.backendData;
      wanted[keys.publicIp] = given ?? told[keys.publicIpGiven] ?? localIp;
    }
    if (Object.entries(wanted).every(([key, value]) => told[key] === value)) return;
    await client.patch(nodes, "", nodeName, "merge", { metadata: { annotations: wanted } });
  }

  async #apply(
    conf: NetConf,
    { family, dev, wanted }: LaneEntries,
    signal: AbortSignal,
  ): Promise<void> {
    const { exec } = this.#options.runtime;
    const read = async (...argv: [string, ...string[]]): Promise<string> => {
      const { exitCode, stdout, stderr } = await exec.run({ argv }, signal);
      if (exitCode !== 0) throw new Error(`${argv.join(" ")} failed: ${stderr.trim()}`);
      return stdout;
    };
    const ip = ["ip", family === "IPv4" ? "-4" : "-6", "-j"] as const;
    const actual = [...parseRoutes(await read(...ip, "route", "show", "proto", routeProtocol))];
    if (conf.type === "vxlan") {
      const permanent = ["dev", dev, "nud", "permanent"];
      actual.push(...parseNeighbours(await read(...ip, "neighbor", "show", ...permanent)));
      actual.push(...parseForwards(await read("bridge", "-j", "fdb", "show", "dev", dev)));
    }
    if (conf.type === "wireguard")
      actual.push(...parsePeers(await read("wg", "show", dev, "dump")));
    const steps = planOverlay(conf, dev, { wanted, actual });
    for (const tool of ["bridge", "ip"] as const) {
      if (steps[tool].length === 0) continue;
      // What is gone already needs no second end: the rest is done all the same.
      const argv = [tool, "-force", "-batch", "-"] as const;
      const stdin = `${steps[tool].join("\n")}\n`;
      const { exitCode, stderr } = await exec.run({ argv, stdin }, signal);
      if (exitCode !== 0) throw new Error(`${tool} refused a part: ${stderr.trim().slice(0, 500)}`);
    }
    for (const words of steps.wg) await read("wg", ...words);
  }
}

/** The link that leads to the other nodes, and this node's address on it. */
function placeOf(nodeIps: readonly string[], iface: string | undefined, wanted: IpFamily) {
  const nodeIp = firstOf(nodeIps, wanted);
  for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
    const found = addresses.find(({ address, family }) =>
      iface === undefined
        ? address === nodeIp
        : name === iface && family === wanted && !/^fe[89ab]/i.test(address),
    );
    if (found !== undefined) return { iface: name, localIp: found.address };
  }
  const what = iface === undefined ? `the address ${nodeIp}` : `the name ${iface}`;
  throw new Error(`no link of this machine has ${what} (${wanted})`);
}

async function linkMtu({ files }: Runtime, iface: string): Promise<number> {
  const text = await files.readText(`/sys/class/net/${iface}/mtu`);
  return text === undefined ? limits.linkMtuDefault : Number(text.trim());
}
