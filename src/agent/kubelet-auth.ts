/**
 * Who may ask a kubelet for what: client certificates are believed, tokens are shown to the API,
 * and the API is asked whether the user may use that part of the node. Answers are kept a while.
 */
import type { Client } from "../client/client.ts";
import { subjectAccessReviews, tokenReviews } from "../client/resources.ts";
import type { UserInfo } from "../gen/authentication-v1.ts";
import type { Clock } from "../runtime/runtime.ts";

/** K3s' settings: webhook cache times of authentication and authorization. */
const limits = {
  tokenMs: 120_000,
  allowedMs: 300_000,
  deniedMs: 30_000,
  entriesMax: 4_096,
} as const;

export interface KubeletCaller {
  readonly commonName: string;
  readonly organizations: readonly string[];
}

export interface KubeletAuthOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly nodeName: string;
}

/** Why a request is refused, or undefined for one that may go on. */
export type Refusal = { readonly status: 401 | 403 | 500; readonly message: string };

interface Kept<T> {
  readonly value: T;
  readonly untilMs: number;
}

export class KubeletAuth {
  readonly #options: KubeletAuthOptions;
  readonly #users = new Map<string, Kept<UserInfo | undefined>>();
  readonly #decisions = new Map<string, Kept<boolean>>();

  constructor(options: KubeletAuthOptions) {
    this.#options = options;
  }

  /** `caller` is set when the connection showed a certificate of the client authority. */
  async refusal(request: Request, caller: KubeletCaller | undefined): Promise<Refusal | undefined> {
    try {
      const user = await this.#user(request.headers, caller);
      if (user === undefined) return { status: 401, message: "Unauthorized" };
      const verb = verbOf(request.method);
      const subresources = subresourcesOf(new URL(request.url).pathname);
      for (const subresource of subresources) {
        if (await this.#isAllowed(user, verb, subresource)) return undefined;
      }
      const asked = `verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(" ")}]`;
      return { status: 403, message: `Forbidden (user=${user.username}, ${asked})` };
    } catch (error) {
      return { status: 500, message: `Authorization error: ${error}` };
    }
  }

  async #user(headers: Headers, caller: KubeletCaller | undefined): Promise<UserInfo | undefined> {
    if (caller !== undefined) {
      const groups = [...caller.organizations, "system:authenticated"];
      return { username: caller.commonName, groups };
    }
    const token = headers.get("authorization")?.match(/^Bearer +(\S+)$/i)?.[1];
    if (token === undefined) return undefined;
    const key = new Bun.CryptoHasher("sha256").update(token).digest("hex");
    return await this.#keep(this.#users, key, async () => {
      const { status } = await this.#options.client.create(tokenReviews, {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        metadata: {},
        spec: { token },
      });
      const value = status?.authenticated === true ? status.user : undefined;
      return { value, forMs: limits.tokenMs };
    });
  }

  async #isAllowed(user: UserInfo, verb: string, subresource: string): Promise<boolean> {
    const { client, nodeName } = this.#options;
    const key = JSON.stringify([user.username, user.groups, verb, subresource]);
    return await this.#keep(this.#decisions, key, async () => {
      const { status } = await client.create(subjectAccessReviews, {
        apiVersion: "authorization.k8s.io/v1",
        kind: "SubjectAccessReview",
        metadata: {},
        spec: {
          user: user.username ?? "",
          groups: user.groups ?? [],
          ...(user.uid === undefined ? {} : { uid: user.uid }),
          ...(user.extra === undefined ? {} : { extra: user.extra }),
          resourceAttributes: {
            verb,
            version: "v1",
            resource: "nodes",
            subresource,
            name: nodeName,
          },
        },
      });
      const value = status?.allowed === true;
      return { value, forMs: value ? limits.allowedMs : limits.deniedMs };
    });
  }

  async #keep<T>(
    kept: Map<string, Kept<T>>,
    key: string,
    ask: () => Promise<{ readonly value: T; readonly forMs: number }>,
  ): Promise<T> {
    const now = this.#options.clock.monotonicMs();
    const known = kept.get(key);
    if (known !== undefined && known.untilMs > now) return known.value;
    const { value, forMs } = await ask();
    // Callers are few; one that tries endless tokens must not fill the memory.
    if (kept.size >= limits.entriesMax) kept.clear();
    kept.set(key, { value, untilMs: now + forMs });
    return value;
  }
}

const verbs: Readonly<Record<string, string>> = {
  POST: "create",
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

function verbOf(method: string): string {
  return verbs[method] ?? "";
}

/** First part of the path to the subresources of the node that open it; any of them does. */
const parts: Readonly<Record<string, readonly string[]>> = {
  stats: ["stats"],
  metrics: ["metrics"],
  logs: ["log"],
  checkpoint: ["checkpoint"],
  pods: ["pods", "proxy"],
  runningpods: ["pods", "proxy"],
  healthz: ["healthz", "proxy"],
  configz: ["configz", "proxy"],
};

function subresourcesOf(path: string): readonly string[] {
  return parts[path.split("/")[1] ?? ""] ?? ["proxy"];
}
