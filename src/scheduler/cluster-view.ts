/** The ClusterView over LiveSets: what decisions read as it is at the moment. */
import type { Resource } from "../client/client.ts";
import {
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  deviceClasses,
  namespaces,
  persistentVolumeClaims,
  persistentVolumes,
  replicaSets,
  replicationControllers,
  resourceClaims,
  resourceSlices,
  services,
  statefulSets,
  storageClasses,
  volumeAttachments,
} from "../client/resources.ts";
import {
  type LabelSelector,
  labelSelectorOf,
  matchesLabels,
  selectorOfMap,
} from "../lib/selector.ts";
import type { LiveSets } from "../live/live-set.ts";
import type { KubeObject } from "../schema/object.ts";
import type { LivePod } from "./amounts.ts";
import type { DeviceView } from "./devices/view.ts";
import type { ClusterView } from "./view.ts";

/** Changes of these may make room for pods that wait for a volume. */
export const volumeResources: readonly Resource<KubeObject>[] = [
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  volumeAttachments,
];

/** Changes of these may free or bring devices. */
export const deviceResources: readonly Resource<KubeObject>[] = [
  deviceClasses,
  resourceClaims,
  resourceSlices,
];

/** Read for decisions; their changes alone wake nobody. */
export const viewResources: readonly Resource<KubeObject>[] = [
  namespaces,
  replicaSets,
  replicationControllers,
  services,
  statefulSets,
];

const attachedNode = "nodeName";

/** `taken` are the volumes promised to pods whose binding is under way. */
export function createClusterView(
  live: LiveSets,
  taken: ReadonlySet<string>,
  devices: DeviceView,
): ClusterView {
  const claims = live.of(persistentVolumeClaims);
  const volumes = live.of(persistentVolumes);
  const classes = live.of(storageClasses);
  const nodes = live.of(csiNodes);
  const drivers = live.of(csiDrivers);
  const capacities = live.of(csiStorageCapacities);
  const attachments = live.of(volumeAttachments);
  attachments.addIndex(attachedNode, ({ spec }) => [spec.nodeName]);
  const namespaceSet = live.of(namespaces);
  return {
    namespaceLabels: (namespace) => namespaceSet.get(namespace)?.object.metadata.labels ?? {},
    volumes: {
      claim: (namespace, name) => claims.get(`${namespace}/${name}`)?.object,
      volume: (name) => volumes.get(name)?.object,
      volumes: () => Array.from(volumes.list(), ({ object }) => object),
      storageClass: (name) => classes.get(name)?.object,
      csiNode: (name) => nodes.get(name)?.object,
      csiDriver: (name) => drivers.get(name)?.object,
      attachments: (node) => Array.from(attachments.by(attachedNode, node), (one) => one.object),
      capacities: () => Array.from(capacities.list(), ({ object }) => object),
      taken,
    },
    devices,
    groupSelector: (pod) => groupSelector(pod, live),
  };
}

/** The selectors of all Services over the pod and of the workload that owns it, together. */
function groupSelector(pod: LivePod, live: LiveSets): LabelSelector | undefined {
  const { namespace = "", labels, ownerReferences = [] } = pod.metadata;
  if (labels === undefined) return undefined;
  let merged: Record<string, string> = {};
  for (const { object } of live.of(services).list(`${namespace}/`)) {
    const selector = object.spec.selector ?? {};
    if (Object.keys(selector).length === 0) continue;
    if (matchesLabels(selectorOfMap(selector), labels)) merged = { ...merged, ...selector };
  }
  const owner = ownerReferences.find(({ controller }) => controller === true);
  const key = `${namespace}/${owner?.name}`;
  const base = selectorOfMap(merged);
  const requirements = [...base.requirements];
  if (owner?.kind === "ReplicationController") {
    const selector = live.of(replicationControllers).get(key)?.object.spec.selector;
    requirements.push(...selectorOfMap(selector).requirements);
  } else if (owner?.kind === "ReplicaSet" || owner?.kind === "StatefulSet") {
    const set = owner.kind === "ReplicaSet" ? replicaSets : statefulSets;
    const selector = live.of(set as typeof replicaSets).get(key)?.object.spec.selector;
    if (selector !== undefined) requirements.push(...labelSelectorOf(selector).requirements);
  }
  return requirements.length === 0 ? undefined : { ...base, requirements };
}
