/** Makes the file systems of volumes grow that their driver's controller has made larger. */
import { Code, ConnectError } from "@connectrpc/connect";
import type { Client } from "../../client/client.ts";
import { persistentVolumeClaims } from "../../client/resources.ts";
import type { PersistentVolumeClaim, PersistentVolumeClaimCondition } from "../../gen/core-v1.ts";
import { compareQuantity } from "../../lib/quantity.ts";
import type { EventRecorder } from "../../live/events.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { criMessage } from "../cri/client.ts";
import { wholeValue } from "../kubelet/resources.ts";
import type { Pod } from "../kubelet/types.ts";
import { MountError } from "./csi-attachments.ts";
import { isFinal } from "./csi-client.ts";
import type { CsiDrivers } from "./csi-drivers.ts";
import { type CsiSecrets, secretTexts } from "./csi-secrets.ts";
import { wishOf } from "./csi-stager.ts";
import type { CsiVolume, PersistentVolume } from "./csi-volume.ts";

export interface CsiExpanderOptions {
  readonly runtime: Runtime;
  readonly client: Client;
  readonly events: EventRecorder;
  readonly drivers: CsiDrivers;
  readonly objects: CsiSecrets;
  readonly nodeName: string;
}

/** One mounted volume, as it is and as its objects want it. */
export interface ExpansionWish {
  readonly pod: Pod;
  readonly volume: CsiVolume;
  readonly claim: PersistentVolumeClaim;
  readonly persistent: PersistentVolume;
  /** What it was when it was mounted or made to grow the last time; undefined while it mounts. */
  readonly knownSize: string | undefined;
  readonly path: string;
  readonly staging: string;
}

export type ExpansionPlan =
  | { readonly do: "nothing" }
  /** Others have done it, or it needs nothing here. */
  | { readonly do: "note" }
  | {
      readonly do: "expand";
      readonly size: string;
      /** The resizer tells what it does in the claim's status. */
      readonly isTold: boolean;
      /** The claim has its new size: only this node has not. */
      readonly isClaimDone: boolean;
    };

const storage = "storage";
const resizeConditions: ReadonlySet<string> = new Set([
  "ControllerResizeError",
  "FileSystemResizePending",
  "NodeResizeError",
  "Resizing",
]);
const withoutExpansion = "volume.kubernetes.io/node-expansion-not-required";

/** What a node is to do about the size of a volume. Pure. */
export function planExpansion(
  wish: Omit<ExpansionWish, "pod" | "path" | "staging">,
): ExpansionPlan {
  const { claim, persistent, knownSize } = wish;
  const { status, spec, metadata } = claim;
  const claimSize = status?.capacity?.[storage] ?? "0";
  const volumeSize = persistent.spec.capacity?.[storage] ?? "0";
  if (compareQuantity(knownSize ?? claimSize, volumeSize) >= 0) return { do: "nothing" };
  const step = status?.allocatedResourceStatuses?.[storage] ?? "";
  const isTold = step !== "" || status?.allocatedResources !== undefined;
  const told = knownSize === undefined ? status?.allocatedResources?.[storage] : undefined;
  const size = (isTold ? told : undefined) ?? volumeSize;
  const isClaimDone = compareQuantity(claimSize, size) >= 0 && step === "";
  const expand = { do: "expand", size, isTold, isClaimDone } as const;
  if (!isTold) return expand;
  const isShared = spec.accessModes?.includes("ReadWriteMany") === true;
  if (isClaimDone) {
    const needed = metadata.annotations?.[withoutExpansion] === undefined;
    return isShared && needed ? expand : { do: "note" };
  }
  return step === "NodeResizePending" || step === "NodeResizeInProgress"
    ? expand
    : { do: "nothing" };
}

export class CsiExpander {
  readonly #options: CsiExpanderOptions;

  constructor(options: CsiExpanderOptions) {
    this.#options = options;
  }

