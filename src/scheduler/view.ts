/** What decisions read of the cluster besides its nodes and the pods on them. */
import type { PersistentVolume, PersistentVolumeClaim } from "../gen/core-v1.ts";
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  StorageClass,
  VolumeAttachment,
} from "../gen/storage-v1.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import type { LabelSelector } from "../lib/selector.ts";
import type { LivePod } from "./amounts.ts";
import { type DeviceView, noDevices } from "./devices/view.ts";

export type LiveClaim = DeepReadonly<PersistentVolumeClaim>;
export type LiveVolume = DeepReadonly<PersistentVolume>;
export type LiveClass = DeepReadonly<StorageClass>;

export interface VolumeView {
  readonly claim: (namespace: string, name: string) => LiveClaim | undefined;
  readonly volume: (name: string) => LiveVolume | undefined;
  readonly volumes: () => Iterable<LiveVolume>;
  readonly storageClass: (name: string) => LiveClass | undefined;
  readonly csiNode: (name: string) => DeepReadonly<CSINode> | undefined;
  readonly csiDriver: (name: string) => DeepReadonly<CSIDriver> | undefined;
  /** What is attached to a node, or about to be. */
  readonly attachments: (node: string) => Iterable<DeepReadonly<VolumeAttachment>>;
  readonly capacities: () => Iterable<DeepReadonly<CSIStorageCapacity>>;
  /** Volumes promised to pods whose binding is under way. */
  readonly taken: ReadonlySet<string>;
}

export interface ClusterView {
  readonly namespaceLabels: (namespace: string) => Readonly<Record<string, string>>;
  readonly volumes: VolumeView;
  readonly devices: DeviceView;
  /** Selects the pods that a Service or workload counts this one among; undefined for none. */
  readonly groupSelector: (pod: LivePod) => LabelSelector | undefined;
}

/** A cluster without volumes, devices and workloads: for benches and tests. */
export const emptyView: ClusterView = {
  namespaceLabels: () => ({}),
  volumes: {
    claim: () => undefined,
    volume: () => undefined,
    volumes: () => [],
    storageClass: () => undefined,
    csiNode: () => undefined,
    csiDriver: () => undefined,
    attachments: () => [],
    capacities: () => [],
    taken: new Set(),
  },
  devices: noDevices,
  groupSelector: () => undefined,
};
