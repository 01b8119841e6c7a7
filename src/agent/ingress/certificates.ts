/** Which certificate a client is shown: by the name it asks for. */
import type { TlsPair } from "../../runtime/stream-sockets.ts";
import type { TlsCertificate } from "./route-table.ts";

export class Certificates {
  #byHost = new Map<string, TlsPair>();

  /** The first to name a host keeps it. */
  replace(certificates: readonly TlsCertificate[]): void {
    const before = this.#byHost;
    this.#byHost = new Map();
    for (const { hosts, cert, key } of certificates) {
      const old = hosts.map((host) => before.get(host)).find((pair) => pair?.cert === cert);
      const pair = old?.key === key ? old : { cert, key };
      for (const host of hosts) if (!this.#byHost.has(host)) this.#byHost.set(host, pair);
    }
  }

  /** A wildcard stands for one label, a double one for several; "" for all names. */
  find(serverName: string): TlsPair | undefined {
    const name = serverName.toLowerCase();
    const dot = name.indexOf(".");
    return (
      this.#byHost.get(name) ??
      (dot > 0 ? this.#byHost.get(`*${name.slice(dot)}`) : undefined) ??
      this.#findDeep(name) ??
      this.#byHost.get("")
    );
  }

  #findDeep(name: string): TlsPair | undefined {
    for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
      const pair = this.#byHost.get(`**${name.slice(dot)}`);
      if (pair !== undefined) return pair;
    }
    return undefined;
  }
}
