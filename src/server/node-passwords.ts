/** Keeps other machines from taking a node's name: its certificates have a password. */
import { type ScryptOptions, scrypt } from "node:crypto";
import { createIfAbsent } from "../api/auth/bootstrap-policy.ts";
import type { Client } from "../client/client.ts";
import { nodes, secrets } from "../client/resources.ts";
import type { Secret } from "../gen/core-v1.ts";
import { isReason } from "../lib/api-error.ts";
import { nodePasswordSecret, nodePasswordType } from "../lib/node-password.ts";
import { sameSecret } from "../lib/same-secret.ts";
import type { Random } from "../runtime/runtime.ts";

const namespace = "kube-system";
const saltBytes = 8;
const hashBytes = 64;
/** K3s' cost: N = 2^15. */
const cost = { logN: 15, r: 8, p: 1 } as const;
const memoryBytesMax = 64 * 1024 * 1024;

export class NodePasswords {
  constructor(
    private readonly client: Client,
    private readonly random: Random,
  ) {}

  /** Keeps a name for the machine that this process runs on. */
  async claim(nodeName: string, password: string): Promise<void> {
    const isKnown = (await this.#hashOf(nodePasswordSecret(nodeName))) !== undefined;
    // The hash takes a while and much memory: not at each start.
    if (!isKnown) await this.accepts(nodeName, password);
  }

  /** Whether `password` is the node's; the first one that is told for a name is. */
  async accepts(nodeName: string, password: string): Promise<boolean> {
    const name = nodePasswordSecret(nodeName);
    const known = await this.#hashOf(name);
    if (known !== undefined) return await isHashOf(known, password);
    const salt = Buffer.from(this.random.bytes(saltBytes)).toString("hex");
    const hash = await hashOf(password, salt);
    const isFirst = await createIfAbsent(this.client, secrets, await this.#secret(nodeName, hash));
    if (isFirst) return true;
    return await isHashOf((await this.#hashOf(name)) ?? "", password);
  }

  /** Whether the node is there: only such a one may come back by its certificate alone. */
  async isKnownNode(nodeName: string): Promise<boolean> {
    return (await this.#uidOf(nodeName)) !== undefined;
  }

  async #hashOf(name: string): Promise<string | undefined> {
    try {
      const { data } = await this.client.get(secrets, namespace, name);
      return Buffer.from(data?.hash ?? "", "base64").toString();
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }

  async #uidOf(nodeName: string): Promise<string | undefined> {
    try {
      return (await this.client.get(nodes, "", nodeName)).metadata.uid;
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }

  /** Of a node that is there already, it goes with the node; else a controller makes it so. */
  async #secret(nodeName: string, hash: string): Promise<Secret> {
    const uid = await this.#uidOf(nodeName);
    const owner = { apiVersion: "v1", kind: "Node", name: nodeName };
    return {
      apiVersion: "v1",
      kind: "Secret",
      metadata: {
        name: nodePasswordSecret(nodeName),
        namespace,
        ...(uid === undefined ? {} : { ownerReferences: [{ ...owner, uid }] }),
      },
      type: nodePasswordType,
      immutable: true,
      data: { hash: Buffer.from(hash).toString("base64") },
    };
  }
}

/** K3s' form: version, salt and cost stand before the hash. */
async function hashOf(password: string, salt: string): Promise<string> {
  const { logN, r, p } = cost;
  const key = await derive(password, salt, cost);
  const text = key.toString("base64").replace(/=+$/, "");
  return `$1:${salt}:${logN}:${r}:${p}:${text}`;
}

async function isHashOf(hash: string, password: string): Promise<boolean> {
  const [, salt = "", logN = "", r = "", p = "", text = ""] =
    /^\$1:([0-9a-f]+):(\d{1,2}):(\d{1,2}):(\d{1,2}):([A-Za-z0-9+/]+)=*$/.exec(hash) ?? [];
  if (text === "") return false;
  const key = await derive(password, salt, { logN: Number(logN), r: Number(r), p: Number(p) });
  return sameSecret(key.toString("base64").replace(/=+$/, ""), text);
}

function derive(
  password: string,
  salt: string,
  { logN, r, p }: { readonly logN: number; readonly r: number; readonly p: number },
): Promise<Buffer> {
  const options: ScryptOptions = { N: 2 ** logN, r, p, maxmem: memoryBytesMax };
  return new Promise((resolve, reject) => {
    scrypt(password, Buffer.from(salt, "hex"), hashBytes, options, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}
