/** Conditions as controllers of the Gateway API keep them. */
import type { Condition } from "../../../gen/meta-v1.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";

/** A condition without its time. */
export interface Finding {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

export function finding(type: string, isTrue: boolean, reason: string, message = ""): Finding {
  return { type, status: isTrue ? "True" : "False", reason, message };
}

/** A type keeps its time as long as it keeps its status. */
export function conditionsOf(
  findings: readonly Finding[],
  before: readonly DeepReadonly<Condition>[] | undefined,
  observedGeneration: number,
  now: string,
): Condition[] {
  return findings.map((one) => {
    const known = before?.find(({ type }) => type === one.type);
    const since = known?.status === one.status ? known.lastTransitionTime : now;
    return { ...one, observedGeneration, lastTransitionTime: since };
  });
}
