/**
 * Ends pods whose devices have taints with the effect NoExecute, once what they tolerate is over
 * (upstream: `pkg/controller/devicetainteviction`).
 */
import { pods, resourceClaims, resourceSlices } from "../client/resources.ts";
import type { Pod } from "../gen/core-v1.ts";
import type {
  DeviceRequestAllocationResult,
  DeviceTaint,
  ResourceClaim,
  ResourceSlice,
} from "../gen/resource-v1.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { type Controller, type ControllerContext, watchRule } from "../live/controller.ts";
import type { LiveSet } from "../live/live-set.ts";
import type { Metrics } from "../runtime/metrics.ts";
import { toleratesDeviceTaint } from "../schema/device-taints.ts";
import { isReservedFor, strangerProblem, usedClaim } from "../schema/pod-claims.ts";
import { formatTime, isDeleting, parseTime } from "./objects.ts";

type LivePod = DeepReadonly<Pod>;
type LiveClaim = DeepReadonly<ResourceClaim>;
type Result = DeepReadonly<DeviceRequestAllocationResult>;
type Taint = DeepReadonly<DeviceTaint>;

const byPool = "device-pool";
const reason = "DeviceTaintManagerEviction";
/** Upstream's, in seconds. */
const delayBuckets = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240];

const poolKey = (driver: string, pool: string): string => `${driver}/${pool}`;

function resultsOf({ status }: LiveClaim): readonly Result[] {
  return status?.allocation?.devices?.results ?? [];
}

/** When a taint ends the use of a device; undefined when it is tolerated for good. */
export function evictionMs(taint: Taint, { tolerations = [] }: Result): number | undefined {
  const addedMs = parseTime(taint.timeAdded);
  const fitting = tolerations.filter(
    (one) => one.effect === "NoExecute" && toleratesDeviceTaint(one, taint),
  );
  if (fitting.some(({ tolerationSeconds }) => tolerationSeconds === undefined)) return undefined;
  const seconds = fitting.map((one) => Math.max(0, Number(one.tolerationSeconds ?? 0)));
  return addedMs + (seconds.length === 0 ? 0 : Math.min(...seconds) * 1000);
}

/** Creates the device taint eviction controller; its keys are pods. */
export function createDeviceTaintEvictionController(
  context: ControllerContext,
  metrics: Metrics,
): Controller {
  const work = new DeviceEvictions(context, metrics);
  return {
    name: "device_taint_eviction",
    concurrent: 10,
    watches: [
      watchRule(pods, ({ type, now }) => {
        const { nodeName, resourceClaims: claims = [] } = now.object.spec;
        return type !== "deleted" && nodeName && claims.length > 0 ? [now.key] : [];
      }),
      watchRule(resourceClaims, ({ now }) => podsOf(now.object)),
      watchRule(resourceSlices, ({ now }) => work.usersOf(now.object)),
    ],
    async reconcile(key) {
      const leftMs = await work.look(key);
      return leftMs === undefined ? "done" : { againInMs: leftMs };
    },
  };
}

function podsOf({ metadata, status }: LiveClaim): readonly string[] {
  return (status?.reservedFor ?? [])
    .filter(({ apiGroup, resource }) => !apiGroup && resource === "pods")
    .map(({ name }) => `${metadata.namespace}/${name}`);
}

class DeviceEvictions {
  readonly #context: ControllerContext;
  readonly #pods: LiveSet<Pod>;
  readonly #claims: LiveSet<ResourceClaim>;
  readonly #slices: LiveSet<ResourceSlice>;
  /** Uids of pods that are to end later: told when they are not. */
  readonly #awaited = new Set<string>();
  readonly #deletions;
  readonly #delays;

