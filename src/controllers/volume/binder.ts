/** The persistent volume binder: brings claims and volumes together, tells what became of them. */
import {
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
} from "../../client/resources.ts";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimStatus,
} from "../../gen/core-v1.ts";
import type { StorageClass } from "../../gen/storage-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../../live/controller.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { classOf, type LiveClaim, type LiveVolume } from "../../schema/volume-match.ts";
import { isDeleting, mutable, parseTime, sameJson } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import {
  boundByController,
  boundClaim,
  boundStatus,
  boundVolume,
  type ClassView,
  isBindComplete,
  planClaim,
  planVolume,
  provisionerKeys,
} from "./plan.ts";

const claimPrefix = "claim|";
const volumePrefix = "volume|";

/** Creates the binder; its keys are `claim|namespace/name` and `volume|name`. */
export function createVolumeBinder(context: ControllerContext): Controller {
  const claims = context.live.of(persistentVolumeClaims);
  const volumes = context.live.of(persistentVolumes);
  const binder = new Binder(context, claims, volumes);
  const unbound = function* (): Iterable<string> {
    for (const { key, object } of claims.list()) {
      if (!isBindComplete(object)) yield `${claimPrefix}${key}`;
    }
  };
  return {
    name: "persistentvolume-binder",
    // One at a time: two claims never take the same volume.
    concurrent: 1,
    watches: [
      watchRule(persistentVolumeClaims, ({ now }) => {
        const { volumeName = "" } = now.object.spec;
        const own = `${claimPrefix}${now.key}`;
        const reserved = Array.from(volumes.list(), ({ key, object }) =>
          object.spec.claimRef?.name === now.object.metadata.name ? [`${volumePrefix}${key}`] : [],
        ).flat();
        return volumeName === "" ? [own, ...reserved] : [own, `${volumePrefix}${volumeName}`];
      }),
      watchRule(persistentVolumes, function* ({ now }) {
        yield `${volumePrefix}${now.key}`;
        const reference = now.object.spec.claimRef;
        if (reference) yield `${claimPrefix}${reference.namespace}/${reference.name}`;
        else yield* unbound();
        for (const { key, object } of claims.list()) {
          if (object.spec.volumeName === now.key) yield `${claimPrefix}${key}`;
        }
      }),
      watchRule(storageClasses, unbound),
    ],
    reconcile: (key, signal) => binder.reconcile(key, signal),
  };
}

class Binder {
  readonly #context: ControllerContext;
  readonly #claims: LiveSet<PersistentVolumeClaim>;
  readonly #volumes: LiveSet<PersistentVolume>;
  readonly #claimWrites: OwnWrites<PersistentVolumeClaim>;
  readonly #volumeWrites: OwnWrites<PersistentVolume>;

  constructor(
    context: ControllerContext,
    claims: LiveSet<PersistentVolumeClaim>,
    volumes: LiveSet<PersistentVolume>,
  ) {
    this.#context = context;
    this.#claims = claims;
    this.#volumes = volumes;
    this.#claimWrites = new OwnWrites(context.client, persistentVolumeClaims, claims);
    this.#volumeWrites = new OwnWrites(context.client, persistentVolumes, volumes);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    await this.#claimWrites.seen(signal);
    await this.#volumeWrites.seen(signal);
    if (key.startsWith(volumePrefix)) {
      const volume = this.#volumes.get(key.slice(volumePrefix.length))?.object;
      if (volume !== undefined) await this.#syncVolume(volume);
      return "done";
    }
    const claim = this.#claims.get(key.slice(claimPrefix.length))?.object;
    if (claim !== undefined) await this.#syncClaim(claim);
    return "done";
  }

  async #syncClaim(found: LiveClaim): Promise<void> {
    const claim = await this.#withDefaultClass(found);
    const { events } = this.#context;
    const step = planClaim({
      claim,
      named: this.#volumes.get(claim.spec.volumeName ?? "")?.object,
      volumes: Array.from(this.#volumes.list(), ({ object }) => object),
      storageClass: this.#classOf(claim),
    });
    switch (step.do) {
      case "bind":
        await this.#bind(claim, step.volume);
        return;
      case "wait":
        if (step.event !== undefined) events.event(claim, ...step.event);
        await this.#setStatus(claim, { ...this.#statusOf(claim), phase: "Pending" });
        return;
      case "provision":
        await this.#provision(claim, step.provisioner);
        return;
      case "lose":
        if (claim.status?.phase !== "Lost") events.event(claim, ...step.event);
        await this.#setStatus(claim, { phase: "Lost" });
    }
  }

