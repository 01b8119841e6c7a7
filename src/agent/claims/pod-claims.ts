/**
 * The claims of this node's pods: prepared by their drivers before a pod's sandbox is made, and
 * given back once its containers are gone (upstream: `pkg/kubelet/cm/dra`).
 */
import type { Client } from "../../client/client.ts";
import { resourceClaims } from "../../client/resources.ts";
import type { Container } from "../../gen/core-v1.ts";
import type { ResourceClaim } from "../../gen/resource-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import { mayBeDeviceResource } from "../../lib/names.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { claimNames, isReservedFor, strangerProblem, usedClaim } from "../../schema/pod-claims.ts";
import { criMessage } from "../cri/client.ts";
import { type Pod, uidOf } from "../kubelet/types.ts";
import { ClaimStore, type HeldClaim } from "./claim-store.ts";
import type { ClaimName, DraClient, Prepared, PreparedDevice } from "./dra-client.ts";
import type { DraDrivers } from "./dra-drivers.ts";

export interface PodClaimsOptions {
  readonly runtime: Runtime;
  readonly client: Client;
  /** /var/lib/kubelet */
  readonly rootDir: string;
  readonly drivers: Pick<DraDrivers, "client">;
}

type ReadContainer = DeepReadonly<Pick<Container, "name" | "resources">>;

/** A claim as a container uses it: all of it, or one request. */
export interface ContainerClaim {
  readonly claim: HeldClaim;
  /** The name that the pod has for it; "" for that of extended resources. */
  readonly podClaim: string;
  readonly request: string;
}

export class PodClaims {
  readonly store: ClaimStore;
  readonly #options: PodClaimsOptions;
  /** What is under way, by claim: pods that share one prepare it once. */
  readonly #busy = new Map<string, Promise<void>>();

  constructor(options: PodClaimsOptions) {
    this.#options = options;
    this.store = new ClaimStore(options.runtime, options.rootDir);
  }

  /** Throws where a claim cannot be prepared; it is tried again with the pod's next attempt. */
  async prepare(pod: Pod): Promise<void> {
    if (claimNames(pod).length === 0 && (pod.spec.resourceClaims ?? []).length === 0) return;
    const { namespace = "" } = pod.metadata;
    const keys = claimNames(pod).map((name) => `${namespace}/${name}`);
    try {
      await this.#alone(keys, () => this.#prepare(pod));
    } catch (error) {
      throw new Error(`prepare dynamic resources: ${criMessage(error)}`, { cause: error });
    }
  }

