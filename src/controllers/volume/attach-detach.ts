/**
 * The attach/detach controller: a VolumeAttachment for each CSI volume and node that has a pod for
 * it, for the driver's attacher to act on; nodes are told of what they have.
 */
import type { Client } from "../../client/client.ts";
import {
  csiDrivers,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  volumeAttachments,
} from "../../client/resources.ts";
import type { Node, PersistentVolume } from "../../gen/core-v1.ts";
import type { VolumeAttachment } from "../../gen/storage-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { Lanes } from "../../lib/lanes.ts";
import {
  type Controller,
  type ControllerContext,
  type Outcome,
  watchRule,
} from "../../live/controller.ts";
import type { LiveSet } from "../../live/live-set.ts";
import { attachmentName, isAttachmentName, uniqueName } from "../../schema/csi-names.ts";
import { OwnWrites } from "../own-writes.ts";
import type { LivePod } from "../pod-state.ts";
import {
  allowsMany,
  type LiveAttachment,
  type LiveNode,
  type NodeStep,
  needsVolumes,
  planNode,
  uses,
  waitingText,
} from "./plan-attach.ts";
import { claimKeysOf, indexPodsByClaim } from "./protection.ts";

type LiveVolume = DeepReadonly<PersistentVolume>;

const byVolume = "persistentVolumeName";
const byNode = "attachmentNode";
const byUniqueName = "csiUniqueName";
const nodesByAttached = "volumesAttached";
const podsByNode = "claimingPodNode";
const limits = { attachMs: 120_000 } as const;

/** Creates the controller; its keys are names of PersistentVolumes. */
export function createAttachDetachController(context: ControllerContext): Controller {
  const attacher = new Attacher(context);
  return {
    name: "attachdetach",
    concurrent: 10,
    watches: [
      watchRule(pods, ({ now }) => attacher.volumesOfPod(now.object)),
      watchRule(persistentVolumeClaims, ({ now }) => [now.object.spec.volumeName ?? ""]),
      watchRule(persistentVolumes, ({ now }) => (now.object.spec.csi ? [now.key] : [])),
      watchRule(volumeAttachments, ({ now }) => [
        now.object.spec.source.persistentVolumeName ?? "",
      ]),
      watchRule(nodes, ({ type, now }) => attacher.volumesOfNode(type, now.object)),
      watchRule(csiDrivers, ({ now }) => attacher.volumesOfDriver(now.key)),
    ],
    reconcile: (key, signal) => attacher.reconcile(key, signal),
  };
}

class Attacher {
  readonly #context: ControllerContext;
  readonly #attachments: LiveSet<VolumeAttachment>;
  readonly #volumes: LiveSet<PersistentVolume>;
  readonly #nodes: LiveSet<Node>;
  readonly #writes: OwnWrites<VolumeAttachment>;
  readonly #usersOf: (claimKey: string) => Iterable<LivePod>;
  /** One list of a node is written at a time. */
  readonly #lanes = new Lanes();
  /** Since when a node's volume is not wanted, by both names. */
  readonly #unwantedMs = new Map<string, number>();
  /** What pods were told last of a volume and node: once is enough. */
  readonly #told = new Map<string, string>();
  /** What nodes that are gone were using. */
  readonly #goneUsing = new Map<string, readonly string[]>();

