/** ControllerRevisions: the history of templates of DaemonSets and StatefulSets. */
import type { Client } from "../client/client.ts";
import { controllerRevisions } from "../client/resources.ts";
import type { ControllerRevision } from "../gen/apps-v1.ts";
import type { Container, PodTemplateSpec } from "../gen/core-v1.ts";
import type { LabelSelector } from "../gen/meta-v1.ts";
import { isReason } from "../lib/api-error.ts";
import type { DeepReadonly } from "../lib/deep-readonly.ts";
import { wholeNumber } from "../lib/exact-json.ts";
import type { LiveSet } from "../live/live-set.ts";
import type { KubeObject } from "../schema/object.ts";
import { claim, ownedBy } from "./claim.ts";
import { controllerReference, isControlledBy, mutable, sameJson } from "./objects.ts";
import { OwnWrites } from "./own-writes.ts";
import { templateHash } from "./template-hash.ts";

const never = new AbortController().signal;

export type LiveRevision = DeepReadonly<ControllerRevision>;
export const revisionHashLabel = "controller-revision-hash";

/**
 * What a revision keeps; `$patch` makes it a strategic patch that replaces the template. Byte by
 * byte what Go writes: clients find the current revision by comparing texts.
 */
export function revisionData(template: DeepReadonly<PodTemplateSpec>): object {
  const { spec } = template;
  const full = {
    ...template,
    metadata: template.metadata ?? {},
    spec: {
      ...spec,
      containers: spec.containers.map(withResources),
      ...(spec.initContainers === undefined
        ? {}
        : { initContainers: spec.initContainers.map(withResources) }),
    },
    $patch: "replace",
  };
  return sortedKeys({ spec: { template: full } }) as object;
}

function withResources(container: DeepReadonly<Container>): DeepReadonly<Container> {
  return { ...container, resources: container.resources ?? {} };
}

function sortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedKeys);
  if (value === null || typeof value !== "object") return value;
  const sorted: Record<string, unknown> = {};
  for (const key of Object.keys(value).sort()) {
    sorted[key] = sortedKeys((value as Record<string, unknown>)[key]);
  }
  return sorted;
}

export function hashOf(object: DeepReadonly<KubeObject>): string {
  return object.metadata.labels?.[revisionHashLabel] ?? "";
}

/** Reads and writes the revisions of one kind of owner. */
export class Revisions {
  readonly #client: Client;
  readonly #set: LiveSet<ControllerRevision>;
  readonly #writes: OwnWrites<ControllerRevision>;

  constructor(client: Client, set: LiveSet<ControllerRevision>) {
    this.#client = client;
    this.#set = set;
    this.#writes = new OwnWrites(client, controllerRevisions, set);
  }

  async seen(signal: AbortSignal): Promise<void> {
    await this.#writes.seen(signal);
  }

  /** Takes over revisions that nobody owns, as are left when an owner went alone. */
  async adopt(
    owner: DeepReadonly<KubeObject>,
    selector: DeepReadonly<LabelSelector>,
    readOwner: () => Promise<KubeObject>,
  ): Promise<void> {
    await claim<ControllerRevision>({
      owner,
      selector,
      set: this.#set,
      writes: this.#writes,
      readOwner,
    });
    await this.#writes.seen(never);
  }

  /** Oldest first. */
  of(owner: DeepReadonly<KubeObject>): LiveRevision[] {
    return ownedBy(this.#set, owner.metadata.uid ?? "")
      .filter((revision) => !this.#writes.isDeleted(revision))
      .sort((a, b) => (a.revision < b.revision ? -1 : Number(a.revision > b.revision)));
  }

  /**
   * The revision of `template`: a former one is brought to the front, a new one made. Throws when
   * another object holds its name; `onCollision` then moves the hash on.
   */
  async current(
    owner: DeepReadonly<KubeObject>,
    template: DeepReadonly<PodTemplateSpec>,
    collisionCount: number | undefined,
    onCollision: (count: number) => Promise<void>,
  ): Promise<LiveRevision> {
    const data = revisionData(template);
    const present = this.of(owner);
    const newest = present.at(-1);
    const equal = present.findLast((revision) => sameJson(revision.data, data));
    const next = wholeNumber(BigInt(newest?.revision ?? 0) + 1n) as number;
    if (equal !== undefined) {
      if (equal === newest) return equal;
      const changed = { ...mutable<ControllerRevision>(equal), revision: next };
      return (await this.#writes.update(changed)) as LiveRevision;
    }
    const hash = templateHash(template, collisionCount);
    const { namespace = "", name = "", annotations } = owner.metadata;
    const revision: ControllerRevision = {
      apiVersion: "apps/v1",
      kind: "ControllerRevision",
      metadata: {
        name: `${name}-${hash}`,
        namespace,
        labels: { ...template.metadata?.labels, [revisionHashLabel]: hash },
        // Among them the cause of the change, which `kubectl rollout history` shows.
        ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
        ownerReferences: [controllerReference(owner)],
      },
      data: data as NonNullable<ControllerRevision["data"]>,
      revision: next,
    };
    try {
      return (await this.#writes.create(revision)) as LiveRevision;
    } catch (error) {
      if (!isReason(error, "AlreadyExists")) throw error;
      const other = await this.#client.get(controllerRevisions, namespace, `${name}-${hash}`);
      if (isControlledBy(other, owner) && sameJson(other.data, data)) return other;
      await onCollision((collisionCount ?? 0) + 1);
      throw error;
    }
  }

  /** Deletes the oldest revisions beyond `limit` that no pod uses. */
  async cleanUp(
    owner: DeepReadonly<KubeObject>,
    limit: number,
    usedHashes: ReadonlySet<string>,
  ): Promise<void> {
    const unused = this.of(owner).filter((revision) => !usedHashes.has(hashOf(revision)));
    for (const revision of unused.slice(0, Math.max(0, unused.length - limit))) {
      await this.#writes.delete(revision);
    }
  }
}
