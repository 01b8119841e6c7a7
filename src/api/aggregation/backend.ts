/** Speaks to the servers behind APIServices, as the front proxy that they trust. */
import type { APIService } from "../../gen/apiregistration-v1.ts";
import type { DeepReadonly } from "../../lib/deep-readonly.ts";
import type { LiveSets } from "../../live/live-set.ts";
import type { ByteStream, Runtime, TlsOptions } from "../../runtime/runtime.ts";
import { withoutTokenProtocol } from "../auth/token-protocol.ts";
import type { User } from "../request.ts";
import { addressOfService, urlHost } from "../service-address.ts";
import { passUpgrade, redirectRefused } from "../upgrade-tunnel.ts";

export type LiveApiService = DeepReadonly<APIService>;

/** PEM of the certificate by which backends know us, and of its key. */
export interface FrontProxyIdentity {
  readonly cert: string;
  readonly key: string;
}

export interface BackendOptions {
  readonly runtime: Runtime;
  readonly live: LiveSets;
  readonly identity: () => FrontProxyIdentity | undefined;
}

/** Headers that are about one hop, that we set, or that only a front proxy may set. */
const dropped: ReadonlySet<string> = new Set([
  "accept-encoding",
  "authorization",
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
const droppedPrefixes = ["proxy-", "x-remote-", "impersonate-"] as const;

function isDropped(name: string): boolean {
  return dropped.has(name) || droppedPrefixes.some((prefix) => name.startsWith(prefix));
}

interface Place {
  readonly host: string;
  readonly port: number;
  /** The server's name as its certificate has it. */
  readonly name: string;
  readonly tls: TlsOptions;
}

export class Backends {
  constructor(private readonly options: BackendOptions) {}

  /**
   * Passes `request` on as `user`; the answer is streamed.
   *
   * @throws Error when the server cannot be reached.
   */
  async forward(
    service: LiveApiService,
    pathAndQuery: string,
    request: Pick<Request, "method" | "headers" | "body" | "signal">,
    user: User,
  ): Promise<Response> {
    const { runtime } = this.options;
    const place = await this.#place(service);
    const headers = forwardedHeaders(request.headers);
    headers.set("host", place.name);
    const answer = await runtime.net.fetch(
      new Request(`https://${urlHost(place.host)}:${place.port}${pathAndQuery}`, {
        method: request.method,
        headers,
        signal: request.signal,
        redirect: "manual",
        ...(request.body === null ? {} : { body: request.body, duplex: "half" }),
      } as RequestInit),
      { tls: place.tls, headerLines: userLines(user) },
    );
    if (answer.status >= 300 && answer.status < 400 && answer.headers.has("location")) {
      // Whoever followed would show our clients' requests to someone else (CVE-2022-3172).
      void answer.body?.cancel();
      return new Response(redirectRefused().message, { status: 502 });
    }
    const own = new Headers(answer.headers);
    // The body comes decoded, and is framed anew.
    for (const name of ["content-encoding", "content-length", "transfer-encoding", "connection"]) {
      own.delete(name);
    }
    return new Response(answer.body, { status: answer.status, headers: own });
  }

  /** Passes a request to switch protocols on as `user`, and the bytes both ways after that. */
  async upgrade(
    service: LiveApiService,
    request: Pick<Request, "method" | "url" | "headers" | "signal">,
    user: User,
    client: ByteStream,
  ): Promise<void> {
    const { runtime } = this.options;
    const place = await this.#place(service);
    const { pathname, search } = new URL(request.url);
    const address = { type: "tcp", host: place.host, port: place.port } as const;
    const backend = await runtime.net.dial(address, request.signal, place.tls);
    const head = {
      method: request.method,
      pathAndQuery: `${pathname}${search}`,
      host: place.name,
      protocol: request.headers.get("upgrade") ?? "",
      headers: [...forwardedHeaders(request.headers), ...userLines(user)],
    };
    const options = { clock: runtime.clock, passesRedirects: false };
    await passUpgrade(client, backend, head, options);
  }

  async #place(service: LiveApiService): Promise<Place> {
    const { live, runtime, identity } = this.options;
    const { caBundle, insecureSkipTLSVerify, service: reference } = service.spec;
    const { namespace = "", name = "", port = 443 } = reference ?? {};
    const own = identity();
    const { host, port: target } = await addressOfService(
      { live, random: runtime.random },
      { namespace, name, port },
    );
    const serverName = `${name}.${namespace}.svc`;
    return {
      host,
      port: target,
      name: serverName,
      tls: {
        serverName,
        ...(own === undefined ? {} : own),
        ...(caBundle ? { ca: Buffer.from(caBundle, "base64").toString("utf8") } : {}),
        ...(insecureSkipTLSVerify === true ? { rejectUnauthorized: false } : {}),
      },
    };
  }
}

function forwardedHeaders(sent: Headers): Headers {
  const headers = new Headers();
  for (const [name, value] of sent) if (!isDropped(name)) headers.append(name, value);
  return withoutTokenProtocol(headers);
}

/** Who asks; each group is a line, which the server does not split. */
function userLines({ name, uid, groups, extra }: User): [string, string][] {
  return [
    ["x-remote-user", name],
    ...(uid === "" ? [] : [["x-remote-uid", uid] as [string, string]]),
    ...groups.map((group): [string, string] => ["x-remote-group", group]),
    ...Object.entries(extra).flatMap(([key, values]) =>
      values.map((value): [string, string] => [
        `x-remote-extra-${encodeURIComponent(key.toLowerCase())}`,
        value,
      ]),
    ),
  ];
}
