/**
 * All priority levels and the schemas that lead to them: takes over configuration as a whole, and
 * every few seconds moves seats from levels that do not need them to those that do.
 */
import type { FlowSchema } from "../../gen/flowcontrol-v1.ts";
import { assert } from "../../lib/assert.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { Clock } from "../../runtime/runtime.ts";
import { allocate } from "./allocation.ts";
import { mandatoryFlowSchemas, mandatoryPriorityLevels } from "./bootstrap-objects.ts";
import {
  type LiveLevel,
  limitingOf,
  PriorityLevel,
  seatLimitsOf,
  sharesOf,
} from "./priority-level.ts";
import type { Limiting } from "./queue-set.ts";
import { matches, type RequestDigest } from "./rules.ts";

export type LiveSchema = DeepReadonly<FlowSchema>;

export interface Classified {
  readonly schema: LiveSchema;
  readonly level: PriorityLevel;
  /** By their ids the client may learn how it was classified; the names are nobody's business. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

interface Wanted {
  readonly object: LiveLevel;
  readonly limiting: Limiting;
}

export class PriorityLevels {
  #levels = new Map<string, PriorityLevel>();
  #flows: readonly Classified[] = [];
  #nominalSum = 0;
  fairFraction = 0;

  /** `serverLimit` is how many seats there are in all. */
  constructor(
    readonly serverLimit: number,
    private readonly clock: Clock,
  ) {
    this.configure([], []);
  }

  get all(): Iterable<PriorityLevel> {
    return this.#levels.values();
  }

  /** True for the name of a level that requests can be led to. */
  has(name: string): boolean {
    return this.#levels.get(name)?.quiescing === false;
  }

  /** Every request matches a schema: the last one is for all. */
  classify(digest: RequestDigest): Classified {
    for (const flow of this.#flows) if (matches(flow.schema, digest)) return flow;
    const last = this.#flows.findLast(({ schema }) => schema.metadata.name === "catch-all");
    assert(last !== undefined, "there is always a schema that catches all");
    return last;
  }

  /** Takes over all objects at once; mandatory ones that are missing are imagined. */
  configure(levels: readonly LiveLevel[], schemas: readonly LiveSchema[]): void {
    const wanted = new Map<string, Wanted>();
    for (const object of [...mandatoryPriorityLevels, ...levels]) {
      const limiting = limitingOf(object);
      if (limiting !== undefined) wanted.set(object.metadata.name ?? "", { object, limiting });
    }
    const next = this.#keepBusy(wanted);
    const objects = [...next.values()].map(({ object }) => object);
    const sharesSum = objects.reduce((sum, object) => sum + sharesOf(object), 0);
    this.#levels = new Map(
      [...next].map(([name, { object, limiting }]) => {
        const limits = seatLimitsOf(object, this.serverLimit, sharesSum);
        const level =
          this.#levels.get(name) ?? new PriorityLevel(object, limiting, limits, this.clock);
        level.object = object;
        level.limiting = limiting;
        level.limits = limits;
        level.quiescing = !wanted.has(name);
        return [name, level];
      }),
    );
    this.#flows = this.#flowsOf(schemas);
    const names = new Set(this.#flows.map(({ schema }) => schema.metadata.name ?? ""));
    for (const level of this.all) level.forgetTallies(names);
    this.#nominalSum = [...this.all].reduce((sum, { limits }) => sum + limits.nominal, 0);
    this.adjust();
  }

  /** Ends a period: seats follow what each level could have used in it. */
  adjust(): void {
    const limited: PriorityLevel[] = [];
    let remaining = this.#nominalSum;
    for (const level of this.all) {
      level.endPeriod();
      if (!level.isExempt) limited.push(level);
      else {
        level.target = Math.max(level.limits.lower, level.demand.highWatermark);
        remaining -= level.target;
        level.apply(level.target);
      }
    }
    const claims = limited.map(({ limits, demand }) => {
      const used = Math.min(limits.nominal, demand.highWatermark);
      const lowerBound = Math.max(limits.lower, used);
      const target = Math.max(lowerBound, demand.smoothed);
      return { lowerBound, upperBound: limits.upper, target };
    });
    const lowestSum = limited.reduce((sum, { limits }) => sum + limits.lower, 0);
    const boundSum = claims.reduce((sum, { lowerBound }) => sum + lowerBound, 0);
    // Exempt requests may have taken so much that not even what is in use can be kept.
    const share = Math.max(0, (remaining - lowestSum) / (boundSum - lowestSum));
    const isTight = remaining <= lowestSum || remaining <= boundSum;
    const { seats, fairProportion } = allocate(this.#nominalSum, claims);
    this.fairFraction = isTight ? 0 : fairProportion;
    for (const [i, level] of limited.entries()) {
      const { lowerBound = 0, target = 0 } = claims[i] ?? {};
      const { lower } = level.limits;
      level.target = target;
      const tight = remaining <= lowestSum ? lower : lower + (lowerBound - lower) * share;
      level.apply(Math.round(isTight ? tight : (seats[i] ?? lower)));
    }
  }

  /** Levels that nobody wants any more stay until their last request is done. */
  #keepBusy(wanted: ReadonlyMap<string, Wanted>): ReadonlyMap<string, Wanted> {
    const next = new Map(wanted);
    for (const [name, { object, limiting, queues }] of this.#levels) {
      if (!next.has(name) && !queues.isIdle) next.set(name, { object, limiting });
    }
    return next;
  }

  #flowsOf(schemas: readonly LiveSchema[]): readonly Classified[] {
    const all = new Map<string, LiveSchema>();
    for (const schema of [...mandatoryFlowSchemas, ...schemas]) {
      all.set(schema.metadata.name ?? "", schema);
    }
    return [...all.values()]
      .sort((a, b) => precedenceOf(a) - precedenceOf(b) || nameOrder(a, b))
      .flatMap((schema) => {
        const { name } = schema.spec.priorityLevelConfiguration;
        const level = this.#levels.get(name);
        if (level === undefined || level.quiescing) return [];
        const headers = [
          ["x-kubernetes-pf-prioritylevel-uid", level.object.metadata.uid ?? ""],
          ["x-kubernetes-pf-flowschema-uid", schema.metadata.uid ?? ""],
        ] as const;
        return [{ schema, level, headers }];
      });
  }
}

function precedenceOf({ spec }: LiveSchema): number {
  return spec.matchingPrecedence ?? 1000;
}

function nameOrder(a: LiveSchema, b: LiveSchema): number {
  return (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1;
}