  constructor(context: ControllerContext, metrics: Metrics) {
    this.#context = context;
    this.#pods = context.live.of(pods);
    this.#claims = context.live.of(resourceClaims);
    this.#slices = context.live.of(resourceSlices);
    this.#claims.addIndex(byPool, (claim) => [
      ...new Set(resultsOf(claim).map(({ driver, pool }) => poolKey(driver, pool))),
    ]);
    this.#slices.addIndex(byPool, ({ spec }) => [poolKey(spec.driver, spec.pool.name)]);
    this.#deletions = metrics.counter(
      "device_taint_eviction_controller_pod_deletions_total",
      "Total number of Pods deleted by DeviceTaintEvictionController since its start.",
    );
    this.#delays = metrics.histogram(
      "device_taint_eviction_controller_pod_deletion_duration_seconds",
      "Latency, in seconds, between the time when a device taint effect has been activated and a " +
        "Pod's deletion via DeviceTaintEvictionController.",
      delayBuckets,
    );
  }

  *usersOf({ spec }: DeepReadonly<ResourceSlice>): Generator<string> {
    for (const { object } of this.#claims.by(byPool, poolKey(spec.driver, spec.pool.name)))
      yield* podsOf(object);
  }

  /** Ends the pod if its time has come; in how many milliseconds it will, if it will. */
  async look(key: string): Promise<number | undefined> {
    const pod = this.#pods.get(key)?.object;
    if (pod === undefined) return undefined;
    const { uid = "" } = pod.metadata;
    const whenMs = isDeleting(pod) ? undefined : this.#whenMs(pod);
    if (whenMs === undefined) {
      if (this.#awaited.delete(uid) && !isDeleting(pod))
        this.#context.events.event(pod, "Normal", reason, "Cancelling deletion");
      return undefined;
    }
    const leftMs = whenMs - this.#context.runtime.clock.now().getTime();
    if (leftMs > 0) {
      this.#awaited.add(uid);
      return leftMs;
    }
    await this.#evict(pod);
    this.#awaited.delete(uid);
    this.#deletions.add();
    this.#delays.observe({}, -leftMs / 1000);
    return undefined;
  }

  #whenMs(pod: LivePod): number | undefined {
    if (!pod.spec.nodeName) return undefined;
    const times = (pod.spec.resourceClaims ?? []).flatMap((one) => {
      const used = usedClaim(pod, one);
      if (used.type !== "named" && used.type !== "generated") return [];
      const claim = this.#claims.get(`${pod.metadata.namespace}/${used.name}`)?.object;
      const isOther = claim && used.type === "generated" && strangerProblem(claim, pod);
      if (claim === undefined || isOther || !isReservedFor(claim, pod)) return [];
      return resultsOf(claim).flatMap((result) => this.#timesOf(result));
    });
    return times.length === 0 ? undefined : Math.min(...times);
  }

  #timesOf(result: Result): readonly number[] {
    const taints = this.#taintsOf(result).filter(({ effect }) => effect === "NoExecute");
    return taints.flatMap((taint) => evictionMs(taint, result) ?? []);
  }

  /** Of the newest generation of the pool that has the device. */
  #taintsOf({ driver, pool, device: name }: Result): readonly Taint[] {
    let newest = -1;
    let taints: readonly Taint[] = [];
    for (const { object } of this.#slices.by(byPool, poolKey(driver, pool))) {
      const device = object.spec.devices?.find((one) => one.name === name);
      const { generation = 0 } = object.spec.pool;
      if (device === undefined || generation <= newest) continue;
      newest = generation;
      taints = device.taints ?? [];
    }
    return taints;
  }

  async #evict(pod: LivePod): Promise<void> {
    const { client, events, runtime } = this.#context;
    const { namespace = "", name = "", uid = "" } = pod.metadata;
    events.event(pod, "Normal", reason, "Marking for deletion");
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByDeviceTaintManager",
      message: "Device Taint manager: deleting due to NoExecute taint",
      lastTransitionTime: formatTime(runtime.clock.now()),
    };
    const body = { metadata: { uid }, status: { conditions: [condition] } };
    try {
      await client.patch(pods, namespace, name, "strategic", body, { subresource: "status" });
      await client.delete(pods, namespace, name, { preconditions: { uid } });
    } catch (error) {
      // Gone, or another pod of that name by now.
      if (!isReason(error, "NotFound") && !isReason(error, "Conflict")) throw error;
    }
  }
}
