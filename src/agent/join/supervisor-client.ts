/** Speaks with a server's supervisor: trusts it by the hash in the token, then asks by password. */
import { caHash, passwordOf, type Token } from "../../pki/tokens.ts";
import type { Runtime, TlsOptions } from "../../runtime/runtime.ts";

const timeoutMs = 10_000;
const nodeUser = "node";

export interface ServerPlace {
  /** `https://host:port` as given. */
  readonly url: string;
  readonly token: Token | undefined;
  /** A certificate of an earlier time, for a node that has no token any more. */
  readonly client: { readonly cert: string; readonly key: string } | undefined;
}

export class SupervisorClient {
  readonly #tls: TlsOptions;

  private constructor(
    private readonly place: ServerPlace,
    private readonly runtime: Runtime,
    /** PEM of the authority that vouches for the server. */
    readonly serverCaPem: string,
  ) {
    this.#tls = { ca: serverCaPem, ...place.client };
  }

  /**
   * First contact: what the server tells of its authority is believed only as far as the hash in
   * the token goes; then the server has to prove by TLS that it is of that authority.
   */
  static async open(place: ServerPlace, runtime: Runtime): Promise<SupervisorClient> {
    const open = { rejectUnauthorized: false };
    const answer = await ask(runtime, new Request(`${place.url}/cacerts`), open);
    const pem = await answer.text();
    if (!answer.ok || !pem.includes("BEGIN CERTIFICATE"))
      throw new Error(`${place.url}/cacerts answered ${answer.status} without a certificate`);
    const { token } = place;
    if (token !== undefined && token.type !== "short" && token.caHash !== undefined) {
      const found = caHash(pem);
      if (found !== token.caHash)
        throw new Error(
          `token CA hash does not match the Cluster CA certificate hash: ` +
            `${token.caHash} != ${found}`,
        );
    } else if (token !== undefined) {
      runtime.log.warn(
        "Cluster CA certificate is not trusted by the token: use the full token of the server",
      );
    }
    return new SupervisorClient(place, runtime, pem);
  }

  async get(path: string): Promise<string> {
    return await this.#ask(path, {});
  }

  /** `body` is a certificate request; the answer is the certificate with its authority's. */
  async post(path: string, body: Uint8Array, headers: Record<string, string>): Promise<string> {
    return await this.#ask(path, {
      method: "POST",
      body: body as Uint8Array<ArrayBuffer>,
      headers,
    });
  }

  async #ask(path: string, init: RequestInit & { headers?: Record<string, string> }) {
    const { token, url } = this.place;
    const credentials = token === undefined ? {} : { authorization: authorizationOf(token) };
    const headers = { ...init.headers, ...credentials };
    const answer = await ask(
      this.runtime,
      new Request(url + path, { ...init, headers }),
      this.#tls,
    );
    const text = await answer.text();
    if (answer.ok) return text;
    const message = `${path} answered ${answer.status}: ${messageOf(text)}`;
    // A password may become right: of the token by a rotation, of the node by its deletion.
    throw new Error(message);
  }
}

async function ask(runtime: Runtime, request: Request, tls: TlsOptions): Promise<Response> {
  const late = AbortSignal.timeout(timeoutMs);
  return await runtime.net.fetch(new Request(request, { signal: late }), { tls });
}

function authorizationOf(token: Token): string {
  if (token.type === "bootstrap") return `Bearer ${passwordOf(token)}`;
  // Who has only a password may have that of agents, or that of servers: it is told as a node's.
  const user = token.type === "full" ? token.user : nodeUser;
  return `Basic ${Buffer.from(`${user}:${token.password}`).toString("base64")}`;
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { readonly message?: string }).message ?? text;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return text.slice(0, 300);
  }
}
