/** Calls to one instance of a driver of dynamic resource allocation, in the version it speaks. */
import { type Client, createClient } from "@connectrpc/connect";
import { DRAResourceHealth, type NodeWatchResourcesResponse } from "../../gen/cri/dra-health_pb.ts";
import { DRAPlugin } from "../../gen/cri/dra-v1_pb.ts";
import { DRAPlugin as OldPlugin } from "../../gen/cri/dra-v1beta1_pb.ts";
import { openSocket } from "../cri/client.ts";

const options = { timeoutMs: 45_000 } as const;

/** The services that a driver may offer, by the names it registers with. */
export const draServices = ["v1.DRAPlugin", "v1beta1.DRAPlugin"] as const;
export type DraService = (typeof draServices)[number];

export interface ClaimName {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A device as its driver tells of it once it is prepared. */
export interface PreparedDevice {
  readonly poolName: string;
  readonly deviceName: string;
  readonly shareId?: string | undefined;
  readonly requestNames: readonly string[];
  readonly cdiDeviceIds: readonly string[];
}

type Answers<T> = Readonly<Record<string, T>>;
export interface Prepared {
  readonly error: string;
  readonly devices: readonly PreparedDevice[];
}

export class DraClient {
  readonly close: () => void;
  readonly #plugin: Client<typeof DRAPlugin> | Client<typeof OldPlugin>;
  readonly #health: Client<typeof DRAResourceHealth>;

  constructor(endpoint: string, service: DraService) {
    const { transport, close } = openSocket(endpoint);
    this.close = close;
    this.#plugin =
      service === "v1.DRAPlugin"
        ? createClient(DRAPlugin, transport)
        : createClient(OldPlugin, transport);
    this.#health = createClient(DRAResourceHealth, transport);
  }

  async prepare(claims: readonly ClaimName[]): Promise<Answers<Prepared>> {
    return (await this.#plugin.nodePrepareResources({ claims: [...claims] }, options)).claims;
  }

  async unprepare(claims: readonly ClaimName[]): Promise<Answers<{ readonly error: string }>> {
    return (await this.#plugin.nodeUnprepareResources({ claims: [...claims] }, options)).claims;
  }

  /** Ends with the driver; throws Unimplemented where it tells no health. */
  watchHealth(signal: AbortSignal): AsyncIterable<NodeWatchResourcesResponse> {
    return this.#health.nodeWatchResources({}, { signal });
  }
}
