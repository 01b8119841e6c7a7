/** One rule of the Pod Security Standards, and what all of them need to read a pod. */
import type { Container, PodSpec, SecurityContext } from "../../../gen/core-v1.ts";
import type { ObjectMeta } from "../../../gen/meta-v1.ts";
import type { DeepReadonly } from "../../../lib/deep-readonly.ts";

export type ReadPod = DeepReadonly<{ metadata: ObjectMeta; spec: PodSpec }>;
export type ReadContainer = DeepReadonly<Pick<Container, "name" | "ports" | "image">> & {
  readonly securityContext?: DeepReadonly<SecurityContext>;
  readonly livenessProbe?: DeepReadonly<Container["livenessProbe"]>;
  readonly readinessProbe?: DeepReadonly<Container["readinessProbe"]>;
  readonly startupProbe?: DeepReadonly<Container["startupProbe"]>;
  readonly lifecycle?: DeepReadonly<Container["lifecycle"]>;
};

export interface Violation {
  /** What is forbidden, in a few words. */
  readonly reason: string;
  readonly detail: string;
}

export interface Check {
  /** Upstream's id: checks of a level run in the order of their ids. */
  readonly id: string;
  /** Minor version from which on the rule holds. */
  readonly since: number;
  readonly run: (pod: ReadPod, minor: number) => Violation | undefined;
  /** Ids of baseline checks that this one makes needless. */
  readonly overrides?: readonly string[];
}

/** Init containers, containers, then ephemeral ones. */
export function containersOf(pod: ReadPod): readonly ReadContainer[] {
  const { spec } = pod;
  return [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
    ...(spec.ephemeralContainers ?? []),
  ] as readonly ReadContainer[];
}

export function quoted(names: readonly string[]): string {
  return names.map((name) => JSON.stringify(name)).join(", ");
}

export function plural(one: string, many: string, count: number): string {
  return count === 1 ? one : many;
}

/** `container "a"` or `containers "a", "b"`. */
export function containersText(containers: readonly { readonly name: string }[]): string {
  const names = containers.map(({ name }) => name);
  return `${plural("container", "containers", names.length)} ${quoted(names)}`;
}

export function isWindows(pod: ReadPod): boolean {
  return pod.spec.os?.name === "windows";
}
