/** The claims' part of placing a pod: what is promised, written, and taken back. */
import { deviceClasses, pods, resourceClaims, resourceSlices } from "../../client/resources.ts";
import type { DeviceClass, ResourceClaim, ResourceSlice } from "../../gen/resource-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { ControllerContext } from "../../live/controller.ts";
import type { LiveSet, LiveSets } from "../../live/live-set.ts";
import { claimFinalizer, consumerOf, isReservedFor } from "../../schema/pod-claims.ts";
import type { LivePod } from "../amounts.ts";
import type { NodeInfo } from "../node-info.ts";
import { bindingMsMax, hasBindingConditions, readinessOf } from "./binding-conditions.ts";
import { unwrittenName } from "./extended.ts";
import {
  type DeviceOrder,
  deviceOrder,
  devicesOn,
  type PromisedClaim,
  planDevices,
} from "./plan.ts";
import type { Allocation, DeviceClaim, DeviceView } from "./view.ts";

const limits = { conflictTriesMax: 5, readyPollMs: 1_000 } as const;

/** What a pod is being bound with. */
export interface Promised {
  readonly order: DeviceOrder;
  /** The claims as they were written, to take them back from. */
  readonly written: ResourceClaim[];
}

function createView(
  live: LiveSets,
  pending: ReadonlyMap<string, Allocation>,
  now: () => Date,
): DeviceView {
  const claims: LiveSet<ResourceClaim> = live.of(resourceClaims);
  const slices: LiveSet<ResourceSlice> = live.of(resourceSlices);
  const classes: LiveSet<DeviceClass> = live.of(deviceClasses);
  return {
    claim: (namespace, name) => claims.get(`${namespace}/${name}`)?.object,
    claims: () => Array.from(claims.list(), ({ object }) => object),
    slices: () => Array.from(slices.list(), ({ object }) => object),
    deviceClass: (name) => classes.get(name)?.object,
    classes: () => Array.from(classes.list(), ({ object }) => object),
    pending,
    now,
  };
}

export class DeviceBinder {
  readonly view: DeviceView;
  readonly #context: ControllerContext;
  readonly #pending = new Map<string, Allocation>();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { live, runtime } = context;
    this.view = createView(live, this.#pending, () => runtime.clock.now());
  }

  /**
   * Keeps the devices on the node for the pod; undefined when it needs none.
   *
   * @throws Error when they are gone since the node was chosen.
   */
  promise(pod: LivePod, info: NodeInfo): Promised | undefined {
    const plan = planDevices(pod, this.view);
    if (plan === undefined) return undefined;
    const found = typeof plan === "string" ? plan : devicesOn(plan, info);
    if (typeof plan === "string" || typeof found === "string") throw new Error(String(found));
    const { random } = this.#context.runtime;
    const order = deviceOrder(plan, found, info.name, () => random.uuid());
    for (const { claim, allocation } of order.claims)
      if (allocation !== undefined) this.#pending.set(claim.metadata.uid ?? "", allocation);
    return { order, written: [] };
  }

  /** Writes allocations and reservations, and waits for devices that have to be made ready. */
  async bind(
    { order, written }: Promised,
    pod: LivePod,
    node: string,
    signal: AbortSignal,
  ): Promise<void> {
    for (const promised of order.claims) {
      const { claim, allocation } = promised;
      if (allocation === undefined && isReservedFor(claim, pod)) continue;
      const made = await this.#write(promised, pod, (one) => written.push(one));
      if (claim.metadata.name === unwrittenName) await this.#tellPod(pod, made, order);
      // Until it is seen the devices count as promised.
      const revision = Number(made.metadata.resourceVersion ?? 0);
      await this.#context.live.of(resourceClaims).reached(revision, signal);
      this.#pending.delete(claim.metadata.uid ?? "");
    }
    const claims = [...order.claims.map(({ claim }) => claim), ...written];
    if (claims.some(hasBindingConditions)) await this.#waitFor(claims, pod, node, signal);
  }