  /** Does the work once nothing else is done with the claims. */
  async #alone(keys: readonly string[], work: () => Promise<void>): Promise<void> {
    const before = keys.map((key) => this.#busy.get(key));
    const done = Promise.withResolvers<void>();
    for (const key of keys) this.#busy.set(key, done.promise);
    await Promise.all(before);
    try {
      await work();
    } finally {
      for (const key of keys) if (this.#busy.get(key) === done.promise) this.#busy.delete(key);
      done.resolve();
    }
  }

  async #prepare(pod: Pod): Promise<void> {
    const found = await this.#claimsOf(pod);
    const open: HeldClaim[] = [];
    for (const claim of found) {
      const held = this.#hold(claim);
      held.podUids.add(uidOf(pod));
      if (!held.isPrepared) open.push(held);
    }
    // Noted before anything is done, so that whatever was done is undone.
    await this.store.save();
    for (const [driver, claims] of byDriver(open)) {
      const answers = await this.#call("NodePrepareResources", driver, claims, (client) =>
        client.prepare(claims.map(nameOf)),
      );
      for (const claim of claims) {
        const { devices } = answers[claim.uid] as Prepared;
        claim.drivers.set(driver, devices.map(copyOf));
      }
    }
    for (const claim of open) claim.isPrepared = true;
    if (open.length > 0) await this.store.save();
  }

  /** The claims as the API has them now, each checked: nothing is noted before all will do. */
  async #claimsOf(pod: Pod): Promise<readonly ResourceClaim[]> {
    const { namespace = "", name: podName } = pod.metadata;
    const found: ResourceClaim[] = [];
    const awaited = (pod.spec.resourceClaims ?? []).some(
      (one) => usedClaim(pod, one).type === "awaited",
    );
    if (awaited) throw new Error(`pod "${namespace}/${podName}": ResourceClaim not created yet`);
    const generated = new Set(
      (pod.status?.resourceClaimStatuses ?? []).map((one) => one.resourceClaimName),
    );
    for (const name of claimNames(pod)) {
      const claim = await this.#options.client
        .get(resourceClaims, namespace, name)
        .catch((error: unknown) => {
          throw new Error(`fetch ResourceClaim ${name}: ${criMessage(error)}`, { cause: error });
        });
      const problem = generated.has(name) ? strangerProblem(claim, pod) : undefined;
      if (problem !== undefined) throw new Error(problem);
      if (!isReservedFor(claim, pod)) {
        const which = `ResourceClaim ${name} (${claim.metadata.uid})`;
        throw new Error(`pod ${podName} (${uidOf(pod)}) is not allowed to use ${which}`);
      }
      if (claim.status?.allocation === undefined)
        throw new Error(`ResourceClaim ${name}: not allocated`);
      for (const driver of driversOf(claim)) this.#options.drivers.client(driver);
      found.push(claim);
    }
    return found;
  }

  #hold(claim: ResourceClaim): HeldClaim {
    const { namespace = "", name = "", uid = "" } = claim.metadata;
    const known = this.store.get(namespace, name);
    if (known === undefined) return this.store.add({ namespace, name, uid }, driversOf(claim));
    if (known.uid === uid) return known;
    const old = `old ResourceClaim with same name ${name} and different UID ${known.uid}`;
    throw new Error(`${old} still exists (previous pod force-deleted?!)`);
  }

  /** Asks a driver about all of the claims; throws where it fails, or forgets one. */
  async #call<T extends { readonly error: string }>(
    call: string,
    driver: string,
    claims: readonly HeldClaim[],
    ask: (client: DraClient) => Promise<Readonly<Record<string, T>>>,
  ): Promise<Readonly<Record<string, T>>> {
    const client = this.#options.drivers.client(driver);
    const answers = await ask(client).catch((error: unknown) => {
      throw new Error(`${call}: ${criMessage(error)}`, { cause: error });
    });
    for (const [uid, { error }] of Object.entries(answers)) {
      const claim = claims.find((one) => one.uid === uid);
      if (claim === undefined)
        throw new Error(`${call} returned result for unknown claim UID ${uid}`);
      if (error !== "") throw new Error(`${call} failed for ResourceClaim ${claim.name}: ${error}`);
    }
    const missing = claims.length - Object.keys(answers).length;
    if (missing > 0) throw new Error(`${call} skipped ${missing} ResourceClaims`);
    return answers;
  }

  /** The claims that a container uses, as far as they are prepared. */
  usedBy(pod: Pod, container: ReadContainer): readonly ContainerClaim[] {
    const { namespace = "" } = pod.metadata;
    const used: ContainerClaim[] = [];
    const add = (name: string, podClaim: string, request: string): void => {
      const claim = this.store.get(namespace, name);
      if (claim !== undefined) used.push({ claim, podClaim, request });
    };
    for (const { name, request = "" } of container.resources?.claims ?? []) {
      const podClaim = (pod.spec.resourceClaims ?? []).find((one) => one.name === name);
      const known = podClaim && usedClaim(pod, podClaim);
      if (known !== undefined && "name" in known) add(known.name, name, request);
    }
    const extended = pod.status?.extendedResourceClaimStatus;
    const requests = container.resources?.requests ?? {};
    for (const { containerName, resourceName, requestName } of extended?.requestMappings ?? []) {
      const isMine = containerName === container.name && requests[resourceName] !== undefined;
      if (isMine && mayBeDeviceResource(resourceName))
        add(extended?.resourceClaimName ?? "", "", requestName);
    }
    return used;
  }

  /** The uids of the pods that use devices of a driver. */
  usersOf(driver: string): ReadonlySet<string> {
    const claims = this.store.list().filter(({ drivers }) => drivers.has(driver));
    return new Set(claims.flatMap(({ podUids }) => [...podUids]));
  }

  /** Names of CDI devices that the container is to have. */
  cdiDevicesFor(pod: Pod, container: ReadContainer): readonly string[] {
    const names = this.usedBy(pod, container).flatMap(({ claim, request }) =>
      [...claim.drivers.values()].flat().filter((device) => serves(device, request)),
    );
    return [...new Set(names.flatMap(({ cdiDeviceIds }) => cdiDeviceIds))];
  }

  /** Gives back what only this pod still had. */
  async unprepare(podUid: string): Promise<void> {
    const keys = this.#heldBy(podUid).map(({ namespace, name }) => `${namespace}/${name}`);
    if (keys.length === 0) return;
    try {
      await this.#alone(keys, () => this.#unprepare(podUid));
    } catch (error) {
      throw new Error(`unprepare dynamic resources: ${criMessage(error)}`, { cause: error });
    }
  }

  #heldBy(podUid: string): readonly HeldClaim[] {
    return this.store.list().filter(({ podUids }) => podUids.has(podUid));
  }

  async #unprepare(podUid: string): Promise<void> {
    const mine = this.#heldBy(podUid);
    const last = mine.filter(({ podUids }) => podUids.size === 1);
    for (const [driver, claims] of byDriver(last))
      await this.#call("NodeUnprepareResources", driver, claims, (client) =>
        client.unprepare(claims.map(nameOf)),
      );
    for (const claim of mine) claim.podUids.delete(podUid);
    for (const claim of last) this.store.remove(claim);
    await this.store.save();
  }

  /** Gives back what pods had that are no longer here. */
  async retain(uids: ReadonlySet<string>): Promise<void> {
    const gone = new Set(this.store.list().flatMap(({ podUids }) => [...podUids]));
    for (const uid of gone) {
      if (uids.has(uid)) continue;
      await this.unprepare(uid).catch((error: unknown) => {
        const { log } = this.#options.runtime;
        log.warn("Cannot give back the claims of a pod", { pod: uid, error: `${error}` });
      });
    }
  }
}

/** True when the device is for the request; some are for all of a claim. */
export function serves({ requestNames }: PreparedDevice, request: string): boolean {
  return request === "" || requestNames.length === 0 || requestNames.includes(request);
}

function nameOf({ namespace, name, uid }: HeldClaim): ClaimName {
  return { namespace, name, uid };
}

function copyOf(device: PreparedDevice): PreparedDevice {
  const { poolName, deviceName, shareId, requestNames, cdiDeviceIds } = device;
  return { poolName, deviceName, shareId, requestNames, cdiDeviceIds };
}

function driversOf({ status }: ResourceClaim): readonly string[] {
  const results = status?.allocation?.devices?.results ?? [];
  return [...new Set(results.map(({ driver }) => driver))];
}

function byDriver(claims: readonly HeldClaim[]): ReadonlyMap<string, readonly HeldClaim[]> {
  const drivers = new Map<string, HeldClaim[]>();
  for (const claim of claims)
    for (const driver of claim.drivers.keys())
      drivers.set(driver, [...(drivers.get(driver) ?? []), claim]);
  return drivers;
}
