/** Random policies in a real kernel, every pair of nine pods, against a plain evaluator. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { namespaces, networkPolicies, pods } from "../../client/resources.ts";
import type { Pod } from "../../gen/core-v1.ts";
import type { NetworkPolicy } from "../../gen/networking-v1.ts";
import { createExecutor } from "../../runtime/executor.ts";
import { type PodAdmission, startPolicy } from "./policy.ts";
import { FakeLiveSets } from "./testing/fake-live.ts";
import { NodeNamespace } from "./testing/node-namespace.ts";
import type { Target } from "./testing/peer.ts";
import { Dice, isAllowed, portNames, randomPolicies, type TestPod } from "./testing/policies.ts";

const rounds = Number(process.env.K3_POLICY_ROUNDS ?? 12);
const seed = Number(process.env.K3_SEED ?? 20261121);
const never = new AbortController().signal;
const reason = NodeNamespace.reasonToSkip();
if (reason !== undefined) console.log(`left out: network policies in a kernel: ${reason}`);

const families = ["IPv4", "IPv6"] as const;
const testPods: readonly TestPod[] = ["x", "y", "z"].flatMap((namespace, i) =>
  ["a", "b", "c"].map((name, j) => ({ namespace, name, ip: `10.42.0.${2 + i * 3 + j}` })),
);
const targets: readonly Omit<Target, "ip">[] = [
  { port: 80, protocol: "TCP" },
  { port: 81, protocol: "TCP" },
  { port: 80, protocol: "UDP" },
  { port: 81, protocol: "UDP" },
];

function podOf({ namespace, name, ip }: TestPod): Pod {
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
    status: { phase: "Running", podIPs: [{ ip }] },
  };
}

/** A process in a pod's namespace that tries what it is told. */
class Peer {
  readonly #child;
  readonly #lines: AsyncIterator<string>;

  constructor(namespace: string) {
    const script = join(import.meta.dir, "testing/peer.ts");
    const argv = ["ip", "netns", "exec", namespace, process.execPath, script];
    this.#child = Bun.spawn(argv, { stdin: "pipe", stdout: "pipe" });
    this.#lines = lines(this.#child.stdout);
  }
  async ready(): Promise<void> {
    expect((await this.#lines.next()).value).toBe("ready");
  }
  async reach(wanted: readonly Target[]): Promise<readonly boolean[]> {
    this.#child.stdin.write(`${JSON.stringify(wanted)}\n`);
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

describe.skipIf(reason !== undefined)("network policies in a kernel", () => {
  const live = new FakeLiveSets();
  const node = new NodeNamespace("k3p");
  const executor = createExecutor(node.runtime);
  const peers: Peer[] = [];
  let policy: PodAdmission;

  beforeAll(async () => {
    await node.create();
    for (const { ip } of testPods) peers.push(new Peer(await node.addPod(ip)));
    await Promise.all(peers.map((peer) => peer.ready()));
    for (const name of ["x", "y", "z"]) {
      const metadata = { name, labels: { ns: name } };
      live.of(namespaces).put({ apiVersion: "v1", kind: "Namespace", metadata, spec: {} });
    }
    for (const pod of testPods) live.of(pods).put(podOf(pod));
    await executor.start([
      {
        name: "network-policy",
        needs: [],
        start: async (scope) => {
          policy = startPolicy({ runtime: node.runtime, live, scope, nodeName: "here", families });
        },
        health: () => ({ ok: true }),
      },
    ]);
  }, 60_000);
  afterAll(async () => {
    await executor[Symbol.asyncDispose]();
    for (const peer of peers) peer.kill();
    await node.destroy();
  });

  /** Resolves when the kernel holds what the sets say now. */
  const applied = async (): Promise<void> => {
    const probe = { ...podOf({ namespace: "x", name: "probe", ip: "10.42.0.250" }) };
    live.of(networkPolicies).put({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "probe", namespace: "x" },
      spec: { podSelector: { matchLabels: { pod: "probe" } } },
    });
    probe.metadata = { ...probe.metadata, uid: crypto.randomUUID() };
    await policy.admit(probe, ["10.42.0.250"], never);
  };

  /** Tries every pair; what should be reached is tried again, since a busy machine is slow. */
  const wrongPairs = async (policies: readonly NetworkPolicy[], from: TestPod, peer: Peer) => {
    const asked = testPods.flatMap((to) =>
      targets.map((target) => ({ to, target: { ...target, ip: to.ip } })),
    );
    let open = asked;
    for (let attempt = 0; attempt < 4 && open.length > 0; attempt++) {
      const reached = await peer.reach(open.map(({ target }) => target));
      const leaks = open.filter(
        ({ to, target }, at) => reached[at] && !isAllowed(policies, from, to, target),
      );
      if (leaks.length > 0) return leaks;
      open = open.filter(
        ({ to, target }, at) => !reached[at] && isAllowed(policies, from, to, target),
      );
    }
    return open;
  };

  test(
    `the kernel lets through what the policies say, in ${rounds} random sets`,
    async () => {
      const dice = new Dice(seed);
      for (let round = 0; round < rounds; round++) {
        const policies = randomPolicies(dice, testPods);
        for (const one of policies) live.of(networkPolicies).put(one);
        await applied();
        const wrong = await Promise.all(
          testPods.map((from, i) => wrongPairs(policies, from, peers[i] as Peer)),
        );
        const told = `seed ${seed}, round ${round}: ${JSON.stringify(policies)}`;
        wrong.forEach((pairs, i) => {
          const list = pairs.map(({ to, target }) => ({ from: testPods[i], to, target }));
          expect(list, told).toEqual([]);
        });
        for (const { metadata } of policies) {
          live.of(networkPolicies).remove(`${metadata.namespace}/${metadata.name}`);
        }
      }
    },
    10_000 + rounds * 10_000,
  );
});
