/** A node made of network namespaces: a bridge, and pods behind it. */
import { join } from "node:path";
import { payloadFile, unpackBundle } from "../../../runtime/bundle.ts";
import { createRuntime } from "../../../runtime/real.ts";
import type { Runtime } from "../../../runtime/runtime.ts";
import { prepareNodeNetwork } from "../node-network.ts";

const never = new AbortController().signal;

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
      ip -n ${this.name} link set cni0 up`);
    const network = {
      nodeIp: "10.42.0.1",
      serviceCidr: "10.43.0.0/16",
      dnsIp: "10.43.0.10",
      switchLedger: undefined,
    };
    await prepareNodeNetwork(this.runtime, network, never);
  }

  /** Makes a pod; resolves to the name of its namespace. */
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
      ip -n ${pod} link set eth0 up
      ip -n ${pod} route add default via 10.42.0.1`);
    return pod;
  }

  /** Makes a machine next to the node, at 192.0.2.2 with the node at 192.0.2.1. */
  async addNeighbour(): Promise<string> {
    const other = `${this.name}o`;
    this.#others.push(other);
    await this.sh(`ip netns add ${other}
      ip -n ${this.name} link add wan type veth peer name eth0 netns ${other}
      ip -n ${this.name} addr add 192.0.2.1/24 dev wan
      ip -n ${this.name} link set wan up
      ip -n ${other} link set lo up
      ip -n ${other} addr add 192.0.2.2/24 dev eth0
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
