/**
 * Makes pods' claims from templates, reserves and frees claims, deletes those that are done
 * (upstream: `pkg/controller/resourceclaim`).
 */
import { pods, resourceClaims, resourceClaimTemplates } from "../../client/resources.ts";
import type { Pod, PodResourceClaim } from "../../gen/core-v1.ts";
import type { ResourceClaim, ResourceClaimConsumerReference } from "../../gen/resource-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { type Controller, type ControllerContext, watchRule } from "../../live/controller.ts";
import type { LiveChange, LiveSet } from "../../live/live-set.ts";
import type { Metrics } from "../../runtime/metrics.ts";
import {
  claimFinalizer,
  claimNames,
  claimOwner,
  consumerOf,
  extendedClaimAnnotation,
  podClaimAnnotation,
  strangerProblem,
  usedClaim,
} from "../../schema/pod-claims.ts";
import { isDeleting, mutable } from "../objects.ts";
import { OwnWrites } from "../own-writes.ts";
import { textOf } from "../pod-control.ts";
import {
  claimFromTemplate,
  hasAdminAccess,
  isClaimDone,
  isClaimMissing,
  isPodDone,
  isUnreserved,
  orphanedClaim,
  planRelease,
} from "./plan.ts";

type LivePod = DeepReadonly<Pod>;
type LiveClaim = DeepReadonly<ResourceClaim>;
type Consumer = DeepReadonly<ResourceClaimConsumerReference>;

const byClaim = "resource-claim";
const byTemplate = "resource-claim-template";
const byOwner = "owning-pod";

/** Creates the resource claim controller; its keys are `pod:` and `claim:` with a name. */
export function createResourceClaimController(
  context: ControllerContext,
  metrics: Metrics,
): Controller {
  const work = new ClaimWork(context, metrics);
  return {
    name: "resource_claim",
    concurrent: 10,
    watches: [
      watchRule(pods, (change) => work.keysOfPod(change)),
      watchRule(resourceClaims, ({ type, now: { key } }) => [
        ...(type === "deleted" ? [] : [`claim:${key}`]),
        ...work.podsOf(byClaim, key),
      ]),
      watchRule(resourceClaimTemplates, ({ now }) => work.podsOf(byTemplate, now.key)),
    ],
    async reconcile(key, signal) {
      const name = key.slice(key.indexOf(":") + 1);
      if (key.startsWith("pod:")) await work.pod(name, signal);
      else await work.claim(name);
      return "done";
    },
  };
}

class ClaimWork {
  readonly #context: ControllerContext;
  readonly #pods: LiveSet<Pod>;
  readonly #claims: LiveSet<ResourceClaim>;
  readonly #writes: OwnWrites<ResourceClaim>;
  readonly #count: (status: "failure" | "success", claim: LiveClaim) => void;

