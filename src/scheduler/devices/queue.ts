/** Pods that are not even tried before their claims are there, and what changes of claims mean. */
import { deviceClasses, resourceClaims, resourceSlices } from "../../client/resources.ts";
import type { ResourceClaim } from "../../gen/resource-v1.ts";
import { semanticEqual } from "../../lib/semantic-equal.ts";
import type { LiveChange, LiveSets } from "../../live/live-set.ts";
import type { LivePod } from "../amounts.ts";
import type { ClusterEvent } from "../queue.ts";
import { podDeviceClaims } from "./plan.ts";
import type { DeviceView } from "./view.ts";

export class DeviceQueue {
  /** Keys and pods by uid. */
  readonly #held = new Map<string, { readonly key: string; readonly pod: LivePod }>();

  constructor(private readonly view: DeviceView) {}

  /** True while a claim of the pod is missing, or cannot be its own. */
  holds(pod: LivePod, key: string): boolean {
    const uid = pod.metadata.uid ?? "";
    if (this.#areThere(pod)) {
      this.#held.delete(uid);
      return false;
    }
    this.#held.set(uid, { key, pod });
    return true;
  }

  #areThere(pod: LivePod): boolean {
    if ((pod.spec.resourceClaims ?? []).length === 0) return true;
    return typeof podDeviceClaims(pod, this.view) !== "string";
  }

  forget(uid: string): void {
    this.#held.delete(uid);
  }

  /** The keys of held pods that are held no more. */
  complete(): readonly string[] {
    const found = [...this.#held.values()].filter(({ pod }) => this.#areThere(pod));
    for (const { pod } of found) this.#held.delete(pod.metadata.uid ?? "");
    return found.map(({ key }) => key);
  }

  /** Tells of all that may help pods that wait for devices, until disposed of. */
  follow(live: LiveSets, tell: (event: ClusterEvent) => void): Disposable {
    const stack = new DisposableStack();
    stack.use(live.of(deviceClasses).subscribe(() => tell({ type: "device" })));
    stack.use(live.of(resourceSlices).subscribe(() => tell({ type: "device" })));
    stack.use(live.of(resourceClaims).subscribe((change) => tell(claimEvent(change))));
    return stack;
  }
}

/** What a change of a claim means for pods that wait. */
export function claimEvent({ type, now, before }: LiveChange<ResourceClaim>): ClusterEvent {
  const claim = now.object;
  const old = before?.object;
  const had = (type === "deleted" ? claim : old)?.status?.allocation !== undefined;
  const has = type !== "deleted" && claim.status?.allocation !== undefined;
  const isChanged = old === undefined || !semanticEqual(old.status, claim.status);
  return { type: "claim", claim, isFreed: had && !has, isChanged: type !== "deleted" && isChanged };
}