  /** Resolves with the size that the volume has on this node; throws MountError. */
  async expand(wish: ExpansionWish): Promise<string> {
    const { volume, claim, persistent } = wish;
    const claimSize = claim.status?.capacity?.[storage] ?? "0";
    const before = wish.knownSize ?? claimSize;
    const plan = planExpansion(wish);
    if (plan.do === "nothing") return before;
    if (plan.do === "note") return persistent.spec.capacity?.[storage] ?? before;
    if (volume.readOnly) {
      this.#tell(
        wish,
        claim,
        "Warning",
        "FileSystemResizeFailed",
        "failed",
        "requested read-only file system",
      );
      return plan.size;
    }
    try {
      return await this.#expand(wish, plan);
    } catch (error) {
      if (error instanceof MountError) throw error;
      const step =
        wish.knownSize === undefined
          ? "MountVolume.Setup failed while expanding volume"
          : "NodeExpandVolume.NodeExpandVolume failed";
      throw new MountError(`${step} for volume "${volume.specName}" : ${criMessage(error)}`);
    }
  }

  async #expand(
    wish: ExpansionWish,
    plan: Extract<ExpansionPlan, { do: "expand" }>,
  ): Promise<string> {
    const { volume, persistent, path, staging } = wish;
    const { drivers, objects, nodeName } = this.#options;
    const client = drivers.client(volume.driver);
    const isAble = await client.can("EXPAND_VOLUME");
    if (!isAble && (!plan.isTold || plan.isClaimDone)) return plan.size;
    let { claim } = wish;
    if (plan.isTold && !plan.isClaimDone) claim = await this.#mark(claim, "NodeResizeInProgress");
    try {
      if (!isAble) {
        throw new Error(`NodeExpand is not supported by the CSI driver ${volume.driver}`);
      }
      const secrets = await secretTexts(objects, "NodeExpandSecretRef", volume.expandSecret);
      const bytes = BigInt(wholeValue(plan.size));
      const isStaged = await client.can("STAGE_UNSTAGE_VOLUME");
      const stagingPath = isStaged ? staging : "";
      const request = { volumeId: volume.handle, volumePath: path, stagingPath, bytes, secrets };
      await client.expand({ ...request, wish: wishOf(volume, undefined) });
    } catch (error) {
      if (plan.isTold && isFinal(error)) await this.#markFailed(claim, error);
      // In use it cannot grow, which must not keep a pod from starting.
      if (codeOf(error) !== Code.FailedPrecondition) throw error;
      return plan.isTold ? (wish.knownSize ?? claim.status?.capacity?.[storage] ?? "0") : plan.size;
    }
    this.#tell(wish, claim, "Normal", "FileSystemResizeSuccessful", "succeeded", nodeName);
    const isNoted = compareQuantity(claim.status?.capacity?.[storage] ?? "0", plan.size) >= 0;
    if (!plan.isClaimDone && !(isNoted && !plan.isTold)) await this.#markDone(claim, plan.size);
    return compareQuantity(plan.size, persistent.spec.capacity?.[storage] ?? "0") > 0
      ? (persistent.spec.capacity?.[storage] ?? plan.size)
      : plan.size;
  }

  #tell(
    { pod, volume }: ExpansionWish,
    claim: PersistentVolumeClaim,
    type: "Normal" | "Warning",
    reason: string,
    how: string,
    more: string,
  ): void {
    const text = `MountVolume.NodeExpandVolume ${how} for volume "${volume.specName}" ${more}`;
    this.#options.events.event(pod, type, reason, text);
    this.#options.events.event(claim, type, reason, text);
  }

  async #mark(claim: PersistentVolumeClaim, step: string): Promise<PersistentVolumeClaim> {
    const { status = {} } = claim;
    const allocatedResourceStatuses = { ...status.allocatedResourceStatuses, [storage]: step };
    if (status.allocatedResourceStatuses?.[storage] === step) return claim;
    return await this.#write(claim, { ...status, allocatedResourceStatuses });
  }

  async #markFailed(claim: PersistentVolumeClaim, error: unknown): Promise<void> {
    const { status = {} } = claim;
    const infeasible = [Code.InvalidArgument, Code.OutOfRange, Code.NotFound];
    const isInfeasible = infeasible.some((code) => code === codeOf(error));
    const others = (status.conditions ?? []).filter(({ type }) => type !== "NodeResizeError");
    const condition: PersistentVolumeClaimCondition = {
      type: "NodeResizeError",
      status: "True",
      lastTransitionTime: this.#options.runtime.clock
        .now()
        .toISOString()
        .replace(/\.\d+Z$/, "Z"),
      message: `failed to expand pvc with ${criMessage(error)}`,
    };
    const steps = { ...status.allocatedResourceStatuses, [storage]: "NodeResizeInfeasible" };
    await this.#write(claim, {
      ...status,
      conditions: [...others, condition],
      ...(isInfeasible ? { allocatedResourceStatuses: steps } : {}),
    }).catch((failure: unknown) => {
      this.#options.runtime.log.warn("Cannot tell of a failed expansion", { error: `${failure}` });
    });
  }

  async #markDone(claim: PersistentVolumeClaim, size: string): Promise<void> {
    const { allocatedResourceStatuses, ...status } = claim.status ?? {};
    const { [storage]: _done, ...steps } = allocatedResourceStatuses ?? {};
    const conditions = (status.conditions ?? []).filter(({ type }) => !resizeConditions.has(type));
    await this.#write(claim, {
      ...status,
      capacity: { ...status.capacity, [storage]: size },
      conditions,
      ...(Object.keys(steps).length === 0 ? {} : { allocatedResourceStatuses: steps }),
    });
  }

  async #write(
    claim: PersistentVolumeClaim,
    status: NonNullable<PersistentVolumeClaim["status"]>,
  ): Promise<PersistentVolumeClaim> {
    const changed = { ...claim, status };
    const { client } = this.#options;
    return await client.update(persistentVolumeClaims, changed, { subresource: "status" });
  }
}

function codeOf(error: unknown): Code | undefined {
  return error instanceof ConnectError ? error.code : undefined;
}