  constructor(context: ControllerContext, metrics: Metrics) {
    this.#context = context;
    this.#pods = context.live.of(pods);
    this.#claims = context.live.of(resourceClaims);
    this.#writes = new OwnWrites(context.client, resourceClaims, this.#claims);
    this.#pods.addIndex(byClaim, (pod) => keysIn(pod, claimNames(pod)));
    this.#pods.addIndex(byTemplate, (pod) =>
      keysIn(
        pod,
        (pod.spec.resourceClaims ?? []).map((one) => one.resourceClaimTemplateName),
      ),
    );
    this.#claims.addIndex(byOwner, (claim) => {
      const owner = claimOwner(claim);
      return owner === undefined ? [] : [owner.uid];
    });
    this.#count = claimMetrics(metrics, this.#claims);
  }

  *podsOf(index: string, key: string): Generator<string> {
    for (const pod of this.#pods.by(index, key)) yield `pod:${pod.key}`;
  }

  *keysOfPod({ type, now }: LiveChange<Pod>): Generator<string> {
    const pod = now.object;
    const names = claimNames(pod);
    if ((pod.spec.resourceClaims ?? []).length === 0 && names.length === 0) return;
    // What a pod no longer needs may be free for others.
    if (type === "deleted" || isPodDone(pod))
      for (const name of names) yield `claim:${pod.metadata.namespace}/${name}`;
    if (type !== "deleted" && !isDeleting(pod) && !isPodDone(pod)) yield `pod:${now.key}`;
  }

  async pod(key: string, signal: AbortSignal): Promise<void> {
    await this.#writes.seen(signal);
    const pod = this.#pods.get(key)?.object;
    if (pod === undefined || isDeleting(pod) || isPodDone(pod)) return;
    const made = new Map<string, string>();
    for (const podClaim of pod.spec.resourceClaims ?? []) {
      try {
        const name = await this.#made(pod, podClaim);
        if (name !== undefined) made.set(podClaim.name, name);
      } catch (error) {
        const message = `PodResourceClaim ${podClaim.name}: ${textOf(error)}`;
        this.#context.events.event(pod, "Warning", "FailedResourceClaimCreation", message);
        throw new Error(`pod ${key}, ${message}`);
      }
    }
    if (made.size > 0) await this.#tell(pod, made);
    else if (pod.spec.nodeName) await this.#reserve(pod);
  }

  /** The name of the claim that now stands for the pod's; undefined when nothing is new. */
  async #made(pod: LivePod, podClaim: DeepReadonly<PodResourceClaim>): Promise<string | undefined> {
    const template = podClaim.resourceClaimTemplateName;
    if (template === undefined || !isClaimMissing(pod, podClaim, (name) => this.#claim(pod, name)))
      return undefined;
    const { namespace = "", uid = "" } = pod.metadata;
    const owned = [...this.#claims.by(byOwner, uid)].map(({ object }) => object);
    const known = orphanedClaim(owned, podClaim.name);
    if (known !== undefined) return known.metadata.name;
    const found = this.#context.live.of(resourceClaimTemplates).get(`${namespace}/${template}`);
    if (found === undefined) {
      const missing = `resourceclaimtemplate.resource.k8s.io "${template}" not found`;
      throw new Error(`resource claim template "${template}": ${missing}`);
    }
    const claim = claimFromTemplate(pod, podClaim.name, found.object);
    try {
      const created = await this.#writes.create(claim);
      this.#count("success", created);
      return created.metadata.name;
    } catch (error) {
      this.#count("failure", claim);
      throw new Error(`create ResourceClaim : ${textOf(error)}`, { cause: error });
    }
  }

  #claim(pod: LivePod, name: string): LiveClaim | undefined {
    return this.#claims.get(`${pod.metadata.namespace}/${name}`)?.object;
  }

  async #tell(pod: LivePod, made: ReadonlyMap<string, string>): Promise<void> {
    const { namespace = "", name = "", uid } = pod.metadata;
    // What an apply leaves out of what it once brought is taken away.
    const kept = pod.status?.resourceClaimStatuses ?? [];
    const statuses = [
      ...kept.filter((one) => !made.has(one.name)),
      ...[...made].map(([name, resourceClaimName]) => ({ name, resourceClaimName })),
    ];
    const body = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, ...(uid === undefined ? {} : { uid }) },
      status: { resourceClaimStatuses: statuses },
    };
    await this.#context.client.patch(pods, namespace, name, "apply", body, {
      subresource: "status",
      fieldManager: "ResourceClaimController",
      force: true,
    });
  }

  /** For pods that came to their node without the scheduler. */
  async #reserve(pod: LivePod): Promise<void> {
    for (const podClaim of pod.spec.resourceClaims ?? []) {
      const used = usedClaim(pod, podClaim);
      if (used.type !== "named" && used.type !== "generated") continue;
      const claim = this.#claim(pod, used.name);
      if (claim === undefined) return;
      const problem = used.type === "generated" ? strangerProblem(claim, pod) : undefined;
      if (problem !== undefined) throw new Error(problem);
      if (!isUnreserved(pod, claim)) continue;
      const changed = mutable<ResourceClaim>(claim);
      const reservedFor = [...(changed.status?.reservedFor ?? []), consumerOf(pod)];
      changed.status = { ...changed.status, reservedFor };
      await this.#writes.update(changed, { subresource: "status" });
    }
  }

  async claim(key: string): Promise<void> {
    const claim = this.#claims.get(key)?.object;
    if (claim === undefined) return;
    const remaining: Consumer[] = [];
    for (const consumer of claim.status?.reservedFor ?? [])
      if (await this.#isStillUsing(claim, consumer)) remaining.push(consumer);
    await this.#release(claim, remaining);
    if (remaining.length > 0) return;
    const owner = claimOwner(claim);
    const pod = this.#pods.get(`${claim.metadata.namespace}/${owner?.name}`)?.object;
    if (isClaimDone(claim, pod) && !isDeleting(claim)) await this.#writes.delete(claim);
  }

  /** A pod that is not known here is asked for: it may be new, while the scheduler knows it. */
  async #isStillUsing(claim: LiveClaim, consumer: Consumer): Promise<boolean> {
    if (consumer.apiGroup || consumer.resource !== "pods") return true;
    const { namespace = "" } = claim.metadata;
    const known = this.#pods.get(`${namespace}/${consumer.name}`)?.object;
    const pod = known ?? (await this.#askFor(namespace, consumer.name));
    return pod !== undefined && pod.metadata.uid === consumer.uid && !isPodDone(pod);
  }

  async #askFor(namespace: string, name: string): Promise<LivePod | undefined> {
    try {
      return await this.#context.client.get(pods, namespace, name);
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }

  async #release(claim: LiveClaim, remaining: readonly Consumer[]): Promise<void> {
    const { status, dropsFinalizer } = planRelease(claim, remaining);
    let newest = mutable<ResourceClaim>(claim);
    if (status !== undefined) {
      const { allocation, reservedFor: _, ...rest } = newest.status ?? {};
      newest.status = {
        ...rest,
        ...(status.keepsAllocation && allocation !== undefined ? { allocation } : {}),
        reservedFor: status.reservedFor.map((one) => ({ ...one })),
      };
      newest = await this.#writes.update(newest, { subresource: "status" });
    }
    if (!dropsFinalizer) return;
    const finalizers = newest.metadata.finalizers?.filter((one) => one !== claimFinalizer) ?? [];
    newest.metadata.finalizers = finalizers;
    await this.#writes.update(newest);
  }
}

