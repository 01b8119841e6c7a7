/** A node made of network namespaces: a bridge, and pods behind it. */

import { join } from "node:path";
import { payloadFile, unpackBundle } from "../../../runtime/bundle.ts";
import { createRuntime } from "../../../runtime/real.ts";
import type { Runtime } from "../../../runtime/runtime.ts";
import { type FamilyNetwork, familyNetworks } from "../family-network.ts";
import { prepareNodeNetwork } from "../node-network.ts";

const never = new AbortController().signal;

/** The node's network, as its parts that are under test are told of it. */
export const networks: readonly FamilyNetwork[] = familyNetworks({
  nodeIps: ["10.42.0.1", "fd00:42::1"],
  clusterCidrs: ["10.42.0.0/16", "fd00:42::/56"],
  serviceCidrs: ["10.43.0.0/16", "fd00:43::/112"],
  clusterDns: ["10.43.0.10", "fd00:43::a"],
});

/** The IPv6 address that goes with an IPv4 address of a pod. */
export function sixOf(ip: string): string {
  return `fd00:42::${ip.slice(ip.lastIndexOf(".") + 1)}`;
}

/** The nft that k3 carries: that of the machine may be older. */
async function bundledNft(): Promise<string> {
  const payload = payloadFile();
  if (payload === undefined) throw new Error("there are no bundled programs");
  const dataDir = join(import.meta.dir, "../../../../build/programs");
  return join((await unpackBundle({ dataDir, payload })).bin, "nft");
}

export class NodeNamespace {
  readonly #real = createRuntime({ logLevel: "warn" });
  /** The namespace's name. */
  readonly name: string;
  readonly #others: string[] = [];
  #nft = "nft";

  /** `prefix` keeps the namespaces of tests that run side by side apart; at most 4 letters. */
  constructor(prefix: string) {
    this.name = `${prefix}${process.pid}`;
  }

  /** Why no such node can be made here, or undefined. */
  static reasonToSkip(): string | undefined {
    if (process.getuid?.() !== 0) return "needs root: network namespaces are made";
    if (Bun.which("ip") === null) return "needs ip in PATH";
    return payloadFile() === undefined
      ? "needs the bundled nft: scripts/build makes it"
      : undefined;
  }

  /** Where the bundled nft lies. */
  get nft(): string {
    return this.#nft;
  }

  /** The world as seen from inside the node's namespace. */
  get runtime(): Runtime {
    const real = this.#real;
    const enter = ["ip", "netns", "exec", this.name] as const;
    return {
      ...real,
      exec: {
        ...real.exec,
        run: (command, signal) => {
          const [program, ...args] = command.argv;
          const argv = [...enter, program === "nft" ? this.#nft : program, ...args] as const;
          return real.exec.run({ ...command, argv }, signal);
        },
      },
      files: {
        ...real.files,
        readText: (path) => this.inNode(`cat ${path}`),
        writeInPlace: async (path, data) => void (await this.inNode(`echo ${data} > ${path}`)),
      },
    };
  }

  async create(): Promise<void> {
    this.#nft = await bundledNft();
    await this.sh(`ip netns add ${this.name}
      ip -n ${this.name} link set lo up
      ip -n ${this.name} link add cni0 type bridge
      ip -n ${this.name} addr add 10.42.0.1/24 dev cni0
      ip -n ${this.name} addr add fd00:42::1/64 dev cni0 nodad
      ip -n ${this.name} link set cni0 up`);
    await prepareNodeNetwork(this.runtime, { networks, switchLedger: undefined }, never);
  }

  /** Makes a pod of both families, `fd00:42::7` for 10.42.0.7; resolves to its namespace. */
  async addPod(ip: string): Promise<string> {
    const number = this.#others.length;
    const pod = `${this.name}p${number}`;
    this.#others.push(pod);
    await this.sh(`ip netns add ${pod}
      ip -n ${this.name} link add v${number} type veth peer name eth0 netns ${pod}
      ip -n ${this.name} link set v${number} master cni0 up
      ip -n ${this.name} link set v${number} type bridge_slave hairpin on
      ip -n ${pod} link set lo up
      ip -n ${pod} addr add ${ip}/24 dev eth0
      ip -n ${pod} addr add ${sixOf(ip)}/64 dev eth0 nodad
      ip -n ${pod} link set eth0 up
      ip -n ${pod} route add default via 10.42.0.1
      ip -n ${pod} route add default via fd00:42::1`);
    return pod;
  }

  /** Makes a machine next to the node: it at 192.0.2.2 and 2001:db8::2, the node at .1 and ::1. */
  async addNeighbour(): Promise<string> {
    const other = `${this.name}o`;
    this.#others.push(other);
    await this.sh(`ip netns add ${other}
      ip -n ${this.name} link add wan type veth peer name eth0 netns ${other}
      ip -n ${this.name} addr add 192.0.2.1/24 dev wan
      ip -n ${this.name} addr add 2001:db8::1/64 dev wan nodad
      ip -n ${this.name} link set wan up
      ip -n ${other} link set lo up
      ip -n ${other} addr add 192.0.2.2/24 dev eth0
      ip -n ${other} addr add 2001:db8::2/64 dev eth0 nodad
      ip -n ${other} link set eth0 up`);
    return other;
  }

  inNode(script: string): Promise<string> {
    return this.sh(`ip netns exec ${this.name} sh -c '${script}'`);
  }

  async sh(script: string): Promise<string> {
    const result = await this.#real.exec.run({ argv: ["sh", "-ec", script] }, never);
    if (result.exitCode !== 0) throw new Error(`${script}: ${result.stderr}`);
    return result.stdout;
  }

  async destroy(): Promise<void> {
    const all = [this.name, ...this.#others].join(" ");
    await this.sh(`for n in ${all}; do ip netns del $n || true; done`);
  }
}