  constructor(context: ControllerContext) {
    const { live, client } = context;
    this.#context = context;
    this.#attachments = live.of(volumeAttachments);
    this.#volumes = live.of(persistentVolumes);
    this.#nodes = live.of(nodes);
    this.#writes = new OwnWrites(client, volumeAttachments, this.#attachments);
    this.#usersOf = indexPodsByClaim(live.of(pods));
    this.#attachments.addIndex(byVolume, ({ spec }) => [spec.source.persistentVolumeName ?? ""]);
    this.#attachments.addIndex(byNode, ({ spec }) => [spec.nodeName]);
    this.#volumes.addIndex(byUniqueName, ({ spec: { csi } }) =>
      csi === undefined ? [] : [uniqueName(csi.driver, csi.volumeHandle)],
    );
    this.#nodes.addIndex(nodesByAttached, ({ status }) =>
      (status?.volumesAttached ?? []).map(({ name }) => name),
    );
    live
      .of(pods)
      .addIndex(podsByNode, (pod) =>
        claimKeysOf(pod).length === 0 ? [] : [pod.spec.nodeName ?? ""],
      );
  }

  volumesOfPod(pod: LivePod): readonly string[] {
    if ((pod.spec.nodeName ?? "") === "") return [];
    const claims = this.#context.live.of(persistentVolumeClaims);
    return claimKeysOf(pod).map((key) => claims.get(key)?.object.spec.volumeName ?? "");
  }

  *volumesOfNode(type: string, node: LiveNode): Iterable<string> {
    const { name = "" } = node.metadata;
    if (type === "deleted") this.#goneUsing.set(name, node.status?.volumesInUse ?? []);
    else this.#goneUsing.delete(name);
    for (const { object } of this.#attachments.by(byNode, name)) {
      yield object.spec.source.persistentVolumeName ?? "";
    }
    for (const attached of node.status?.volumesAttached ?? []) {
      for (const { key } of this.#volumes.by(byUniqueName, attached.name)) yield key;
    }
    if (type !== "added") return;
    for (const { object } of this.#context.live.of(pods).by(podsByNode, name)) {
      yield* this.volumesOfPod(object);
    }
  }

  *volumesOfDriver(driver: string): Iterable<string> {
    for (const { key, object } of this.#volumes.list()) {
      if (object.spec.csi?.driver === driver) yield key;
    }
  }

  async reconcile(volumeName: string, signal: AbortSignal): Promise<Outcome> {
    if (volumeName === "") return "done";
    await this.#writes.seen(signal);
    const attachments = Array.from(this.#attachments.by(byVolume, volumeName), (one) => one.object)
      // What others have made is theirs to remove.
      .filter(({ metadata }) => isAttachmentName(metadata.name ?? ""));
    const volume = this.#volumes.get(volumeName)?.object;
    const pods = volume === undefined ? [] : this.#podsOf(volume);
    const names = [...attachments, ...pods].map(({ spec }) => spec.nodeName ?? "");
    const reporting = this.#reporting(volume);
    const holders = attachments.map(({ spec }) => spec.nodeName);
    const waits: number[] = [];
    // What is to go goes before others want it.
    for (const nodeName of sortedLast(new Set([...names, ...reporting]), pods)) {
      const one = { volumeName, volume, nodeName, attachments, holders, pods };
      const againInMs = await this.#syncNode(one);
      if (againInMs !== undefined) waits.push(againInMs);
    }
    return waits.length === 0 ? "done" : { againInMs: Math.min(...waits) };
  }

  /** The pods with a node whose claim has this volume, unless it needs no attaching. */
  #podsOf({ metadata, spec }: LiveVolume): readonly LivePod[] {
    const { csi, claimRef } = spec;
    if (csi === undefined || claimRef === undefined) return [];
    const driver = this.#context.live.of(csiDrivers).get(csi.driver)?.object;
    if (driver?.spec.attachRequired === false) return [];
    const key = `${claimRef.namespace}/${claimRef.name}`;
    const claim = this.#context.live.of(persistentVolumeClaims).get(key)?.object;
    if (claim?.status?.phase !== "Bound" || claim.spec.volumeName !== metadata.name) return [];
    return [...this.#usersOf(key)].filter(needsVolumes);
  }

  /** Nodes that say they have the volume. */
  #reporting(volume: LiveVolume | undefined): readonly string[] {
    const name = nameIn(volume);
    return name === undefined
      ? []
      : Array.from(this.#nodes.by(nodesByAttached, name), ({ key }) => key);
  }

  /** When to look again, if nothing else happens. */
  async #syncNode(one: OneNode): Promise<number | undefined> {
    const { volumeName, volume, nodeName } = one;
    const attachment = one.attachments.find(({ spec }) => spec.nodeName === nodeName);
    const node = this.#nodes.get(nodeName)?.object;
    const pods = one.pods.filter(({ spec }) => spec.nodeName === nodeName);
    const key = `${volumeName} ${nodeName}`;
    const nowMs = this.#context.runtime.clock.monotonicMs();
    const sinceMs = this.#unwantedMs.get(key) ?? nowMs;
    const name = nameIn(volume) ?? nameOf(attachment, node);
    const isExclusive = volume !== undefined && !allowsMany(volume);
    const elsewhere = one.holders.filter((other) => isExclusive && other !== nodeName);
    const step = planNode({
      node,
      uniqueName: name,
      attachment,
      pods,
      elsewhere,
      unwantedMs: nowMs - sinceMs,
      wasInUse: this.#goneUsing.get(nodeName)?.includes(name) === true,
    });
    if (step.do === "waitForUnmount" || step.do === "detach") this.#unwantedMs.set(key, sinceMs);
    else this.#unwantedMs.delete(key);
    return await this.#act(step, { ...one, pods, attachment, elsewhere, name, key });
  }

  async #act(step: NodeStep, place: Place): Promise<number | undefined> {
    const { volumeName, volume, nodeName, attachment, name } = place;
    switch (step.do) {
      case "nothing":
        this.#told.delete(place.key);
        return undefined;
      case "attach":
        if (volume === undefined) return undefined;
        await this.#attach(volume, nodeName);
        place.holders.push(nodeName);
        return limits.attachMs;
      case "waitForOthers":
        this.#tellWaiting(place);
        return undefined;
      case "waitForAttacher":
        return this.#tellLate(place);
      case "tellFailure": {
        const failed = `AttachVolume.Attach failed for volume "${volumeName}" : ${step.message}`;
        const { time = "" } = attachment?.status?.attachError ?? {};
        this.#tell(place, `${time}${failed}`, "Warning", "FailedAttachVolume", () => failed);
        return undefined;
      }
      case "report": {
        const isNew = await this.#report(nodeName, name, true);
        const text = `AttachVolume.Attach succeeded for volume "${volumeName}" `;
        if (isNew) this.#tell(place, text, "Normal", "SuccessfulAttachVolume", () => text);
        return undefined;
      }
      case "waitForUnmount":
        return step.againInMs;
      case "detach":
        await this.#report(nodeName, name, false);
        if (!step.isForced && (await this.#isInUse(nodeName, name))) return undefined;
        if (attachment !== undefined) await this.#writes.delete(attachment as never);
        this.#told.delete(place.key);
        return undefined;
    }
  }

  async #attach({ metadata, spec }: LiveVolume, nodeName: string): Promise<void> {
    const { driver = "", volumeHandle = "" } = spec.csi ?? {};
    try {
      await this.#writes.create({
        apiVersion: "storage.k8s.io/v1",
        kind: "VolumeAttachment",
        metadata: { name: attachmentName(volumeHandle, driver, nodeName) },
        spec: {
          attacher: driver,
          nodeName,
          source: { persistentVolumeName: metadata.name ?? "" },
        },
      });
    } catch (error) {
      if (!isReason(error, "AlreadyExists")) throw error;
    }
  }

  #tellWaiting(place: Place): void {
    const { volumeName, elsewhere, pods } = place;
    const users = this.#podsOf(place.volume as LiveVolume).filter(({ spec }) =>
      elsewhere.includes(spec.nodeName ?? ""),
    );
    const waiting = pods.map(({ metadata }) => metadata.uid).join();
    this.#tell(place, `waiting ${waiting}`, "Warning", "FailedAttachVolume", (pod) =>
      waitingText(volumeName, pod, users),
    );
  }

  /** The driver's attacher may be missing: upstream says so every two minutes. */
  #tellLate(place: Place): number {
    const { volumeName, volume, attachment } = place;
    const { clock } = this.#context.runtime;
    const sinceMs = Date.parse(attachment?.metadata.creationTimestamp ?? "");
    const ageMs = clock.now().getTime() - sinceMs;
    const rounds = Math.floor(ageMs / limits.attachMs);
    const { driver = "unknown", volumeHandle = "" } = volume?.spec.csi ?? {};
    const text =
      `AttachVolume.Attach failed for volume "${volumeName}" : timed out waiting for ` +
      `external-attacher of ${driver} CSI driver to attach volume ${volumeHandle}`;
    if (rounds > 0) {
      this.#tell(place, `late ${rounds}`, "Warning", "FailedAttachVolume", () => text);
    }
    return limits.attachMs - (ageMs % limits.attachMs) + 1;
  }

  #tell(
    { key, pods }: Place,
    what: string,
    type: "Normal" | "Warning",
    reason: string,
    textFor: (pod: LivePod) => string,
  ): void {
    if (this.#told.get(key) === what) return;
    this.#told.set(key, what);
    for (const pod of pods) this.#context.events.event(pod, type, reason, textFor(pod));
  }

  /** Whether the node's list has changed by it; a node that is gone has none. */
  async #report(nodeName: string, name: string, isAttached: boolean): Promise<boolean> {
    return await this.#lanes.run(nodeName, async () => {
      const node = await getNode(this.#context.client, nodeName);
      if (node === undefined) return false;
      const before = node.status?.volumesAttached ?? [];
      const has = before.some((one) => one.name === name);
      if (has === isAttached) return false;
      const others = before.filter((one) => one.name !== name);
      const volumesAttached = isAttached ? [...others, { name, devicePath: "" }] : others;
      const body = {
        status: { volumesAttached: volumesAttached.length === 0 ? null : volumesAttached },
      };
      const options = { subresource: "status" };
      await this.#context.client.patch(nodes, "", nodeName, "merge", body, options);
      return true;
    });
  }

  /** Asked of the API itself: the node may have begun to use it just before it was told not to. */
  async #isInUse(nodeName: string, name: string): Promise<boolean> {
    const node = await getNode(this.#context.client, nodeName);
    return node !== undefined && uses(node, name);
  }
}

