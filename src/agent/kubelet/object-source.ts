/**
 * ConfigMaps and Secrets as pods consume them. What a pod of this node names is watched, one watch
 * per object: reads are answered from it, and the pods hear of every change.
 */
import type { Client, Resource } from "../../client/client.ts";
import { configMaps, secrets } from "../../client/resources.ts";
import type { ConfigMap, Secret } from "../../gen/core-v1.ts";
import { isReason } from "../../lib/api-error.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { ObjectLookup } from "./env.ts";
import { type ObjectRef, refKey } from "./object-refs.ts";

/** The entries of one object as bytes, under their keys. */
export interface ObjectData {
  readonly entries: ReadonlyMap<string, Uint8Array>;
  /** Entries that may become environment variables. */
  readonly texts: ReadonlyMap<string, string>;
}

const limits = { watchAgainMs: 1_000 } as const;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(Buffer.from(base64, "base64"));
}

function configMapData(object: DeepReadonly<ConfigMap>): ObjectData {
  const texts = new Map(Object.entries(object.data ?? {}));
  const entries = new Map([
    ...[...texts].map(([key, text]) => [key, encoder.encode(text)] as const),
    ...Object.entries(object.binaryData ?? {}).map(([key, data]) => [key, bytesOf(data)] as const),
  ]);
  return { entries, texts };
}

function secretData(object: DeepReadonly<Secret>): ObjectData {
  const pairs = Object.entries(object.data ?? {});
  const entries = new Map(pairs.map(([key, base64]) => [key, bytesOf(base64)]));
  const texts = new Map([...entries].map(([key, bytes]) => [key, decoder.decode(bytes)]));
  return { entries, texts };
}

/** One watched object and the pods that use it. */
interface Watched {
  readonly users: Set<string>;
  readonly stop: AbortController;
  /** Undefined until the watch has shown it, and when it does not exist. */
  data: ObjectData | undefined;
}

export interface ObjectSourceOptions {
  readonly runtime: Runtime;
  readonly client: Client;
  /** Called with the uids of the pods that use an object which changed. */
  readonly onChange: (uids: Iterable<string>) => void;
}

export class ObjectSource {
  readonly #options: ObjectSourceOptions;
  readonly #watched = new Map<string, Watched>();

  constructor(options: ObjectSourceOptions) {
    this.#options = options;
  }

  /** Watches what the pod names, and no longer what only it named before. */
  follow(uid: string, refs: readonly ObjectRef[]): void {
    const wanted = new Set(refs.map(refKey));
    for (const ref of refs) {
      const known = this.#watched.get(refKey(ref));
      if (known !== undefined) known.users.add(uid);
      else this.#begin(ref, uid);
    }
    for (const [key, watched] of this.#watched) {
      if (wanted.has(key) || !watched.users.delete(uid) || watched.users.size > 0) continue;
      watched.stop.abort();
      this.#watched.delete(key);
    }
  }

  stopAll(): void {
    for (const { stop } of this.#watched.values()) stop.abort();
    this.#watched.clear();
  }

  /** Undefined when there is no such object. */
  configMap(namespace: string, name: string): Promise<ObjectData | undefined> {
    return this.#read({ kind: "configmap", namespace, name });
  }

  /** Undefined when there is no such object. */
  secret(namespace: string, name: string): Promise<ObjectData | undefined> {
    return this.#read({ kind: "secret", namespace, name });
  }

  /** The type of a pull secret and its JSON; undefined when it does not exist. */
  async pullSecret(
    namespace: string,
    name: string,
  ): Promise<{ readonly type: string; readonly json: string } | undefined> {
    const data = await this.secret(namespace, name);
    const modern = data?.texts.get(".dockerconfigjson");
    if (modern !== undefined) return { type: "kubernetes.io/dockerconfigjson", json: modern };
    const old = data?.texts.get(".dockercfg");
    return old === undefined ? undefined : { type: "kubernetes.io/dockercfg", json: old };
  }

  /** The lookup that environments want, for one namespace. */
  lookup(namespace: string): ObjectLookup {
    return {
      configMap: async (name) => (await this.configMap(namespace, name))?.texts,
      secret: async (name) => (await this.secret(namespace, name))?.texts,
    };
  }

  async #read(ref: ObjectRef): Promise<ObjectData | undefined> {
    const seen = this.#watched.get(refKey(ref))?.data;
    if (seen !== undefined) return seen;
    const { client } = this.#options;
    try {
      if (ref.kind === "secret") {
        return secretData(await client.get(secrets, ref.namespace, ref.name));
      }
      return configMapData(await client.get(configMaps, ref.namespace, ref.name));
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }

  #begin(ref: ObjectRef, uid: string): void {
    const watched = { users: new Set([uid]), stop: new AbortController(), data: undefined };
    this.#watched.set(refKey(ref), watched);
    if (ref.kind === "secret") void this.#keep(ref, watched, secrets, secretData);
    else void this.#keep(ref, watched, configMaps, configMapData);
  }

  /** Watches until nobody uses the object any more; what ends before that is begun again. */
  async #keep<T extends ConfigMap | Secret>(
    ref: ObjectRef,
    watched: Watched,
    resource: Resource<T>,
    dataOf: (object: T) => ObjectData,
  ): Promise<void> {
    const { client, runtime, onChange } = this.#options;
    const { signal } = watched.stop;
    // Without a version the watch begins with the object as it is.
    const options = { fieldSelector: `metadata.name=${ref.name}`, resourceVersion: "" };
    while (!signal.aborted) {
      try {
        for await (const event of client.watch(resource, ref.namespace, options, signal)) {
          if (event.type === "BOOKMARK") continue;
          watched.data = event.type === "DELETED" ? undefined : dataOf(event.object);
          onChange(watched.users);
        }
      } catch (error) {
        if (signal.aborted) return;
        runtime.log.debug("Cannot watch an object", { ref: refKey(ref), error: `${error}` });
      }
      // Unwatched it may change unseen: reads ask the API until the watch is back.
      watched.data = undefined;
      await runtime.clock.sleep(limits.watchAgainMs, signal);
    }
  }
}
