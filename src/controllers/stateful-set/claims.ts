/** The claims of a StatefulSet: made with its pods, kept or given away by retention policy. */
import { persistentVolumeClaims } from "../../client/resources.ts";
import type { PersistentVolumeClaim } from "../../gen/core-v1.ts";
import type { OwnerReference } from "../../gen/meta-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { ControllerContext } from "../../live/controller.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { keyOf } from "../../schema/object.ts";
import { controllerReference, isDeleting, mutable, sameJson } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import { textOf } from "../pod-control.ts";
import type { LivePod } from "../pod-state.ts";
import { type LiveStatefulSet, statefulClaims } from "./plan.ts";

type LiveClaim = DeepReadonly<PersistentVolumeClaim>;

/**
 * The owners that the claim must have: the set when claims go with it, the pod when they go with
 * a scale-down and the pod is condemned; nobody else's reference is touched.
 */
export function planClaimOwners(
  set: LiveStatefulSet,
  claim: LiveClaim,
  pod: LivePod | undefined,
  isCondemned: boolean,
): OwnerReference[] {
  const { whenDeleted = "Retain", whenScaled = "Retain" } =
    set.spec.persistentVolumeClaimRetentionPolicy ?? {};
  const goesWithPod = whenScaled === "Delete" && isCondemned && pod !== undefined;
  const goesWithSet = whenDeleted === "Delete" && !goesWithPod;
  const others = (claim.metadata.ownerReferences ?? []).filter(
    ({ uid }) => uid !== set.metadata.uid && uid !== pod?.metadata.uid,
  );
  const owners = [
    ...(goesWithSet ? [{ ...set, apiVersion: "apps/v1", kind: "StatefulSet" }] : []),
    ...(goesWithPod ? [{ ...pod, apiVersion: "v1", kind: "Pod" }] : []),
  ];
  return [...mutable<OwnerReference[]>(others), ...owners.map(controllerReference)];
}

export class StatefulClaims {
  readonly #context: ControllerContext;
  readonly #set: LiveSet<PersistentVolumeClaim>;
  readonly #writes: OwnWrites<PersistentVolumeClaim>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#set = context.live.of(persistentVolumeClaims);
    this.#writes = new OwnWrites(context.client, persistentVolumeClaims, this.#set);
  }

  async seen(signal: AbortSignal): Promise<void> {
    await this.#writes.seen(signal);
  }

  /** Makes what is missing; throws while a claim of a former pod of that name is still going. */
  async ensure(set: LiveStatefulSet, ordinal: number): Promise<void> {
    for (const wanted of statefulClaims(set, ordinal)) {
      const present = this.#set.get(keyOf(wanted))?.object;
      if (present === undefined) await this.#create(set, wanted, ordinal);
      else if (isDeleting(present)) {
        throw new Error(`pvc ${present.metadata.name} is being deleted`);
      } else if (this.#isStale(present)) {
        throw new Error(`pvc ${present.metadata.name} belongs to a former pod and will be deleted`);
      }
    }
  }

  /** Owned by a pod that is gone or was replaced: the garbage collector is about to take it. */
  #isStale({ metadata }: LiveClaim): boolean {
    return (metadata.ownerReferences ?? []).some(({ kind }) => kind === "Pod");
  }

  async #create(
    set: LiveStatefulSet,
    wanted: PersistentVolumeClaim,
    ordinal: number,
  ): Promise<void> {
    const { events } = this.#context;
    const pod = `${set.metadata.name}-${ordinal}`;
    const what = `Claim ${wanted.metadata.name} Pod ${pod} in StatefulSet ${set.metadata.name}`;
    const ownerReferences = planClaimOwners(set, wanted, undefined, false);
    const metadata =
      ownerReferences.length === 0 ? wanted.metadata : { ...wanted.metadata, ownerReferences };
    try {
      await this.#writes.create({ ...wanted, metadata });
      events.event(set, "Normal", "SuccessfulCreate", `create ${what} success`);
    } catch (error) {
      if (isReason(error, "AlreadyExists")) return;
      const message = `create ${what} failed error: ${textOf(error)}`;
      events.event(set, "Warning", "FailedCreate", message);
      throw error;
    }
  }

  /** Brings the owners of a pod's claims in line with the retention policy. */
  async retain(
    set: LiveStatefulSet,
    ordinal: number,
    pod: LivePod,
    isCondemned: boolean,
  ): Promise<void> {
    for (const { metadata } of statefulClaims(set, ordinal)) {
      const present = this.#set.get(`${metadata.namespace}/${metadata.name}`)?.object;
      if (present === undefined || isDeleting(present)) continue;
      const ownerReferences = planClaimOwners(set, present, pod, isCondemned);
      if (sameJson(present.metadata.ownerReferences ?? [], ownerReferences)) continue;
      const copy = mutable<PersistentVolumeClaim>(present);
      copy.metadata.ownerReferences = ownerReferences;
      await this.#writes.update(copy);
    }
  }
}
