/** The watches under way: how many a write will have to be told to, and what they were told. */
import type { ApiRequest, ResourceRef } from "../request.ts";
import { exactFieldOf } from "./exact-field.ts";
import type { DigestedResource } from "./rules.ts";

/** What is watched; a field selector may name the only object of interest. */
type Watched = Pick<ApiRequest, "resource" | "namespace" | "name" | "query">;

/** What is counted for all watches of one resource. */
export interface WatchTally {
  readonly resource: ResourceRef;
  open: number;
  events: number;
  /** Told of the bytes of each event that goes out. */
  readonly sized: (bytes: number) => void;
}

/** One watch as it is counted. */
export class CountedWatch {
  #isOpen = true;

  constructor(
    readonly tally: WatchTally,
    private readonly counts: Map<string, number>,
    /** Undefined for one that few writes are told to. */
    private readonly key: string | undefined,
  ) {
    tally.open += 1;
    if (key !== undefined) counts.set(key, (counts.get(key) ?? 0) + 1);
  }

  /** May be called more than once. */
  forget(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.tally.open -= 1;
    const { counts, key } = this;
    if (key === undefined) return;
    const left = (counts.get(key) ?? 0) - 1;
    if (left > 0) counts.set(key, left);
    else counts.delete(key);
  }
}

export class WatchCounts {
  readonly #counts = new Map<string, number>();
  readonly #tallies = new Map<string, WatchTally>();

  constructor(
    private readonly sizedOf: (resource: ResourceRef) => WatchTally["sized"] = () => () => {},
  ) {}

  get tallies(): Iterable<WatchTally> {
    return this.#tallies.values();
  }

  /** Counts a watch. */
  add(watched: Watched): CountedWatch {
    return new CountedWatch(this.#tallyOf(watched.resource), this.#counts, countedKeyOf(watched));
  }

  #tallyOf(resource: ResourceRef): WatchTally {
    const key = `${resource.group}/${resource.version}/${resource.plural}`;
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      tally = { resource, open: 0, events: 0, sized: this.sizedOf(resource) };
      this.#tallies.set(key, tally);
    }
    return tally;
  }

  /** Watches of everything, of the object's namespace and of the object itself. */
  interestedIn({ group, plural, namespace, name }: DigestedResource): number {
    const of = (inNamespace: string, named: string): number =>
      this.#counts.get(keyOf(group, plural, inNamespace, named)) ?? 0;
    return (
      of("", "") +
      (namespace === "" ? 0 : of(namespace, "")) +
      (name === "" ? 0 : of(namespace, name))
    );
  }
}

function keyOf(group: string, plural: string, namespace: string, name: string): string {
  return `${group}/${plural}/${namespace}/${name}`;
}

function countedKeyOf({ resource, namespace, name, query }: Watched): string | undefined {
  const { group, plural } = resource;
  // Changes of one pod reach few of the watches that follow a node's pods.
  if (plural === "pods" && (exactFieldOf(query, "spec.nodeName") ?? "") !== "") return undefined;
  const named = name === "" ? (exactFieldOf(query, "metadata.name") ?? "") : name;
  return keyOf(group, plural, namespace, named);
}
