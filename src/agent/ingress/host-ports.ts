/** Pods that ask for a port of their node on which ingress listens: packets would go to them. */
import { pods } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveObject, LiveSets } from "../../live/live-set.ts";
import type { Scope } from "../../runtime/scope.ts";

/** The ports among `ports` that the pod takes of its node, on all of its addresses. */
export function hostPortsOf({ spec }: DeepReadonly<Pod>, ports: readonly number[]): number[] {
  const all = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  const taken = all.flatMap((container) => container.ports ?? []);
  return ports.filter((port) =>
    taken.some(({ hostPort, protocol = "TCP" }) => hostPort === port && protocol === "TCP"),
  );
}

export interface ConflictWatch {
  readonly scope: Scope;
  /** Once for each pod: `namespace/name`. */
  readonly onConflict: (pod: string, port: number) => void;
}

export function followHostPorts(
  live: LiveSets,
  nodeName: string,
  ports: readonly number[],
  { scope, onConflict }: ConflictWatch,
): void {
  const told = new Set<string>();
  const set = live.of(pods);
  const look = ({ key, object }: LiveObject<Pod>): void => {
    const uid = object.metadata.uid ?? key;
    if (object.spec?.nodeName !== nodeName || told.has(uid)) return;
    const taken = hostPortsOf(object, ports);
    if (taken.length > 0) told.add(uid);
    for (const port of taken) onConflict(key, port);
  };
  const subscription = set.subscribe(({ type, now }) => {
    if (type === "deleted") told.delete(now.object.metadata.uid ?? now.key);
    else look(now);
  });
  scope.defer(() => subscription[Symbol.dispose]());
  for (const pod of set.list()) look(pod);
}
