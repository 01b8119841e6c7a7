/** Connections to backends that wait for their next request. */
import type { Streams } from "../../runtime/stream-sockets.ts";
import { BackendConnection } from "./backend-connection.ts";
import type { Backend } from "./route-table.ts";

const limits = {
  idlePerEndpointMax: 200,
  /** Less than servers wait before they close: Node's wait is five seconds. */
  idleMsMax: 4000,
  /** A request that must not be sent twice takes only what was used just now. */
  freshMsMax: 500,
} as const;

/** Where a connection leads to, and what is spoken there. */
export interface Place {
  readonly endpoint: string;
  readonly tls: boolean;
}

/** One endpoint may be asked in both ways, by Ingresses that do not agree. */
export function keyOf({ endpoint, tls }: Place): string {
  return tls ? `tls ${endpoint}` : endpoint;
}

export function placeOf({ protocol }: Backend, endpoint: string): Place {
  return { endpoint, tls: protocol === "https" || protocol === "h2" };
}

export class BackendPool {
  readonly #idle = new Map<string, BackendConnection[]>();
  #open = 0;

  constructor(
    private readonly streams: Streams,
    private readonly nowMs: () => number,
  ) {}

  /** Connections to backends, those in use too. */
  get open(): number {
    return this.#open;
  }

  /** The one used last, so that the others may grow old. */
  take(place: Place, mayRepeat: boolean): BackendConnection | undefined {
    const idle = this.#idle.get(keyOf(place));
    const usedSince = this.nowMs() - (mayRepeat ? limits.idleMsMax : limits.freshMsMax);
    const last = idle?.at(-1);
    if (idle === undefined || last === undefined || last.idleSinceMs < usedSince) return undefined;
    idle.pop();
    return last;
  }

  /** Calls one of the two, later. */
  dial(
    place: Place,
    onOpen: (connection: BackendConnection) => void,
    onFailure: (code: string) => void,
  ): void {
    const { endpoint, tls } = place;
    const colon = endpoint.lastIndexOf(":");
    const host = endpoint.slice(0, colon).replace(/^\[|\]$/g, "");
    this.streams.connect(
      { host, port: Number(endpoint.slice(colon + 1)), tls },
      (socket) => {
        this.#open += 1;
        const free = (one: BackendConnection): void => this.#keep(one);
        const gone = (one: BackendConnection): void => this.#forget(one);
        onOpen(new BackendConnection(keyOf(place), socket, free, gone));
      },
      onFailure,
    );
  }

  /** Closes what has waited long, or waits for an endpoint that is none any more. */
  sweep(isKnown: (key: string) => boolean): void {
    const since = this.nowMs() - limits.idleMsMax;
    for (const [key, idle] of this.#idle) {
      const known = isKnown(key);
      for (const connection of [...idle]) {
        if (!known || connection.idleSinceMs < since) connection.destroy();
      }
    }
  }

  close(): void {
    this.sweep(() => false);
  }

  #keep(connection: BackendConnection): void {
    const idle = this.#idle.get(connection.key);
    connection.idleSinceMs = this.nowMs();
    if (idle === undefined) this.#idle.set(connection.key, [connection]);
    else if (idle.length < limits.idlePerEndpointMax) idle.push(connection);
    else connection.destroy();
  }

  #forget(connection: BackendConnection): void {
    this.#open -= 1;
    const idle = this.#idle.get(connection.key);
    const at = idle?.indexOf(connection) ?? -1;
    if (idle === undefined || at === -1) return;
    idle.splice(at, 1);
    if (idle.length === 0) this.#idle.delete(connection.key);
  }
}