  #statusOf(claim: LiveClaim): PersistentVolumeClaimStatus {
    return mutable<PersistentVolumeClaimStatus>(claim.status ?? {});
  }

  #classOf(claim: LiveClaim): ClassView | undefined {
    const name = classOf(claim);
    const found = this.#context.live.of(storageClasses).get(name)?.object;
    if (found === undefined) return undefined;
    return {
      provisioner: found.provisioner,
      waitsForConsumer: found.volumeBindingMode === "WaitForFirstConsumer",
    };
  }

  /** A claim made before there was a default class gets it once there is one. */
  async #withDefaultClass(claim: LiveClaim): Promise<LiveClaim> {
    const isOpen = claim.spec.storageClassName === undefined && classOf(claim) === "";
    if (!isOpen || (claim.spec.volumeName ?? "") !== "" || isDeleting(claim)) return claim;
    const name = this.#defaultClass()?.metadata.name;
    if (name === undefined) return claim;
    const copy = mutable<PersistentVolumeClaim>(claim);
    copy.spec.storageClassName = name;
    return await this.#claimWrites.update(copy);
  }

  #defaultClass(): DeepReadonly<StorageClass> | undefined {
    const defaults = Array.from(this.#context.live.of(storageClasses).list(), (one) => one.object)
      .filter(({ metadata: { annotations } }) =>
        defaultClassKeys.some((key) => annotations?.[key] === "true"),
      )
      .sort(
        (a, b) => parseTime(b.metadata.creationTimestamp) - parseTime(a.metadata.creationTimestamp),
      );
    return defaults[0];
  }

  /** The volume first: a claim that says it is bound must find its volume reserved. */
  async #bind(claim: LiveClaim, volume: LiveVolume): Promise<void> {
    const reserved = boundVolume(volume, claim);
    let current = reserved === undefined ? volume : await this.#volumeWrites.update(reserved);
    current = await this.#setPhase(current, "Bound");
    const changed = boundClaim(claim, current);
    const bound = changed === undefined ? claim : await this.#claimWrites.update(changed);
    await this.#setStatus(bound, boundStatus(bound, current));
  }

  async #provision(claim: LiveClaim, provisioner: string): Promise<void> {
    let current = claim;
    const isTold = provisionerKeys.every(
      (key) => claim.metadata.annotations?.[key] === provisioner,
    );
    if (!isTold) {
      const copy = mutable<PersistentVolumeClaim>(claim);
      copy.metadata.annotations = {
        ...copy.metadata.annotations,
        ...Object.fromEntries(provisionerKeys.map((key) => [key, provisioner])),
      };
      current = await this.#claimWrites.update(copy);
    }
    const message =
      `Waiting for a volume to be created either by the external provisioner '${provisioner}' ` +
      "or manually by the system administrator. If volume creation is delayed, please verify " +
      "that the provisioner is running and correctly registered.";
    this.#context.events.event(current, "Normal", "ExternalProvisioning", message);
    await this.#setStatus(current, { ...this.#statusOf(current), phase: "Pending" });
  }

  async #setStatus(claim: LiveClaim, status: PersistentVolumeClaimStatus): Promise<void> {
    if (sameJson(claim.status ?? {}, status)) return;
    const changed = { ...mutable<PersistentVolumeClaim>(claim), status };
    await this.#claimWrites.update(changed, { subresource: "status" });
  }

  async #setPhase(volume: LiveVolume, phase: string): Promise<LiveVolume> {
    if (volume.status?.phase === phase) return volume;
    const changed = { ...mutable<PersistentVolume>(volume), status: { phase } };
    return await this.#volumeWrites.update(changed, { subresource: "status" });
  }

  async #syncVolume(volume: LiveVolume): Promise<void> {
    const reference = volume.spec.claimRef;
    const step = planVolume(volume, await this.#claimOf(volume));
    if (step.do === "phase") await this.#setPhase(volume, step.phase);
    if (step.do !== "unbind" || reference === undefined) return;
    const copy = mutable<PersistentVolume>(volume);
    const { [boundByController]: _ours, ...annotations } = copy.metadata.annotations ?? {};
    copy.metadata.annotations = annotations;
    delete copy.spec.claimRef;
    await this.#setPhase(await this.#volumeWrites.update(copy), "Available");
  }

  /** The claim that the volume is for; one of the same name but another uid is another claim. */
  async #claimOf({ spec: { claimRef } }: LiveVolume): Promise<LiveClaim | undefined> {
    if (!claimRef?.uid) return undefined;
    const claim = this.#claims.get(`${claimRef.namespace}/${claimRef.name}`)?.object;
    return claim?.metadata.uid === claimRef.uid ? claim : undefined;
  }
}

const defaultClassKeys = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];