interface OneNode {
  readonly volumeName: string;
  readonly volume: LiveVolume | undefined;
  readonly nodeName: string;
  readonly attachments: readonly LiveAttachment[];
  /** Nodes with an attachment, those included that have just got it. */
  readonly holders: string[];
  readonly pods: readonly LivePod[];
}

interface Place extends OneNode {
  readonly attachment: LiveAttachment | undefined;
  readonly elsewhere: readonly string[];
  readonly name: string;
  readonly key: string;
}

function nameIn(volume: LiveVolume | undefined): string | undefined {
  const csi = volume?.spec.csi;
  return csi && uniqueName(csi.driver, csi.volumeHandle);
}

/** Of a volume that is gone: the name in the node's lists that the attachment is named after. */
function nameOf(attachment: LiveAttachment | undefined, node: LiveNode | undefined): string {
  const { volumesInUse = [], volumesAttached = [] } = node?.status ?? {};
  const all = [...volumesInUse, ...volumesAttached.map(({ name }) => name)];
  const { attacher = "", nodeName = "" } = attachment?.spec ?? {};
  const prefix = uniqueName(attacher, "");
  const isIt = (name: string): boolean =>
    name.startsWith(prefix) &&
    attachmentName(name.slice(prefix.length), attacher, nodeName) === attachment?.metadata.name;
  return all.find(isIt) ?? "";
}

/** Nodes without pods for the volume first. */
function sortedLast(names: ReadonlySet<string>, pods: readonly LivePod[]): readonly string[] {
  const wanting = new Set(pods.map(({ spec }) => spec.nodeName));
  return [...names].toSorted((a, b) => Number(wanting.has(a)) - Number(wanting.has(b)));
}

async function getNode(client: Client, name: string): Promise<Node | undefined> {
  return await client.get(nodes, "", name).catch((error: unknown) => {
    if (!isReason(error, "NotFound")) throw error;
    return undefined;
  });
}
