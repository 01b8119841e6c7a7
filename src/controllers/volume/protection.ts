/** Keeps claims, volumes and attribute classes from going while something uses them. */
import type { Resource } from "../../client/client.ts";
import {
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  volumeAttributesClasses,
} from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";
import type { LiveSet } from "../../live/live-set.ts";
import type { KubeObject } from "../../schema/object.ts";
import { isDeleting, mutable } from "../objects.ts";
import type { LivePod } from "../pod-state.ts";

const claimFinalizer = "kubernetes.io/pvc-protection";
const volumeFinalizer = "kubernetes.io/pv-protection";
const attributesFinalizer = "kubernetes.io/vac-protection";

/** Puts the finalizer on what lives, takes it off what goes and is not used any more. */
async function protect<T extends KubeObject>(
  context: ControllerContext,
  resource: Resource<T>,
  key: string,
  finalizer: string,
  isUsed: (object: DeepReadonly<T>) => boolean,
): Promise<"done"> {
  const object = context.live.of(resource).get(key)?.object;
  if (object === undefined) return "done";
  const finalizers = object.metadata.finalizers ?? [];
  const has = finalizers.includes(finalizer);
  if (has !== isDeleting(object) || (has && isUsed(object))) return "done";
  const copy = mutable<T>(object);
  copy.metadata.finalizers = has
    ? finalizers.filter((name) => name !== finalizer)
    : [...finalizers, finalizer];
  await context.client.update(resource, copy);
  return "done";
}

/** The claims of a pod, those of its ephemeral volumes included. */
export function claimKeysOf({ metadata, spec }: DeepReadonly<Pod>): string[] {
  return (spec.volumes ?? []).flatMap((volume) => {
    const name =
      volume.persistentVolumeClaim?.claimName ??
      (volume.ephemeral === undefined ? undefined : `${metadata.name}-${volume.name}`);
    return name === undefined ? [] : [`${metadata.namespace}/${name}`];
  });
}

/** Finds pods that have a node by the claims they use. */
export function indexPodsByClaim(podSet: LiveSet<Pod>): (claimKey: string) => Iterable<LivePod> {
  const index = "claimKey";
  // A pod without a node does not use the claim yet: the kubelet refuses one that is going.
  podSet.addIndex(index, (pod) => (pod.spec.nodeName ? claimKeysOf(pod) : []));
  return function* (claimKey) {
    for (const { object } of podSet.by(index, claimKey)) yield object;
  };
}

/** Creates the controller that holds claims back while pods use them. */
export function createClaimProtectionController(context: ControllerContext): Controller {
  const usersOf = indexPodsByClaim(context.live.of(pods));
  return {
    name: "persistentvolumeclaim-protection",
    concurrent: 1,
    watches: [
      watchRule(persistentVolumeClaims, ({ now }) => [now.key]),
      watchRule(pods, ({ type, now, before }) =>
        type === "deleted" || before?.object.spec.nodeName !== now.object.spec.nodeName
          ? claimKeysOf(now.object)
          : [],
      ),
    ],
    reconcile: (key) =>
      protect(
        context,
        persistentVolumeClaims,
        key,
        claimFinalizer,
        () => [...usersOf(key)].length > 0,
      ),
  };
}

/** Creates the controller that holds volumes back while they are bound. */
export function createVolumeProtectionController(context: ControllerContext): Controller {
  return {
    name: "persistentvolume-protection",
    concurrent: 1,
    watches: [watchRule(persistentVolumes, ({ now }) => [now.key])],
    reconcile: (key) =>
      protect(
        context,
        persistentVolumes,
        key,
        volumeFinalizer,
        ({ status }) => status?.phase === "Bound",
      ),
  };
}

/** Creates the controller that holds VolumeAttributesClasses back while volumes have them. */
export function createAttributesClassProtectionController(context: ControllerContext): Controller {
  const claims = context.live.of(persistentVolumeClaims);
  const volumes = context.live.of(persistentVolumes);
  const isUsed = (name: string | undefined) =>
    [...volumes.list()].some(({ object }) => object.spec.volumeAttributesClassName === name) ||
    [...claims.list()].some(({ object: { spec, status } }) =>
      [
        spec.volumeAttributesClassName,
        status?.currentVolumeAttributesClassName,
        status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
      ].includes(name),
    );
  const allClasses = () =>
    Array.from(context.live.of(volumeAttributesClasses).list(), ({ key }) => key);
  return {
    name: "volumeattributesclass-protection",
    concurrent: 1,
    watches: [
      watchRule(volumeAttributesClasses, ({ now }) => [now.key]),
      watchRule(persistentVolumeClaims, allClasses),
      watchRule(persistentVolumes, allClasses),
    ],
    reconcile: (key) =>
      protect(context, volumeAttributesClasses, key, attributesFinalizer, ({ metadata }) =>
        isUsed(metadata.name),
      ),
  };
}
