/** ConfigMaps and Secrets as pods consume them, read when they are needed. */
import type { Client } from "../../client/client.ts";
import { configMaps, secrets } from "../../client/resources.ts";
import { isReason } from "../../lib/api-error.ts";
import type { Clock } from "../../runtime/runtime.ts";
import type { ObjectLookup } from "./env.ts";

/** The entries of one object as bytes, under their keys. */
export interface ObjectData {
  readonly entries: ReadonlyMap<string, Uint8Array>;
  /** Entries that may become environment variables. */
  readonly texts: ReadonlyMap<string, string>;
}

const limits = {
  /** Containers of one pod that start together ask for the same objects. */
  shareMs: 1_000,
} as const;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(Buffer.from(base64, "base64"));
}

export class ObjectSource {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #recent = new Map<string, { atMs: number; data: Promise<ObjectData | undefined> }>();

  constructor(client: Client, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  configMap(namespace: string, name: string): Promise<ObjectData | undefined> {
    return this.#shared(`configmap ${namespace}/${name}`, async () => {
      const object = await this.#client.get(configMaps, namespace, name);
      const texts = new Map(Object.entries(object.data ?? {}));
      const binary = Object.entries(object.binaryData ?? {});
      const entries = new Map([
        ...[...texts].map(([key, text]) => [key, encoder.encode(text)] as const),
        ...binary.map(([key, base64]) => [key, bytesOf(base64)] as const),
      ]);
      return { entries, texts };
    });
  }

  secret(namespace: string, name: string): Promise<ObjectData | undefined> {
    return this.#shared(`secret ${namespace}/${name}`, async () => {
      const object = await this.#client.get(secrets, namespace, name);
      const pairs = Object.entries(object.data ?? {});
      const entries = new Map(pairs.map(([key, base64]) => [key, bytesOf(base64)]));
      const texts = new Map([...entries].map(([key, bytes]) => [key, decoder.decode(bytes)]));
      return { entries, texts };
    });
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

  async #shared(key: string, load: () => Promise<ObjectData>): Promise<ObjectData | undefined> {
    const now = this.#clock.monotonicMs();
    for (const [other, { atMs }] of this.#recent) {
      if (now - atMs > limits.shareMs) this.#recent.delete(other);
    }
    const recent = this.#recent.get(key);
    if (recent !== undefined) return await recent.data;
    const data = load().catch((error: unknown) => {
      this.#recent.delete(key);
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    });
    this.#recent.set(key, { atMs: now, data });
    return await data;
  }
}
