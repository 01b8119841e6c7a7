/** The read-only shapes the kubelet works with, and names shared with upstream's kubelet. */
import type * as core from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";

export type Pod = DeepReadonly<core.Pod>;
export type PodSpec = DeepReadonly<core.PodSpec>;
export type PodStatus = DeepReadonly<core.PodStatus>;
export type Container = DeepReadonly<core.Container>;
export type ContainerStatus = DeepReadonly<core.ContainerStatus>;
export type Node = DeepReadonly<core.Node>;
export type Service = DeepReadonly<core.Service>;
export type Probe = DeepReadonly<core.Probe>;
export type Volume = DeepReadonly<core.Volume>;
export type LifecycleHandler = DeepReadonly<core.LifecycleHandler>;

/** Labels and annotations that the kubelet puts on sandboxes and containers. */
export const criNames = {
  podName: "io.kubernetes.pod.name",
  podNamespace: "io.kubernetes.pod.namespace",
  podUid: "io.kubernetes.pod.uid",
  containerName: "io.kubernetes.container.name",
  hash: "io.kubernetes.container.hash",
  restartCount: "io.kubernetes.container.restartCount",
  messagePath: "io.kubernetes.container.terminationMessagePath",
  messagePolicy: "io.kubernetes.container.terminationMessagePolicy",
  grace: "io.kubernetes.pod.terminationGracePeriod",
} as const;

export type ContainerKind = "init" | "app" | "ephemeral";

export interface NamedContainer {
  readonly kind: ContainerKind;
  readonly container: Container;
}

/** Every container of the pod: init, app, ephemeral, each in the order of the spec. */
export function containersOf(pod: Pod): readonly NamedContainer[] {
  const spec = pod.spec;
  return [
    ...(spec.initContainers ?? []).map((container) => ({ kind: "init" as const, container })),
    ...spec.containers.map((container) => ({ kind: "app" as const, container })),
    ...(spec.ephemeralContainers ?? []).map((container) => ({
      kind: "ephemeral" as const,
      // An ephemeral container has the fields of a container, and its target besides.
      container: container as Container,
    })),
  ];
}

/** An init container that goes on running beside the others. */
export function isSidecar(named: NamedContainer): boolean {
  return named.kind === "init" && named.container.restartPolicy === "Always";
}

export function podKey(pod: Pod): string {
  return `${pod.metadata.namespace}/${pod.metadata.name}`;
}

export function uidOf(pod: Pod): string {
  return pod.metadata.uid ?? "";
}

/** Versions of one object grow; an equal one tells nothing new but is taken all the same. */
export function isNewer(pod: Pod, than: Pod): boolean {
  const [a, b] = [pod.metadata.resourceVersion ?? "0", than.metadata.resourceVersion ?? "0"];
  return a.length === b.length ? a >= b : a.length > b.length;
}

/** The field path that events about a container carry. */
export function fieldPathOf({ kind, container }: NamedContainer): string {
  const list = { init: "initContainers", app: "containers", ephemeral: "ephemeralContainers" };
  return `spec.${list[kind]}{${container.name}}`;
}

/** Where the kubelet keeps its files of a pod. */
export function podDir(rootDir: string, uid: string): string {
  return `${rootDir}/pods/${uid}`;
}

export function podLogDir(logRoot: string, pod: Pod): string {
  return `${logRoot}/${pod.metadata.namespace}_${pod.metadata.name}_${uidOf(pod)}`;
}
