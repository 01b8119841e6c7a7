/** Makes the claims of pods' generic ephemeral volumes. */
import { persistentVolumeClaims, pods } from "../../client/resources.ts";
import type { PersistentVolumeClaim, Pod, Volume } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";
import { controllerReference, isControlledBy, isDeleting, mutable } from "../objects.ts";
import { isNamespaceTerminating, textOf } from "../pod-control.ts";

type LivePod = DeepReadonly<Pod>;

/** Creates the ephemeral volume controller. */
export function createEphemeralVolumeController(context: ControllerContext): Controller {
  const podSet = context.live.of(pods);
  const claims = context.live.of(persistentVolumeClaims);
  return {
    name: "ephemeral-volume",
    concurrent: 5,
    watches: [
      watchRule(pods, ({ type, now }) =>
        type !== "deleted" && now.object.spec.volumes?.some(({ ephemeral }) => ephemeral)
          ? [now.key]
          : [],
      ),
      // A claim that was deleted is made again for the pod that still wants it.
      watchRule(persistentVolumeClaims, ({ type, now }) => {
        const owner = now.object.metadata.ownerReferences?.find(({ kind }) => kind === "Pod");
        if (type !== "deleted" || owner === undefined) return [];
        return [`${now.object.metadata.namespace}/${owner.name}`];
      }),
    ],
    async reconcile(key) {
      const pod = podSet.get(key)?.object;
      if (pod === undefined || isDeleting(pod)) return "done";
      for (const volume of pod.spec.volumes ?? []) {
        if (volume.ephemeral === undefined) continue;
        const wanted = ephemeralClaim(pod, volume);
        const { namespace, name } = wanted.metadata;
        const present = claims.get(`${namespace}/${name}`)?.object;
        if (present === undefined) await createClaim(context, pod, wanted);
        else if (!isControlledBy(present, pod)) {
          throw new Error(
            `PVC ${namespace}/${name} was not created for pod ${key} (pod is not owner)`,
          );
        }
      }
      return "done";
    },
  };
}

async function createClaim(
  { client, events }: ControllerContext,
  pod: LivePod,
  claim: PersistentVolumeClaim,
): Promise<void> {
  try {
    await client.create(persistentVolumeClaims, claim);
  } catch (error) {
    if (isNamespaceTerminating(error) || isReason(error, "AlreadyExists")) return;
    const message = `ephemeral volume controller: create PVC: ${textOf(error)}`;
    events.event(pod, "Warning", "FailedBinding", message);
    throw error;
  }
}

/** Named after the pod and its volume; it goes with the pod. */
export function ephemeralClaim(pod: LivePod, volume: DeepReadonly<Volume>): PersistentVolumeClaim {
  const template = volume.ephemeral?.volumeClaimTemplate;
  const { labels, annotations } = template?.metadata ?? {};
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: `${pod.metadata.name}-${volume.name}`,
      namespace: pod.metadata.namespace ?? "",
      ...(labels === undefined ? {} : { labels: { ...labels } }),
      ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
      ownerReferences: [controllerReference({ ...pod, apiVersion: "v1", kind: "Pod" })],
    },
    spec: mutable<PersistentVolumeClaim["spec"]>(template?.spec ?? {}),
  };
}
