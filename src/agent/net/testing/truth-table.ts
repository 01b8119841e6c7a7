/**
 * Nine pods in three namespaces, in a real kernel, under random policies: every pair of them by TCP
 * and UDP, in both address families, against a plain evaluator.
 */
import { join } from "node:path";
import { namespaces, networkPolicies, pods } from "../../../client/resources.ts";
import type { Pod } from "../../../gen/core-v1.ts";
import type { NetworkPolicy } from "../../../gen/networking-v1.ts";
import { createExecutor } from "../../../runtime/executor.ts";
import { type PodAdmission, startPolicy } from "../policy.ts";
import { FakeLiveSets } from "./fake-live.ts";
import { NodeNamespace, sixOf } from "./node-namespace.ts";
import type { Order, Target } from "./peer.ts";
import { Dice, isAllowed, portNames, randomPolicies, type TestPod } from "./policies.ts";

const never = new AbortController().signal;
/** What should be reached is tried again, more patiently: a busy machine is slow. */
const udpWaitsMs = [200, 500, 1000, 2000, 4000] as const;

const testPods: readonly TestPod[] = ["x", "y", "z"].flatMap((namespace, i) =>
  ["a", "b", "c"].map((name, j) => {
    const ip = `10.42.0.${2 + i * 3 + j}`;
    return { namespace, name, ips: [ip, sixOf(ip)] };
  }),
);
const ports: readonly Omit<Target, "ip">[] = [
  { port: 80, protocol: "TCP" },
  { port: 81, protocol: "TCP" },
  { port: 80, protocol: "UDP" },
  { port: 81, protocol: "UDP" },
];

/** A pair that the kernel and the evaluator do not agree on. */
export interface Mismatch {
  readonly from: TestPod;
  readonly to: TestPod;
  readonly target: Target;
  readonly isAllowed: boolean;
}

export interface RoundResult {
  readonly policies: readonly NetworkPolicy[];
  readonly probes: number;
  /** Probes that the policies let through. */
  readonly allowed: number;
  readonly mismatches: readonly Mismatch[];
  /** From the change of the policies until the kernel has them. */
  readonly appliedMs: number;
}

export class TruthTable implements AsyncDisposable {
  readonly #live = new FakeLiveSets();
  readonly #node: NodeNamespace;
  readonly #executor;
  readonly #dice: Dice;
  readonly #peers: Peer[] = [];
  #policy: PodAdmission | undefined;

  private constructor(name: string, seed: number) {
    this.#node = new NodeNamespace(name);
    this.#executor = createExecutor(this.#node.runtime);
    this.#dice = new Dice(seed);
  }

  /** `name` is that of the network namespace; the same seed gives the same policies. */
  static async open(name: string, seed: number): Promise<TruthTable> {
    const table = new TruthTable(name, seed);
    await table.#create();
    return table;
  }

  async #create(): Promise<void> {
    const live = this.#live;
    await this.#node.create();
    for (const { ips } of testPods) {
      const namespace = await this.#node.addPod(ips[0] ?? "");
      this.#peers.push(new Peer(namespace, ips));
    }
    await Promise.all(this.#peers.map((peer) => peer.ready()));
    for (const name of ["x", "y", "z"]) {
      const metadata = { name, labels: { ns: name } };
      live.of(namespaces).put({ apiVersion: "v1", kind: "Namespace", metadata, spec: {} });
    }
    for (const pod of testPods) live.of(pods).put(podOf(pod));
    const { runtime } = this.#node;
    await this.#executor.start([
      {
        name: "network-policy",
        needs: [],
        start: async (scope) => {
          const families = ["IPv4", "IPv6"] as const;
          this.#policy = startPolicy({ runtime, live, scope, nodeName: "here", families });
        },
        health: () => ({ ok: true }),
      },
    ]);
  }

  /** One random set of policies: applied, probed and taken away again. */
  async round(): Promise<RoundResult> {
    const policies = randomPolicies(this.#dice, testPods);
    const set = this.#live.of(networkPolicies);
    const began = performance.now();
    for (const one of policies) set.put(one);
    await this.#applied();
    const appliedMs = performance.now() - began;
    const asked = testPods.map((from) => probesOf(policies, from));
    const wrong = await Promise.all(asked.map((probes, i) => mismatches(this.#peers[i], probes)));
    for (const { metadata } of policies) set.remove(`${metadata.namespace}/${metadata.name}`);
    const all = asked.flat();
    return {
      policies,
      probes: all.length,
      allowed: all.filter((probe) => probe.isAllowed).length,
      mismatches: wrong.flat(),
      appliedMs,
    };
  }

  /** Resolves when the kernel holds what the sets say now: a pod is admitted only then. */
  async #applied(): Promise<void> {
    const ips = ["10.42.0.250", "fd00:42::250"];
    const probe = podOf({ namespace: "x", name: "probe", ips });
    this.#live.of(networkPolicies).put({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "probe", namespace: "x" },
      spec: { podSelector: { matchLabels: { pod: "probe" } } },
    });
    probe.metadata = { ...probe.metadata, uid: crypto.randomUUID() };
    await this.#policy?.admit(probe, ips, never);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#executor[Symbol.asyncDispose]();
    for (const peer of this.#peers) peer.kill();
    await this.#node.destroy();
  }
}

function probesOf(policies: readonly NetworkPolicy[], from: TestPod): readonly Mismatch[] {
  return testPods.flatMap((to) =>
    to.ips.flatMap((ip) =>
      ports.map((port) => {
        const target = { ...port, ip };
        return { from, to, target, isAllowed: isAllowed(policies, from, to, target) };
      }),
    ),
  );
}

async function mismatches(
  peer: Peer | undefined,
  probes: readonly Mismatch[],
): Promise<readonly Mismatch[]> {
  let open = probes;
  for (const udpWaitMs of udpWaitsMs) {
    if (open.length === 0) break;
    const reached =
      (await peer?.reach({ targets: open.map(({ target }) => target), udpWaitMs })) ?? [];
    const leaks = open.filter((probe, at) => reached[at] && !probe.isAllowed);
    if (leaks.length > 0) return leaks;
    open = open.filter((probe, at) => !reached[at] && probe.isAllowed);
  }
  return open;
}

function podOf({ namespace, name, ips }: TestPod): Pod {
  const ports = Object.entries(portNames).map(([name, [protocol, containerPort]]) => ({
    name,
    protocol,
    containerPort,
  }));
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, uid: `${namespace}-${name}`, labels: { pod: name } },
    spec: { nodeName: "here", containers: [{ name: "c", ports }] },
    status: { phase: "Running", podIPs: ips.map((ip) => ({ ip })) },
  };
}

/** A process in a pod's namespace that tries all it is told at once. */
class Peer {
  readonly #child;
  readonly #lines: AsyncIterator<string>;

  constructor(namespace: string, ips: readonly string[]) {
    const script = join(import.meta.dir, "peer.ts");
    const argv = ["ip", "netns", "exec", namespace, process.execPath, script, ...ips];
    this.#child = Bun.spawn(argv, { stdin: "pipe", stdout: "pipe" });
    this.#lines = lines(this.#child.stdout);
  }

  async ready(): Promise<void> {
    const { value } = await this.#lines.next();
    if (value !== "ready") throw new Error(`a pod of the test did not start: ${value}`);
  }

  async reach(order: Order): Promise<readonly boolean[]> {
    this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    this.#child.stdin.flush();
    return JSON.parse((await this.#lines.next()).value ?? "[]");
  }

  kill(): void {
    this.#child.kill();
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of stream) {
    text += new TextDecoder().decode(chunk);
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}
