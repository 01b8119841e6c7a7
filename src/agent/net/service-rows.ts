/** The rows of all services of one address family, worked out again only for those that changed. */
import { endpointSlices, nodes, services } from "../../client/resources.ts";
import type { EndpointSlice } from "../../gen/discovery-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { IpFamily } from "../../lib/ip-range.ts";
import type { LiveSets } from "../../live/live-set.ts";
import {
  compareRows,
  mergeRows,
  type NodePlace,
  type ServicePortRow,
  servicePortRows,
} from "./service-ports.ts";

const byService = "proxy-service";
const zoneLabel = "topology.kubernetes.io/zone";

export class ServiceRows {
  readonly #rows = new Map<string, readonly ServicePortRow[]>();
  /** All of them in the order of their ids. */
  #sorted: readonly ServicePortRow[] = [];
  /** Keys of services whose rows are to be made anew. */
  readonly #stale = new Set<string>();
  readonly #live: LiveSets;
  readonly #nodeName: string;
  #place: NodePlace;

  constructor(live: LiveSets, nodeName: string, family: IpFamily) {
    this.#live = live;
    this.#nodeName = nodeName;
    this.#place = { name: nodeName, zone: "", family };
    live.of(endpointSlices).addIndex(byService, (slice) => [serviceKey(slice)]);
  }

  async ready(signal: AbortSignal): Promise<void> {
    const sets = [this.#live.of(services), this.#live.of(endpointSlices), this.#live.of(nodes)];
    await Promise.all(sets.map((set) => set.ready(signal)));
    this.#look();
    this.#staleAll();
  }

  /** Calls `onChange` after each change that matters, until disposed. */
  follow(onChange: () => void): Disposable {
    const touch = (key: string): void => {
      this.#stale.add(key);
      onChange();
    };
    const following = [
      this.#live.of(services).subscribe(({ now }) => touch(now.key)),
      this.#live.of(endpointSlices).subscribe(({ now }) => touch(serviceKey(now.object))),
      this.#live.of(nodes).subscribe(({ now }) => {
        if (now.key !== this.#nodeName || !this.#look()) return;
        this.#staleAll();
        onChange();
      }),
    ];
    return { [Symbol.dispose]: () => following.forEach((one) => void one[Symbol.dispose]()) };
  }

  /** In the order of their ids; rows that did not change are the same objects as before. */
  all(): readonly ServicePortRow[] {
    const gone = new Set<ServicePortRow>();
    const come: ServicePortRow[] = [];
    for (const key of this.#stale) {
      for (const row of this.#rows.get(key) ?? []) gone.add(row);
      const service = this.#live.of(services).get(key)?.object;
      if (service === undefined) {
        this.#rows.delete(key);
        continue;
      }
      const slices = [...this.#live.of(endpointSlices).by(byService, key)];
      const objects = slices.map(({ object }) => object);
      const rows = servicePortRows([service], objects, this.#place);
      this.#rows.set(key, rows);
      come.push(...rows);
    }
    this.#stale.clear();
    const kept = this.#sorted.filter((row) => !gone.has(row));
    this.#sorted = mergeRows(kept, come.sort(compareRows));
    return this.#sorted;
  }

  /** Reads this node's zone; whether it has changed. */
  #look(): boolean {
    const { labels } = this.#live.of(nodes).get(this.#nodeName)?.object.metadata ?? {};
    const zone = labels?.[zoneLabel] ?? "";
    const isNew = zone !== this.#place.zone;
    this.#place = { ...this.#place, zone };
    return isNew;
  }

  #staleAll(): void {
    for (const { key } of this.#live.of(services).list()) this.#stale.add(key);
  }
}

function serviceKey({ metadata }: DeepReadonly<EndpointSlice>): string {
  return `${metadata.namespace ?? ""}/${metadata.labels?.["kubernetes.io/service-name"] ?? ""}`;
}
