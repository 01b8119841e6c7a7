/**
 * Users of pods with `hostUsers: false`: each such pod gets 65,536 ids of the machine that no other
 * has, kept beside its volumes as upstream keeps them, so that a restart finds them again.
 */
import { create } from "@bufbuild/protobuf";
import {
  IDMappingSchema,
  NamespaceMode,
  type UserNamespace,
  UserNamespaceSchema,
} from "../../gen/cri/api_pb.ts";
import type { Host } from "../../runtime/host.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { CriClient } from "../cri/client.ts";
import { type Pod, podDir, uidOf } from "./types.ts";

const idsPerPod = 65_536;
const allIds = 2 ** 32;
const fileMode = 0o644;

export interface UserNamespaceOptions {
  readonly runtime: Runtime;
  readonly host: Host;
  readonly cri: CriClient;
  readonly rootDir: string;
  readonly maxPods: number;
  /** Ends with the kubelet. */
  readonly signal: AbortSignal;
}

/** Ids of the machine that pods may have. */
interface Range {
  readonly first: number;
  readonly length: number;
}

export class UserNamespaces {
  readonly #options: UserNamespaceOptions;
  #range: Range = { first: idsPerPod, length: allIds - idsPerPod };
  /** The first id of each pod that has some. */
  readonly #firsts = new Map<string, number>();

  constructor(options: UserNamespaceOptions) {
    this.#options = options;
  }

  /** Reads what the kubelet may give, and what it has given before. */
  async load(): Promise<void> {
    const { runtime, host, rootDir, maxPods } = this.#options;
    const users = (await runtime.files.readText("/etc/passwd")) ?? "";
    if (/^kubelet:/m.test(users)) this.#range = (await this.#configured()) ?? this.#range;
    checkRange(this.#range, maxPods);
    for (const uid of await host.list(`${rootDir}/pods`)) {
      const text = await runtime.files.readText(this.#file(uid));
      if (text !== undefined) this.#firsts.set(uid, firstOf(text));
    }
  }

  /** What subordinate ids the user `kubelet` has; undefined where nothing can tell. */
  async #configured(): Promise<Range | undefined> {
    const { exec } = this.#options.runtime;
    const { signal } = this.#options;
    const ask = async (argv: readonly [string, ...string[]]): Promise<string | undefined> => {
      const done = await exec.run({ argv }, signal).catch(() => undefined);
      if (done === undefined) return undefined;
      if (done.exitCode !== 0) throw new Error(`${argv.join(" ")}: ${done.stderr}`);
      return done.stdout;
    };
    const [users, groups] = [
      await ask(["getsubids", "kubelet"]),
      await ask(["getsubids", "-g", "kubelet"]),
    ];
    if (users === undefined || groups === undefined) return undefined;
    if (users.trim() !== groups.trim()) {
      throw new Error(`mismatched subuids and subgids for user kubelet: ${users} and ${groups}`);
    }
    return rangeOf(users);
  }

  /** Sees to it that the pod has ids, if it wants some; throws where the runtime cannot do it. */
  async allot(pod: Pod, handler: string): Promise<void> {
    const { runtime, host, rootDir } = this.#options;
    const uid = uidOf(pod);
    if (pod.spec.hostUsers !== false || this.#firsts.has(uid)) return;
    await this.#checkHandler(handler);
    const first = this.#freeId();
    this.#firsts.set(uid, first);
    const mappings = [{ hostId: first, containerId: 0, length: idsPerPod }];
    const text = JSON.stringify({ uidMappings: mappings, gidMappings: mappings });
    await host.mkdir(podDir(rootDir, uid), 0o750);
    await runtime.files.writeAtomic(this.#file(uid), text, fileMode);
  }

  /** What sandbox and containers of the pod are told. */
  namespaceOf(pod: Pod): UserNamespace {
    const hostId = this.#firsts.get(uidOf(pod));
    if (pod.spec.hostUsers !== false || hostId === undefined) {
      return create(UserNamespaceSchema, { mode: NamespaceMode.NODE });
    }
    const ids = [create(IDMappingSchema, { hostId, containerId: 0, length: idsPerPod })];
    return create(UserNamespaceSchema, { mode: NamespaceMode.POD, uids: ids, gids: ids });
  }

  /** The pod's directory, and with it the note, is gone. */
  release(uid: string): void {
    this.#firsts.delete(uid);
  }

  async #checkHandler(handler: string): Promise<void> {
    const { runtimeHandlers } = await this.#options.cri.runtime.status({});
    const found = runtimeHandlers.find(({ name }) => name === handler);
    if (found?.features?.userNamespaces === true) return;
    const who = handler === "" ? "runtime" : `RuntimeClass handler ${JSON.stringify(handler)}`;
    throw new Error(`can't set \`spec.hostUsers: false\`, ${who} does not support user namespaces`);
  }

  #freeId(): number {
    const used = new Set(this.#firsts.values());
    const { first, length } = this.#range;
    for (let id = first; id < first + length; id += idsPerPod) if (!used.has(id)) return id;
    throw new Error("could not find an empty slot to allocate a user namespace");
  }

  #file(uid: string): string {
    return `${podDir(this.#options.rootDir, uid)}/userns`;
  }
}

/** `0: kubelet 65536 7208960` */
function rangeOf(text: string): Range {
  const [, first, length] = /^\d+: \S+ (\d+) (\d+)$/.exec(text.trim()) ?? [];
  if (first === undefined || length === undefined) {
    throw new Error(`error parsing line ${JSON.stringify(text)}: it must contain only one line`);
  }
  return { first: Number(first), length: Number(length) };
}

function checkRange({ first, length }: Range, maxPods: number): void {
  if (first % idsPerPod !== 0 || length % idsPerPod !== 0) {
    throw new Error(
      `the ids of the user kubelet, ${first} and ${length}, must be of ${idsPerPod}s`,
    );
  }
  // Nobody in a pod may be the machine's root.
  if (first < idsPerPod) throw new Error(`the first id of the user kubelet must be ${idsPerPod}`);
  if (length / idsPerPod >= maxPods) return;
  throw new Error(`kubelet user assigned IDs are not enough to support ${maxPods} pods`);
}

function firstOf(text: string): number {
  const [mapping, ...more] = JSON.parse(text).uidMappings ?? [];
  const { hostId, containerId, length } = mapping ?? {};
  const isOurs = Number.isInteger(hostId) && containerId === 0 && length === idsPerPod;
  if (isOurs && more.length === 0) return hostId;
  throw new Error(`a user namespace that was not made here: ${text}`);
}