  async #write(
    { claim, allocation }: PromisedClaim,
    pod: LivePod,
    onMade: (claim: ResourceClaim) => void,
  ): Promise<ResourceClaim> {
    const { client } = this.#context;
    let newest = structuredClone(claim) as ResourceClaim;
    if (newest.metadata.name === unwrittenName) {
      const { name: _name, uid: _uid, ...metadata } = newest.metadata;
      newest = await client.create(resourceClaims, { ...newest, metadata });
      onMade(newest);
    }
    const { name = "", namespace = "" } = newest.metadata;
    for (let tries = 1; ; tries++) {
      try {
        const made = await this.#update(newest, allocation, pod);
        onMade(made);
        return made;
      } catch (error) {
        if (!isReason(error, "Conflict") || tries === limits.conflictTriesMax) throw error;
        newest = await client.get(resourceClaims, namespace, name);
      }
    }
  }

  async #update(
    claim: ResourceClaim,
    allocation: PromisedClaim["allocation"],
    pod: LivePod,
  ): Promise<ResourceClaim> {
    const { client, runtime } = this.#context;
    const { name, namespace, finalizers = [] } = claim.metadata;
    const fail = (what: string): never => {
      throw new Error(`claim ${namespace}/${name} got ${what} in the meantime`);
    };
    if (claim.metadata.deletionTimestamp) fail("deleted");
    if (allocation !== undefined && claim.status?.allocation !== undefined)
      fail("allocated elsewhere");
    let newest = claim;
    if (allocation !== undefined && !finalizers.includes(claimFinalizer)) {
      const metadata = { ...claim.metadata, finalizers: [...finalizers, claimFinalizer] };
      newest = await client.update(resourceClaims, { ...claim, metadata });
    }
    const given = allocation ?? newest.status?.allocation ?? fail("deallocated elsewhere");
    const allocationTimestamp =
      given.allocationTimestamp ?? `${runtime.clock.now().toISOString().slice(0, 19)}Z`;
    const status = {
      ...newest.status,
      allocation: { ...given, allocationTimestamp },
      reservedFor: [...(newest.status?.reservedFor ?? []), consumerOf(pod)],
    };
    return client.update(resourceClaims, { ...newest, status }, { subresource: "status" });
  }

  async #tellPod(pod: LivePod, claim: ResourceClaim, { mappings }: DeviceOrder): Promise<void> {
    const { namespace = "", name = "", uid } = pod.metadata;
    const extendedResourceClaimStatus = {
      requestMappings: mappings ?? [],
      resourceClaimName: claim.metadata.name ?? "",
    };
    const body = { metadata: { uid }, status: { extendedResourceClaimStatus } };
    await this.#context.client.patch(pods, namespace, name, "strategic", body, {
      subresource: "status",
    });
  }

  async #waitFor(
    claims: readonly DeviceClaim[],
    pod: LivePod,
    node: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#context.runtime;
    const message = `waiting for binding conditions for device on node ${node}`;
    this.#context.events.event(pod, "Normal", "BindingConditionsPending", message);
    const untilMs = clock.monotonicMs() + bindingMsMax;
    while (!claims.every((claim) => this.#isReady(claim))) {
      if (signal.aborted || clock.monotonicMs() > untilMs)
        throw new Error("device binding timeout: context deadline exceeded");
      await clock.sleep(limits.readyPollMs, signal);
    }
  }

  #isReady({ metadata }: DeviceClaim): boolean {
    const { namespace = "", name = "" } = metadata;
    if (name === unwrittenName) return true;
    const claim = this.view.claim(namespace, name);
    if (claim === undefined) throw new Error(`resourceclaim.resource.k8s.io "${name}" not found`);
    const readiness = readinessOf(claim, this.view.now());
    switch (readiness.type) {
      case "ready":
        return true;
      case "waiting":
        return false;
      case "timed-out":
        throw new Error(`device binding timeout: claim=${name}`);
      case "failed": {
        const { reason, message } = readiness;
        const told = `reason=${reason}, message=${JSON.stringify(message)}`;
        throw new Error(`device binding failed: claim=${name}, ${told}`);
      }
    }
  }

  /** Takes back what was promised to a pod that was not bound. */
  async release({ order, written }: Promised, pod: LivePod): Promise<void> {
    for (const { claim } of order.claims) this.#pending.delete(claim.metadata.uid ?? "");
    const isMade = order.claims.some(({ claim }) => claim.metadata.name === unwrittenName);
    const reserved = new Map<string, DeviceClaim>(
      [...order.claims.map(({ claim }) => claim), ...written]
        .filter((claim) => isReservedFor(claim, pod))
        .map((claim) => [claim.metadata.name ?? "", claim]),
    );
    for (const claim of reserved.values()) {
      const { namespace = "", name = "", uid } = claim.metadata;
      const mine = { $patch: "delete", uid: pod.metadata.uid };
      const body = { metadata: { uid }, status: { reservedFor: [mine] } };
      await this.#attempt(claim, () =>
        this.#context.client.patch(resourceClaims, namespace, name, "strategic", body, {
          subresource: "status",
        }),
      );
    }
    const made = isMade ? written.at(-1) : undefined;
    if (made !== undefined) await this.#attempt(made, () => this.#delete(made));
  }

  /** Frees a claim that keeps its pod from every node. */
  async giveBack(claim: DeviceClaim, isExtended: boolean): Promise<void> {
    await this.#attempt(claim, async () => {
      if (isExtended) return this.#delete(claim);
      const { status: _, ...rest } = structuredClone(claim) as ResourceClaim;
      const freed = { ...rest, status: {} };
      await this.#context.client.update(resourceClaims, freed, { subresource: "status" });
    });
  }

  async #delete({ metadata }: DeviceClaim): Promise<void> {
    const { client } = this.#context;
    const { namespace = "", name = "" } = metadata;
    const claim = await client.get(resourceClaims, namespace, name);
    const finalizers = (claim.metadata.finalizers ?? []).filter((one) => one !== claimFinalizer);
    await client.update(resourceClaims, { ...claim, metadata: { ...claim.metadata, finalizers } });
    await client.delete(resourceClaims, namespace, name);
  }

  /** What cannot be taken back now is looked at again with the pod's next attempt. */
  async #attempt(claim: DeviceClaim, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (isReason(error, "NotFound") || isReason(error, "Conflict")) return;
      const { name } = claim.metadata;
      this.#context.runtime.log.warn("Cannot give back the claim", { claim: name, error });
    }
  }
}