function keysIn(pod: LivePod, names: readonly (string | undefined)[]): string[] {
  const { namespace } = pod.metadata;
  return names.flatMap((name) => (name === undefined ? [] : [`${namespace}/${name}`]));
}

/** Counts what is made, and shows how many claims there are. */
function claimMetrics(
  metrics: Metrics,
  claims: LiveSet<ResourceClaim>,
): (status: "failure" | "success", claim: LiveClaim) => void {
  const creates = metrics.counter(
    "resourceclaim_controller_creates_total",
    "Number of ResourceClaims creation requests, by their outcome and admin access",
  );
  metrics.collect(
    "resourceclaim_controller_resource_claims",
    "Number of ResourceClaims by allocation, admin access and what they were made from",
    () => {
      const counts = new Map<string, number>();
      for (const { object } of claims.list()) {
        const key = JSON.stringify(labelsOf(object));
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      return [...counts].map(([key, count]) => [JSON.parse(key), count] as const);
    },
  );
  return (status, claim) => creates.add({ status, admin_access: String(hasAdminAccess(claim)) });
}

function labelsOf(claim: LiveClaim): Readonly<Record<string, string>> {
  const annotations = claim.metadata.annotations ?? {};
  const isFromTemplate = Boolean(annotations[podClaimAnnotation]);
  const isExtended = annotations[extendedClaimAnnotation] === "true";
  return {
    allocated: String(claim.status?.allocation !== undefined),
    admin_access: String(hasAdminAccess(claim)),
    source: isExtended ? "extended_resource" : isFromTemplate ? "resource_claim_template" : "",
  };
}
