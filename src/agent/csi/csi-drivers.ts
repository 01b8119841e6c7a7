/** The CSI drivers that have registered on this node. */
import { csiDrivers } from "../../client/resources.ts";
import type { CSIDriver } from "../../gen/storage-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveSet, LiveSets } from "../../live/live-set.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Plugin, PluginHandler, Registered } from "../plugin-registry.ts";
import { CsiClient } from "./csi-client.ts";
import type { CsiNodeReport } from "./csi-node.ts";

export interface CsiDriversOptions {
  readonly runtime: Runtime;
  readonly live: LiveSets;
  readonly report: CsiNodeReport;
}

interface Driver {
  readonly version: readonly number[];
  readonly client: CsiClient;
}

const limits = { periodLookMs: 1_000 } as const;

export class CsiDrivers implements PluginHandler {
  readonly #options: CsiDriversOptions;
  readonly #drivers = new Map<string, Driver>();

  constructor(options: CsiDriversOptions) {
    this.#options = options;
  }

  /** Throws where no such driver has registered. */
  client(name: string): CsiClient {
    const known = this.#drivers.get(name)?.client;
    if (known !== undefined) return known;
    throw new Error(`driver name ${name} not found in the list of registered CSI drivers`);
  }

  /** What the administrator says of the driver; a driver needs no object. */
  async object(name: string, signal: AbortSignal): Promise<DeepReadonly<CSIDriver> | undefined> {
    const objects = this.#objects();
    await objects.ready(signal);
    return objects.get(name)?.object;
  }

  validate({ name, endpoint, versions }: Plugin): void {
    try {
      this.#versionOf("ValidatePlugin", name, versions);
    } catch (error) {
      const why = error instanceof Error ? error.message : `${error}`;
      const which = `CSI Driver ${name} at endpoint ${endpoint}`;
      throw new Error(`validation failed for ${which}: ${why}`);
    }
  }

  async register({ name, endpoint, versions }: Plugin): Promise<void> {
    const version = this.#versionOf("RegisterPlugin", name, versions);
    const client = new CsiClient(endpoint);
    this.#drivers.get(name)?.client.close();
    this.#drivers.set(name, { version, client });
    try {
      await this.#options.report.install(await client.nodeInfo(name));
    } catch (error) {
      await this.#remove(name).catch((failure: unknown) => {
        this.#options.runtime.log.warn("Cannot take a CSI driver back", { name, error: failure });
      });
      throw error;
    }
    this.#options.runtime.log.info("A CSI driver has registered", { name, endpoint });
  }

  async deregister({ name }: Registered): Promise<void> {
    await this.#remove(name);
  }

  async #remove(name: string): Promise<void> {
    this.#drivers.get(name)?.client.close();
    this.#drivers.delete(name);
    await this.#options.report.uninstall(name);
  }

  closeAll(): void {
    for (const { client } of this.#drivers.values()) client.close();
    this.#drivers.clear();
  }

  /** Asks drivers from time to time how many volumes the node can have, as their objects say. */
  async followLimits(signal: AbortSignal): Promise<void> {
    const { runtime } = this.#options;
    const askedMs = new Map<string, number>();
    while (!signal.aborted) {
      await runtime.clock.sleep(limits.periodLookMs, signal);
      const nowMs = runtime.clock.monotonicMs();
      for (const name of this.#drivers.keys()) {
        const period =
          this.#objects().get(name)?.object.spec.nodeAllocatableUpdatePeriodSeconds ?? 0;
        const lastMs = askedMs.get(name) ?? nowMs;
        if (!askedMs.has(name) || period === 0) askedMs.set(name, nowMs);
        if (period === 0 || nowMs - lastMs < period * 1000) continue;
        askedMs.set(name, nowMs);
        await this.refreshLimits(name);
      }
    }
  }

  /** A failure is only told: it is asked again. */
  async refreshLimits(name: string): Promise<void> {
    const { runtime, report } = this.#options;
    try {
      await report.update(await this.client(name).nodeInfo(name));
    } catch (error) {
      runtime.log.warn("Cannot update a CSI driver's limits", { name, error: `${error}` });
    }
  }

  /** Watched only where somebody asks. */
  #objects(): LiveSet<CSIDriver> {
    return this.#options.live.of(csiDrivers);
  }

  #versionOf(caller: string, name: string, versions: readonly string[]): readonly number[] {
    const failed = `kubernetes.io/csi: ${caller} for CSI driver "${name}" failed.`;
    if (versions.length === 0) {
      throw new Error(`${failed} Plugin returned an empty list for supported versions`);
    }
    const highest = highestVersion(versions);
    if (typeof highest === "string") {
      const listed = `[${versions.map((one) => JSON.stringify(one)).join(" ")}]`;
      throw new Error(
        `${failed} None of the versions specified ${listed} are supported. err=${highest}`,
      );
    }
    const known = this.#drivers.get(name)?.version;
    if (known !== undefined && compareVersions(known, highest) >= 0) {
      throw new Error(
        `${failed} Another driver with the same name is already registered with a higher ` +
          `supported version: "${known.join(".")}"`,
      );
    }
    return highest;
  }
}

/** The highest version of major 1, or why there is none. */
function highestVersion(versions: readonly string[]): readonly number[] | string {
  const parsed = versions
    .map((text) => /^\s*v?(\d+(?:\.\d+)+)/.exec(text)?.[1]?.split(".").map(Number))
    .filter((version) => version !== undefined && (version[0] ?? 0) <= 1)
    .map((version) => version ?? []);
  const highest = parsed.toSorted(compareVersions).at(-1);
  if (highest === undefined) {
    const listed = versions.join(" ");
    return `could not find a highest supported version from versions ([${listed}]) reported: <nil>`;
  }
  if (highest[0] === 1) return highest;
  return `highest supported version reported is ${highest.join(".")}, must be v1.x`;
}

function compareVersions(a: readonly number[], b: readonly number[]): number {
  for (let at = 0; at < Math.max(a.length, b.length); at += 1) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
